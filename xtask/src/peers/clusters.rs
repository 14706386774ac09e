//! Small clusters that are drawn at random, the same for the same number: few pods, so that a
//! difference is understood at once, and every form that a policy can have.
//!
//! Left out is what peers refuse although the API server accepts it: rules of a direction that
//! `policyTypes` does not name, and named ports towards addresses, which have none.

use std::fmt::Write as _;

const LABELS: [&str; 2] = ["app", "tier"];
const VALUES: [&str; 3] = ["a", "b", "c"];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];
const NAMESPACES_MAX: usize = 3;
const PODS_MAX: usize = 4;
const POLICIES_MAX: usize = 5;
const RULES_MAX: usize = 3;

/// Which forms are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    /// NetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.
    Tiers,
    /// NetworkPolicy without what network-config-analyzer 2.1.0 reads in another way than the
    /// specification: `egress: []` without `policyTypes` isolates there (the API server defaults
    /// the types by the number of egress rules), and `Exists` and `DoesNotExist` of a pod selector
    /// beside a namespace selector match nothing in other namespaces.
    Plain,
}

/// xorshift64* (Vigna 2016): the same numbers on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % bound.max(1)
    }

    /// True in `percent` of a hundred cases.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len())).copied().unwrap_or_default()
    }
}

/// Cluster number `seed` as YAML.
pub(super) fn draw(seed: u64, forms: Forms) -> String {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let namespaces = 1 + draw.below(NAMESPACES_MAX);
    let mut text = String::new();
    for number in 0..namespaces {
        let labels = labels(&mut draw);
        text += &format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: n{number}, labels: {labels}}}\n"
        );
    }
    for number in 0..2 + draw.below(PODS_MAX - 1) {
        pod(&mut text, &mut draw, (number, namespaces));
    }
    for number in 0..1 + draw.below(POLICIES_MAX) {
        network_policy(&mut text, &mut draw, (number, namespaces), forms);
    }
    if forms == Forms::Tiers {
        for number in 0..draw.below(RULES_MAX) {
            admin_policy(&mut text, &mut draw, Some(number));
        }
        if draw.chance(60) {
            admin_policy(&mut text, &mut draw, None);
        }
    }
    text
}

fn labels(draw: &mut Draw) -> String {
    let mut pairs = Vec::new();
    for key in LABELS {
        if draw.chance(75) {
            pairs.push(format!("{key}: {}", draw.one(&VALUES)));
        }
    }
    format!("{{{}}}", pairs.join(", "))
}

fn pod(text: &mut String, draw: &mut Draw, (number, namespaces): (usize, usize)) {
    let (namespace, labels) = (draw.below(namespaces), labels(draw));
    let mut ports = Vec::new();
    if draw.chance(80) {
        let (port, protocol) = (draw.one(&["80", "8080"]), draw.one(&PROTOCOLS));
        ports.push(format!("{{name: web, containerPort: {port}, protocol: {protocol}}}"));
    }
    if draw.chance(50) {
        ports.push("{name: dns, containerPort: 53, protocol: UDP}".to_owned());
    }
    let (ports, ip) = (ports.join(", "), number + 1);
    *text += &format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, namespace: n{namespace}, \
         labels: {labels}}}\nspec: {{containers: [{{name: main, image: main, ports: [{ports}]}}]}}\n\
         status: {{hostIP: 192.168.9.9, podIP: 10.0.0.{ip}, podIPs: [{{ip: 10.0.0.{ip}}}]}}\n"
    );
}

fn network_policy(
    text: &mut String,
    draw: &mut Draw,
    (number, namespaces): (usize, usize),
    forms: Forms,
) {
    let (namespace, subject) = (draw.below(namespaces), selector(draw, &OPERATORS));
    let types = draw.one(&["", "Ingress", "Egress", "Ingress, Egress"]);
    *text += &format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: np{number}, \
         namespace: n{namespace}}}\nspec:\n  podSelector: {subject}\n"
    );
    if !types.is_empty() {
        let _infallible = writeln!(text, "  policyTypes: [{types}]");
    }
    for (direction, peers) in [("Ingress", "from"), ("Egress", "to")] {
        let named = types.is_empty() || types.split(", ").any(|name| name == direction);
        if named && draw.chance(70) {
            let least = usize::from(forms == Forms::Plain && types.is_empty());
            let count = draw.below(RULES_MAX).max(least);
            let rules = (0..count).map(|_| rule(draw, peers, forms)).collect::<Vec<_>>();
            let _infallible =
                writeln!(text, "  {}: [{}]", direction.to_lowercase(), rules.join(", "));
        }
    }
}

fn selector(draw: &mut Draw, operators: &[&str]) -> String {
    let mut parts = Vec::new();
    if draw.chance(50) {
        parts.push(format!("matchLabels: {{{}: {}}}", draw.one(&LABELS), draw.one(&VALUES)));
    }
    if draw.chance(35) {
        let mut expressions = Vec::new();
        for _ in 0..=draw.below(2) {
            let (key, operator) = (draw.one(&LABELS), draw.one(operators));
            let values = if operator.ends_with("In") {
                format!(", values: [{}, {}]", draw.one(&VALUES), draw.one(&VALUES))
            } else {
                String::new()
            };
            expressions.push(format!("{{key: {key}, operator: {operator}{values}}}"));
        }
        parts.push(format!("matchExpressions: [{}]", expressions.join(", ")));
    }
    format!("{{{}}}", parts.join(", "))
}

fn namespace_selector(draw: &mut Draw) -> String {
    if draw.chance(20) {
        let name = draw.one(&["n0", "n1", "n2"]);
        return format!("{{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}");
    }
    selector(draw, &OPERATORS)
}

fn rule(draw: &mut Draw, peers: &str, forms: Forms) -> String {
    let mut parts = Vec::new();
    let mut has_addresses = true;
    if draw.chance(80) {
        let list = (0..=draw.below(2)).map(|_| peer(draw, forms)).collect::<Vec<_>>();
        has_addresses = list.iter().any(|peer| peer.contains("ipBlock"));
        parts.push(format!("{peers}: [{}]", list.join(", ")));
    }
    if draw.chance(75) {
        let named = peers == "from" || !has_addresses;
        let list = (0..=draw.below(2)).map(|_| port(draw, named)).collect::<Vec<_>>();
        parts.push(format!("ports: [{}]", list.join(", ")));
    }
    format!("{{{}}}", parts.join(", "))
}

fn peer(draw: &mut Draw, forms: Forms) -> String {
    match draw.below(4) {
        0 => format!("{{podSelector: {}}}", selector(draw, &OPERATORS)),
        1 => format!("{{namespaceSelector: {}}}", namespace_selector(draw)),
        2 => {
            let operators = match forms {
                Forms::Tiers => &OPERATORS[..],
                Forms::Plain => &["In", "NotIn"],
            };
            let (pods, namespaces) = (selector(draw, operators), namespace_selector(draw));
            format!("{{podSelector: {pods}, namespaceSelector: {namespaces}}}")
        }
        _ => block(draw),
    }
}

/// Addresses of no pod: whether an ipBlock matches pods is where analysers differ.
fn block(draw: &mut Draw) -> String {
    if draw.chance(20) {
        return "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}".to_owned();
    }
    let third = draw.below(3);
    let size = draw.one(&["/24", "/16"]);
    let base = if size == "/16" { "203.0.0.0".to_owned() } else { format!("203.0.{third}.0") };
    let mut except = Vec::new();
    for _ in 0..draw.below(3) {
        except.push(format!("203.0.{third}.{}", draw.one(&["0/25", "128/26", "7/32", "64/26"])));
    }
    format!("{{ipBlock: {{cidr: {base}{size}, except: [{}]}}}}", except.join(", "))
}

fn port(draw: &mut Draw, named: bool) -> String {
    let mut parts = Vec::new();
    if draw.chance(65) {
        parts.push(format!("protocol: {}", draw.one(&PROTOCOLS)));
    }
    match draw.below(4) {
        0 if named => parts.push(format!("port: {}", draw.one(&["web", "dns", "nothing"]))),
        1 => parts.push(format!("port: {}", draw.one(&["1", "53", "80", "8080", "65535"]))),
        2 => {
            parts.push(draw.one(&["port: 1, endPort: 65535", "port: 50, endPort: 100"]).to_owned())
        }
        _ => {}
    }
    format!("{{{}}}", parts.join(", "))
}

/// `priority` is also its number; None = the baseline, of which there is one.
fn admin_policy(text: &mut String, draw: &mut Draw, priority: Option<usize>) {
    let (kind, name, order, actions) = match priority {
        Some(number) => (
            "AdminNetworkPolicy",
            format!("anp{number}"),
            format!("  priority: {}\n", number + 1),
            &["Allow", "Deny", "Pass"][..],
        ),
        None => {
            let actions = &["Allow", "Deny"][..];
            ("BaselineAdminNetworkPolicy", "default".to_owned(), String::new(), actions)
        }
    };
    let subject = admin_peer(draw);
    *text += &format!(
        "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: {kind}\nmetadata: {{name: \
         {name}}}\nspec:\n{order}  subject: {subject}\n"
    );
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let mut rules = Vec::new();
        for _ in 0..draw.below(RULES_MAX) {
            let (action, peer) = (draw.one(actions), admin_peer(draw));
            let ports = if draw.chance(60) {
                format!(", ports: [{}]", admin_port(draw))
            } else {
                String::new()
            };
            rules.push(format!("{{action: {action}, {peers}: [{peer}]{ports}}}"));
        }
        let _infallible = writeln!(text, "  {direction}: [{}]", rules.join(", "));
    }
}

fn admin_peer(draw: &mut Draw) -> String {
    if draw.chance(50) {
        return format!("{{namespaces: {}}}", namespace_selector(draw));
    }
    let (namespaces, pods) = (namespace_selector(draw), selector(draw, &OPERATORS));
    format!("{{pods: {{namespaceSelector: {namespaces}, podSelector: {pods}}}}}")
}

fn admin_port(draw: &mut Draw) -> String {
    let protocol = draw.one(&PROTOCOLS);
    match draw.below(3) {
        0 => format!("{{portNumber: {{protocol: {protocol}, port: 80}}}}"),
        1 => format!("{{portRange: {{protocol: {protocol}, start: 50, end: 100}}}}"),
        _ => "{namedPort: web}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Forms, draw};

    #[test]
    fn the_same_number_draws_the_same_cluster_and_another_one_another() {
        assert_eq!(draw(7, Forms::Tiers), draw(7, Forms::Tiers));
        assert_ne!(draw(7, Forms::Tiers), draw(8, Forms::Tiers));
    }

    #[test]
    fn tiers_are_drawn_only_if_asked_for() {
        let all = |forms| (0..50).map(|seed| draw(seed, forms)).collect::<String>();
        assert!(all(Forms::Tiers).contains("\nkind: AdminNetworkPolicy\n"));
        assert!(all(Forms::Tiers).contains("\nkind: BaselineAdminNetworkPolicy\n"));
        assert!(!all(Forms::Plain).contains("AdminNetworkPolicy"));
    }

    #[test]
    fn the_text_is_yaml_without_tabs_and_names_every_form() {
        let text = (0..200).map(|seed| draw(seed, Forms::Tiers)).collect::<String>();
        for form in ["endPort", "except", "NotIn", "port: web", "namedPort", "action: Pass"] {
            assert!(text.contains(form), "{form}");
        }
        assert!(!text.contains('\t'));
    }
}
