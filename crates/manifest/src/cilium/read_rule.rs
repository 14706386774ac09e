//! Reads rules of Cilium policies and their peers.

use ipnet::IpNet;

use crate::at::{At, shorten};
use crate::cilium::read::{read_selector, read_word};
use crate::cilium::read_ports::{read_icmps, read_port_rules};
use crate::cilium::{
    Authentication, CidrRule, CidrSource, DomainMatch, Entity, Peers, Rule, ServiceMatch, known,
};
use crate::read_meta::string;
use crate::read_policy::read_cidr;

/// Characters of a domain name or pattern that the API takes.
const DOMAIN_CHARS_MAX: usize = 255;

/// One of the four lists of rules: names and allowed fields.
#[derive(Clone, Copy)]
pub(super) struct Side {
    list: &'static str,
    fields: &'static [&'static str],
    names: &'static Names,
    pub(super) ingress: bool,
    pub(super) deny: bool,
}

/// How the peer fields of a direction are called.
struct Names {
    endpoints: &'static str,
    requires: &'static str,
    cidr: &'static str,
    cidr_set: &'static str,
    entities: &'static str,
    nodes: &'static str,
    groups: &'static str,
}

const FROM: Names = Names {
    endpoints: "fromEndpoints",
    requires: "fromRequires",
    cidr: "fromCIDR",
    cidr_set: "fromCIDRSet",
    entities: "fromEntities",
    nodes: "fromNodes",
    groups: "fromGroups",
};
const TO: Names = Names {
    endpoints: "toEndpoints",
    requires: "toRequires",
    cidr: "toCIDR",
    cidr_set: "toCIDRSet",
    entities: "toEntities",
    nodes: "toNodes",
    groups: "toGroups",
};

impl Side {
    pub(super) const INGRESS: Self =
        Self { list: "ingress", fields: known::INGRESS, names: &FROM, ingress: true, deny: false };
    pub(super) const INGRESS_DENY: Self = Self {
        list: "ingressDeny",
        fields: known::INGRESS_DENY,
        names: &FROM,
        ingress: true,
        deny: true,
    };
    pub(super) const EGRESS: Self =
        Self { list: "egress", fields: known::EGRESS, names: &TO, ingress: false, deny: false };
    pub(super) const EGRESS_DENY: Self = Self {
        list: "egressDeny",
        fields: known::EGRESS_DENY,
        names: &TO,
        ingress: false,
        deny: true,
    };
}

/// Reads a list of rules.
pub(super) fn read_rules(spec: &At<'_>, side: Side) -> Vec<Rule> {
    spec.list(side.list, |rule| {
        if !rule.check_fields(side.fields) {
            return None;
        }
        if let (Some(icmps), Some(ports)) = (rule.get("icmps"), rule.get("toPorts"))
            && !icmps.lenient_items().is_empty()
            && !ports.lenient_items().is_empty()
        {
            icmps.wrong_with(
                "may not stand together with toPorts",
                Some("write two rules".to_owned()),
            );
        }
        Some(Rule {
            peers: read_peers(rule, side),
            requires: rule.list(side.names.requires, read_selector),
            ports: read_port_rules(rule, side),
            icmps: read_icmps(rule),
            authentication: rule.get("authentication").and_then(|at| {
                at.check_fields(known::AUTHENTICATION);
                let mode = at.required("mode")?;
                read_word(&mode, &Authentication::ALL, Authentication::as_str)
            }),
            position: rule.position(),
        })
    })
}

/// The one peer field of a rule. Of the fields that the first five read, an empty list is not the
/// same as none: it matches no peer.
fn read_peers(rule: &At<'_>, side: Side) -> Option<Peers> {
    let names = side.names;
    let mut given: Vec<(&str, Peers)> = Vec::new();
    let mut add = |name, read: &dyn Fn() -> Peers| {
        if rule.get(name).is_some() {
            given.push((name, read()));
        }
    };
    let selectors = |name| rule.list(name, read_selector);
    add(names.endpoints, &|| Peers::Endpoints(selectors(names.endpoints)));
    add(names.nodes, &|| Peers::Nodes(selectors(names.nodes)));
    add(names.entities, &|| {
        Peers::Entities(
            rule.list(names.entities, |item| read_word(item, &Entity::ALL, Entity::as_str)),
        )
    });
    add(names.cidr, &|| Peers::Networks(rule.list(names.cidr, read_plain_cidr)));
    add(names.cidr_set, &|| Peers::Networks(rule.list(names.cidr_set, read_cidr_rule)));
    add(names.groups, &|| Peers::Groups(read_groups(rule, names.groups)));
    if !side.ingress {
        add("toServices", &|| Peers::Services(rule.list("toServices", read_service)));
        add("toFQDNs", &|| Peers::Domains(rule.list("toFQDNs", read_domain)));
    }
    let is_full = |name: &str| rule.get(name).is_some_and(|at| !at.lenient_items().is_empty());
    let full: Vec<&str> =
        given.iter().map(|(name, _)| *name).filter(|name| is_full(name)).collect();
    if let [first, second, ..] = full.as_slice()
        && let Some(second_at) = rule.get(second)
    {
        second_at.wrong_with(
            format!("may not stand together with {first}"),
            Some("write two rules".to_owned()),
        );
        return None;
    }
    // An empty list of the kinds that Cilium looks at wins over everything beside it.
    let empty = given.iter().find(|(name, peers)| {
        !is_full(name)
            && !matches!(peers, Peers::Groups(_) | Peers::Services(_) | Peers::Domains(_))
    });
    if let Some((_, peers)) = empty {
        return Some(peers.clone());
    }
    given.into_iter().find(|(name, _)| is_full(name)).map(|(_, peers)| peers)
}

fn read_plain_cidr(at: &At<'_>) -> Option<CidrRule> {
    Some(CidrRule { source: CidrSource::Cidr(read_cidr(at)?), except: Vec::new() })
}

fn read_cidr_rule(at: &At<'_>) -> Option<CidrRule> {
    if !at.check_fields(known::CIDR_RULE) {
        return None;
    }
    let name = |name| string(at, name).filter(|text| !text.is_empty());
    let cidr = at.get("cidr").map(|at| read_cidr(&at));
    let group = name("cidrGroupRef");
    let selector = at.get("cidrGroupSelector").map(|at| crate::read_policy::read_selector(&at));
    let range = cidr.flatten();
    let except = at.list("except", |item| read_except(item, range));
    let source = match (cidr, group, selector) {
        (Some(cidr), None, None) => CidrSource::Cidr(cidr?),
        (None, Some(group), None) => CidrSource::Group(group),
        (None, None, Some(selector)) => CidrSource::GroupSelector(selector?),
        _ => {
            at.wrong("must have exactly one of cidr, cidrGroupRef, cidrGroupSelector");
            return None;
        }
    };
    Some(CidrRule { source, except })
}

fn read_except(item: &At<'_>, range: Option<IpNet>) -> Option<IpNet> {
    let except = read_cidr(item)?;
    if let Some(range) = range
        && !range.contains(&except.network())
    {
        item.wrong(format!("`{except}` must be a part of cidr `{range}`"));
        return None;
    }
    Some(except)
}

fn read_groups(rule: &At<'_>, name: &str) -> u32 {
    let groups = rule.list(name, |item| {
        item.check_fields(known::GROUP);
        if let Some(aws) = item.get("aws") {
            aws.check_fields(known::AWS_GROUP);
        }
        Some(())
    });
    u32::try_from(groups.len()).unwrap_or(u32::MAX)
}

fn read_service(at: &At<'_>) -> Option<ServiceMatch> {
    if !at.check_fields(known::SERVICE) {
        return None;
    }
    let namespace = |at: &At<'_>| string(at, "namespace").unwrap_or_default();
    let service = at.get("k8sService").map(|at| {
        at.check_fields(known::K8S_SERVICE);
        let name = at.required("serviceName").and_then(|at| at.string().map(str::to_owned));
        (namespace(&at), name.unwrap_or_default())
    });
    let selector = at.get("k8sServiceSelector").and_then(|at| {
        at.check_fields(known::K8S_SERVICE_SELECTOR);
        let selector = at.required("selector").and_then(|at| read_selector(&at))?;
        Some((namespace(&at), selector))
    });
    if service.is_none() && selector.is_none() {
        at.wrong("must have k8sService or k8sServiceSelector");
        return None;
    }
    Some(ServiceMatch { service, selector })
}

/// Reads a domain of toFQDNs.
fn read_domain(at: &At<'_>) -> Option<DomainMatch> {
    if !at.check_fields(known::DOMAIN) {
        return None;
    }
    let given = |name| at.get(name).filter(|at| at.lenient_string() != Some(""));
    match (given("matchName"), given("matchPattern")) {
        (Some(name), None) => read_name(&name, "").map(DomainMatch::Name),
        (None, Some(pattern)) => read_name(&pattern, "*").map(DomainMatch::Pattern),
        (Some(_), Some(pattern)) => {
            pattern.wrong("may not stand together with matchName");
            None
        }
        (None, None) => {
            at.wrong("must have matchName or matchPattern");
            None
        }
    }
}

/// A domain in lower case and without the final dot, with letters, digits, `-`, `_`, `.` and those
/// in `more`.
pub(super) fn read_name(at: &At<'_>, more: &str) -> Option<String> {
    let text = at.string()?;
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') || more.contains(c);
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.split('.').any(str::is_empty) || !text.chars().all(fits) {
        at.wrong(format!("`{}` is no domain name", shorten(text)));
        return None;
    }
    at.refuse_above(DOMAIN_CHARS_MAX, text.len(), "characters");
    Some(name.to_ascii_lowercase())
}
