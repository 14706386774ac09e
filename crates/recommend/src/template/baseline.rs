//! What every workload needs: name resolution first of all, clocks, scrapes, the ingress.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_manifest::{LabelSelector, PolicyPort, TierAction, TierPeer, TierRule, TierSubject};
use sekisho_model::Protocol;

use super::build::{
    Build, among, blocks, hold, policy_ports, ports_of, say_ports, tier_rule, within,
};
use super::guard::all_pods;
use super::settings::PortSpan;
use crate::history::{End, Traffic};
use crate::proposal::{Note, NoteKind};
use crate::rules::{DNS_NAMESPACES, Draft, Drafts};

/// Port of name resolution (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;
/// Port of clocks (RFC 5905 §7.2).
const NTP_PORT: u16 = 123;
/// What all may do, before what single servers may.
const EVERYBODY: u16 = 100;
const SERVERS: u16 = 110;

/// Servers of one kind, and the ports that are used of them or by them.
type Served = (BTreeSet<usize>, BTreeSet<PortSpan>);

fn span(protocol: Protocol, port: u16) -> PortSpan {
    PortSpan { protocol, first: port, last: port }
}

impl Build<'_> {
    /// The pods that resolve names, by the ports they do it on.
    pub(super) fn resolvers(&self) -> BTreeMap<BTreeSet<PortSpan>, BTreeSet<usize>> {
        let given = self.template.workloads("dns");
        let named: BTreeSet<usize> =
            given.iter().filter_map(|workload| self.plan.groups.index(workload)).collect();
        let mut found: BTreeMap<BTreeSet<PortSpan>, BTreeSet<usize>> = BTreeMap::new();
        for (index, group) in self.plan.groups.iter().filter(|(_, group)| group.selector.is_some())
        {
            let declared = group.endpoints.iter().flat_map(|endpoint| &endpoint.ports);
            let mut ports: BTreeSet<PortSpan> = declared
                .filter(|port| {
                    port.port == DNS_PORT || port.name == "dns" || port.name.starts_with("dns-")
                })
                .map(|port| span(port.protocol, port.port))
                .collect();
            let seen = |one: &&Traffic| one.dns && one.destination == End::Group(index);
            ports.extend(ports_of(self.traffic.iter().filter(seen)));
            let own = DNS_NAMESPACES.contains(&group.namespace.as_str()) && !ports.is_empty();
            let wanted = if named.is_empty() { own } else { named.contains(&index) };
            if wanted {
                // Long answers come over TCP (RFC 7766 §4).
                let numbers: BTreeSet<u16> = ports.iter().map(|port| port.first).collect();
                let numbers = if numbers.is_empty() { BTreeSet::from([DNS_PORT]) } else { numbers };
                let both = |port: u16| [span(Protocol::Udp, port), span(Protocol::Tcp, port)];
                let ports = numbers.into_iter().flat_map(both).collect();
                found.entry(ports).or_default().insert(index);
            }
        }
        found
    }

    /// Rules for asking names from `namespace`.
    pub(super) fn name_resolution(
        &self,
        namespace: &str,
        mine: impl Fn(&Traffic) -> bool,
    ) -> Vec<Draft> {
        let mut rules = Vec::new();
        for (ports, groups) in self.resolvers() {
            let words = format!("DNS by {}", self.say(&groups));
            let holds = |one: &Traffic| mine(one) && among(&groups, &one.destination) && one.dns;
            let ports = policy_ports(&ports);
            rules.push(self.rule(self.peers(&groups, namespace), ports, &words, holds));
        }
        let nets = self.node_resolvers();
        if !nets.is_empty() {
            let ports = [span(Protocol::Udp, DNS_PORT), span(Protocol::Tcp, DNS_PORT)];
            let holds = |one: &Traffic| mine(one) && one.dns && within(&nets, &one.destination);
            let ports = policy_ports(&BTreeSet::from(ports));
            rules.push(self.rule(blocks(&nets), ports, "DNS on the nodes", holds));
        }
        rules
    }

    /// Resolvers on the nodes, which have no pod that a rule could name.
    fn node_resolvers(&self) -> BTreeSet<ipnet::IpNet> {
        let asked = self.traffic.iter().filter(|one| one.dns);
        asked
            .filter_map(|one| match one.destination {
                End::Node { address, .. } => Some(address.into()),
                End::Outside { address, .. } if is_link_local(address) => Some(address.into()),
                End::Group(_) | End::Outside { .. } => None,
            })
            .collect()
    }

    /// Nothing, and names.
    pub(super) fn default_deny_dns(&mut self) {
        let directions = self.template.text("directions").to_owned();
        let (ingress, egress) = (directions != "egress", directions != "ingress");
        for namespace in self.namespaces() {
            let name = self.names.take(&namespace, "default-deny");
            let mut deny = self.plan.blank(&namespace, name, LabelSelector::default());
            deny.isolates_ingress = ingress;
            deny.isolates_egress = egress;
            self.out.default_deny.push(deny);
            if !egress {
                continue;
            }
            let all = self.plan.groups.iter().filter(|(_, group)| group.namespace == namespace);
            let members: BTreeSet<usize> = all.map(|(index, _)| index).collect();
            let rules = self.name_resolution(&namespace, |one| among(&members, &one.source));
            if rules.is_empty() {
                self.notes.insert(Note {
                    kind: NoteKind::LeftOut,
                    subject: format!("{namespace}/default-deny"),
                    text:
                        "nobody that resolves names was found: give `dns`, else names are cut off"
                            .to_owned(),
                });
                continue;
            }
            let sides = [None, Some(Drafts { rules, ..Drafts::default() })];
            self.policy((&namespace, "allow-dns"), LabelSelector::default(), sides, &members);
        }
        self.tell(format!(
            "Pods of {} are isolated ({directions}); {}.",
            self.scope_words(),
            if egress {
                "they may resolve names, and nothing else"
            } else {
                "their egress is as it was"
            }
        ));
    }

    /// What stays allowed whatever fences come.
    pub(super) fn infrastructure(&mut self) {
        let monitoring = self.scrapers();
        let gateway = self.gateways();
        if self.resolvers().is_empty() {
            self.notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: "DNS".to_owned(),
                text: "nobody that resolves names was found: give `dns`".to_owned(),
            });
        }
        if self.template.is("form", "native") {
            self.infrastructure_native(&monitoring, &gateway);
        } else {
            self.infrastructure_cluster(&monitoring, &gateway);
        }
        let mut words = format!("In {}: name resolution", self.scope_words());
        for (what, (who, ports)) in [("scrapes by", &monitoring), ("requests through", &gateway)] {
            if !who.is_empty() {
                words.push_str(&format!("; {what} {} on {}", self.say(who), say_ports(ports)));
            }
        }
        self.tell(format!("{words}."));
    }

    /// Who scrapes, and on which ports.
    fn scrapers(&mut self) -> Served {
        let given = self.chosen("monitoring");
        let scrape = |one: &&Traffic| {
            let End::Group(to) = one.destination else { return false };
            let by = match one.source {
                End::Group(from) => given.is_empty() || given.contains(&from),
                End::Node { .. } | End::Outside { .. } => false,
            };
            let named = self.group(to).map(|group| group.port(one.protocol, one.port));
            let metrics = matches!(named, Some(sekisho_manifest::PortRef::Name(name)) if name.contains("metrics"));
            by && (metrics || !given.is_empty()) && !one.dns
        };
        let seen: Vec<&Traffic> = self.traffic.iter().filter(scrape).collect();
        let sources = seen.iter().filter_map(|one| match one.source {
            End::Group(from) => Some(from),
            End::Node { .. } | End::Outside { .. } => None,
        });
        let who = if given.is_empty() { sources.collect() } else { given.clone() };
        (who, ports_of(seen.into_iter()))
    }

    /// Who takes requests in, and on which ports it hands them on.
    fn gateways(&mut self) -> Served {
        let who = self.chosen("gateway");
        let onward = |one: &&Traffic| {
            among(&who, &one.source) && matches!(one.destination, End::Group(_)) && !one.dns
        };
        let ports = ports_of(self.traffic.iter().filter(onward));
        if !who.is_empty() && ports.is_empty() {
            self.notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: self.say(&who),
                text: "the gateway was not seen to hand on a request: no rule is made for it"
                    .to_owned(),
            });
        }
        (who, ports)
    }

    /// Clocks that were given, or seen.
    fn clocks(&self) -> BTreeSet<ipnet::IpNet> {
        let given = self.template.networks("ntp");
        if !given.is_empty() {
            return given;
        }
        let seen =
            self.traffic.iter().filter(|one| one.port == NTP_PORT && one.protocol == Protocol::Udp);
        seen.filter_map(|one| match one.destination {
            End::Outside { address, .. } | End::Node { address, .. } => Some(address.into()),
            End::Group(_) => None,
        })
        .collect()
    }

    /// Rules that isolate nobody.
    fn infrastructure_cluster(&mut self, monitoring: &Served, gateway: &Served) {
        let accept = |words: &str, peers, ports: &BTreeSet<PortSpan>| {
            let ports = ports.iter().map(|port| port.tier_port());
            tier_rule(TierAction::Accept, words, peers, ports)
        };
        let mut egress: Vec<TierRule> = Vec::new();
        let mut ingress: Vec<TierRule> = Vec::new();
        let resolvers = self.resolvers();
        for (ports, groups) in &resolvers {
            egress.extend(accept("name resolution", self.tier_peers(groups), ports));
        }
        let outward = [
            ("DNS on the nodes", self.node_resolvers(), span(Protocol::Udp, DNS_PORT)),
            ("DNS on the nodes", self.node_resolvers(), span(Protocol::Tcp, DNS_PORT)),
            ("clocks", self.clocks(), span(Protocol::Udp, NTP_PORT)),
            ("registries", self.template.networks("registry"), span(Protocol::Tcp, 443)),
        ];
        for (words, nets, port) in outward {
            if !nets.is_empty() {
                let peers = vec![TierPeer::Networks(nets.into_iter().collect())];
                egress.extend(accept(words, peers, &BTreeSet::from([port])));
            }
        }
        let servers = [("scrapes", monitoring), ("requests through the gateway", gateway)];
        for (words, (who, ports)) in servers.iter().filter(|(_, (_, ports))| !ports.is_empty()) {
            ingress.extend(accept(words, self.tier_peers(who), ports));
        }
        let scope = self.scope_selector();
        let subject = TierSubject::Namespaces(scope.clone());
        self.cluster_policy(("sekisho-infrastructure", EVERYBODY), subject, [ingress, egress]);
        for (ports, groups) in &resolvers {
            let everybody = || vec![TierPeer::Namespaces(LabelSelector::default())];
            let rules = accept("name resolution for every pod", everybody(), ports);
            self.serve("dns", groups, [rules, Vec::new()]);
        }
        for (name, (who, ports)) in [("monitoring", monitoring), ("gateway", gateway)] {
            if !ports.is_empty() {
                let peers = vec![TierPeer::Namespaces(scope.clone())];
                let rules = accept("to those it serves", peers, ports);
                self.serve(name, who, [Vec::new(), rules]);
            }
        }
    }

    /// One policy for each server.
    fn serve(&mut self, what: &str, groups: &BTreeSet<usize>, rules: [Vec<TierRule>; 2]) {
        for index in groups {
            let (Some(subject), Some(group)) = (self.subject(*index), self.group(*index)) else {
                continue;
            };
            let name = format!("sekisho-infrastructure-{what}-{}", group.name());
            self.cluster_policy((&name, SERVERS), subject, rules.clone());
        }
    }

    /// The same as NetworkPolicies, which isolate every pod of the namespaces.
    fn infrastructure_native(&mut self, monitoring: &Served, gateway: &Served) {
        let outward = [
            ("clocks", self.clocks(), span(Protocol::Udp, NTP_PORT)),
            ("registries", self.template.networks("registry"), span(Protocol::Tcp, 443)),
        ];
        for namespace in self.namespaces() {
            let all = self.plan.groups.iter().filter(|(_, group)| group.namespace == namespace);
            let members: BTreeSet<usize> = all.map(|(index, _)| index).collect();
            let mut egress = self.name_resolution(&namespace, |one| among(&members, &one.source));
            for (words, nets, port) in &outward {
                if !nets.is_empty() {
                    let ports = BTreeSet::from([*port]);
                    let holds = |one: &Traffic| {
                        among(&members, &one.source)
                            && hold(&ports, one)
                            && within(nets, &one.destination)
                    };
                    egress.push(self.rule(blocks(nets), policy_ports(&ports), words, holds));
                }
            }
            let mut ingress = Vec::new();
            for (words, (who, ports)) in [("scrapes", monitoring), ("requests", gateway)] {
                if !ports.is_empty() {
                    let holds = |one: &Traffic| {
                        among(&members, &one.destination)
                            && among(who, &one.source)
                            && hold(ports, one)
                    };
                    let words = format!("{words} by {}", self.say(who));
                    let peers = self.peers(who, &namespace);
                    ingress.push(self.rule(peers, policy_ports(ports), &words, holds));
                }
            }
            let drafts = |rules: Vec<Draft>| Some(Drafts { rules, ..Drafts::default() });
            let sides = [drafts(ingress), drafts(egress)];
            self.policy((&namespace, "infrastructure"), LabelSelector::default(), sides, &members);
        }
        self.servers_native(monitoring, gateway);
    }

    /// The far ends of the same connections, where those namespaces are in scope too.
    fn servers_native(&mut self, monitoring: &Served, gateway: &Served) {
        for (ports, groups) in self.resolvers() {
            for index in groups.intersection(&self.in_scope()) {
                let own = End::Group(*index);
                let holds = |one: &Traffic| one.destination == own && hold(&ports, one);
                let words = "DNS for every pod, also those to come";
                let rule = self.rule(vec![all_pods()], policy_ports(&ports), words, holds);
                let sides = [Some(Drafts { rules: vec![rule], ..Drafts::default() }), None];
                self.policy_of(*index, "infrastructure-dns", sides);
            }
        }
        for (name, (who, ports)) in [("monitoring", monitoring), ("gateway", gateway)] {
            let ports_open: Vec<PolicyPort> = policy_ports(ports);
            for index in who.intersection(&self.in_scope()) {
                if ports_open.is_empty() {
                    continue;
                }
                let own = End::Group(*index);
                let holds = |one: &Traffic| one.source == own && hold(ports, one);
                let rule =
                    self.rule(vec![all_pods()], ports_open.clone(), "those it serves", holds);
                let sides = [None, Some(Drafts { rules: vec![rule], ..Drafts::default() })];
                self.policy_of(*index, &format!("infrastructure-{name}"), sides);
            }
        }
    }
}

/// Addresses that only the node itself answers on (RFC 3927, RFC 4291 §2.5.6), as a resolver on each
/// node does.
pub(super) fn is_link_local(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}
