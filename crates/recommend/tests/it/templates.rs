//! Each template does what it says, by the policy engine: what it allows is allowed, what it denies
//! is denied.

use std::net::IpAddr;

use sekisho_manifest::{Object, parse};
use sekisho_model::Protocol;
use sekisho_policy::lint::{LintInput, Severity, lint};
use sekisho_policy::{Connection, Dialect, Endpoint, Peer, RuleSet};
use sekisho_recommend::{Choices, Proposal, Template, TemplateId, catalogue, propose, yaml};

use crate::shop::{World, complete, labels, shop};

/// The shop, with a second tenant, a jump host, a gateway and the control plane in sight.
fn estate() -> World {
    let mut world = shop();
    world.history.retain(|row| row.stats.resets == 0);
    let web = "http=8080/TCP metrics=9090/TCP";
    world.workload("dev/web[Deployment]", 1, "app=web", web);
    world.workload("free/tool[Deployment]", 1, "app=tool", web);
    world.workload("ops/jump[Deployment]", 1, "app=jump", "ssh=22/TCP");
    world.workload("ingress/nginx[Deployment]", 1, "app=nginx", "http=8080/TCP");
    for (namespace, label) in [
        ("shop", "environment=prod tenant=a"),
        ("data", "environment=prod tenant=a"),
        ("dev", "environment=dev tenant=b"),
    ] {
        world.cluster.namespaces.get_mut(namespace).unwrap().extend(labels(label));
    }
    world.flow("ops/jump[Deployment]", "shop/cart[Deployment]", "22/TCP", 3);
    world.flow("ingress/nginx[Deployment]", "shop/frontend[Deployment]", "8080/TCP", 90);
    world.flow("=198.51.100.7", "ingress/nginx[Deployment]", "8080/TCP", 90);
    world.flow("shop/cart[Deployment]", "node-1", "6443/TCP", 9);
    world.flow("dev/web[Deployment]", "shop/cart[Deployment]", "8080/TCP", 2);
    world.flow("dev/web[Deployment]", "free/tool[Deployment]", "8080/TCP", 2);
    world
}

/// What a template makes of the estate, in force alone; also read back from what is printed.
pub(crate) struct Made {
    world: World,
    pub(crate) proposal: Proposal,
    rules: RuleSet,
}

pub(crate) fn made_in(namespaces: &[&str], id: TemplateId, given: &[(&str, &str)]) -> Made {
    let world = estate();
    let (existing, completeness) = (RuleSet::default(), complete());
    let mut request = world.request(&existing, &completeness);
    if !namespaces.is_empty() {
        let names = namespaces.iter().map(|name| (*name).to_owned());
        request.scope.namespaces = Some(names.collect());
    }
    request.template = world.template(id, given);
    let proposal = propose(&request);
    let text = yaml(&proposal);
    let objects = parse("proposal.yaml", &text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let rules = RuleSet::from_objects(&objects, Dialect::Spec);
    assert_eq!(rules.policies().len(), proposal.all().len());
    assert_eq!(rules.others().len(), proposal.cluster_policies.len());
    assert_eq!(proposal.template, id.entry().name);
    assert_eq!(proposal.not_native.is_empty(), id.entry().not_native.is_empty());
    clean(&world, &objects, &text);
    Made { world, proposal, rules }
}

fn made(id: TemplateId, given: &[(&str, &str)]) -> Made {
    made_in(&[], id, given)
}

/// Lint finds no mistake in what is printed, beside the cluster it is for.
fn clean(world: &World, objects: &[Object], text: &str) {
    let files = [("proposal.yaml", text)];
    let mut all = objects.to_vec();
    let services = world.cluster.services.iter().cloned().map(Object::Service);
    all.extend(services);
    let found = lint(LintInput { objects: &all, files: &files, dialect: Dialect::Spec });
    let wrong: Vec<String> = found
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Note)
        .map(|finding| format!("{} {}", finding.code.id, finding.message))
        .collect();
    assert_eq!(wrong, Vec::<String>::new(), "{text}");
}

impl Made {
    /// `namespace/name`, `node-1`, or an address.
    fn peer<'a>(&'a self, text: &'a str) -> (Peer<'a>, Option<IpAddr>) {
        if let Ok(address) = text.parse() {
            return (Peer::Address(address), Some(address));
        }
        if let Some(addresses) = self.world.cluster.nodes.get(text) {
            let address = addresses.first().copied();
            return (Peer::Node { name: text, address }, address);
        }
        let (namespace, name) = text.split_once('/').unwrap();
        let is = |of: &&Endpoint| of.namespace == namespace && of.workload.name == name;
        let endpoint = self.world.cluster.endpoints.iter().find(is);
        let endpoint = endpoint.unwrap_or_else(|| panic!("no {text}"));
        (Peer::Endpoint(endpoint), endpoint.addresses.first().copied())
    }

    fn allows(&self, source: &str, destination: &str, port: &str) -> bool {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "TCP"));
        let protocol: Protocol = protocol.parse().unwrap();
        let ((source, source_address), (destination, destination_address)) =
            (self.peer(source), self.peer(destination));
        let port = number.parse().unwrap();
        let connection =
            Connection { source, destination, source_address, destination_address, protocol, port };
        self.rules.decide(&self.world.cluster, &connection).allows()
    }

    #[track_caller]
    fn check(&self, allowed: &[(&str, &str, &str)], denied: &[(&str, &str, &str)]) {
        for (source, destination, port) in allowed {
            let text = yaml(&self.proposal);
            assert!(
                self.allows(source, destination, port),
                "denied {source} {destination} {port}\n{text}"
            );
        }
        for (source, destination, port) in denied {
            let text = yaml(&self.proposal);
            assert!(
                !self.allows(source, destination, port),
                "allowed {source} {destination} {port}\n{text}"
            );
        }
    }
}

#[test]
fn every_template_is_tested_here() {
    let own = include_str!("templates.rs");
    for entry in catalogue::CATALOGUE {
        let name = format!("TemplateId::{:?}", entry.id);
        assert!(own.contains(&name), "{name}");
    }
    assert_ne!(made(TemplateId::LeastPrivilege, &[]).proposal.policies.len(), 0);
}

#[test]
fn an_application_and_a_namespace_are_open_inside_and_closed_outside() {
    let label = [("label", "app.kubernetes.io/part-of"), ("values", "shop")];
    let made_of = made(TemplateId::Application, &label);
    made_of.check(
        &[("shop/cart", "shop/payment", "12345"), ("shop/cart", "data/redis-cart", "6379")],
        &[("shop/cart", "data/postgres", "5432"), ("dev/web", "shop/payment", "8080")],
    );
    let made_of = made_in(&["shop"], TemplateId::Namespace, &[]);
    made_of.check(
        &[("shop/cart", "shop/currency", "12345"), ("shop/checkout", "data/postgres", "5432")],
        &[("shop/cart", "data/postgres", "5432"), ("free/tool", "shop/cart", "8080")],
    );
}

#[test]
fn environments_do_not_reach_each_other_and_reach_what_is_in_none_as_before() {
    let made_of = made(TemplateId::Environment, &[]);
    made_of.check(
        &[
            ("shop/cart", "data/postgres", "9"),
            ("dev/web", "free/tool", "8080"),
            ("shop/cart", "kube-system/coredns", "53/UDP"),
        ],
        &[
            ("dev/web", "shop/cart", "8080"),
            ("shop/cart", "dev/web", "8080"),
            ("free/tool", "shop/cart", "9"),
        ],
    );
    assert!(made_of.proposal.notes.iter().any(|note| note.subject == "dev -> prod"));
    let kept = made(TemplateId::Environment, &[("keep-seen", "yes")]);
    kept.check(&[("dev/web", "shop/cart", "8080")], &[("dev/web", "shop/cart", "8081")]);
}

#[test]
fn tenants_are_apart_whatever_they_allow_and_others_are_not_touched() {
    let made_of = made(TemplateId::Tenant, &[]);
    let allowed = [("shop/cart", "data/postgres", "9"), ("free/tool", "dev/web", "9")];
    let denied = [("dev/web", "shop/cart", "8080"), ("shop/cart", "dev/web", "8080")];
    made_of.check(&allowed, &denied);
    let open = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                metadata: {name: open, namespace: shop}\nspec: {podSelector: {}, ingress: [{}]}\n";
    let open = parse("open.yaml", open).unwrap();
    let rules = made_of.rules.with(open.clone());
    Made { rules, ..made_of }.check(&allowed, &denied);
    let native = made(TemplateId::Tenant, &[("form", "native")]);
    native.check(&[("shop/cart", "data/postgres", "9")], &denied);
    let kept = made(TemplateId::Tenant, &[("keep-seen", "yes")]);
    kept.check(&[("dev/web", "shop/cart", "8080")], &[("dev/web", "shop/cart", "8081")]);
    for given in [&[("values", "a")] as &[_], &[("values", "a"), ("form", "native")]] {
        let one = made(TemplateId::Tenant, given);
        one.check(&[("dev/web", "free/tool", "8080"), ("free/tool", "dev/web", "9")], &denied);
    }
}

#[test]
fn a_crown_jewel_is_reached_by_clients_on_its_port_and_reaches_nobody() {
    let made_of = made(TemplateId::CrownJewel, &[("workload", "data/postgres")]);
    made_of.check(
        &[
            ("shop/checkout", "data/postgres", "5432"),
            ("shop/report", "data/postgres", "5432"),
            ("shop/cart", "data/redis-cart", "6379"),
        ],
        &[
            ("shop/cart", "data/postgres", "5432"),
            ("shop/checkout", "data/postgres", "22"),
            ("data/postgres", "kube-system/coredns", "53/UDP"),
            ("data/postgres", "203.0.113.9", "443"),
        ],
    );
    let given = [
        ("workload", "data/postgres"),
        ("clients", "shop/cart"),
        ("ports", "5432,9187/TCP"),
        ("egress", "dns"),
        ("replicas", "no"),
    ];
    made(TemplateId::CrownJewel, &given).check(
        &[
            ("shop/cart", "data/postgres", "9187"),
            ("data/postgres", "kube-system/coredns", "53/UDP"),
            ("data/postgres", "kube-system/coredns", "53/TCP"),
        ],
        &[("shop/checkout", "data/postgres", "5432"), ("data/postgres", "shop/cart", "8080")],
    );
}

#[test]
fn a_machine_is_reached_by_its_clients_only_from_the_pods_side_too() {
    let made_of = made(TemplateId::VmToCluster, &[("vm", "hosts/legacy-db")]);
    let allowed = [
        ("shop/payment", "hosts/legacy-db", "5432"),
        ("hosts/legacy-db", "shop/cart", "8080"),
        ("shop/cart", "data/redis-cart", "6379"),
    ];
    let denied =
        [("shop/cart", "hosts/legacy-db", "5432"), ("shop/payment", "hosts/legacy-db", "22")];
    made_of.check(&allowed, &denied);
    let given = [("address", "203.0.113.7"), ("clients", "shop/cart"), ("ports", "443")];
    made(TemplateId::VmToCluster, &given).check(
        &[("shop/cart", "203.0.113.7", "443"), ("shop/payment", "203.0.113.8", "443")],
        &[("shop/payment", "203.0.113.7", "443"), ("shop/cart", "203.0.113.7", "22")],
    );
}

#[test]
fn infrastructure_isolates_nobody_and_opens_the_fences_that_come_after_it() {
    let given = [("gateway", "ingress/nginx"), ("ntp", "203.0.113.123")];
    let infrastructure = made(TemplateId::Infrastructure, &given);
    infrastructure.check(&[("free/tool", "shop/cart", "9")], &[]);
    let deny = made(TemplateId::DefaultDenyDns, &[("directions", "both")]);
    let closed = [
        ("monitoring/prometheus", "shop/cart", "9090"),
        ("ingress/nginx", "shop/frontend", "8080"),
        ("shop/cart", "203.0.113.123", "123/UDP"),
    ];
    deny.check(&[("shop/cart", "kube-system/coredns", "53/UDP")], &closed);
    let both = infrastructure.proposal.applied_to(&deny.rules);
    let both = Made { rules: both, ..infrastructure };
    both.check(&closed, &[("free/tool", "shop/cart", "9"), ("shop/cart", "203.0.113.9", "443")]);
    let native =
        made(TemplateId::Infrastructure, &[("form", "native"), ("gateway", "ingress/nginx")]);
    native.check(
        &[
            ("monitoring/prometheus", "shop/cart", "9090"),
            ("shop/cart", "kube-system/coredns", "53/TCP"),
        ],
        &[("free/tool", "shop/cart", "9")],
    );
}

#[test]
fn infrastructure_and_least_privilege_together_break_nothing_that_was_seen() {
    let infrastructure = made(TemplateId::Infrastructure, &[]);
    let least = made(TemplateId::LeastPrivilege, &[]);
    let rules = infrastructure.proposal.applied_to(&least.rules);
    Made { rules, ..least }.check(
        &[
            ("free/tool", "kube-system/coredns", "53/UDP"),
            ("shop/cart", "data/redis-cart", "6379"),
            ("monitoring/prometheus", "shop/cart", "9090"),
        ],
        &[("shop/cart", "data/postgres", "5432"), ("free/tool", "shop/cart", "8080")],
    );
}

#[test]
fn default_deny_leaves_names_and_may_leave_a_direction() {
    made(TemplateId::DefaultDenyDns, &[]).check(
        &[
            ("shop/cart", "kube-system/coredns", "53/UDP"),
            ("dev/web", "kube-system/coredns", "53/TCP"),
        ],
        &[("shop/cart", "kube-system/coredns", "9153"), ("shop/frontend", "shop/cart", "8080")],
    );
    made(TemplateId::DefaultDenyDns, &[("directions", "ingress")]).check(
        &[("shop/cart", "203.0.113.9", "443")],
        &[("203.0.113.9", "shop/cart", "8080"), ("shop/frontend", "shop/cart", "8080")],
    );
    made(TemplateId::DefaultDenyDns, &[("directions", "egress")])
        .check(&[("203.0.113.9", "shop/cart", "8080")], &[("shop/cart", "203.0.113.9", "443")]);
}

#[test]
fn egress_goes_to_the_list_and_nowhere_else_outside() {
    let given =
        [("workload", "shop/payment"), ("names", "payments.example"), ("networks", "192.0.2.0/24")];
    let made_of = made(TemplateId::EgressAllowList, &given);
    made_of.check(
        &[
            ("shop/payment", "203.0.113.7", "443"),
            ("shop/payment", "192.0.2.9", "443"),
            ("shop/payment", "free/tool", "9"),
            ("shop/payment", "kube-system/coredns", "53/UDP"),
            ("shop/cart", "198.51.100.1", "443"),
        ],
        &[("shop/payment", "203.0.113.9", "443"), ("shop/payment", "192.0.2.9", "22")],
    );
    let given = [("workload", "shop/payment"), ("networks", "192.0.2.0/24"), ("inside", "seen")];
    made(TemplateId::EgressAllowList, &given).check(
        &[
            ("shop/payment", "hosts/legacy-db", "5432"),
            ("shop/payment", "kube-system/coredns", "53/UDP"),
        ],
        &[("shop/payment", "free/tool", "9"), ("shop/payment", "203.0.113.7", "443")],
    );
}

#[test]
fn a_resolver_on_the_node_stays_within_reach() {
    let mut world = estate();
    world.flow("shop/payment[Deployment]", "=169.254.20.10", "53/UDP", 9);
    let (existing, completeness) = (RuleSet::default(), complete());
    let given = [("workload", "shop/payment"), ("networks", "192.0.2.0/24")];
    let fences = [
        (TemplateId::EgressAllowList, &given as &[_]),
        (TemplateId::DefaultDenyDns, &[]),
        (TemplateId::Infrastructure, &[("form", "native")]),
    ];
    for (id, given) in fences {
        let mut request = world.request(&existing, &completeness);
        request.template = world.template(id, given);
        let proposal = propose(&request);
        let rules = proposal.applied_to(&existing);
        let denied =
            [("shop/payment", "169.254.20.10", "80"), ("shop/payment", "1.1.1.1", "53/UDP")];
        let allowed = [("shop/payment", "169.254.20.10", "53/UDP")];
        Made { world: world.clone(), proposal, rules }.check(&allowed, &denied);
    }
}

#[test]
fn requests_come_through_the_gateway_and_the_gateway_is_open_on_its_port() {
    let given = [("workload", "shop/frontend"), ("gateway", "ingress/nginx")];
    made(TemplateId::InternetFacing, &given).check(
        &[
            ("ingress/nginx", "shop/frontend", "8080"),
            ("198.51.100.99", "ingress/nginx", "8080"),
            ("shop/frontend", "shop/cart", "8080"),
        ],
        &[
            ("198.51.100.99", "shop/frontend", "8080"),
            ("dev/web", "shop/frontend", "8080"),
            ("ingress/nginx", "shop/frontend", "9090"),
            ("198.51.100.99", "ingress/nginx", "22"),
        ],
    );
}

#[test]
fn the_metadata_service_is_closed_and_the_rest_of_the_world_is_not() {
    let denied = [("shop/cart", "169.254.169.254", "80"), ("dev/web", "fd00:ec2::254", "80")];
    let allowed = [("shop/cart", "203.0.113.7", "443"), ("shop/cart", "169.254.169.253", "80")];
    let cluster = made(TemplateId::CloudMetadata, &[]);
    cluster.check(&allowed, &denied);
    let spared = made(TemplateId::CloudMetadata, &[("allow", "shop/cart")]);
    spared.check(
        &[("shop/cart", "169.254.169.254", "80")],
        &[("shop/payment", "169.254.169.254", "80")],
    );
    let native = [("form", "native"), ("allow", "shop/cart")];
    let native = made(TemplateId::CloudMetadata, &native);
    native.check(
        &[("shop/cart", "169.254.169.254", "80"), ("shop/payment", "203.0.113.7", "443")],
        &[("shop/payment", "169.254.169.254", "80")],
    );
    native.check(&[("shop/payment", "shop/cart", "9"), ("shop/payment", "node-1", "9")], &[]);
}

#[test]
fn control_plane_ports_are_for_those_that_were_seen_at_the_api_server() {
    made(TemplateId::ControlPlanePorts, &[]).check(
        &[("shop/cart", "node-1", "6443"), ("shop/payment", "node-1", "8080")],
        &[
            ("shop/payment", "node-1", "6443"),
            ("shop/cart", "node-2", "10250"),
            ("dev/web", "node-2", "2380"),
        ],
    );
    made(TemplateId::ControlPlanePorts, &[("allow", "monitoring/prometheus")]).check(
        &[("monitoring/prometheus", "node-1", "10250"), ("shop/cart", "data/redis-cart", "6443")],
        &[("shop/cart", "node-1", "6443")],
    );
}

#[test]
fn ports_of_intruders_are_closed_to_all_but_the_jump_host() {
    made(TemplateId::LateralMovement, &[("allow", "ops/jump")]).check(
        &[("ops/jump", "shop/cart", "22"), ("shop/cart", "data/redis-cart", "6379")],
        &[
            ("shop/cart", "shop/payment", "22"),
            ("shop/cart", "node-1", "10250"),
            ("dev/web", "203.0.113.7", "445"),
            ("dev/web", "hosts/legacy-db", "5986"),
        ],
    );
}

#[test]
fn administration_comes_from_the_jump_host_and_other_ports_are_as_they_were() {
    let made_of = made(
        TemplateId::Bastion,
        &[("bastion", "ops/jump"), ("targets", "shop/cart,shop/payment")],
    );
    made_of.check(
        &[
            ("ops/jump", "shop/cart", "22"),
            ("ops/jump", "shop/payment", "3389"),
            ("shop/frontend", "shop/cart", "8080"),
            ("shop/cart", "203.0.113.7", "443"),
        ],
        &[("shop/frontend", "shop/cart", "22"), ("free/tool", "shop/cart", "9")],
    );
    let found = made(TemplateId::Bastion, &[("networks", "192.0.2.0/28")]);
    found.check(&[("192.0.2.3", "shop/cart", "22")], &[("ops/jump", "shop/cart", "22")]);
}

#[test]
fn a_vendor_comes_in_until_the_window_ends_and_the_fence_stays() {
    let given = [
        ("networks", "192.0.2.50"),
        ("workload", "shop/cart"),
        ("ports", "8080"),
        ("until", "2026-12-24T18:00:00Z"),
    ];
    let made_of = made(TemplateId::VendorWindow, &given);
    made_of.check(
        &[("192.0.2.50", "shop/cart", "8080"), ("shop/frontend", "shop/cart", "8080")],
        &[("192.0.2.51", "shop/cart", "8080"), ("192.0.2.50", "shop/cart", "22")],
    );
    let gate = |name: &str| name.starts_with("vendor-window");
    let window = made_of.rules.policies().iter().find(|policy| gate(&policy.meta.name)).unwrap();
    assert_eq!(window.meta.annotations["sekisho.dev/expires-at"], "2026-12-24T18:00:00.000Z");
    let after = made_of.rules.policies().iter().filter(|policy| !gate(&policy.meta.name));
    let rules = RuleSet::new(after.cloned());
    Made { rules, ..made_of }
        .check(&[("shop/frontend", "shop/cart", "8080")], &[("192.0.2.50", "shop/cart", "8080")]);
}

#[test]
fn quarantine_cuts_off_what_other_policies_allow_but_for_forensics() {
    let given = [("workload", "shop/cart"), ("forensics", "ops/jump")];
    let made_of = made(TemplateId::Quarantine, &given);
    let least = made(TemplateId::LeastPrivilege, &[]);
    let rules = made_of.proposal.applied_to(&least.rules);
    let allowed = [("ops/jump", "shop/cart", "22"), ("shop/frontend", "shop/checkout", "8080")];
    let denied = [
        ("shop/frontend", "shop/cart", "8080"),
        ("shop/cart", "data/redis-cart", "6379"),
        ("shop/cart", "kube-system/coredns", "53/UDP"),
        ("shop/cart", "203.0.113.7", "443"),
        ("shop/cart", "node-1", "6443"),
        ("ops/jump", "shop/cart", "8080"),
    ];
    Made { rules, ..least }.check(&allowed, &denied);
    made_of.check(&allowed, &denied);
    made_of.check(&[], &[("203.0.113.7", "shop/cart", "8080")]);
    let mut by_label = made(TemplateId::Quarantine, &[]);
    by_label.check(&[("shop/frontend", "shop/cart", "8080")], &[]);
    for endpoint in &mut by_label.world.cluster.endpoints {
        if endpoint.workload.name == "cart" {
            endpoint.labels.extend(labels("sekisho.dev/quarantine=true"));
        }
    }
    by_label.check(&[("shop/frontend", "shop/checkout", "8080")], &denied[..5]);
}

#[test]
fn rules_stay_within_the_limits_of_the_api_and_mean_the_same() {
    let ports: Vec<String> = (1..=60).map(|port| format!("{}/TCP", port * 2)).collect();
    let nets: Vec<String> = (1..=60).map(|last| format!("192.0.2.{last}")).collect();
    let (ports, nets) = (ports.join(","), nets.join(","));
    let many = made(TemplateId::LateralMovement, &[("ports", &ports)]);
    many.check(&[("shop/cart", "shop/payment", "119")], &[("shop/cart", "shop/payment", "120")]);
    let addresses = made(TemplateId::CloudMetadata, &[("addresses", &nets)]);
    addresses.check(&[("shop/cart", "192.0.2.61", "1")], &[("shop/cart", "192.0.2.60", "1")]);
    for policy in many.proposal.cluster_policies.iter().chain(&addresses.proposal.cluster_policies)
    {
        for rule in &policy.egress {
            assert!(
                rule.peers.len() <= 25 && rule.ports.as_ref().is_none_or(|ports| ports.len() <= 25)
            );
        }
    }
}

#[test]
fn what_is_wrong_is_named_with_what_there_is() {
    let world = estate();
    let choices = Choices::new(&world.history, &world.cluster, None);
    let read = |id, name: &str, value: &str| {
        Template::read(id, &[(name.to_owned(), value.to_owned())], &choices)
            .unwrap_err()
            .to_string()
    };
    let error = read(TemplateId::CrownJewel, "workload", "data/mysql");
    assert!(error.starts_with("parameter `workload` of template `crown-jewel`: `data/mysql` is no workload that was seen; there are data/postgres[StatefulSet]"), "{error}");
    let error = read(TemplateId::Environment, "label", "stage");
    assert!(error.contains("`stage` is no label of a namespace; there are environment"), "{error}");
    let error = read(TemplateId::Environment, "values", "qa");
    assert!(error.ends_with("`qa` is not one of its values; there are dev, prod"), "{error}");
    let error = read(TemplateId::VmToCluster, "vm", "shop/cart");
    assert!(error.contains("there are hosts/legacy-db[Host]"), "{error}");
    let zone = choices.json(Some("tenant"));
    let values = &zone.as_array().unwrap().iter().find(|one| one["name"] == "environment").unwrap()
        ["parameters"][1];
    assert_eq!(values["choices"], serde_json::json!(["a", "b"]));
    let json = choices.json(None);
    assert_eq!(json.as_array().unwrap().len(), 17);
    let environment = json.as_array().unwrap().iter().find(|one| one["name"] == "environment");
    let environment = environment.unwrap();
    assert_eq!(environment["parameters"][0]["default"], "environment");
    assert_eq!(environment["parameters"][1]["choices"], serde_json::json!(["dev", "prod"]));
}
