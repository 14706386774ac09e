//! Naive judges of one direction of a connection under policies of Calico and of Cilium, written
//! from their documents. They read the JSON of the objects and share nothing with the crates; what
//! NetworkPolicies say they ask of `tier_oracle`.
//!
//! The judge of Calico walks tiers, policies and rules; that of Cilium gives every end an identity,
//! which is a set of labels, as Cilium does.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::tier_oracle::{
    End, Oracle, Say, Side, address, addresses, is_in, is_on_host, list, name_of, namespace_of,
    text,
};

type Labels = BTreeMap<String, String>;

fn labels(value: &Value) -> Labels {
    let all = value.as_object().into_iter().flatten();
    all.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

pub(crate) struct Judge<'v> {
    pub(crate) oracle: Oracle<'v>,
    objects: &'v [Value],
}

impl<'v> Judge<'v> {
    pub(crate) fn new(objects: &'v [Value]) -> Self {
        // Both kinds are called NetworkPolicy.
        Self { oracle: Oracle::new(objects), objects }
    }

    fn of(&self, group: &str, kinds: &[&str]) -> Vec<&'v Value> {
        let wanted = |object: &&Value| {
            text(object, "apiVersion").starts_with(group) && kinds.contains(&text(object, "kind"))
        };
        self.objects.iter().filter(wanted).collect()
    }

    fn account(&self, pod: &Value) -> (String, Labels) {
        let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default").to_owned();
        let accounts = self.of("v1", &["ServiceAccount"]);
        let found =
            accounts.iter().find(|it| name_of(it) == name && namespace_of(it) == namespace_of(pod));
        (name, found.map(|it| labels(&it["metadata"]["labels"])).unwrap_or_default())
    }

    /// Whether a pod is behind the Service of this name.
    fn is_behind(&self, namespace: &str, name: &str, pod: &Value) -> bool {
        self.of("v1", &["Service"]).iter().any(|service| {
            let selector = labels(&service["spec"]["selector"]);
            let own = labels(&pod["metadata"]["labels"]);
            namespace_of(service) == namespace
                && name_of(service) == name
                && namespace_of(pod) == namespace
                && !selector.is_empty()
                && selector.iter().all(|(key, value)| own.get(key) == Some(value))
        })
    }
}

// Calico.

/// A candidate for a selector: an endpoint, or a network set that holds the address.
struct Candidate {
    own: Labels,
    namespace: Option<String>,
    namespace_labels: Labels,
    account: Option<String>,
    account_labels: Labels,
}

/// A selector without parentheses.
fn holds(selector: &str, labels: &Labels) -> bool {
    selector.split(" || ").any(|all| all.split(" && ").all(|one| atom(one.trim(), labels)))
}

fn atom(one: &str, labels: &Labels) -> bool {
    if let Some(inner) = one.strip_prefix('!') {
        return !atom(inner, labels);
    }
    if one == "all()" || one.is_empty() {
        return true;
    }
    if let Some(key) = one.strip_prefix("has(") {
        return labels.contains_key(key.trim_end_matches(')'));
    }
    let (key, rest) = one.split_once(' ').unwrap();
    let own = labels.get(key);
    let texts: Vec<&str> = rest.split('\'').skip(1).step_by(2).collect();
    let is_listed = own.is_some_and(|own| texts.contains(&own.as_str()));
    let operator = rest.split('\'').next().unwrap().trim_end_matches(['{', ' ']);
    match operator {
        "==" | "in" => is_listed,
        "!=" | "not in" => !is_listed,
        "contains" => own.is_some_and(|own| own.contains(texts[0])),
        "starts with" => own.is_some_and(|own| own.starts_with(texts[0])),
        "ends with" => own.is_some_and(|own| own.ends_with(texts[0])),
        other => panic!("{other} in {one}"),
    }
}

/// Numeric order, none last, then the name.
fn place(order: &Value, name: &str) -> (f64, String) {
    (order.as_f64().unwrap_or(f64::INFINITY), name.to_owned())
}

fn by_place(a: &(f64, String), b: &(f64, String)) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap().then_with(|| a.1.cmp(&b.1))
}

impl<'v> Judge<'v> {
    /// "Tiers and policies are evaluated in order; the first rule that matches decides."
    pub(crate) fn calico_accepts(&self, side: &Side<'_>) -> bool {
        let mut tiers: Vec<(f64, String)> = vec![(1_000_000.0, "default".to_owned())];
        for tier in self.of("projectcalico.org", &["Tier"]) {
            tiers.push(place(&tier["spec"]["order"], name_of(tier)));
        }
        tiers.sort_by(by_place);
        for (_, tier) in tiers {
            match self.calico_tier(&tier, side) {
                Say::Accept => return true,
                Say::Deny => return false,
                Say::Next => {}
            }
        }
        // Profiles of Kubernetes namespaces allow.
        true
    }

    fn calico_tier(&self, tier: &str, side: &Side<'_>) -> Say {
        let kinds = ["NetworkPolicy", "GlobalNetworkPolicy"];
        let mut policies: Vec<((f64, String), Option<&Value>)> = self
            .of("projectcalico.org", &kinds)
            .into_iter()
            .filter(|policy| policy["spec"]["tier"].as_str().unwrap_or("default") == tier)
            .filter(|policy| self.calico_applies(policy, side))
            .map(|policy| (place(&policy["spec"]["order"], name_of(policy)), Some(policy)))
            .collect();
        let kubernetes = self.oracle.network_policies_say(side);
        if tier == "default" && kubernetes != Say::Next {
            policies.push(((1000.0, "knp.default".to_owned()), None));
        }
        policies.sort_by(|a, b| by_place(&a.0, &b.0));
        for (_, policy) in &policies {
            let Some(policy) = policy else {
                if kubernetes == Say::Accept {
                    return Say::Accept;
                }
                continue;
            };
            let rules = if side.is_egress { "egress" } else { "ingress" };
            let own = (policy["kind"] == "NetworkPolicy").then(|| namespace_of(policy));
            for rule in list(&policy["spec"], rules) {
                if !self.calico_rule(rule, own, side) {
                    continue;
                }
                match text(rule, "action") {
                    "Allow" => return Say::Accept,
                    "Deny" => return Say::Deny,
                    "Pass" => return Say::Next,
                    _log => {}
                }
            }
        }
        let object = self.of("projectcalico.org", &["Tier"]);
        let object = object.iter().find(|object| name_of(object) == tier);
        let passes = object.is_some_and(|object| object["spec"]["defaultAction"] == "Pass");
        if policies.is_empty() || passes { Say::Next } else { Say::Deny }
    }

    fn calico_applies(&self, policy: &Value, side: &Side<'_>) -> bool {
        let spec = &policy["spec"];
        let count = |field: &str| list(spec, field).len();
        let types: Vec<&str> = match list(spec, "types") {
            [] if count("egress") == 0 => vec!["Ingress"],
            [] if count("ingress") == 0 => vec!["Egress"],
            [] => vec!["Ingress", "Egress"],
            types => types.iter().map(|one| one.as_str().unwrap()).collect(),
        };
        let subject = self.endpoint(self.oracle.pods[side.subject]);
        let own_namespace = policy["kind"] == "GlobalNetworkPolicy"
            || subject.namespace.as_deref() == Some(namespace_of(policy));
        types.contains(&if side.is_egress { "Egress" } else { "Ingress" })
            && own_namespace
            && holds(text(spec, "selector"), &subject.own)
            && holds(text(spec, "namespaceSelector"), &subject.namespace_labels)
            && holds(text(spec, "serviceAccountSelector"), &subject.account_labels)
    }

    fn endpoint(&self, pod: &Value) -> Candidate {
        let namespace = namespace_of(pod).to_owned();
        let mut namespace_labels = labels(&self.oracle.namespace_labels(&namespace));
        namespace_labels.insert("projectcalico.org/name".to_owned(), namespace.clone());
        let (account, mut account_labels) = self.account(pod);
        account_labels.insert("projectcalico.org/name".to_owned(), account.clone());
        let own = labels(&pod["metadata"]["labels"]);
        let (namespace, account) = (Some(namespace), Some(account));
        Candidate { own, namespace, namespace_labels, account, account_labels }
    }

    fn candidates(&self, end: &End) -> Vec<Candidate> {
        let mut found = Vec::new();
        if let End::Pod(index, _) = end
            && !is_on_host(self.oracle.pods[*index])
        {
            found.push(self.endpoint(self.oracle.pods[*index]));
        }
        for set in self.of("projectcalico.org", &["NetworkSet", "GlobalNetworkSet"]) {
            let nets = list(&set["spec"], "nets").iter();
            let mut nets = nets.map(|net| net.as_str().unwrap());
            if !nets.any(|net| is_in_net(net, end)) {
                continue;
            }
            let namespace = (set["kind"] == "NetworkSet").then(|| namespace_of(set).to_owned());
            let mut namespace_labels = Labels::new();
            if let Some(name) = &namespace {
                namespace_labels = labels(&self.oracle.namespace_labels(name));
                namespace_labels.insert("projectcalico.org/name".to_owned(), name.clone());
            }
            found.push(Candidate {
                own: labels(&set["metadata"]["labels"]),
                namespace,
                namespace_labels,
                account: None,
                account_labels: Labels::new(),
            });
        }
        found
    }

    fn calico_rule(&self, rule: &Value, own: Option<&str>, side: &Side<'_>) -> bool {
        let (subject_end, other_end) =
            if side.is_egress { ("source", "destination") } else { ("destination", "source") };
        let question = side.question;
        let protocol = rule["protocol"].as_str();
        if protocol.is_some_and(|protocol| protocol != question.protocol)
            || rule["notProtocol"] == question.protocol
        {
            return false;
        }
        let destination = &rule["destination"];
        let is_port = |port: &Value| match (port.as_u64(), port.as_str()) {
            (Some(number), _) => number == u64::from(question.port),
            (None, Some(text)) => match text.split_once(':') {
                Some((first, last)) => {
                    (first.parse().unwrap()..=last.parse().unwrap()).contains(&question.port)
                }
                None => self.oracle.is_named_port(text, side),
            },
            (None, None) => panic!("{port}"),
        };
        let ports = list(destination, "ports");
        if (!ports.is_empty() && !ports.iter().any(is_port))
            || list(destination, "notPorts").iter().any(is_port)
        {
            return false;
        }
        // An end whose address is not known may be of both versions.
        let is_other = |version: u64| {
            address(side.other).is_some_and(|address| address.is_ipv4() != (version == 4))
        };
        if rule["ipVersion"].as_u64().is_some_and(is_other) {
            return false;
        }
        let subject = vec![self.endpoint(self.oracle.pods[side.subject])];
        Self::is_entity(&rule[subject_end], own, &subject)
            && Self::is_entity(&rule[other_end], own, &self.candidates(side.other))
            && self.is_at(&rule[other_end], own, side)
    }

    /// The selectors of an end.
    fn is_entity(entity: &Value, own: Option<&str>, candidates: &[Candidate]) -> bool {
        let get = |field: &str| entity.get(field).and_then(Value::as_str);
        let accounts = entity.get("serviceAccounts");
        let is_selected = get("selector").is_some() || accounts.is_some();
        let narrowed = is_selected || get("notSelector").is_some();
        let in_namespace = |one: &Candidate| match (get("namespaceSelector"), own) {
            // "all()" is every namespace, "global()" none, wherever they stand.
            (Some(selector), _) => {
                let selector = selector.replace("all()", "has(projectcalico.org/name)");
                let selector = selector.replace("global()", "!has(projectcalico.org/name)");
                holds(&selector, &one.namespace_labels)
            }
            (None, Some(own)) => one.namespace.as_deref() == Some(own),
            (None, None) => true,
        };
        let has_account = |one: &Candidate| {
            accounts.is_none_or(|accounts| {
                let names = list(accounts, "names");
                let named =
                    one.account.as_ref().is_some_and(|own| names.iter().any(|name| name == own));
                (names.is_empty() || named)
                    && holds(text(accounts, "selector"), &one.account_labels)
            })
        };
        let asks = is_selected || get("namespaceSelector").is_some() || (narrowed && own.is_some());
        let picked = candidates.iter().any(|one| {
            in_namespace(one)
                && has_account(one)
                && holds(get("selector").unwrap_or_default(), &one.own)
        });
        let refused = get("notSelector")
            .is_some_and(|selector| candidates.iter().any(|one| holds(selector, &one.own)));
        (!asks || picked) && !refused
    }

    /// The addresses and Services of an end.
    fn is_at(&self, entity: &Value, own: Option<&str>, side: &Side<'_>) -> bool {
        let is_in_any = |field: &str| {
            let mut nets = list(entity, field).iter().map(|net| net.as_str().unwrap());
            nets.any(|net| is_in_net(net, side.other))
        };
        if (!list(entity, "nets").is_empty() && !is_in_any("nets")) || is_in_any("notNets") {
            return false;
        }
        let Some(service) = entity.get("services") else { return true };
        let namespace = service["namespace"].as_str().or(own).unwrap();
        let End::Pod(index, _) = side.other else { return false };
        let pod = self.oracle.pods[*index];
        if is_on_host(pod) || !self.is_behind(namespace, text(service, "name"), pod) {
            return false;
        }
        // As a destination, only on the ports behind the Service.
        let services = self.of("v1", &["Service"]);
        let object = services
            .iter()
            .find(|it| name_of(it) == text(service, "name") && namespace_of(it) == namespace);
        !side.is_egress
            || list(&object.unwrap()["spec"], "ports").iter().any(|port| {
                side.question.protocol == "TCP"
                    && match &port["targetPort"] {
                        Value::String(name) => self.oracle.is_named_port(name, side),
                        number => *number == side.question.port,
                    }
            })
    }
}

// Cilium.

/// Whether all tests of a selector pass over the labels of an identity; keys without a source and
/// those of any source are looked up among those of Kubernetes.
fn selects_identity(selector: &Value, identity: &Labels) -> bool {
    let own = |key: &str| {
        let key = key.strip_prefix("any:").unwrap_or(key);
        let key = if key.contains(':') { key.to_owned() } else { format!("k8s:{key}") };
        identity.get(&key)
    };
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    equal.all(|(key, value)| own(key).is_some_and(|own| value == own))
        && list(selector, "matchExpressions").iter().all(|test| {
            let own = own(text(test, "key"));
            let listed =
                own.is_some_and(|own| list(test, "values").iter().any(|value| value == own));
            match text(test, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => own.is_some(),
                "DoesNotExist" => own.is_none(),
                other => panic!("{other}"),
            }
        })
}

fn keys(selector: &Value) -> Vec<&str> {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = equal.map(|(key, _)| key.as_str());
    equal.chain(list(selector, "matchExpressions").iter().map(|test| text(test, "key"))).collect()
}

const NAMESPACE: &str = "io.kubernetes.pod.namespace";

impl Judge<'_> {
    /// "Deny policies take precedence over allow policies"; then what any policy allows; then, if
    /// no policy selects the endpoint in this direction, everything.
    pub(crate) fn cilium_accepts(&self, side: &Side<'_>) -> bool {
        let kubernetes = self.oracle.network_policies_say(side);
        let (mut isolated, mut allowed) = (kubernetes != Say::Next, kubernetes == Say::Accept);
        let subject = self.identity(&End::Pod(side.subject, "0.0.0.0".parse().unwrap()), side);
        let (allow, deny, field) = if side.is_egress {
            ("egress", "egressDeny", "egress")
        } else {
            ("ingress", "ingressDeny", "ingress")
        };
        let kinds = ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"];
        for policy in self.of("cilium.io", &kinds) {
            let own = (policy["kind"] == "CiliumNetworkPolicy").then(|| namespace_of(policy));
            let spec = &policy["spec"];
            if !selects_identity(&spec["endpointSelector"], &subject)
                || own.is_some_and(|own| subject["k8s:io.kubernetes.pod.namespace"] != own)
            {
                continue;
            }
            let (allow, deny) = (list(spec, allow), list(spec, deny));
            if deny.iter().any(|rule| self.cilium_rule(rule, own, side)) {
                return false;
            }
            allowed |= allow.iter().any(|rule| self.cilium_rule(rule, own, side));
            let has_rules = !allow.is_empty() || !deny.is_empty();
            isolated |= has_rules && spec["enableDefaultDeny"][field] != false;
        }
        allowed || !isolated
    }

    /// The labels of an end, as seen from the subject's node.
    fn identity(&self, end: &End, side: &Side<'_>) -> Labels {
        let own_node = text(&self.oracle.pods[side.subject]["spec"], "nodeName");
        let on_node = |name: &str| {
            let label = if name == own_node { "reserved:host" } else { "reserved:remote-node" };
            Labels::from([(label.to_owned(), String::new())])
        };
        let world = || Labels::from([("reserved:world".to_owned(), String::new())]);
        match end {
            End::Pod(index, _) if is_on_host(self.oracle.pods[*index]) => {
                on_node(text(&self.oracle.pods[*index]["spec"], "nodeName"))
            }
            End::Pod(index, _) => {
                let pod = self.oracle.pods[*index];
                let mut all = Labels::new();
                for (key, value) in labels(&pod["metadata"]["labels"]) {
                    all.insert(format!("k8s:{key}"), value);
                }
                for (key, value) in labels(&self.oracle.namespace_labels(namespace_of(pod))) {
                    all.insert(format!("k8s:io.cilium.k8s.namespace.labels.{key}"), value);
                }
                all.insert(format!("k8s:{NAMESPACE}"), namespace_of(pod).to_owned());
                let account = "k8s:io.cilium.k8s.policy.serviceaccount".to_owned();
                all.insert(account, self.account(pod).0);
                all.insert("k8s:io.cilium.k8s.policy.cluster".to_owned(), "default".to_owned());
                all
            }
            End::Node(name, _) => on_node(name),
            End::Address(address) => {
                let node = self.oracle.nodes.iter().find(|it| addresses(it).contains(address));
                node.map_or_else(world, |node| on_node(name_of(node)))
            }
            End::Domain(_) => world(),
        }
    }

    fn cilium_rule(&self, rule: &Value, own: Option<&str>, side: &Side<'_>) -> bool {
        let (ports, icmps) = (list(rule, "toPorts"), list(rule, "icmps"));
        let is_l3 = ports.is_empty() && icmps.is_empty();
        let fits = is_l3 || ports.iter().any(|item| self.has_port(item, side));
        let prefix = if side.is_egress { "to" } else { "from" };
        let field = |name: &str| rule.get(format!("{prefix}{name}"));
        let peers = ["Endpoints", "Entities", "CIDR", "CIDRSet", "FQDNs", "Services"];
        let Some((name, peers)) =
            peers.iter().find_map(|name| field(name).map(|peers| (*name, peers)))
        else {
            // Neither peers nor ports: no traffic. Ports only: all of it.
            return !is_l3 && fits;
        };
        let identity = self.identity(side.other, side);
        let is_world = identity.contains_key("reserved:world");
        let is_peer = |peer: &Value| match name {
            "Endpoints" => Self::is_endpoint(peer, own, &identity),
            "Entities" => is_entity(peer.as_str().unwrap(), &identity),
            "CIDR" => is_world && is_in_net(peer.as_str().unwrap(), side.other),
            "CIDRSet" => {
                let mut holes = list(peer, "except").iter().map(|net| net.as_str().unwrap());
                // Any hole may hold the address that nobody knows.
                let in_hole = |hole| address(side.other).is_none() || is_in_net(hole, side.other);
                is_world && is_in_net(text(peer, "cidr"), side.other) && !holes.any(in_hole)
            }
            "FQDNs" => is_named(peer, side.other),
            _services => {
                let service = &peer["k8sService"];
                let End::Pod(index, _) = side.other else { return false };
                let pod = self.oracle.pods[*index];
                let namespace = text(service, "namespace");
                !is_on_host(pod) && self.is_behind(namespace, text(service, "serviceName"), pod)
            }
        };
        fits && peers.as_array().unwrap().iter().any(is_peer)
    }

    fn is_endpoint(selector: &Value, own: Option<&str>, identity: &Labels) -> bool {
        let keys = keys(selector);
        let namespace = identity.get("k8s:io.kubernetes.pod.namespace");
        let is_ours = |key: &&str| {
            [NAMESPACE, "k8s:io.kubernetes.pod.namespace", "any:io.kubernetes.pod.namespace"]
                .contains(key)
        };
        let scoped = if keys.iter().any(|key| key.starts_with("reserved:")) {
            true
        } else if keys.iter().any(is_ours) {
            namespace.is_some()
        } else {
            match own {
                Some(own) => namespace.is_some_and(|namespace| namespace == own),
                None => namespace.is_some(),
            }
        };
        scoped && selects_identity(selector, identity)
    }

    fn has_port(&self, item: &Value, side: &Side<'_>) -> bool {
        let question = side.question;
        list(item, "ports").iter().any(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("ANY");
            let any = protocol == "ANY" && question.protocol != "ICMP";
            if !any && protocol != question.protocol {
                return false;
            }
            let Ok(first) = text(port, "port").parse::<u16>() else {
                return self.oracle.is_named_port(text(port, "port"), side);
            };
            let last = port["endPort"].as_u64().unwrap_or(u64::from(first));
            first == 0 || (u64::from(first)..=last).contains(&u64::from(question.port))
        })
    }
}

fn is_entity(entity: &str, identity: &Labels) -> bool {
    let has = |label: &str| identity.contains_key(label);
    match entity {
        "all" => true,
        "world" => has("reserved:world"),
        "cluster" => !has("reserved:world"),
        "host" => has("reserved:host"),
        "remote-node" => has("reserved:remote-node"),
        _none => false,
    }
}

/// Whatever the address is that nobody knows, it is in a range of all.
fn is_in_net(net: &str, end: &End) -> bool {
    match address(end) {
        Some(address) => is_in(net, address),
        None => net.ends_with("/0"),
    }
}

fn is_named(item: &Value, end: &End) -> bool {
    let End::Domain(name) = end else { return false };
    if let Some(wanted) = item.get("matchName") {
        return wanted == name;
    }
    let pattern = text(item, "matchPattern");
    if pattern == "*" {
        return true;
    }
    match pattern.strip_prefix("**.") {
        Some(rest) => {
            name.match_indices('.').any(|(dot, _)| dot > 0 && spells(rest, &name[dot + 1..]))
        }
        None => spells(pattern, name),
    }
}

/// Letter by letter; `*` takes any number of letters but no dot.
fn spells(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return name.is_empty() };
    let rest = &pattern[1..];
    if first != '*' {
        return name.starts_with(first) && spells(rest, &name[1..]);
    }
    let label = name.find('.').unwrap_or(name.len());
    (0..=label).any(|taken| spells(rest, &name[taken..]))
}
