//! What nobody may do: the cloud's metadata service, the control plane, the ports of intruders.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use sekisho_manifest::{LabelSelector, PolicyPeer, TierAction, TierPeer, TierSubject};
use sekisho_model::Protocol;

use super::build::{Build, among, blocks, everybody, hold, say_ports, tier_rule, within};
use super::guard::all_pods;
use super::settings::PortSpan;
use crate::history::{End, Traffic};
use crate::rules::Drafts;

/// Port of the API server (kube-apiserver --secure-port).
const API_PORT: u16 = 6443;

/// Something denied to all, and who is spared, on which ports.
struct Denied {
    name: &'static str,
    /// Priority of the deny; those who are spared come ten before.
    priority: u16,
    words: String,
    peers: Vec<TierPeer>,
    /// Empty = all.
    ports: BTreeSet<PortSpan>,
    spared: BTreeMap<usize, BTreeSet<PortSpan>>,
}

impl Build<'_> {
    /// Denies, and spares: a spared workload's rules are those of the tiers below.
    fn deny(&mut self, denied: Denied) {
        for (index, ports) in &denied.spared {
            let (Some(subject), Some(group)) = (self.subject(*index), self.group(*index)) else {
                continue;
            };
            let ports = ports.iter().map(|port| port.tier_port());
            let pass = tier_rule(TierAction::Pass, "spared", denied.peers.clone(), ports);
            let name = format!("{}-spared-{}-{}", denied.name, group.namespace, group.name());
            let priority = denied.priority.saturating_sub(10);
            self.cluster_policy((&name, priority), subject, [Vec::new(), pass]);
        }
        let ports = denied.ports.iter().map(|port| port.tier_port());
        let deny = tier_rule(TierAction::Deny, &denied.words, denied.peers, ports);
        let subject = TierSubject::Namespaces(self.scope_selector());
        self.cluster_policy((denied.name, denied.priority), subject, [Vec::new(), deny]);
        let spared: BTreeSet<usize> = denied.spared.into_keys().collect();
        self.tell(format!(
            "{}: denied to pods of {}; spared: {}.",
            denied.words,
            self.scope_words(),
            self.say(&spared)
        ));
    }

    /// No credentials of the node.
    pub(super) fn cloud_metadata(&mut self) {
        let nets = self.template.networks("addresses");
        let spared = self.chosen("allow");
        if self.template.is("form", "native") {
            return self.cloud_metadata_native(&nets, &spared);
        }
        self.deny(Denied {
            name: "sekisho-cloud-metadata",
            priority: 210,
            words: "the cloud's metadata service".to_owned(),
            peers: vec![TierPeer::Networks(nets.into_iter().collect())],
            ports: BTreeSet::new(),
            spared: spared.into_iter().map(|index| (index, BTreeSet::new())).collect(),
        });
    }

    /// Everything but the addresses: all that a NetworkPolicy can say.
    fn cloud_metadata_native(&mut self, nets: &BTreeSet<IpNet>, spared: &BTreeSet<usize>) {
        let world: BTreeSet<IpNet> =
            ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
        let but = |cidr: &IpNet| {
            let inside = |net: &&IpNet| cidr.contains(*net) && *net != cidr;
            PolicyPeer::IpBlock {
                cidr: *cidr,
                except: nets.iter().filter(inside).copied().collect(),
            }
        };
        for namespace in self.namespaces() {
            let all = self.plan.groups.iter().filter(|(_, group)| group.namespace == namespace);
            let members: BTreeSet<usize> = all.map(|(index, _)| index).collect();
            let mut peers = vec![all_pods()];
            peers.extend(world.iter().map(but));
            let holds =
                |one: &Traffic| among(&members, &one.source) && !within(nets, &one.destination);
            let rule = self.rule(peers, Vec::new(), "everything but the metadata service", holds);
            let sides = [None, Some(Drafts { rules: vec![rule], ..Drafts::default() })];
            self.policy((&namespace, "cloud-metadata"), LabelSelector::default(), sides, &members);
        }
        for index in spared {
            let own = End::Group(*index);
            let holds = |one: &Traffic| one.source == own && within(nets, &one.destination);
            let rule = self.rule(blocks(nets), Vec::new(), "the metadata service", holds);
            let sides = [None, Some(Drafts { rules: vec![rule], ..Drafts::default() })];
            self.policy_of(*index, "cloud-metadata", sides);
        }
        self.tell(format!(
            "Pods of {} reach everything but the cloud's metadata service, which only {} may ask.",
            self.scope_words(),
            self.say(spared)
        ));
    }

    /// etcd, kubelet, scheduler, API server.
    pub(super) fn control_plane_ports(&mut self) {
        let ports = self.template.ports("ports");
        let mut nets = self.template.networks("networks");
        let cluster = self.plan.request.cluster;
        let is_node = |address: &std::net::IpAddr| cluster.node_at(*address).is_some();
        let api: BTreeSet<PortSpan> = cluster
            .outside_backends("default", "kubernetes", Protocol::Tcp, 443)
            .filter(|one| !is_node(&one.address))
            .map(|one| {
                nets.insert(IpNet::from(one.address));
                PortSpan { protocol: Protocol::Tcp, first: one.port, last: one.port }
            })
            .collect();
        let api_ports: BTreeSet<PortSpan> = api
            .into_iter()
            .chain([PortSpan { protocol: Protocol::Tcp, first: API_PORT, last: API_PORT }])
            .collect();
        let mut spared: BTreeMap<usize, BTreeSet<PortSpan>> = BTreeMap::new();
        for index in self.chosen("allow") {
            spared.insert(index, ports.clone());
        }
        if self.template.workloads("allow").is_empty() {
            for one in self.traffic {
                let (End::Group(index), false) =
                    (&one.source, matches!(one.destination, End::Group(_)))
                else {
                    continue;
                };
                let there =
                    matches!(one.destination, End::Node { .. }) || within(&nets, &one.destination);
                if there && hold(&api_ports, one) {
                    spared.insert(*index, api_ports.clone());
                }
            }
        }
        let mut peers = vec![TierPeer::Nodes(LabelSelector::default())];
        if !nets.is_empty() {
            peers.push(TierPeer::Networks(nets.into_iter().collect()));
        }
        let ports: BTreeSet<PortSpan> = ports.union(&api_ports).copied().collect();
        self.deny(Denied {
            name: "sekisho-control-plane-ports",
            priority: 310,
            words: "ports of the control plane on nodes".to_owned(),
            peers,
            ports,
            spared,
        });
    }

    /// Remote shells, file shares, container engines.
    pub(super) fn lateral_movement(&mut self) {
        let ports = self.template.ports("ports");
        let spared = self.chosen("allow").into_iter().map(|index| (index, ports.clone())).collect();
        let shown = say_ports(&ports);
        self.deny(Denied {
            name: "sekisho-lateral-movement",
            priority: 410,
            words: "ports by which intruders spread".to_owned(),
            peers: everybody(),
            ports,
            spared,
        });
        self.tell(format!("The ports are {shown}."));
    }
}
