//! Names of the fields of each type (Kubernetes v1.34), so that real manifests are read and typing
//! mistakes are not.
//!
//! Fields that no stage uses are listed too; what is inside them is not looked at.

pub(crate) const OBJECT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
pub(crate) const META: &[&str] = &[
    "annotations",
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
pub(crate) const OWNER: &[&str] =
    &["apiVersion", "blockOwnerDeletion", "controller", "kind", "name", "uid"];
pub(crate) const NAMESPACE_SPEC: &[&str] = &["finalizers"];
pub(crate) const NODE_SPEC: &[&str] =
    &["configSource", "externalID", "podCIDR", "podCIDRs", "providerID", "taints", "unschedulable"];
pub(crate) const HOST_SPEC: &[&str] = &["addresses", "containers"];

pub(crate) const POLICY_SPEC: &[&str] = &["egress", "ingress", "podSelector", "policyTypes"];
pub(crate) const INGRESS_RULE: &[&str] = &["from", "ports"];
pub(crate) const EGRESS_RULE: &[&str] = &["ports", "to"];
pub(crate) const PEER: &[&str] = &["ipBlock", "namespaceSelector", "podSelector"];
pub(crate) const IP_BLOCK: &[&str] = &["cidr", "except"];
pub(crate) const POLICY_PORT: &[&str] = &["endPort", "port", "protocol"];
pub(crate) const SELECTOR: &[&str] = &["matchExpressions", "matchLabels"];
pub(crate) const REQUIREMENT: &[&str] = &["key", "operator", "values"];

pub(crate) const SERVICE_SPEC: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "clusterIP",
    "clusterIPs",
    "externalIPs",
    "externalName",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamily",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "ports",
    "publishNotReadyAddresses",
    "selector",
    "sessionAffinity",
    "sessionAffinityConfig",
    "topologyKeys",
    "trafficDistribution",
    "type",
];
pub(crate) const SERVICE_PORT: &[&str] =
    &["appProtocol", "name", "nodePort", "port", "protocol", "targetPort"];

pub(crate) const SLICE: &[&str] =
    &["addressType", "apiVersion", "endpoints", "kind", "metadata", "ports"];
pub(crate) const SLICE_ENDPOINT: &[&str] = &[
    "addresses",
    "conditions",
    "deprecatedTopology",
    "hints",
    "hostname",
    "nodeName",
    "targetRef",
    "zone",
];
pub(crate) const SLICE_PORT: &[&str] = &["appProtocol", "name", "port", "protocol"];

pub(crate) const TEMPLATE: &[&str] = &["metadata", "spec"];
pub(crate) const POD_SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
    "workloadRef",
];
pub(crate) const CONTAINER: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];
pub(crate) const ENV: &[&str] = &["name", "value", "valueFrom"];
pub(crate) const CONTAINER_PORT: &[&str] =
    &["containerPort", "hostIP", "hostPort", "name", "protocol"];
pub(crate) const PROBE: &[&str] = &[
    "exec",
    "failureThreshold",
    "grpc",
    "httpGet",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "tcpSocket",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
];
pub(crate) const HTTP_GET: &[&str] = &["host", "httpHeaders", "path", "port", "scheme"];
pub(crate) const TCP_SOCKET: &[&str] = &["host", "port"];
pub(crate) const EXEC: &[&str] = &["command"];
pub(crate) const GRPC: &[&str] = &["port", "service"];

pub(crate) const DEPLOYMENT_SPEC: &[&str] = &[
    "minReadySeconds",
    "paused",
    "progressDeadlineSeconds",
    "replicas",
    "revisionHistoryLimit",
    "selector",
    "strategy",
    "template",
];
pub(crate) const STATEFUL_SET_SPEC: &[&str] = &[
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
    "podManagementPolicy",
    "replicas",
    "revisionHistoryLimit",
    "selector",
    "serviceName",
    "template",
    "updateStrategy",
    "volumeClaimTemplates",
];
pub(crate) const DAEMON_SET_SPEC: &[&str] =
    &["minReadySeconds", "revisionHistoryLimit", "selector", "template", "updateStrategy"];
pub(crate) const REPLICA_SET_SPEC: &[&str] =
    &["minReadySeconds", "replicas", "selector", "template"];
pub(crate) const JOB_SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completionMode",
    "completions",
    "managedBy",
    "manualSelector",
    "maxFailedIndexes",
    "parallelism",
    "podFailurePolicy",
    "podReplacementPolicy",
    "selector",
    "successPolicy",
    "suspend",
    "template",
    "ttlSecondsAfterFinished",
];
pub(crate) const CRON_JOB_SPEC: &[&str] = &[
    "concurrencyPolicy",
    "failedJobsHistoryLimit",
    "jobTemplate",
    "schedule",
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "suspend",
    "timeZone",
];
