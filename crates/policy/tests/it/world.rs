//! A small cluster with policies, and questions to it in words.

use sekisho_manifest::{Object, parse, read};
use sekisho_policy::{Cluster, Connection, Decision, Dialect, Peer, RuleSet};

/// Two namespaces with objects, one (`c`) without.
const BASE: &str = r"
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {team: blue, empty: ''}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web, tier: front}}
spec: {nodeName: n1, containers: [{name: m, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: a, labels: {app: db}}
spec: {nodeName: n2, containers: [{name: m, ports: [{name: http, containerPort: 9090}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: b, labels: {app: web, note: ''}}
spec: {nodeName: n1, containers: [{name: m}]}
status: {phase: Running, podIPs: [{ip: 10.0.1.1}, {ip: 'fd00::11'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: b}
spec: {nodeName: n2, containers: [{name: m}]}
status: {phase: Running, podIPs: [{ip: 10.0.1.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: c, labels: {app: web}}
spec: {nodeName: n2, containers: [{name: m}]}
status: {phase: Running, podIPs: [{ip: 10.0.2.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: b, labels: {app: agent}}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: m, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIPs: [{ip: 192.0.2.1}]}
";

pub(crate) struct World {
    pub(crate) rules: RuleSet,
    pub(crate) cluster: Cluster,
}

/// Makes a policy `p` of namespace `a` from its spec in flow style.
pub(crate) fn policy(spec: &str) -> String {
    policy_named("a", "p", spec)
}

pub(crate) fn policy_named(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {spec}\n"
    )
}

impl World {
    /// The small cluster with these documents added.
    pub(crate) fn with(documents: &[String]) -> Self {
        let text = format!("{BASE}---\n{}", documents.join("---\n"));
        Self::of(&text)
    }

    /// The small cluster with one policy in namespace `a`.
    pub(crate) fn policy(spec: &str) -> Self {
        Self::with(&[policy(spec)])
    }

    pub(crate) fn of(text: &str) -> Self {
        let objects = parse("world.yaml", text).unwrap_or_else(|errors| panic!("{errors:#?}"));
        Self::of_objects(&objects)
    }

    /// The small cluster with documents added that an API server may refuse, as those of a newer
    /// one.
    pub(crate) fn refused(documents: &[String]) -> Self {
        let reading = read("world.yaml", &format!("{BASE}---\n{}", documents.join("---\n")));
        assert_eq!(reading.errors, []);
        assert_ne!(reading.refusals, []);
        Self::of_objects(&reading.objects)
    }

    fn of_objects(objects: &[Object]) -> Self {
        let rules = RuleSet::from_objects(objects, Dialect::Spec);
        let cluster = Cluster::from_objects(objects);
        assert_eq!(Cluster::from_owned(objects.to_vec()), cluster);
        Self { rules, cluster }
    }

    /// `ns/pod`, `ns/pod@address`, `node:name`, `node:name@address`, `domain:name` or an address.
    fn peer<'a>(&'a self, text: &'a str) -> (Peer<'a>, Option<std::net::IpAddr>) {
        let (name, address) = match text.split_once('@') {
            Some((name, address)) => (name, Some(address.parse().unwrap())),
            None => (text, None),
        };
        if let Some(name) = name.strip_prefix("node:") {
            return (Peer::Node { name, address }, None);
        }
        if let Some(name) = name.strip_prefix("domain:") {
            return (Peer::Domain(name), None);
        }
        match name.split_once('/') {
            Some((namespace, pod)) => {
                let endpoint = self.cluster.endpoint_of_pod(namespace, pod);
                let endpoint = endpoint.or(self.cluster.endpoint_of_workload(namespace, pod));
                (Peer::Endpoint(endpoint.unwrap_or_else(|| panic!("{name}"))), address)
            }
            None => (Peer::Address(name.parse().unwrap()), address),
        }
    }

    /// Decides `source destination [protocol] port`; protocol TCP if left out.
    pub(crate) fn decide(&self, flow: &str) -> Decision {
        let words: Vec<_> = flow.split(' ').collect();
        let (source, destination, protocol, port) = match words.as_slice() {
            [source, destination, port] => (source, destination, "TCP", port),
            [source, destination, protocol, port] => (source, destination, *protocol, port),
            _ => panic!("{flow}"),
        };
        let (source, source_address) = self.peer(source);
        let (destination, destination_address) = self.peer(destination);
        self.rules.decide(
            &self.cluster,
            &Connection {
                source,
                destination,
                source_address,
                destination_address,
                protocol: protocol.parse().unwrap(),
                port: port.parse().unwrap(),
            },
        )
    }

    pub(crate) fn allows(&self, flows: &[&str]) -> &Self {
        for flow in flows {
            assert!(self.decide(flow).allows(), "denied: {flow}: {:?}", self.decide(flow));
        }
        self
    }

    pub(crate) fn denies(&self, flows: &[&str]) -> &Self {
        for flow in flows {
            assert!(!self.decide(flow).allows(), "allowed: {flow}: {:?}", self.decide(flow));
        }
        self
    }
}

/// The messages of a manifest that is refused.
pub(crate) fn errors(text: &str) -> String {
    let errors = parse("world.yaml", text).expect_err("must be refused");
    errors.iter().map(|error| format!("{error}\n")).collect()
}
