//! What is read of each kind, with its defaults.

use sekisho_manifest::{
    Object, PodPhase, PortRef, ProbeAction, RestartPolicy, WorkloadKind, parse,
};
use sekisho_model::Protocol;

fn one(text: &str) -> Object {
    let mut objects = parse("f", text).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    assert_eq!(objects.len(), 1);
    objects.remove(0)
}

const POD: &str = "apiVersion: v1
kind: Pod
metadata:
  name: cart-5d4f-x
  namespace: shop
  uid: 0a
  resourceVersion: '12'
  generateName: cart-5d4f-
  creationTimestamp: '2026-01-02T03:04:05Z'
  deletionTimestamp: 2026-01-02T03:04:06.5Z
  labels: {app: cart, version: '1', enabled: 'true'}
  annotations: {Example.com/note: '# not a comment'}
  managedFields: [{manager: x, anything: {f:metadata: 1}}]
  ownerReferences:
    - {apiVersion: v1, kind: Other, name: other, uid: u}
    - {apiVersion: apps/v1, kind: ReplicaSet, name: cart-5d4f, uid: u, controller: true, blockOwnerDeletion: true}
spec:
  nodeName: node-1
  nodeSelector: {disk: ssd}
  serviceAccountName: cart
  terminationGracePeriodSeconds: 30
  tolerations: [{key: a, operator: Exists}]
  volumes: [{name: v, emptyDir: {}}]
  initContainers:
    - {name: init, image: i}
    - {name: side, image: i, restartPolicy: Always, ports: [{containerPort: 9}]}
  containers:
    - name: main
      image: cart:1
      command: [sekisho, workload]
      args: ['--port', '8080']
      env: [{name: A, value: 'b c'}, {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: E}]
      ports: [{name: http, containerPort: 8080, hostPort: 0}, {containerPort: 53, protocol: UDP, hostPort: 53}]
      readinessProbe: {httpGet: {port: http, scheme: HTTP}, periodSeconds: 0}
      livenessProbe: {tcpSocket: {port: 8080}, initialDelaySeconds: 5, timeoutSeconds: 2, failureThreshold: 1}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}, {ip: wrong}]
  hostIP: 192.0.2.1
  startTime: '2026-01-02T03:04:05Z'
  conditions: [{type: Ready, status: 'True'}, {type: PodScheduled, status: 'False', unknown: [x]}]
  containerStatuses: [{name: main, restartCount: 2, imageID: 'a@sha256:01'}, {name: side, restartCount: 3}, {restartCount: x}]
";

#[test]
fn a_pod_as_kubectl_prints_it_is_read_with_its_status() {
    let object = one(POD);
    let Object::Pod(pod) = object else { panic!("{object:?}") };
    assert_eq!(pod.meta.owner.as_ref().unwrap().name, "cart-5d4f");
    assert_eq!(pod.meta.created.unwrap().to_string(), "2026-01-02T03:04:05.000Z");
    assert_eq!(pod.meta.deleted.unwrap().to_string(), "2026-01-02T03:04:06.500Z");
    assert_eq!(pod.meta.annotations["Example.com/note"], "# not a comment");
    assert_eq!(pod.spec.ports().map(|port| port.port).collect::<Vec<_>>(), [8080, 53, 9]);
    let main = &pod.spec.containers[0];
    assert_eq!(main.env, [("A".to_owned(), "b c".to_owned()), ("E".to_owned(), String::new())]);
    assert_eq!((main.ports[0].host_port, main.ports[1].host_port), (None, Some(53)));
    assert_eq!(main.ports[1].protocol, Protocol::Udp);
    assert_eq!(pod.status.image_ids, [("main".to_owned(), "a@sha256:01".to_owned())]);
    let ready = main.readiness.as_ref().unwrap();
    assert_eq!(
        ready.action,
        ProbeAction::Http { path: "/".to_owned(), port: PortRef::Name("http".to_owned()) }
    );
    assert_eq!(
        (ready.period_s, ready.timeout_s, ready.initial_delay_s, ready.failure_threshold),
        (10, 1, 0, 3)
    );
    let live = main.liveness.as_ref().unwrap();
    assert_eq!(
        (live.period_s, live.timeout_s, live.initial_delay_s, live.failure_threshold),
        (10, 2, 5, 1)
    );
    assert_eq!(pod.status.phase, PodPhase::Running);
    assert_eq!(pod.status.pod_ips.len(), 2);
    assert!(pod.status.ready);
    assert_eq!(pod.status.restarts, 5);
    assert!(!pod.spec.init_containers[0].sidecar && pod.spec.init_containers[1].sidecar);
}

#[test]
fn workloads_of_each_kind_are_read() {
    let template = "template: {metadata: {labels: {app: a}, annotations: {x: z}}, spec: {containers: [{name: m}]}}";
    let cases = [
        (
            "apps/v1",
            "Deployment",
            format!(
                "{{replicas: 3, selector: {{matchLabels: {{app: a}}}}, strategy: {{}}, {template}}}"
            ),
            3,
        ),
        (
            "apps/v1",
            "StatefulSet",
            format!("{{serviceName: s, selector: {{matchLabels: {{app: a}}}}, {template}}}"),
            1,
        ),
        (
            "apps/v1",
            "DaemonSet",
            format!("{{selector: {{matchLabels: {{app: a}}}}, {template}}}"),
            1,
        ),
        (
            "apps/v1",
            "ReplicaSet",
            format!("{{replicas: 0, selector: {{matchLabels: {{app: a}}}}, {template}}}"),
            0,
        ),
        ("v1", "ReplicationController", format!("{{selector: {{app: a}}, {template}}}"), 1),
        ("batch/v1", "Job", format!("{{parallelism: 2, completions: 4, {template}}}"), 2),
        (
            "batch/v1",
            "CronJob",
            format!(
                "{{schedule: '* * * * *', jobTemplate: {{metadata: {{}}, spec: {{{template}}}}}}}"
            ),
            1,
        ),
    ];
    for (version, kind, spec, replicas) in cases {
        let object = one(&format!(
            "{{apiVersion: {version}, kind: {kind}, metadata: {{name: w}}, spec: {spec}}}"
        ));
        let Object::Workload(workload) = &object else { panic!("{object:?}") };
        assert_eq!(object.kind(), kind);
        assert_eq!(workload.replicas, replicas, "{kind}");
        assert_eq!(workload.template.labels["app"], "a");
        assert_eq!(workload.template.spec.restart_policy, RestartPolicy::Always);
        let is_job = matches!(workload.kind, WorkloadKind::Job | WorkloadKind::CronJob);
        assert_eq!(workload.selector.is_empty(), is_job, "{kind}");
    }
}

#[test]
fn services_nodes_hosts_and_namespaces_are_read() {
    let Object::Service(service) = one(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80, targetPort: http}, {name: b, port: 81, targetPort: 0, nodePort: 30000, protocol: UDP}]}}",
    ) else {
        panic!()
    };
    assert_eq!(service.service_type, "ClusterIP");
    assert_eq!(service.cluster_ips.len(), 1);
    assert_eq!(service.ports[0].target_port, PortRef::Name("http".to_owned()));
    assert_eq!(service.ports[1].target_port, PortRef::Number(81));
    assert_eq!(service.ports[1].node_port, Some(30000));
    let Object::Service(service) = one(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, clusterIPs: [None]}}",
    ) else {
        panic!()
    };
    assert!(service.headless && service.cluster_ips.is_empty());
    let Object::Service(service) = one(
        "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: ExternalName, externalName: x.example}}",
    ) else {
        panic!()
    };
    assert_eq!(service.external_name.as_deref(), Some("x.example"));
    let Object::Node(node) = one(
        "{apiVersion: v1, kind: Node, metadata: {name: node}, spec: {podCIDR: 10.0.0.0/24}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: node}, {type: ExternalIP, address: 'fd00::1'}], nodeInfo: {}}}",
    ) else {
        panic!()
    };
    assert_eq!(node.addresses.len(), 2);
    assert_eq!(node.pod_cidrs.len(), 1);
    let Object::Host(host) = one(
        "{apiVersion: sekisho.dev/v1alpha1, kind: Host, metadata: {name: h, namespace: hosts}, spec: {addresses: [192.0.2.10], containers: [{name: db, command: [x], ports: [{containerPort: 5432}]}]}}",
    ) else {
        panic!()
    };
    assert_eq!((host.addresses.len(), host.containers.len()), (1, 1));
    let Object::Namespace(namespace) =
        one("{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {x: z}}}")
    else {
        panic!()
    };
    assert_eq!(namespace.meta.labels["kubernetes.io/metadata.name"], "a");
    assert_eq!(namespace.meta.namespace, "");
}
