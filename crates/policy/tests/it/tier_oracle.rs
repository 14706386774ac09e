//! A naive judge of one connection under policies in tiers, written from the API documents alone
//! (network-policy-api v1alpha2 and v1alpha1, NetworkPolicy v1). It reads the JSON of the objects
//! itself and shares nothing with the crates.
//!
//! Where the documents leave the answer open (policies of equal priority), it gives all answers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The pod of this index, by this address.
    Pod(usize, IpAddr),
    /// The node of this name, by this address.
    Node(String, IpAddr),
    /// An address.
    Address(IpAddr),
    /// A DNS name.
    Domain(String),
}

/// The objects, by kind.
pub(crate) struct Oracle<'v> {
    namespaces: Vec<&'v Value>,
    pub(crate) pods: Vec<&'v Value>,
    pub(crate) nodes: Vec<&'v Value>,
    network_policies: Vec<&'v Value>,
    /// ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy.
    tiers: Vec<&'v Value>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) source: End,
    pub(crate) destination: End,
    /// `TCP`, `UDP`, `SCTP` or `ICMP`.
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
}

/// What a tier, or all of them, may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Say {
    Accept,
    Deny,
    /// Ask the next one.
    Next,
}

/// A direction seen from the subject.
pub(crate) struct Side<'q> {
    pub(crate) question: &'q Question,
    pub(crate) subject: usize,
    pub(crate) other: &'q End,
    pub(crate) is_egress: bool,
}

pub(crate) fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

pub(crate) fn namespace_of(object: &Value) -> &str {
    text(&object["metadata"], "namespace")
}

pub(crate) fn name_of(object: &Value) -> &str {
    text(&object["metadata"], "name")
}

pub(crate) fn is_on_host(pod: &Value) -> bool {
    pod["spec"]["hostNetwork"] == true
}

fn label<'v>(labels: &'v Value, key: &str) -> Option<&'v str> {
    labels.get(key)?.as_str()
}

/// Label selector semantics (meta/v1 LabelSelector); `labels` is a JSON object or null.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let pairs = selector["matchLabels"].as_object();
    let equal =
        pairs.is_none_or(|pairs| pairs.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = list(selector, "matchExpressions").iter().all(|expression| {
        let own = label(labels, text(expression, "key"));
        let listed =
            own.is_some_and(|own| list(expression, "values").iter().any(|value| value == own));
        match text(expression, "operator") {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => own.is_some(),
            "DoesNotExist" => own.is_none(),
            other => panic!("{other}"),
        }
    });
    equal && expressions
}

/// `address/bits`, bit by bit.
pub(crate) fn is_in(net: &str, address: IpAddr) -> bool {
    let (base, bits) = net.split_once('/').unwrap();
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (base, address) = (bytes(base.parse().unwrap()), bytes(address));
    let bit = |bytes: &[u8], index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    base.len() == address.len()
        && (0..bits.parse().unwrap()).all(|index| bit(&base, index) == bit(&address, index))
}

/// `*.` stands for one or more whole labels; names compare without case and without the last dot.
fn is_named(pattern: &str, name: &str) -> bool {
    let parts = |name: &str| -> Vec<String> {
        name.trim_end_matches('.').to_lowercase().split('.').map(str::to_owned).collect()
    };
    let (pattern, name) = (parts(pattern), parts(name));
    match pattern.split_first() {
        Some((first, rest)) if first == "*" => name.len() > rest.len() && name.ends_with(rest),
        _ => pattern == name,
    }
}

impl<'v> Oracle<'v> {
    pub(crate) fn new(objects: &'v [Value]) -> Self {
        let of = |kinds: &[&str]| {
            objects.iter().filter(|object| kinds.contains(&text(object, "kind"))).collect()
        };
        Self {
            namespaces: of(&["Namespace"]),
            pods: of(&["Pod"]),
            nodes: of(&["Node"]),
            network_policies: of(&["NetworkPolicy"])
                .into_iter()
                .filter(|policy| text(policy, "apiVersion") == "networking.k8s.io/v1")
                .collect(),
            tiers: of(&[
                "ClusterNetworkPolicy",
                "AdminNetworkPolicy",
                "BaselineAdminNetworkPolicy",
            ]),
        }
    }

    /// Whether the connection may be allowed, and whether it may be denied.
    pub(crate) fn verdicts(&self, question: &Question) -> (bool, bool) {
        let egress = self.direction(question, &question.source, &question.destination, true);
        let ingress = self.direction(question, &question.destination, &question.source, false);
        let both = [&egress, &ingress];
        let allowed = both.iter().all(|says| says.contains(&true));
        (allowed, both.iter().any(|says| says.contains(&false)))
    }

    /// Whether both directions accept, if `accepts` says so wherever a policy may say anything.
    pub(crate) fn allows(&self, question: &Question, accepts: &dyn Fn(&Side<'_>) -> bool) -> bool {
        let ends = [
            (&question.source, &question.destination, true),
            (&question.destination, &question.source, false),
        ];
        ends.iter().all(|(subject, other, is_egress)| {
            let End::Pod(index, _) = subject else { return true };
            let is_itself = matches!(other, End::Pod(peer, _) if peer == index);
            is_on_host(self.pods[*index])
                || is_itself
                || (!is_egress && self.is_own_node(self.pods[*index], other))
                || accepts(&Side { question, subject: *index, other, is_egress: *is_egress })
        })
    }

    /// What one direction may say: accepted, denied or, in an ambiguity, both.
    fn direction(
        &self,
        question: &Question,
        subject: &End,
        other: &End,
        is_egress: bool,
    ) -> BTreeSet<bool> {
        let accepted = BTreeSet::from([true]);
        let End::Pod(index, _) = subject else { return accepted };
        // "Note that host-networked pods are not included in subject selection."
        if is_on_host(self.pods[*index]) {
            return accepted;
        }
        // A pod cannot block access to itself; its own node always reaches it.
        if matches!(other, End::Pod(peer, _) if peer == index) {
            return accepted;
        }
        if !is_egress && self.is_own_node(self.pods[*index], other) {
            return accepted;
        }
        let side = Side { question, subject: *index, other, is_egress };
        let mut open = true;
        let mut says = BTreeSet::new();
        for tier in ["Admin", "NetworkPolicy", "Baseline"] {
            if !open {
                break;
            }
            let tier_says = if tier == "NetworkPolicy" {
                BTreeSet::from([self.network_policies_say(&side)])
            } else {
                self.tier_says(tier, &side)
            };
            open = tier_says.contains(&Say::Next);
            says.extend(
                tier_says.iter().filter(|say| **say != Say::Next).map(|say| *say == Say::Accept),
            );
        }
        // "If a given connection wasn't allowed or denied by any of the tiers, the default
        // kubernetes policy is applied, which says that all pods can communicate with each other."
        if open {
            says.insert(true);
        }
        says
    }

    fn is_own_node(&self, pod: &Value, other: &End) -> bool {
        let own = text(&pod["spec"], "nodeName");
        match other {
            End::Node(name, _) => name == own,
            End::Pod(peer, _) => {
                let peer = self.pods[*peer];
                is_on_host(peer) && text(&peer["spec"], "nodeName") == own
            }
            End::Address(address) => {
                let node = self.nodes.iter().find(|node| name_of(node) == own);
                node.is_some_and(|node| addresses(node).contains(address))
            }
            End::Domain(_) => false,
        }
    }

    /// Labels of a namespace, which always has its name as a label.
    pub(crate) fn namespace_labels(&self, name: &str) -> Value {
        let found = self.namespaces.iter().find(|namespace| name_of(namespace) == name);
        let mut labels =
            found.map_or(Value::Null, |namespace| namespace["metadata"]["labels"].clone());
        if labels.is_null() {
            labels = Value::Object(Default::default());
        }
        labels["kubernetes.io/metadata.name"] = name.into();
        labels
    }

    /// Whether a pod is in selected namespaces and selected itself.
    fn picks(&self, namespaces: &Value, pods: &Value, pod: &Value) -> bool {
        selects(namespaces, &self.namespace_labels(namespace_of(pod)))
            && selects(pods, &pod["metadata"]["labels"])
    }

    /// `subject`, and the peers `namespaces` and `pods`.
    fn picks_by(&self, choice: &Value, pod: &Value) -> bool {
        if let Some(namespaces) = choice.get("namespaces") {
            return self.picks(namespaces, &Value::Null, pod);
        }
        let pods = &choice["pods"];
        self.picks(&pods["namespaceSelector"], &pods["podSelector"], pod)
    }

    /// What the policies of a tier may say. Lower priorities first; of equal ones any may count.
    fn tier_says(&self, tier: &str, side: &Side<'_>) -> BTreeSet<Say> {
        let in_tier = |policy: &&&Value| match text(policy, "kind") {
            "AdminNetworkPolicy" => tier == "Admin",
            "BaselineAdminNetworkPolicy" => tier == "Baseline",
            _ => text(&policy["spec"], "tier") == tier,
        };
        let priority = |policy: &Value| policy["spec"]["priority"].as_u64().unwrap_or(0);
        let own: Vec<_> = self.tiers.iter().filter(in_tier).collect();
        let priorities: BTreeSet<_> = own.iter().map(|policy| priority(policy)).collect();
        for wanted in priorities {
            let equal = own.iter().filter(|policy| priority(policy) == wanted);
            let says: BTreeSet<_> =
                equal.filter_map(|policy| self.policy_says(policy, side)).collect();
            if !says.is_empty() {
                return says;
            }
        }
        BTreeSet::from([Say::Next])
    }

    /// The action of the first rule that matches.
    fn policy_says(&self, policy: &Value, side: &Side<'_>) -> Option<Say> {
        if !self.picks_by(&policy["spec"]["subject"], self.pods[side.subject]) {
            return None;
        }
        let rules = if side.is_egress { "egress" } else { "ingress" };
        list(&policy["spec"], rules).iter().find_map(|rule| self.rule_says(rule, side))
    }

    fn rule_says(&self, rule: &Value, side: &Side<'_>) -> Option<Say> {
        let peers = list(rule, if side.is_egress { "to" } else { "from" });
        let ports = rule.get("protocols").or(rule.get("ports"));
        let ports = ports.and_then(Value::as_array);
        let known_peers = ["namespaces", "pods", "nodes", "networks", "domainNames"];
        let known_ports =
            ["tcp", "udp", "sctp", "destinationNamedPort", "portNumber", "portRange", "namedPort"];
        let has_any =
            |value: &Value, known: &[&str]| known.iter().any(|name| value.get(name).is_some());
        let is_unknown = peers.iter().any(|peer| !has_any(peer, &known_peers))
            || ports.into_iter().flatten().any(|port| !has_any(port, &known_ports));
        let action = text(rule, "action");
        if is_unknown {
            // "For "Accept" rules, "fail closed" means: "treat the rule as matching no traffic". For
            // "Deny" and "Pass" rules, "fail closed" means: "treat the rule as a 'Deny all' rule"."
            return (!matches!(action, "Accept" | "Allow")).then_some(Say::Deny);
        }
        let matches = peers.iter().any(|peer| {
            self.is_peer(peer, side)
                && ports.is_none_or(|ports| ports.iter().any(|port| self.is_port(port, peer, side)))
        });
        matches.then(|| match action {
            "Accept" | "Allow" => Say::Accept,
            "Deny" => Say::Deny,
            "Pass" => Say::Next,
            other => panic!("{other}"),
        })
    }

    fn is_peer(&self, peer: &Value, side: &Side<'_>) -> bool {
        let address = address(side.other);
        if let Some(nodes) = peer.get("nodes") {
            // "It selects the nodeIPs as the peer type by matching on the IPs present in the
            // node.Status.Addresses field of the node."
            let selected =
                self.nodes.iter().filter(|node| selects(nodes, &node["metadata"]["labels"]));
            let all: Vec<_> = selected.flat_map(|node| addresses(node)).collect();
            return address.is_some_and(|address| all.contains(&address));
        }
        if peer.get("networks").is_some() {
            let mut nets = list(peer, "networks").iter().map(|net| net.as_str().unwrap());
            // Whatever the address is that nobody knows, it is in a range of all.
            return match address {
                Some(address) => nets.any(|net| is_in(net, address)),
                None => nets.any(|net| net.ends_with("/0")),
            };
        }
        if peer.get("domainNames").is_some() {
            let End::Domain(name) = side.other else { return false };
            let mut names = list(peer, "domainNames").iter();
            return names.any(|pattern| is_named(pattern.as_str().unwrap(), name));
        }
        // "Note that host-networked pods are not included in this type of peer."
        let End::Pod(index, _) = side.other else { return false };
        let pod = self.pods[*index];
        !is_on_host(pod) && self.picks_by(peer, pod)
    }

    fn is_port(&self, wanted: &Value, peer: &Value, side: &Side<'_>) -> bool {
        let Question { protocol, port, .. } = side.question;
        for (field, name) in [("tcp", "TCP"), ("udp", "UDP"), ("sctp", "SCTP")] {
            let Some(wanted) = wanted.get(field) else { continue };
            let wanted = &wanted["destinationPort"];
            let range = wanted.get("range").map_or_else(
                || (&wanted["number"], &wanted["number"]),
                |range| (&range["start"], &range["end"]),
            );
            return *protocol == name && is_between(*port, range);
        }
        if let Some(number) = wanted.get("portNumber") {
            let named = number.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            return named == *protocol && is_between(*port, (&number["port"], &number["port"]));
        }
        if let Some(range) = wanted.get("portRange") {
            let named = range.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            return named == *protocol && is_between(*port, (&range["start"], &range["end"]));
        }
        // "There are no namedPorts for networks/nodes/domainNames."
        let has_names = peer.get("namespaces").or(peer.get("pods")).is_some();
        let name = wanted.get("destinationNamedPort").or(wanted.get("namedPort")).unwrap();
        has_names && self.is_named_port(name.as_str().unwrap(), side)
    }

    /// Whether the destination pod has the port under this name.
    pub(crate) fn is_named_port(&self, name: &str, side: &Side<'_>) -> bool {
        let Question { protocol, port, .. } = side.question;
        let End::Pod(index, _) = &side.question.destination else { return false };
        let pod = self.pods[*index];
        let sidecars = list(&pod["spec"], "initContainers")
            .iter()
            .filter(|container| container["restartPolicy"] == "Always");
        let containers = list(&pod["spec"], "containers").iter().chain(sidecars);
        !is_on_host(pod)
            && containers.flat_map(|container| list(container, "ports")).any(|own| {
                let own_protocol = own.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                own["name"] == name && own_protocol == *protocol && own["containerPort"] == *port
            })
    }

    /// "v1.NetworkPolicy always makes a final decision for selected pods."
    pub(crate) fn network_policies_say(&self, side: &Side<'_>) -> Say {
        let pod = self.pods[side.subject];
        let direction = if side.is_egress { "Egress" } else { "Ingress" };
        let own: Vec<_> = self
            .network_policies
            .iter()
            .filter(|policy| {
                namespace_of(policy) == namespace_of(pod)
                    && selects(&policy["spec"]["podSelector"], &pod["metadata"]["labels"])
                    && list(&policy["spec"], "policyTypes").iter().any(|one| one == direction)
            })
            .collect();
        if own.is_empty() {
            return Say::Next;
        }
        let rules = if side.is_egress { "egress" } else { "ingress" };
        let allows = own.iter().any(|policy| {
            let mut rules = list(&policy["spec"], rules).iter();
            rules.any(|rule| self.rule_allows(rule, namespace_of(policy), side))
        });
        if allows { Say::Accept } else { Say::Deny }
    }

    fn rule_allows(&self, rule: &Value, namespace: &str, side: &Side<'_>) -> bool {
        let peers = list(rule, if side.is_egress { "to" } else { "from" });
        let is_peer = |peer: &Value| {
            if let Some(block) = peer.get("ipBlock") {
                let holes = list(block, "except");
                return match address(side.other) {
                    Some(address) => {
                        is_in(text(block, "cidr"), address)
                            && !holes.iter().any(|hole| is_in(hole.as_str().unwrap(), address))
                    }
                    None => text(block, "cidr").ends_with("/0") && holes.is_empty(),
                };
            }
            let End::Pod(index, _) = side.other else { return false };
            let pod = self.pods[*index];
            let in_namespace = match peer.get("namespaceSelector") {
                None => namespace_of(pod) == namespace,
                Some(selector) => selects(selector, &self.namespace_labels(namespace_of(pod))),
            };
            !is_on_host(pod)
                && in_namespace
                && selects(&peer["podSelector"], &pod["metadata"]["labels"])
        };
        let ports = list(rule, "ports");
        let is_port = |wanted: &Value| {
            let protocol = wanted.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            protocol == side.question.protocol
                && match wanted.get("port") {
                    None => true,
                    Some(Value::String(name)) => self.is_named_port(name, side),
                    Some(first) => {
                        let last = wanted.get("endPort").unwrap_or(first);
                        is_between(side.question.port, (first, last))
                    }
                }
        };
        (peers.is_empty() || peers.iter().any(is_peer))
            && (ports.is_empty() || ports.iter().any(is_port))
    }
}

fn is_between(port: u16, (first, last): (&Value, &Value)) -> bool {
    (first.as_u64().unwrap()..=last.as_u64().unwrap()).contains(&u64::from(port))
}

/// The address in use; a DNS name has none that stays.
pub(crate) fn address(end: &End) -> Option<IpAddr> {
    match end {
        End::Pod(_, address) | End::Node(_, address) | End::Address(address) => Some(*address),
        End::Domain(_) => None,
    }
}

/// status.addresses of a node.
pub(crate) fn addresses(node: &Value) -> Vec<IpAddr> {
    let all = list(&node["status"], "addresses").iter();
    all.filter_map(|address| text(address, "address").parse().ok()).collect()
}
