//! The templates there are, each with what it asks and what NetworkPolicy cannot say of it.

use super::catalogue::{Asks, Entry, Parameter, Preset, Purpose, TemplateId};

/// A parameter of one value.
const fn one(name: &'static str, asks: Asks, preset: Preset, what: &'static str) -> Parameter {
    Parameter { name, asks, many: false, preset, what }
}

/// A parameter of several values.
const fn many(name: &'static str, asks: Asks, preset: Preset, what: &'static str) -> Parameter {
    Parameter { name, asks, many: true, preset, what }
}

const NETWORK_POLICY: &str = "NetworkPolicy";
const CLUSTER_POLICY: &str = "ClusterNetworkPolicy";
const EITHER: &str = "NetworkPolicy or ClusterNetworkPolicy";

const ENVIRONMENTS: &[&str] =
    &["environment", "env", "app.kubernetes.io/environment", "stage", "tier"];
const TENANTS: &[&str] = &[
    "tenant",
    "capsule.clastix.io/tenant",
    "multi-tenant.io/tenant",
    "team",
    "toolkit.fluxcd.io/tenant",
];
const APPLICATIONS: &[&str] = &["app.kubernetes.io/part-of", "app.kubernetes.io/name", "app"];

const KEEP_SEEN: Parameter = one(
    "keep-seen",
    Asks::Word(&["no", "yes"]),
    Preset::Value("no"),
    "whether what was seen between two of them stays allowed",
);
const DNS: Parameter = many(
    "dns",
    Asks::Workload,
    Preset::Otherwise("the cluster's DNS, found by its port"),
    "pods that resolve names",
);

const HOST_NETWORK: (&str, &str) = (
    "pods on the host's network and programs of the node itself",
    "an agent of ours or a firewall on the node: no policy of Kubernetes selects them",
);
const NO_DENY: (&str, &str) = (
    "a deny that no other policy can take back: NetworkPolicies only add up",
    "ClusterNetworkPolicy of tier Admin, which our agents enforce, and plugins that read it",
);

pub(super) const LEAST_PRIVILEGE: Entry = Entry {
    id: TemplateId::LeastPrivilege,
    name: "least-privilege",
    purpose: Purpose::Start,
    what: "each workload may do what it was seen doing, and nothing else",
    makes: NETWORK_POLICY,
    parameters: &[],
    not_native: &[
        (
            "DNS names of places outside",
            "the addresses that were seen; domainNames of ClusterNetworkPolicy",
        ),
        HOST_NETWORK,
    ],
};

/// All templates, in the order in which they are best applied.
pub static CATALOGUE: &[Entry] = &[
    INFRASTRUCTURE,
    LEAST_PRIVILEGE,
    DEFAULT_DENY_DNS,
    Entry {
        id: TemplateId::Application,
        name: "application",
        purpose: Purpose::Separate,
        what: "everything inside an application; across its border only what was seen",
        makes: NETWORK_POLICY,
        parameters: &[
            one(
                "label",
                Asks::PodLabel,
                Preset::FirstOf(APPLICATIONS),
                "label that names applications",
            ),
            many(
                "values",
                Asks::LabelValue,
                Preset::Otherwise("all that were seen"),
                "only these applications",
            ),
        ],
        not_native: &[HOST_NETWORK],
    },
    Entry {
        id: TemplateId::Namespace,
        name: "namespace",
        purpose: Purpose::Separate,
        what: "everything inside a namespace; across its border only what was seen",
        makes: NETWORK_POLICY,
        parameters: &[],
        not_native: &[HOST_NETWORK],
    },
    Entry {
        id: TemplateId::Environment,
        name: "environment",
        purpose: Purpose::Separate,
        what: "everything inside prod, stage or dev; nothing from one to another; to what is in none of \
               them only what was seen",
        makes: NETWORK_POLICY,
        parameters: &[
            one(
                "label",
                Asks::NamespaceLabel,
                Preset::FirstOf(ENVIRONMENTS),
                "label of namespaces that names environments",
            ),
            many(
                "values",
                Asks::LabelValue,
                Preset::Otherwise("all that were seen"),
                "fences around these only",
            ),
            KEEP_SEEN,
        ],
        not_native: &[NO_DENY, HOST_NETWORK],
    },
    Entry {
        id: TemplateId::Tenant,
        name: "tenant",
        purpose: Purpose::Separate,
        what: "tenants never reach each other, whatever policies they write themselves",
        makes: EITHER,
        parameters: &[
            one(
                "label",
                Asks::NamespaceLabel,
                Preset::FirstOf(TENANTS),
                "label of namespaces that names tenants",
            ),
            many(
                "values",
                Asks::LabelValue,
                Preset::Otherwise("all that were seen"),
                "only these are kept apart from the others",
            ),
            one(
                "form",
                Asks::Word(&["cluster", "native"]),
                Preset::Value("cluster"),
                "cluster: a deny that tenants cannot lift; native: a fence of NetworkPolicies, which a \
                 tenant's own policies can open",
            ),
            KEEP_SEEN,
        ],
        not_native: &[NO_DENY, HOST_NETWORK],
    },
    CROWN_JEWEL,
    VM_TO_CLUSTER,
    EGRESS_ALLOW_LIST,
    INTERNET_FACING,
    CLOUD_METADATA,
    CONTROL_PLANE_PORTS,
    LATERAL_MOVEMENT,
    BASTION,
    VENDOR_WINDOW,
    QUARANTINE,
];

const INFRASTRUCTURE: Entry = Entry {
    id: TemplateId::Infrastructure,
    name: "infrastructure",
    purpose: Purpose::Start,
    what: "name resolution, clocks, scrapes and the ingress stay allowed whatever fences come: apply it \
           first",
    makes: EITHER,
    parameters: &[
        DNS,
        many(
            "monitoring",
            Asks::Workload,
            Preset::Otherwise("those seen at ports named metrics"),
            "pods that scrape metrics",
        ),
        many(
            "gateway",
            Asks::Workload,
            Preset::Otherwise("none"),
            "pods through which requests come in",
        ),
        many("ntp", Asks::Network, Preset::Otherwise("those seen on 123/UDP"), "clocks outside"),
        many(
            "registry",
            Asks::Network,
            Preset::Otherwise("none"),
            "registries that pods ask themselves (443/TCP); images are pulled by nodes, which needs no rule",
        ),
        one(
            "form",
            Asks::Word(&["cluster", "native"]),
            Preset::Value("cluster"),
            "cluster: rules that isolate nobody; native: NetworkPolicies, which isolate every pod of the \
             namespaces and so belong together with a fence",
        ),
    ],
    not_native: &[
        (
            "an allow that isolates nobody: a NetworkPolicy that allows also denies the rest",
            "ClusterNetworkPolicy of tier Admin with Accept",
        ),
        ("image pulls, which nodes make", "nothing is needed: no policy of pods touches them"),
    ],
};

const DEFAULT_DENY_DNS: Entry = Entry {
    id: TemplateId::DefaultDenyDns,
    name: "default-deny-dns",
    purpose: Purpose::Start,
    what: "nothing but name resolution, by the pods that resolve; more is added by other templates",
    makes: NETWORK_POLICY,
    parameters: &[
        DNS,
        one(
            "directions",
            Asks::Word(&["both", "ingress", "egress"]),
            Preset::Value("both"),
            "what is denied",
        ),
    ],
    not_native: &[
        HOST_NETWORK,
        (
            "ICMP, which NetworkPolicy does not define: plugins differ",
            "our agents deny it with the rest",
        ),
    ],
};

const CROWN_JEWEL: Entry = Entry {
    id: TemplateId::CrownJewel,
    name: "crown-jewel",
    purpose: Purpose::Protect,
    what: "a datastore that only its clients reach, on its ports only, and that reaches nobody",
    makes: NETWORK_POLICY,
    parameters: &[
        many("workload", Asks::Workload, Preset::Needed, "what is protected"),
        many("clients", Asks::Workload, Preset::Otherwise("those seen"), "who may reach it"),
        many("ports", Asks::Port, Preset::Otherwise("those its clients were seen on"), "where"),
        one(
            "replicas",
            Asks::Word(&["yes", "no"]),
            Preset::Value("yes"),
            "whether its own pods reach each other",
        ),
        one(
            "egress",
            Asks::Word(&["none", "dns", "seen"]),
            Preset::Value("none"),
            "what it may reach itself: nobody, only names, or what was seen",
        ),
    ],
    not_native: &[
        ("which user or statement comes through the port", "the datastore's own accounts"),
        HOST_NETWORK,
    ],
};

const VM_TO_CLUSTER: Entry = Entry {
    id: TemplateId::VmToCluster,
    name: "vm-to-cluster",
    purpose: Purpose::Protect,
    what: "a machine outside Kubernetes that only the named workloads reach",
    makes: "ClusterNetworkPolicy; NetworkPolicy on the machine if an agent of ours runs there",
    parameters: &[
        one(
            "vm",
            Asks::Machine,
            Preset::Otherwise("none"),
            "the machine, if an agent of ours runs there",
        ),
        many("address", Asks::Network, Preset::Otherwise("those of the machine"), "its addresses"),
        many("clients", Asks::Workload, Preset::Otherwise("those seen"), "who may reach it"),
        many("ports", Asks::Port, Preset::Otherwise("those the clients were seen on"), "where"),
    ],
    not_native: &[
        (
            "a machine as the subject: NetworkPolicy selects pods only",
            "our agent on the machine, which enforces the NetworkPolicy of its namespace",
        ),
        NO_DENY,
        (
            "the pod behind a connection, where the plugin puts the node's address in its place: the machine \
             sees the node",
            "the rules on the pods' side, which are made too",
        ),
        (
            "other machines that reach it past the cluster",
            "our agent on the machine, or its own firewall",
        ),
    ],
};

const EGRESS_ALLOW_LIST: Entry = Entry {
    id: TemplateId::EgressAllowList,
    name: "egress-allow-list",
    purpose: Purpose::Border,
    what: "out of the cluster only to these addresses and names; inside it as before",
    makes: NETWORK_POLICY,
    parameters: &[
        many("workload", Asks::Workload, Preset::Otherwise("all in scope"), "whose egress"),
        many("networks", Asks::Network, Preset::Otherwise("none"), "where it may go, by address"),
        many(
            "names",
            Asks::Name,
            Preset::Otherwise("none"),
            "where it may go, by DNS name: the addresses that were seen for it",
        ),
        many(
            "ports",
            Asks::Port,
            Preset::Otherwise("443/TCP for networks, those seen for names"),
            "on which ports",
        ),
        one(
            "inside",
            Asks::Word(&["all", "seen"]),
            Preset::Value("all"),
            "what it may reach inside the cluster: every pod, or only what was seen",
        ),
    ],
    not_native: &[
        (
            "DNS names: a rule holds the addresses that were seen, and addresses to come are not allowed",
            "domainNames of ClusterNetworkPolicy (tier Admin, Accept), or a proxy",
        ),
        HOST_NETWORK,
    ],
};

const INTERNET_FACING: Entry = Entry {
    id: TemplateId::InternetFacing,
    name: "internet-facing",
    purpose: Purpose::Border,
    what: "requests come in through the gateway only; the gateway is open to the world on its ports",
    makes: NETWORK_POLICY,
    parameters: &[
        many("workload", Asks::Workload, Preset::Needed, "what stands behind the gateway"),
        many("gateway", Asks::Workload, Preset::Needed, "pods through which requests come in"),
        many(
            "ports",
            Asks::Port,
            Preset::Otherwise("those the gateway was seen on"),
            "ports behind the gateway",
        ),
        many(
            "listen",
            Asks::Port,
            Preset::Otherwise("those reached from outside"),
            "ports of the gateway that the world reaches",
        ),
    ],
    not_native: &[
        (
            "the world without the cluster: 0.0.0.0/0 matches pods and nodes, too, on most plugins",
            "ClusterNetworkPolicy of tier Admin that denies the gateway's ports to pods",
        ),
        (
            "who the visitor is behind a load balancer that changes the source address",
            "externalTrafficPolicy: Local, or the gateway itself",
        ),
    ],
};

const CLOUD_METADATA: Entry = Entry {
    id: TemplateId::CloudMetadata,
    name: "cloud-metadata",
    purpose: Purpose::Forbid,
    what: "no pod gets credentials of its node from the cloud's metadata service",
    makes: EITHER,
    parameters: &[
        many(
            "addresses",
            Asks::Network,
            Preset::Value("169.254.169.254/32,fd00:ec2::254/128"),
            "addresses of the service",
        ),
        many("allow", Asks::Workload, Preset::Otherwise("nobody"), "who may ask it all the same"),
        one(
            "form",
            Asks::Word(&["cluster", "native"]),
            Preset::Value("cluster"),
            "cluster: a deny; native: everything but the addresses is allowed, which opens what other \
             NetworkPolicies hold closed, so only where there are none",
        ),
    ],
    not_native: &[NO_DENY, HOST_NETWORK],
};

const CONTROL_PLANE_PORTS: Entry = Entry {
    id: TemplateId::ControlPlanePorts,
    name: "control-plane-ports",
    purpose: Purpose::Forbid,
    what: "no pod reaches etcd, the kubelet, the scheduler or the API server, but for those that use it",
    makes: CLUSTER_POLICY,
    parameters: &[
        many(
            "ports",
            Asks::Port,
            Preset::Value("2379-2380/TCP,6443/TCP,10250/TCP,10255/TCP,10257/TCP,10259/TCP"),
            "ports of nodes that are closed",
        ),
        many(
            "networks",
            Asks::Network,
            Preset::Otherwise("where the API server is, if that is no node"),
            "addresses of a control plane that is on no node",
        ),
        many(
            "allow",
            Asks::Workload,
            Preset::Otherwise("those seen at the API server, and only there"),
            "who may reach them all the same",
        ),
    ],
    not_native: &[
        NO_DENY,
        (
            "nodes as peers: NetworkPolicy has only their addresses of today",
            "nodes of ClusterNetworkPolicy",
        ),
        HOST_NETWORK,
    ],
};

const LATERAL_MOVEMENT: Entry = Entry {
    id: TemplateId::LateralMovement,
    name: "lateral-movement",
    purpose: Purpose::Forbid,
    what: "no pod opens the ports by which intruders spread: remote shells, file shares, container engines",
    makes: CLUSTER_POLICY,
    parameters: &[
        many(
            "ports",
            Asks::Port,
            Preset::Value(
                "22/TCP,23/TCP,135/TCP,137-139/TCP,137-139/UDP,445/TCP,512-514/TCP,2375-2376/TCP,\
                 3389/TCP,3389/UDP,5900/TCP,5985-5986/TCP,10250/TCP",
            ),
            "ports that are closed",
        ),
        many(
            "allow",
            Asks::Workload,
            Preset::Otherwise("nobody"),
            "who may open them all the same: a jump host, a scraper of kubelets",
        ),
    ],
    not_native: &[
        NO_DENY,
        (
            "connections from outside the cluster, of which ClusterNetworkPolicy has no source addresses",
            "NetworkPolicies that isolate ingress, as default-deny-dns and least-privilege do",
        ),
        HOST_NETWORK,
    ],
};

const BASTION: Entry = Entry {
    id: TemplateId::Bastion,
    name: "bastion",
    purpose: Purpose::Access,
    what: "ports of administration open from the jump host only; other ports as they were seen",
    makes: NETWORK_POLICY,
    parameters: &[
        many(
            "targets",
            Asks::Workload,
            Preset::Otherwise("all in scope that were reached on these ports"),
            "what is administered",
        ),
        many(
            "bastion",
            Asks::Workload,
            Preset::Otherwise("none"),
            "the jump host, if it is a workload",
        ),
        many(
            "networks",
            Asks::Network,
            Preset::Otherwise("none"),
            "the jump host, if it is outside",
        ),
        many("ports", Asks::Port, Preset::Value("22/TCP,3389/TCP"), "ports of administration"),
    ],
    not_native: &[
        (
            "kubectl exec, which comes through the API server and the kubelet",
            "rights in Kubernetes (RBAC)",
        ),
        HOST_NETWORK,
    ],
};

const VENDOR_WINDOW: Entry = Entry {
    id: TemplateId::VendorWindow,
    name: "vendor-window",
    purpose: Purpose::Access,
    what: "a third party reaches a workload until a time; what else was seen stays allowed",
    makes: NETWORK_POLICY,
    parameters: &[
        many("networks", Asks::Network, Preset::Needed, "addresses of the third party"),
        many("workload", Asks::Workload, Preset::Needed, "what it reaches"),
        many("ports", Asks::Port, Preset::Needed, "on which ports"),
        one("until", Asks::Time, Preset::Needed, "when the window ends"),
    ],
    not_native: &[
        (
            "the end: nothing removes a NetworkPolicy by itself. The annotation sekisho.dev/expires-at says \
             when; from then on `sekisho status` tells that it is still there",
            "whoever applied it, who applies the others without it (`--prune`)",
        ),
        (
            "connections that are open at the end: they stay on most plugins",
            "`sekisho apply --cut`",
        ),
    ],
};

const QUARANTINE: Entry = Entry {
    id: TemplateId::Quarantine,
    name: "quarantine",
    purpose: Purpose::Access,
    what: "cut off from everybody but forensics, whatever other policies allow",
    makes: "ClusterNetworkPolicy and NetworkPolicy",
    parameters: &[
        many(
            "workload",
            Asks::Workload,
            Preset::Otherwise("pods with the label sekisho.dev/quarantine=true"),
            "what is cut off",
        ),
        many("forensics", Asks::Workload, Preset::Otherwise("nobody"), "who may still reach it"),
        many("ports", Asks::Port, Preset::Value("22/TCP"), "where"),
    ],
    not_native: &[
        NO_DENY,
        (
            "connections from outside that another NetworkPolicy allows: ClusterNetworkPolicy has no source \
             addresses",
            "take that NetworkPolicy away, or the pod out of the Service (change its labels)",
        ),
        ("connections that are open already: they stay on most plugins", "`sekisho apply --cut`"),
        HOST_NETWORK,
    ],
};
