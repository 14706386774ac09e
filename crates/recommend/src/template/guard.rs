//! What only its clients reach: a datastore, a machine outside Kubernetes.

use std::collections::BTreeSet;

use ipnet::IpNet;
use sekisho_manifest::{LabelSelector, PolicyPeer, TierAction, TierPeer, TierSubject};
use sekisho_model::Direction;

use super::build::{Build, among, hold, policy_ports, ports_of, say_ports, tier_rule, within};
use super::settings::PortSpan;
use crate::history::{End, Traffic};
use crate::proposal::{Note, NoteKind};
use crate::rules::Drafts;

/// Clients of a machine, before the deny for the rest.
const CLIENTS: u16 = 500;
const REST: u16 = 510;

impl Build<'_> {
    /// Only clients, only their ports, and out to nobody.
    pub(super) fn crown_jewel(&mut self) {
        let clients = self.chosen("clients");
        for index in self.subjects("workload") {
            let ports = self.ports_for(index, &clients);
            let mut ingress = self.client_rules(index, &clients, &ports);
            let mut egress = match self.template.text("egress") {
                "seen" => {
                    self.seen(index, Direction::Egress, |one| one.destination != End::Group(index))
                }
                "dns" => Drafts { rules: self.dns_rules(index), ..Drafts::default() },
                _none => Drafts::default(),
            };
            if self.template.is("replicas", "yes") {
                let own = BTreeSet::from([index]);
                let among_them =
                    |one: &Traffic| among(&own, &one.source) && among(&own, &one.destination);
                let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
                let rule = || {
                    self.rule(self.peers(&own, namespace), Vec::new(), "its own pods", among_them)
                };
                let rules = [rule(), rule()];
                let [inward, outward] = rules;
                ingress.rules.push(inward);
                egress.rules.push(outward);
            }
            let who = if clients.is_empty() { "those seen".to_owned() } else { self.say(&clients) };
            let what = self.say(&BTreeSet::from([index]));
            self.tell(format!(
                "{what} is reached by {who} on {}, and reaches {}.",
                if ports.is_empty() { "no port".to_owned() } else { say_ports(&ports) },
                match self.template.text("egress") {
                    "seen" => "what it was seen to reach",
                    "dns" => "name resolution only",
                    _none => "nobody",
                }
            ));
            self.policy_of(index, "crown-jewel", [Some(ingress), Some(egress)]);
        }
    }

    /// The ports that were given; else those that the clients (or anybody) were seen on; else those
    /// that the pods declare.
    fn ports_for(&mut self, index: usize, clients: &BTreeSet<usize>) -> BTreeSet<PortSpan> {
        let given = self.template.ports("ports");
        if !given.is_empty() {
            return given;
        }
        let own = BTreeSet::from([index]);
        let by_client = |one: &&Traffic| {
            among(&own, &one.destination)
                && !among(&own, &one.source)
                && (clients.is_empty() || among(clients, &one.source))
        };
        let mut ports = ports_of(self.traffic.iter().filter(by_client));
        let Some(group) = self.group(index) else { return ports };
        if ports.is_empty() {
            let declared = group.endpoints.iter().flat_map(|endpoint| &endpoint.ports);
            ports = declared
                .map(|port| PortSpan { protocol: port.protocol, first: port.port, last: port.port })
                .collect();
        }
        if ports.is_empty() {
            self.notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: group.ids().join(", "),
                text: "none of its clients was seen and it declares no port: give `ports`, else nobody \
                       may reach it"
                    .to_owned(),
            });
        }
        ports
    }

    /// Rules for clients by name; those that were seen if none was named.
    fn client_rules(
        &mut self,
        index: usize,
        clients: &BTreeSet<usize>,
        ports: &BTreeSet<PortSpan>,
    ) -> Drafts {
        let own = End::Group(index);
        if clients.is_empty() {
            let wanted = |one: &Traffic| hold(ports, one) && one.source != own;
            return self.seen(index, Direction::Ingress, wanted);
        }
        if ports.is_empty() {
            return Drafts::default(); // An empty list of ports would allow all of them.
        }
        let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
        let peers = self.peers(clients, namespace);
        let words = format!("clients {}", self.say(clients));
        let holds = |one: &Traffic| {
            one.destination == own && among(clients, &one.source) && hold(ports, one)
        };
        let rule = self.rule(peers, policy_ports(ports), &words, holds);
        Drafts { rules: vec![rule], ..Drafts::default() }
    }

    /// A machine: its own policy if an agent runs there, and the pods' side in any case.
    pub(super) fn vm_to_cluster(&mut self) {
        let vm = self.chosen("vm");
        let mut nets = self.template.networks("address");
        if nets.is_empty() {
            let groups = vm.iter().filter_map(|index| self.group(*index));
            let endpoints = groups.flat_map(|group| &group.endpoints);
            nets = endpoints.flat_map(|of| &of.addresses).map(|one| IpNet::from(*one)).collect();
        }
        let to_vm = |one: &Traffic| among(&vm, &one.destination) || within(&nets, &one.destination);
        let mut clients = self.chosen("clients");
        if clients.is_empty() {
            let sources = self.traffic.iter().filter(|one| to_vm(one));
            clients = sources
                .filter_map(|one| match one.source {
                    End::Group(index) => Some(index),
                    End::Node { .. } | End::Outside { .. } => None,
                })
                .collect();
        }
        let mut ports = self.template.ports("ports");
        if ports.is_empty() {
            let by_client = |one: &&Traffic| to_vm(one) && among(&clients, &one.source);
            ports = ports_of(self.traffic.iter().filter(by_client));
        }
        if ports.is_empty() {
            self.notes.insert(Note {
                kind: NoteKind::LeftOut,
                subject: self.say(&vm),
                text: "no client was seen there: give `ports`, else nobody may reach it".to_owned(),
            });
        }
        for index in &self.subjects("vm") {
            self.on_machine(*index, &clients, &ports);
        }
        self.on_pods(&nets, (&clients, &ports));
        self.tell(format!(
            "Of all pods only {} reach {} on {}.",
            self.say(&clients),
            nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            if ports.is_empty() { "no port".to_owned() } else { say_ports(&ports) },
        ));
    }

    /// The machine takes clients on the ports, and from outside the cluster what it took before.
    fn on_machine(&mut self, index: usize, clients: &BTreeSet<usize>, ports: &BTreeSet<PortSpan>) {
        let mut ingress = match clients.is_empty() {
            true => Drafts::default(),
            false => self.client_rules(index, clients, ports),
        };
        let others = |one: &Traffic| match one.source {
            End::Group(_) => false,
            End::Node { .. } | End::Outside { .. } => true,
        };
        ingress.rules.extend(self.seen(index, Direction::Ingress, others).rules);
        self.policy_of(index, "vm", [Some(ingress), None]);
    }

    /// Pods reach the machine only if they are clients.
    fn on_pods(
        &mut self,
        nets: &BTreeSet<IpNet>,
        (clients, ports): (&BTreeSet<usize>, &BTreeSet<PortSpan>),
    ) {
        if nets.is_empty() {
            return;
        }
        let machine = || vec![TierPeer::Networks(nets.iter().copied().collect())];
        for index in clients {
            let (Some(subject), Some(group)) = (self.subject(*index), self.group(*index)) else {
                continue;
            };
            if ports.is_empty() {
                continue;
            }
            let open = ports.iter().map(|port| port.tier_port());
            let pass = tier_rule(TierAction::Pass, "a client of the machine", machine(), open);
            let name = format!("sekisho-vm-client-{}-{}", group.namespace, group.name());
            self.cluster_policy((&name, CLIENTS), subject, [Vec::new(), pass]);
        }
        let deny = tier_rule(TierAction::Deny, "only clients reach the machine", machine(), []);
        let all = match self.plan.request.scope.namespaces {
            Some(_) => TierSubject::Namespaces(self.scope_selector()),
            None => TierSubject::Namespaces(LabelSelector::default()),
        };
        self.cluster_policy(("sekisho-vm", REST), all, [Vec::new(), deny]);
    }

    /// Peers of a machine's or pod's rule for name resolution.
    fn dns_rules(&self, index: usize) -> Vec<crate::rules::Draft> {
        let namespace = self.group(index).map_or("", |group| group.namespace.as_str());
        self.name_resolution(namespace, |one| one.source == End::Group(index))
    }
}

/// Every pod of every namespace.
pub(super) fn all_pods() -> PolicyPeer {
    PolicyPeer::Pods { namespaces: Some(LabelSelector::default()), pods: None }
}
