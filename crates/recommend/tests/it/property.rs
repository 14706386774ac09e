//! Promises that hold for any cluster and history.

use std::sync::Arc;

use proptest::prelude::*;
use sekisho_manifest::{Object, PolicyPeer, parse, print_policy};
use sekisho_model::Party;
use sekisho_policy::RuleSet;
use sekisho_recommend::{Choices, NoteKind, Template, TemplateId, catalogue, propose, yaml};
use sekisho_verify::{EdgeClass, what_if};

use crate::shop::{World, complete, party, row, shop, window};

const NAMESPACES: [&str; 3] = ["a", "b", "kube-system"];
const KINDS: [&str; 3] = ["Deployment", "CronJob", "Host"];
const LABELS: [&str; 6] = [
    "app=x",
    "app=y",
    "app=x tier=back",
    "app.kubernetes.io/name=z version=1",
    "app.kubernetes.io/name=z version=2",
    "",
];
const PORTS: [&str; 4] =
    ["", "http=80/TCP", "http=8080/TCP dns=53/UDP", "web=80/TCP metrics=8080/TCP dns-tcp=53/TCP"];
const SEEN: [&str; 4] = ["80/TCP", "8080/TCP", "53/UDP", "7/SCTP"];

fn worlds() -> impl Strategy<Value = World> {
    let workload = (0..3_usize, 0..3_usize, 1..3_u8, 0..6_usize, 0..4_usize);
    let flow = (0..40_usize, 0..40_usize, 0..4_usize, 0..3_u64);
    let parts = (prop::collection::vec(workload, 1..8), prop::collection::vec(flow, 0..30));
    parts.prop_map(|(workloads, flows)| {
        let mut world = World::default();
        world.cluster.nodes.insert("node-1".to_owned(), vec!["172.18.0.2".parse().unwrap()]);
        world.cluster.nodes.insert("node-2".to_owned(), vec!["172.18.0.3".parse().unwrap()]);
        for (number, (namespace, kind, replicas, label, port)) in workloads.iter().enumerate() {
            let id = format!("{}/w{number}[{}]", NAMESPACES[*namespace], KINDS[*kind]);
            let replicas = if KINDS[*kind] == "Host" { 1 } else { *replicas };
            world.workload(&id, replicas, LABELS[*label], PORTS[*port]);
        }
        let mut parties: Vec<Arc<Party>> =
            world.cluster.endpoints.iter().map(|endpoint| Arc::new(party(endpoint))).collect();
        for (name, address) in [(Some("x.example"), "203.0.113.1"), (None, "2001:db8::1")] {
            let name = name.map(str::to_owned);
            parties.push(Arc::new(Party::external(address.parse().unwrap(), name)));
        }
        for (source, destination, port, connections) in flows {
            let source = &parties[source % parties.len()];
            let destination = &parties[destination % parties.len()];
            world.history.push(row(source, destination, SEEN[port], connections));
        }
        world
    })
}

/// Templates that allow all that was seen, and what they ask.
fn templates() -> impl Strategy<Value = TemplateId> {
    prop_oneof![
        Just(TemplateId::LeastPrivilege),
        Just(TemplateId::Namespace),
        Just(TemplateId::Application),
    ]
}

/// The template as this world has it; the usual one if it lacks the label.
fn of(id: TemplateId, world: &World) -> Template {
    let choices = Choices::new(&world.history, &world.cluster, None);
    Template::read(id, &[], &choices).unwrap_or_default()
}

/// Edges that the proposal would block though the history shows them working.
fn broken(world: &World, template: TemplateId) -> Vec<String> {
    let (existing, completeness) = (RuleSet::default(), complete());
    let mut request = world.request(&existing, &completeness);
    request.template = of(template, world);
    let proposed = propose(&request).applied_to(&existing);
    let answer = what_if(&sekisho_verify::Request {
        current: &existing,
        proposed: &proposed,
        cluster: &world.cluster,
        history: &world.history,
        window: window(),
        completeness: &completeness,
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max: sekisho_verify::UNCHANGED_ALL,
    });
    let blocked = answer.report.edges.iter().filter(|edge| edge.class == EdgeClass::WouldBlock);
    blocked.map(|edge| format!("{}: {}", edge.name(), edge.reason)).collect()
}

/// Whether every pod has a stable label; without one, no policy can name it and a note says so.
fn all_selectable(world: &World) -> bool {
    world
        .cluster
        .endpoints
        .iter()
        .all(|endpoint| endpoint.labels.keys().any(|key| key != "pod-template-hash"))
}

#[test]
fn the_shop_keeps_working_under_each_template() {
    let mut world = shop();
    // The scan was never answered, so losing it is no loss, but verify can't know that.
    world.history.retain(|row| row.stats.resets == 0);
    for template in [TemplateId::LeastPrivilege, TemplateId::Namespace, TemplateId::Application] {
        assert_eq!(broken(&world, template), Vec::<String>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_working_is_never_blocked(world in worlds(), template in templates()) {
        prop_assume!(all_selectable(&world));
        prop_assert_eq!(broken(&world, template), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_rows_does_not_matter(world in worlds(), template in templates()) {
        let (existing, completeness) = (RuleSet::default(), complete());
        let mut turned = world.clone();
        turned.history.reverse();
        // Splitting sharing: equal parties that are different objects are the same party.
        for row in turned.history.iter_mut().step_by(2) {
            row.key_mut().source = Arc::new(Party::clone(&row.key.source));
        }
        let text = |world: &World| {
            let mut request = world.request(&existing, &completeness);
            request.template = of(template, world);
            yaml(&propose(&request))
        };
        prop_assert_eq!(text(&world), text(&turned));
    }

    #[test]
    fn a_policy_selects_exactly_its_workloads(world in worlds()) {
        let (existing, completeness) = (RuleSet::default(), complete());
        for of in propose(&world.request(&existing, &completeness)).policies {
            for endpoint in &world.cluster.endpoints {
                let selected = endpoint.namespace == of.policy.meta.namespace
                    && of.policy.pod_selector.matches(&endpoint.labels);
                let own = of.workloads.contains(&endpoint.workload.to_string());
                prop_assert_eq!(selected, own, "{} and {}", of.policy.meta.name, endpoint.workload);
            }
        }
    }

    #[test]
    fn a_rule_lets_in_only_peers_that_were_seen(world in worlds()) {
        let (existing, completeness) = (RuleSet::default(), complete());
        let proposal = propose(&world.request(&existing, &completeness));
        for of in &proposal.policies {
            for evidence in &of.rules {
                let rules = match evidence.direction {
                    sekisho_model::Direction::Ingress => &of.policy.ingress,
                    sekisho_model::Direction::Egress => &of.policy.egress,
                };
                let rule = &rules[usize::try_from(evidence.rule).unwrap()];
                for endpoint in &world.cluster.endpoints {
                    let matched = rule.peers.iter().any(|peer| match peer {
                        PolicyPeer::Pods { namespaces, pods } => {
                            let labels = &world.cluster.namespaces[&endpoint.namespace];
                            namespaces.as_ref().map_or(
                                endpoint.namespace == of.policy.meta.namespace,
                                |namespaces| namespaces.matches(labels),
                            ) && pods.as_ref().is_none_or(|pods| pods.matches(&endpoint.labels))
                        }
                        PolicyPeer::IpBlock { .. } => false,
                    });
                    let id = endpoint.workload.to_string();
                    let in_edges = |id: &str| {
                        let end = format!("{id}:");
                        evidence.edges.iter().any(|edge| {
                            edge.starts_with(&format!("{id} ")) || edge.contains(&end)
                        })
                    };
                    // Workloads of the same stable labels can't be told apart, and a note says so.
                    let merged = proposal.notes.iter().any(|note| {
                        let ids: Vec<&str> = note.subject.split(", ").collect();
                        note.kind == NoteKind::Merged
                            && ids.contains(&id.as_str())
                            && ids.iter().any(|id| in_edges(id))
                    });
                    let seen = in_edges(&id) || merged;
                    prop_assert!(!matched || seen, "{} in {:?}", endpoint.workload, rule);
                }
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_policy(world in worlds(), template in templates()) {
        let (existing, completeness) = (RuleSet::default(), complete());
        let mut request = world.request(&existing, &completeness);
        request.template = of(template, &world);
        let proposal = propose(&request);
        let whole = parse("all.yaml", &yaml(&proposal)).unwrap();
        prop_assert_eq!(whole.len(), proposal.all().len());
        for policy in proposal.all() {
            let mut read = parse("one.yaml", &print_policy(policy)).unwrap();
            let Some(Object::NetworkPolicy(mut read)) = read.pop() else { panic!("no policy") };
            let mut wanted = policy.clone();
            read.meta.position = wanted.meta.position.clone();
            for rules in [&mut read.ingress, &mut read.egress, &mut wanted.ingress, &mut wanted.egress] {
                for rule in rules {
                    rule.comment.clear();
                    rule.position = sekisho_manifest::Position::default();
                }
            }
            prop_assert_eq!(read, wanted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_template_makes_of_any_world_what_reads_back(world in worlds()) {
        let (existing, completeness) = (RuleSet::default(), complete());
        let choices = Choices::new(&world.history, &world.cluster, None);
        for entry in catalogue::CATALOGUE {
            let given = entry.parameters.iter().map(|parameter| (parameter.name.to_owned(), first(&choices, entry, parameter)));
            let given: Vec<(String, String)> = given.collect();
            let Ok(template) = Template::read(entry.id, &given, &choices) else { continue };
            let mut request = world.request(&existing, &completeness);
            request.template = template;
            let proposal = propose(&request);
            let text = yaml(&proposal);
            let read = parse("all.yaml", &text);
            let expected = proposal.all().len() + proposal.cluster_policies.len();
            prop_assert_eq!(read.map(|read| read.len()).unwrap_or(0), expected, "{}", text);
        }
    }
}

/// A value that was seen, or one that may be written.
fn first(choices: &Choices, entry: &catalogue::Entry, parameter: &catalogue::Parameter) -> String {
    let json = choices.json(None);
    let entry = json.as_array().unwrap().iter().find(|one| one["name"] == entry.name).unwrap();
    let own = entry["parameters"].as_array().unwrap().iter();
    let own = own.clone().find(|one| one["name"] == parameter.name).unwrap();
    let seen = own["choices"].as_array().unwrap().last().and_then(|one| one.as_str());
    match (parameter.asks, seen) {
        (catalogue::Asks::Time, _) => "2100-01-01T00:00:00Z".to_owned(),
        (catalogue::Asks::Network, None) => "192.0.2.0/24".to_owned(),
        (catalogue::Asks::Port, None) => "80/TCP".to_owned(),
        (_, seen) => seen.unwrap_or_default().to_owned(),
    }
}
