//! Ways in and out of the cluster: the list of places to go, the gateway to come through.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sekisho_manifest::PolicyPeer;
use sekisho_model::{Direction, Protocol};

use super::baseline::is_link_local;
use super::build::{Build, among, blocks, hold, policy_ports, ports_of, say_ports, within};
use super::guard::all_pods;
use super::settings::PortSpan;
use crate::history::{End, Traffic};
use crate::proposal::{Note, NoteKind};
use crate::rules::{Draft, Drafts};

/// What a place outside is asked on if nothing is said.
const HTTPS: PortSpan = PortSpan { protocol: Protocol::Tcp, first: 443, last: 443 };

impl Build<'_> {
    /// Out only to the list.
    pub(super) fn egress_allow_list(&mut self) {
        let mut subjects = self.subjects("workload");
        if self.template.workloads("workload").is_empty() {
            subjects = self.in_scope();
        }
        let named = self.named();
        let inside_all = self.template.is("inside", "all");
        for index in subjects.iter().copied() {
            let inside = |one: &Traffic| match one.destination {
                End::Group(_) => !inside_all || one.dns,
                End::Node { .. } => true,
                // A resolver on the node answers on such an address.
                End::Outside { address, .. } => one.dns && is_link_local(address),
            };
            let mut egress = self.seen(index, Direction::Egress, inside);
            if inside_all {
                let own = End::Group(index);
                let in_cluster =
                    |one: &Traffic| one.source == own && matches!(one.destination, End::Group(_));
                let rule = self.rule(vec![all_pods()], Vec::new(), "every pod inside", in_cluster);
                // What it was seen to ask inside is within this rule.
                egress.rules.retain(|draft| !draft.rule.peers.iter().all(is_pods));
                egress.rules.insert(0, rule);
            } else {
                let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
                let known = egress
                    .rules
                    .iter()
                    .any(|draft| draft.rule.comment.iter().any(|line| line.starts_with("DNS by")));
                if !known {
                    egress.rules.extend(
                        self.name_resolution(namespace, |one| one.source == End::Group(index)),
                    );
                }
            }
            egress.rules.extend(self.listed(index, &named));
            for (name, (nets, _)) in &named {
                let addresses = nets.iter().map(IpNet::addr);
                egress.names.entry(name.clone()).or_default().extend(addresses);
            }
            self.policy_of(index, "egress", [None, Some(egress)]);
        }
        let nets = self.template.networks("networks").into_iter().map(|net| net.to_string());
        let places: Vec<String> = nets.chain(named.into_keys()).collect();
        self.tell(format!(
            "{} reach outside the cluster only {}.",
            self.say(&subjects),
            places.join(", ")
        ));
    }

    /// The addresses and ports that were seen for each name on the list.
    fn named(&mut self) -> BTreeMap<String, (BTreeSet<IpNet>, BTreeSet<PortSpan>)> {
        let mut found = BTreeMap::new();
        for wanted in self.template.texts("names") {
            let mut nets = BTreeSet::new();
            let mut ports = self.template.ports("ports");
            let given = !ports.is_empty();
            for one in self.traffic {
                let End::Outside { name: Some(name), address } = &one.destination else { continue };
                if name.trim_end_matches('.').eq_ignore_ascii_case(&wanted) {
                    nets.insert(IpNet::from(*address));
                    if !given {
                        ports.extend(ports_of(std::iter::once(one)));
                    }
                }
            }
            let text = match nets.len() {
                0 => {
                    "no address was seen for it, so no rule is made: NetworkPolicy has no DNS names"
                        .to_owned()
                }
                many => format!(
                    "stands for {many} addresses that were seen: NetworkPolicy has no DNS names, so a \
                     change of address needs a new recommendation"
                ),
            };
            let kind = if nets.is_empty() { NoteKind::LeftOut } else { NoteKind::Wide };
            self.notes.insert(Note { kind, subject: wanted.clone(), text });
            if !nets.is_empty() {
                found.insert(wanted, (nets, ports));
            }
        }
        found
    }

    /// One rule for the addresses on the list, and one for each name.
    fn listed(
        &self,
        index: usize,
        named: &BTreeMap<String, (BTreeSet<IpNet>, BTreeSet<PortSpan>)>,
    ) -> Vec<Draft> {
        let own = End::Group(index);
        let mut rules = Vec::new();
        let nets = self.template.networks("networks");
        if !nets.is_empty() {
            let mut ports = self.template.ports("ports");
            if ports.is_empty() {
                ports.insert(HTTPS);
            }
            let holds = |one: &Traffic| {
                one.source == own && within(&nets, &one.destination) && hold(&ports, one)
            };
            rules.push(self.rule(blocks(&nets), policy_ports(&ports), "on the list", holds));
        }
        for (name, (nets, ports)) in named {
            let holds = |one: &Traffic| {
                one.source == own && within(nets, &one.destination) && hold(ports, one)
            };
            let words = crate::history::one_line(name);
            rules.push(self.rule(blocks(nets), policy_ports(ports), &words, holds));
        }
        rules
    }

    /// In only through the gateway.
    pub(super) fn internet_facing(&mut self) {
        let gateway = self.chosen("gateway");
        let given = self.template.ports("ports");
        for index in self.subjects("workload") {
            let own = End::Group(index);
            let through = |one: &Traffic| one.destination == own && among(&gateway, &one.source);
            let mut ports = given.clone();
            if ports.is_empty() {
                ports = ports_of(self.traffic.iter().filter(|one| through(one)));
            }
            let mut rules = Vec::new();
            let subject = self.say(&BTreeSet::from([index]));
            if ports.is_empty() {
                self.nothing_seen(&subject, "the gateway was not seen to reach it: give `ports`");
            } else {
                let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
                let words = format!("through the gateway {}", self.say(&gateway));
                let holds = |one: &Traffic| through(one) && hold(&ports, one);
                let peers = self.peers(&gateway, namespace);
                rules.push(self.rule(peers, policy_ports(&ports), &words, holds));
            }
            self.tell(format!(
                "{subject} is reached through {} on {}, and by nobody else.",
                self.say(&gateway),
                say_ports(&ports)
            ));
            let ingress = Drafts { rules, ..Drafts::default() };
            self.policy_of(index, "internet-facing", [Some(ingress), None]);
        }
        for index in self.subjects("gateway") {
            self.open_gateway(index);
        }
    }

    /// The world reaches the gateway on its ports; pods as they were seen.
    fn open_gateway(&mut self, index: usize) {
        let own = End::Group(index);
        let from_outside =
            |one: &Traffic| one.destination == own && !matches!(one.source, End::Group(_));
        let mut ports = self.template.ports("listen");
        if ports.is_empty() {
            ports = ports_of(self.traffic.iter().filter(|one| from_outside(one)));
        }
        let mut ingress =
            self.seen(index, Direction::Ingress, |one| matches!(one.source, End::Group(_)));
        let subject = self.say(&BTreeSet::from([index]));
        if ports.is_empty() {
            self.nothing_seen(
                &subject,
                "nobody outside was seen to reach the gateway: give `listen`",
            );
        } else {
            let world = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
            let holds = |one: &Traffic| from_outside(one) && hold(&ports, one);
            let rule = self.rule(blocks(&world), policy_ports(&ports), "the world", holds);
            ingress.rules.push(rule);
            self.tell(format!("{subject} is reached by the world on {}.", say_ports(&ports)));
        }
        self.policy_of(index, "gateway", [Some(ingress), None]);
    }

    fn nothing_seen(&mut self, subject: &str, text: &str) {
        let note =
            Note { kind: NoteKind::LeftOut, subject: subject.to_owned(), text: text.to_owned() };
        self.notes.insert(note);
    }
}

fn is_pods(peer: &PolicyPeer) -> bool {
    match peer {
        PolicyPeer::Pods { .. } => true,
        PolicyPeer::IpBlock { .. } => false,
    }
}
