//! What a person reads and applies.

use sekisho_policy::RuleSet;
use sekisho_recommend::{NoteKind, Proposal, Scope, Template, TemplateId, json, propose, yaml};

use crate::shop::{World, complete, labels, shop};

fn proposed(world: &World, template: Template) -> Proposal {
    let (existing, completeness) = (RuleSet::default(), complete());
    let mut request = world.request(&existing, &completeness);
    request.template = template;
    propose(&request)
}

/// The documents of one namespace, without the notes at the top.
fn namespace(text: &str, namespace: &str) -> String {
    let wanted = format!("  namespace: {namespace}\n");
    let documents = text.split("---\n").skip(1).filter(|document| document.contains(&wanted));
    documents.collect::<Vec<_>>().join("---\n")
}

#[test]
fn the_shop_gets_policies_that_a_person_would_have_written() {
    let text = yaml(&proposed(&shop(), Template::default()));
    for of in ["cart", "checkout", "frontend", "payment", "report", "prometheus", "redis-cart"] {
        let wanted = format!("  name: {of}\n");
        let document = text.split("---\n").find(|document| document.contains(&wanted)).unwrap();
        insta::assert_snapshot!(format!("least_privilege_{of}"), document);
    }
    insta::assert_snapshot!("least_privilege_hosts", namespace(&text, "hosts"));
    assert_eq!(namespace(&text, "kube-system"), "", "system namespaces are left alone");
    insta::assert_snapshot!("least_privilege_notes", text.split("---\n").next().unwrap());
}

#[test]
fn a_ring_fence_opens_only_the_gates_that_were_used() {
    let fence = shop().template(TemplateId::Namespace, &[]);
    let text = yaml(&proposed(&shop(), fence));
    insta::assert_snapshot!("ring_fence_data", namespace(&text, "data"));
    let label = ("label", "app.kubernetes.io/part-of");
    let fence = shop().template(TemplateId::Application, &[label]);
    let text = yaml(&proposed(&shop(), fence));
    let fence = text.split("---\n").find(|document| document.contains("  name: ring-fence-shop\n"));
    insta::assert_snapshot!("ring_fence_application", fence.unwrap());
}

#[test]
fn system_namespaces_get_policies_when_asked_by_name() {
    let world = shop();
    let (existing, completeness) = (RuleSet::default(), complete());
    let mut request = world.request(&existing, &completeness);
    request.scope.namespaces = Some(["kube-system".to_owned()].into());
    let proposal = propose(&request);
    insta::assert_snapshot!("kube_system", namespace(&yaml(&proposal), "kube-system"));
}

#[test]
fn one_workload_asked_for_gets_its_policy_and_no_default_deny() {
    let world = shop();
    let (existing, completeness) = (RuleSet::default(), complete());
    let mut request = world.request(&existing, &completeness);
    request.scope = Scope { namespaces: None, workload: Some("shop/cart".to_owned()) };
    let proposal = propose(&request);
    assert!(proposal.default_deny.is_empty());
    assert_eq!(proposal.policies.len(), 1);
    let value: serde_json::Value = serde_json::from_str(&json(&proposal)).unwrap();
    assert_eq!(value["policies"][0]["policy"]["metadata"]["name"], "cart");
}

#[test]
fn the_json_form_of_a_policy_reads_back_as_the_same_policy() {
    let proposal = proposed(&shop(), Template::default());
    let value: serde_json::Value = serde_json::from_str(&json(&proposal)).unwrap();
    for (object, recommended) in
        value["policies"].as_array().unwrap().iter().zip(&proposal.policies)
    {
        let read = sekisho_manifest::parse("x.json", &object["policy"].to_string()).unwrap();
        let [sekisho_manifest::Object::NetworkPolicy(read)] = read.as_slice() else {
            panic!("one policy expected");
        };
        assert_eq!(read.pod_selector, recommended.policy.pod_selector);
        assert_eq!(read.ingress.len(), recommended.policy.ingress.len());
        let peers = |policy: &sekisho_manifest::NetworkPolicy| {
            let rules = policy.ingress.iter().chain(&policy.egress);
            rules.map(|rule| (rule.peers.clone(), rule.ports.clone())).collect::<Vec<_>>()
        };
        assert_eq!(peers(read), peers(&recommended.policy));
    }
}

#[test]
fn two_workloads_of_one_name_get_policies_named_by_kind() {
    let mut world = World::default();
    world.workload("a/web[Deployment]", 1, "app=web", "http=80/TCP");
    world.workload("a/web[StatefulSet]", 1, "app=web-db", "db=81/TCP");
    world.flow("a/web[Deployment]", "a/web[StatefulSet]", "81/TCP", 5);
    let proposal = proposed(&world, Template::default());
    let names: Vec<&str> =
        proposal.policies.iter().map(|of| of.policy.meta.name.as_str()).collect();
    assert_eq!(names, ["deployment-web", "statefulset-web"]);
}

#[test]
fn workloads_that_labels_cannot_tell_apart_share_a_policy_and_a_note_says_so() {
    let mut world = World::default();
    world.workload("a/one[Deployment]", 1, "app=same", "http=80/TCP");
    world.workload("a/two[Deployment]", 1, "app=same", "http=80/TCP");
    world.workload("a/client[Deployment]", 1, "app=client", "");
    world.flow("a/client[Deployment]", "a/two[Deployment]", "80/TCP", 5);
    let proposal = proposed(&world, Template::default());
    assert!(proposal.notes.iter().any(|note| note.kind == NoteKind::Merged));
    let shared = proposal.policies.iter().find(|of| of.workloads.len() == 2).unwrap();
    assert_eq!(shared.policy.pod_selector.match_labels, labels("app=same"));
}

#[test]
fn a_pod_without_labels_is_named_in_a_note_and_widens_nobody_elses_policy() {
    let mut world = World::default();
    world.workload("a/bare[Pod]", 1, "", "");
    world.workload("a/web[Deployment]", 1, "app=web", "http=80/TCP");
    world.flow("a/web[Deployment]", "a/bare[Pod]", "80/TCP", 5);
    let proposal = proposed(&world, Template::default());
    for policy in proposal.all() {
        let default_deny = policy.ingress.is_empty() && policy.egress.is_empty();
        assert!(default_deny || !policy.pod_selector.is_empty());
    }
}

#[test]
fn text_from_the_network_cannot_break_out_of_a_comment() {
    let mut world = World::default();
    world.workload("a/web[Deployment]", 1, "app=web", "");
    world.flow("a/web[Deployment]", "x\n---\nkind: Evil=203.0.113.1", "443/TCP", 2);
    let text = yaml(&proposed(&world, Template::default()));
    assert!(!text.lines().any(|line| line.trim_start().starts_with("kind: Evil")));
    assert_eq!(sekisho_manifest::parse("x.yaml", &text).unwrap().len(), 2);
}
