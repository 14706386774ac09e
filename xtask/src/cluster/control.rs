//! The control plane: etcd, the API server, the controllers and the scheduler, on the host.
//!
//! Flags are those that a cluster made by kubeadm has, as far as they matter; where one differs,
//! it says why.

use super::plan::{Family, Plan, Port};
use super::process::{Component, Ready};

/// Whether the cluster has nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The API server is on the fabric, so that nodes and pods reach it.
    Nodes,
    /// No nodes: the API server is on the loopback interface.
    ControlPlane,
}

impl Shape {
    /// The API server's URL.
    pub(crate) fn server(self, plan: &Plan) -> String {
        format!("https://{}:{}", self.address(plan), plan.port(Port::Api))
    }

    fn address(self, plan: &Plan) -> String {
        match self {
            Self::Nodes => plan.host().to_string(),
            Self::ControlPlane => "127.0.0.1".to_owned(),
        }
    }
}

/// etcd, the API server, and its two clients: each needs those before it.
pub(crate) fn components(plan: &Plan, shape: Shape) -> [Component; 4] {
    [etcd(plan), api_server(plan, shape), controllers(plan), scheduler(plan)]
}

fn etcd(plan: &Plan) -> Component {
    let url = local(plan, Port::Etcd);
    let peer = format!("http://127.0.0.1:{}", plan.port(Port::EtcdPeer));
    let flags = vec![
        flag("name", "etcd"),
        flag("data-dir", plan.text("etcd")),
        flag("listen-client-urls", &url),
        flag("advertise-client-urls", &url),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("etcd={peer}")),
        flag("cert-file", plan.text("pki/etcd.crt")),
        flag("key-file", plan.text("pki/etcd.key")),
        flag("trusted-ca-file", plan.text("pki/ca.crt")),
        "--client-cert-auth".to_owned(),
        flag("log-level", "warn"),
        // The cluster does not outlive a crash of the machine, and a disk that is slow to sync
        // would make the API server slow.
        "--unsafe-no-fsync".to_owned(),
    ];
    component(plan, "etcd", flags, Ready::Answers(url, "/health"))
}

fn api_server(plan: &Plan, shape: Shape) -> Component {
    let pki = |name: &str| plan.text(format!("pki/{name}"));
    let flags = vec![
        flag("bind-address", shape.address(plan)),
        flag("secure-port", plan.port(Port::Api)),
        flag("advertise-address", plan.host()),
        flag("tls-cert-file", pki("apiserver.crt")),
        flag("tls-private-key-file", pki("apiserver.key")),
        flag("client-ca-file", pki("ca.crt")),
        flag("etcd-servers", local(plan, Port::Etcd)),
        flag("etcd-cafile", pki("ca.crt")),
        flag("etcd-certfile", pki("apiserver-etcd-client.crt")),
        flag("etcd-keyfile", pki("apiserver-etcd-client.key")),
        flag("kubelet-certificate-authority", pki("ca.crt")),
        flag("kubelet-client-certificate", pki("apiserver-kubelet-client.crt")),
        flag("kubelet-client-key", pki("apiserver-kubelet-client.key")),
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        flag("service-account-key-file", pki("sa.pub")),
        flag("service-account-signing-key-file", pki("sa.key")),
        flag("service-cluster-ip-range", Family::both(|family| plan.services(family))),
        flag("authorization-mode", "Node,RBAC"),
        flag("enable-admission-plugins", "NodeRestriction"),
        flag("allow-privileged", "true"),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("requestheader-allowed-names", "front-proxy-client"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("proxy-client-cert-file", pki("front-proxy-client.crt")),
        flag("proxy-client-key-file", pki("front-proxy-client.key")),
        // The API server is on the host, where services have no addresses: webhooks and extension
        // servers are called at their pods'.
        flag("enable-aggregator-routing", "true"),
        // A killed server does not stay listed, and without nodes nobody could use the address.
        flag(
            "endpoint-reconciler-type",
            match shape {
                Shape::Nodes => "lease",
                Shape::ControlPlane => "none",
            },
        ),
        flag("v", "1"),
    ];
    component(plan, "kube-apiserver", flags, Ready::Answers(shape.server(plan), "/readyz"))
}

fn controllers(plan: &Plan) -> Component {
    let pki = |name: &str| plan.text(format!("pki/{name}"));
    let mut flags = vec![
        flag("root-ca-file", pki("ca.crt")),
        flag("service-account-private-key-file", pki("sa.key")),
        flag("cluster-signing-cert-file", pki("ca.crt")),
        flag("cluster-signing-key-file", pki("ca.key")),
        flag("use-service-account-credentials", "true"),
        // `up` gives each node its range, so that it fits the node's CNI configuration.
        flag("allocate-node-cidrs", "false"),
        flag("service-cluster-ip-range", Family::both(|family| plan.services(family))),
    ];
    flags.extend(client_of_the_api(plan, "kube-controller-manager", Port::Controllers));
    let ready = Ready::Answers(local(plan, Port::Controllers), "/healthz");
    component(plan, "kube-controller-manager", flags, ready)
}

fn scheduler(plan: &Plan) -> Component {
    let flags = client_of_the_api(plan, "kube-scheduler", Port::Scheduler);
    let ready = Ready::Answers(local(plan, Port::Scheduler), "/healthz");
    component(plan, "kube-scheduler", flags, ready)
}

fn client_of_the_api(plan: &Plan, name: &str, port: Port) -> Vec<String> {
    let kubeconfig = plan.text(format!("{name}.kubeconfig"));
    let pki = |name: &str| plan.text(format!("pki/{name}"));
    vec![
        flag("kubeconfig", &kubeconfig),
        flag("authentication-kubeconfig", &kubeconfig),
        flag("authorization-kubeconfig", &kubeconfig),
        flag("client-ca-file", pki("ca.crt")),
        flag("requestheader-client-ca-file", pki("front-proxy-ca.crt")),
        flag("tls-cert-file", pki("apiserver.crt")),
        flag("tls-private-key-file", pki("apiserver.key")),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", plan.port(port)),
        // There is one of each, and a lease would cost 15 s after a kill.
        flag("leader-elect", "false"),
    ]
}

fn component(plan: &Plan, name: &str, flags: Vec<String>, ready: Ready) -> Component {
    let mut argv = vec![plan.text(format!("bin/{name}"))];
    argv.extend(flags);
    Component { name: name.to_owned(), node: None, argv, ready }
}

/// A flag as Go's flag packages read it.
pub(crate) fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn local(plan: &Plan, port: Port) -> String {
    format!("https://127.0.0.1:{}", plan.port(port))
}
