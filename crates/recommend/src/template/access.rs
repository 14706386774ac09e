//! Access of people: the jump host, a third party for a time, nobody but forensics.

use std::collections::BTreeSet;

use sekisho_manifest::{LabelSelector, TierAction, TierPeer, TierSubject};
use sekisho_model::{Direction, Labels};

use super::build::{
    Build, among, blocks, everybody, hold, policy_ports, say_ports, tier_rule, within,
};
use crate::fence::object_name;
use crate::history::{End, Traffic};
use crate::rules::{Draft, Drafts};

/// Before all other templates: who is cut off is cut off.
const QUARANTINE: u16 = 10;
/// The label that puts a pod into quarantine.
const QUARANTINED: (&str, &str) = ("sekisho.dev/quarantine", "true");

impl Build<'_> {
    /// Ports of administration from the jump host only.
    pub(super) fn bastion(&mut self) {
        let ports = self.template.ports("ports");
        let (bastion, nets) = (self.chosen("bastion"), self.template.networks("networks"));
        let mut targets = self.subjects("targets");
        if self.template.workloads("targets").is_empty() {
            let reached = self.traffic.iter().filter(|one| hold(&ports, one));
            let reached: BTreeSet<usize> = reached
                .filter_map(|one| match one.destination {
                    End::Group(index) => Some(index),
                    End::Node { .. } | End::Outside { .. } => None,
                })
                .collect();
            targets = self.in_scope().intersection(&reached).copied().collect();
        }
        targets = targets.difference(&bastion).copied().collect();
        for index in targets.iter().copied() {
            let own = End::Group(index);
            let mut ingress = self.seen(index, Direction::Ingress, |one| !hold(&ports, one));
            let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
            let mut peers = self.peers(&bastion, namespace);
            peers.extend(blocks(&nets));
            let holds = |one: &Traffic| {
                let by = among(&bastion, &one.source) || within(&nets, &one.source);
                one.destination == own && by && hold(&ports, one)
            };
            if !peers.is_empty() {
                let rule = self.rule(peers, policy_ports(&ports), "the jump host", holds);
                ingress.rules.insert(0, rule);
            }
            self.policy_of(index, "bastion", [Some(ingress), None]);
        }
        let mut who: Vec<String> = nets.iter().map(ToString::to_string).collect();
        who.push(self.say(&bastion));
        self.tell(format!(
            "{} take {} from the jump host only ({}); on other ports whom they were seen to take.",
            self.say(&targets),
            say_ports(&ports),
            who.join(", ")
        ));
    }

    /// A gate that ends, and a fence that stays when it has ended.
    pub(super) fn vendor_window(&mut self) {
        let (nets, ports) = (self.template.networks("networks"), self.template.ports("ports"));
        let until = self.template.time("until").unwrap_or_default();
        for index in self.subjects("workload") {
            let own = End::Group(index);
            let by_vendor = |one: &Traffic| within(&nets, &one.source) && hold(&ports, one);
            let rest = self.seen(index, Direction::Ingress, |one| !by_vendor(one));
            self.policy_of(index, "without-vendor", [Some(rest), None]);
            let holds = |one: &Traffic| one.destination == own && by_vendor(one);
            let words = format!("a third party, until {until}");
            let rule = self.rule(blocks(&nets), policy_ports(&ports), &words, holds);
            let gate = Drafts { rules: vec![rule], ..Drafts::default() };
            if let Some(policy) = self.policy_of(index, "vendor-window", [Some(gate), None]) {
                let key = "sekisho.dev/expires-at".to_owned();
                policy.meta.annotations.insert(key, until.to_string());
            }
            let subject = self.say(&BTreeSet::from([index]));
            let from: Vec<String> = nets.iter().map(ToString::to_string).collect();
            self.tell(format!(
                "{subject} takes {} from {} until {until}: then whoever applied it deletes \
                 vendor-window-*, and the rest stays as it was seen.",
                say_ports(&ports),
                from.join(", ")
            ));
        }
    }

    /// Cut off, but for forensics.
    pub(super) fn quarantine(&mut self) {
        let (forensics, ports) = (self.chosen("forensics"), self.template.ports("ports"));
        let chosen = self.subjects("workload");
        for index in &chosen {
            let Some(group) = self.group(*index) else { continue };
            let name = format!("{}-{}", group.namespace, object_name(group.name()));
            let Some(subject) = self.subject(*index) else { continue };
            self.cut_off(&name, subject);
            let rules = self.forensics(&group.namespace, Some(*index));
            let ingress = Drafts { rules, ..Drafts::default() };
            self.policy_of(*index, "quarantine", [Some(ingress), Some(Drafts::default())]);
        }
        if self.template.workloads("workload").is_empty() {
            let (key, value) = QUARANTINED;
            let pods = LabelSelector::of(Labels::from([(key.to_owned(), value.to_owned())]));
            let subject =
                TierSubject::Pods { namespaces: self.scope_selector(), pods: pods.clone() };
            self.cut_off("label", subject);
            for namespace in self.namespaces() {
                let rules = self.forensics(&namespace, None);
                let sides = [Some(Drafts { rules, ..Drafts::default() }), Some(Drafts::default())];
                self.policy((&namespace, "quarantine"), pods.clone(), sides, &BTreeSet::new());
            }
        }
        let who = match chosen.is_empty() {
            true => format!(
                "Pods of {} that get the label {}={}",
                self.scope_words(),
                QUARANTINED.0,
                QUARANTINED.1
            ),
            false => self.say(&chosen),
        };
        self.tell(format!(
            "{who} reach nobody, and only {} reaches them, on {}.",
            self.say(&forensics),
            say_ports(&ports)
        ));
    }

    /// The deny that holds whatever is allowed elsewhere.
    fn cut_off(&mut self, name: &str, subject: TierSubject) {
        let forensics = self.chosen("forensics");
        let ports = self.template.ports("ports");
        let open = ports.iter().map(|port| port.tier_port());
        let mut ingress =
            tier_rule(TierAction::Accept, "forensics", self.tier_peers(&forensics), open);
        let pods = vec![TierPeer::Namespaces(LabelSelector::default())];
        ingress.extend(tier_rule(TierAction::Deny, "nobody else", pods, []));
        let egress = tier_rule(TierAction::Deny, "to nobody", everybody(), []);
        let name = format!("sekisho-quarantine-{name}");
        self.cluster_policy((&name, QUARANTINE), subject, [ingress, egress]);
    }

    /// The rule for forensics of a NetworkPolicy, if anybody does them.
    fn forensics(&mut self, namespace: &str, index: Option<usize>) -> Vec<Draft> {
        let who = self.chosen("forensics");
        let ports = self.template.ports("ports");
        if who.is_empty() {
            return Vec::new();
        }
        let holds = |one: &Traffic| {
            let to = index.is_some_and(|index| one.destination == End::Group(index));
            to && among(&who, &one.source) && hold(&ports, one)
        };
        let peers = self.peers(&who, namespace);
        vec![self.rule(peers, policy_ports(&ports), "forensics", holds)]
    }
}
