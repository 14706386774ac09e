//! Reads rules of Calico policies.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::at::{At, shorten};
use crate::calico::read::{check_word, read_nets, read_selector, strings};
use crate::calico::{
    Entity, IcmpMatch, IpVersion, Port, Protocol, Rule, RuleAction, ServiceAccountMatch,
    ServiceMatch, known,
};
use crate::check;
use crate::read_meta::string;

/// Rules of one direction that the API takes.
const RULES_MAX: usize = 1024;
/// Address ranges of one end that the API takes.
const NETS_MAX: usize = 256;
/// Ports of one end that the API takes.
const PORTS_MAX: usize = 50;
/// Methods and paths of an HTTP condition that the API takes.
const HTTP_ITEMS_MAX: usize = 20;
const ICMP_TYPE_MAX: u32 = 254;
const PORT_NAME_CHARS_MAX: usize = 128;
const PROTOCOLS: &[&str] = &["TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite"];
const UDP_LITE: u8 = 136;

/// Reads the rules of a direction.
pub(super) fn read_rules(spec: &At<'_>, direction: &str) -> Vec<Rule> {
    let rules = spec.list(direction, |rule| read_rule(rule, direction));
    limit(spec, direction, RULES_MAX, "rules");
    rules
}

fn limit(at: &At<'_>, name: &str, most: usize, what: &str) {
    if let Some(list) = at.get(name) {
        list.refuse_above(most, list.lenient_items().len(), what);
    }
}

fn read_rule(at: &At<'_>, direction: &str) -> Option<Rule> {
    if !at.check_fields(known::RULE) {
        return None;
    }
    let action = at.required("action").and_then(|at| {
        let word = check_word(&at, &["Allow", "Deny", "Log", "Pass"])?;
        let all = [RuleAction::Allow, RuleAction::Deny, RuleAction::Log, RuleAction::Pass];
        all.into_iter().find(|action| action.as_str() == word)
    });
    let protocol = read_protocol(at, "protocol");
    let rule = Rule {
        action: action.unwrap_or(RuleAction::Deny),
        ip_version: read_ip_version(at),
        protocol: protocol.flatten(),
        not_protocol: read_protocol(at, "notProtocol").flatten(),
        icmp: read_icmp(at, "icmp"),
        not_icmp: read_icmp(at, "notICMP"),
        source: read_entity(at, "source"),
        destination: read_entity(at, "destination"),
        http: read_http(at),
        position: at.position(),
    };
    if let Some(metadata) = at.get("metadata") {
        metadata.check_fields(known::RULE_METADATA);
    }
    // What depends on the protocol is not judged if that was wrong.
    if protocol.is_some() {
        check_protocol(at, &rule);
    }
    check_addresses(at, &rule);
    check_services(at, &rule, direction);
    action.map(|_| rule)
}

/// Reads a protocol; `Some(None)` if absent, None if wrong.
#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
fn read_protocol(rule: &At<'_>, name: &str) -> Option<Option<Protocol>> {
    let Some(at) = rule.get(name) else { return Some(None) };
    let number = if at.is_string() {
        at.string().and_then(|text| text.parse().ok())
    } else {
        Some(at.int(1, u32::from(u8::MAX))?)
    };
    if let Some(number) = number {
        let number: Option<u8> = u8::try_from(number).ok().filter(|number| *number > 0);
        if number.is_none() {
            at.wrong(format!("must be from 1 to {}", u8::MAX));
        }
        return number.map(|number| Some(Protocol::of_number(number)));
    }
    Some(Some(match check_word(&at, PROTOCOLS)? {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        "ICMP" => Protocol::Icmp,
        "ICMPv6" => Protocol::IcmpV6,
        _ => Protocol::Other(UDP_LITE),
    }))
}

fn read_ip_version(rule: &At<'_>) -> Option<IpVersion> {
    let at = rule.get("ipVersion")?;
    match at.lenient_int() {
        Some(4) => Some(IpVersion::V4),
        Some(6) => Some(IpVersion::V6),
        _ => {
            at.wrong("must be 4 or 6");
            None
        }
    }
}

fn read_icmp(rule: &At<'_>, name: &str) -> Option<IcmpMatch> {
    let at = rule.get(name)?;
    if !at.check_fields(known::ICMP) {
        return None;
    }
    let number = |name, most| {
        let number = at.get(name).and_then(|at| at.int(0, most));
        number.and_then(|number| u8::try_from(number).ok())
    };
    let found =
        IcmpMatch { kind: number("type", ICMP_TYPE_MAX), code: number("code", u32::from(u8::MAX)) };
    if let Some(code) = at.get("code")
        && !at.has("type")
    {
        code.wrong("needs `type` beside it");
    }
    Some(found)
}

/// Whether there are HTTP conditions.
fn read_http(rule: &At<'_>) -> bool {
    let Some(at) = rule.get("http") else { return false };
    at.check_fields(known::HTTP);
    let methods = strings(&at, "methods");
    let paths = at.list("paths", |path| {
        path.check_fields(known::HTTP_PATH);
        if string(path, "exact").is_some() == string(path, "prefix").is_some() {
            path.wrong("must have either exact or prefix");
        }
        Some(())
    });
    limit(&at, "methods", HTTP_ITEMS_MAX, "methods");
    limit(&at, "paths", HTTP_ITEMS_MAX, "paths");
    !methods.is_empty() || !paths.is_empty()
}

fn read_entity(rule: &At<'_>, name: &str) -> Entity {
    let Some(at) = rule.get(name) else { return Entity::default() };
    if !at.check_fields(known::ENTITY) {
        return Entity::default();
    }
    for (name, most) in
        [("nets", NETS_MAX), ("notNets", NETS_MAX), ("ports", PORTS_MAX), ("notPorts", PORTS_MAX)]
    {
        limit(&at, name, most, "items");
    }
    let domains = strings(&at, "domains");
    if name == "source"
        && let (false, Some(at)) = (domains.is_empty(), at.get("domains"))
    {
        at.wrong("may stand only in destination");
    }
    Entity {
        nets: read_nets(&at, "nets"),
        not_nets: read_nets(&at, "notNets"),
        selector: read_selector(&at, "selector", false),
        not_selector: read_selector(&at, "notSelector", false),
        namespace_selector: read_selector(&at, "namespaceSelector", true),
        service_accounts: at.get("serviceAccounts").map(|at| {
            at.check_fields(known::SERVICE_ACCOUNTS);
            ServiceAccountMatch {
                names: strings(&at, "names"),
                selector: read_selector(&at, "selector", false),
            }
        }),
        services: at.get("services").and_then(|at| {
            at.check_fields(known::SERVICES);
            let namespace = string(&at, "namespace").filter(|text| !text.is_empty());
            let name = at.required("name").and_then(|at| at.string().map(str::to_owned))?;
            Some(ServiceMatch { name, namespace })
        }),
        ports: at.list("ports", read_port),
        not_ports: at.list("notPorts", read_port),
        domains,
    }
}

/// Reads a range or a single address.
pub(super) fn read_net(at: &At<'_>) -> Option<IpNet> {
    let text = at.string()?;
    let net = check::cidr(text).or_else(|| check::address(text).map(|it| it.to_canonical().into()));
    if net.is_none() {
        let shown = shorten(text);
        at.wrong(format!("`{shown}` is no address or range such as 10.0.0.0/8 or 2001:db8::/32"));
    }
    net
}

fn read_port(at: &At<'_>) -> Option<Port> {
    if !at.is_string() {
        let number = at.int(1, u32::from(u16::MAX))?;
        return u16::try_from(number).ok().map(|number| Port::Range(number, number));
    }
    let text = at.string()?;
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if is_number(first) && is_number(last) {
        let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            at.wrong(format!("ports go from 1 to {}, found `{}`", u16::MAX, shorten(text)));
            return None;
        };
        if first > last {
            at.wrong(format!("`{}` starts above its end", shorten(text)));
            return None;
        }
        return Some(Port::Range(first, last));
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.is_empty() || text.len() > PORT_NAME_CHARS_MAX || !text.chars().all(is_part) {
        at.wrong(format!("`{}` is no port, range such as 80:90 or port name", shorten(text)));
        return None;
    }
    Some(Port::Name(text.to_owned()))
}

fn check_protocol(at: &At<'_>, rule: &Rule) {
    let has_ports = rule.protocol.is_some_and(Protocol::has_ports);
    for (end, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
        for (name, ports) in [("ports", &entity.ports), ("notPorts", &entity.not_ports)] {
            if !has_ports
                && !ports.is_empty()
                && let Some(end) = at.get(end)
                && let Some(ports) = end.get(name)
            {
                ports.wrong("needs the rule's protocol to be TCP, UDP or SCTP");
            }
        }
    }
    let is_icmp = matches!(rule.protocol, Some(Protocol::Icmp | Protocol::IcmpV6));
    for name in ["icmp", "notICMP"] {
        if let (false, Some(icmp)) = (is_icmp, at.get(name)) {
            icmp.wrong("needs the rule's protocol to be ICMP or ICMPv6");
        }
    }
    for (name, protocol) in [("protocol", rule.protocol), ("notProtocol", rule.not_protocol)] {
        let version = match protocol {
            Some(Protocol::Icmp) => IpVersion::V4,
            Some(Protocol::IcmpV6) => IpVersion::V6,
            Some(Protocol::Tcp | Protocol::Udp | Protocol::Sctp | Protocol::Other(_)) | None => {
                continue;
            }
        };
        if rule.ip_version.is_some_and(|given| given != version)
            && let Some(at) = at.get(name)
        {
            at.wrong("does not fit the rule's ipVersion");
        }
    }
    if rule.http
        && let Some(http) = at.get("http")
    {
        if rule.action != RuleAction::Allow {
            http.wrong("may stand only in rules that allow");
        }
        if rule.protocol.is_some_and(|protocol| protocol != Protocol::Tcp) {
            http.wrong("needs the rule's protocol to be TCP, or absent");
        }
    }
}

/// One rule speaks about addresses of one version.
fn check_addresses(at: &At<'_>, rule: &Rule) {
    let mut version = rule.ip_version;
    for end in ["source", "destination"] {
        let Some(end) = at.get(end) else { continue };
        for name in ["nets", "notNets"] {
            let Some(list) = end.get(name) else { continue };
            for item in list.lenient_items() {
                let text = item.lenient_string().unwrap_or_default();
                let address = text.split('/').next().and_then(check::address);
                let found = match address.map(|address| address.to_canonical()) {
                    Some(IpAddr::V4(_)) => IpVersion::V4,
                    Some(IpAddr::V6(_)) => IpVersion::V6,
                    None => continue,
                };
                if *version.get_or_insert(found) != found {
                    item.wrong("a rule may not speak about addresses of IPv4 and IPv6 at once");
                }
            }
        }
    }
}

fn check_services(at: &At<'_>, rule: &Rule, direction: &str) {
    for (end, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
        if entity.services.is_none() {
            continue;
        }
        let Some(end_at) = at.get(end) else { continue };
        let mut beside = vec!["selector", "notSelector", "namespaceSelector", "serviceAccounts"];
        beside.extend(["nets", "notNets"]);
        if end == "destination" {
            beside.extend(["ports", "notPorts"]);
        }
        for name in beside {
            let given = end_at.get(name).filter(|field| {
                field.lenient_string() != Some("")
                    && (!is_list(name) || !field.lenient_items().is_empty())
            });
            if let Some(field) = given {
                field.wrong("may not stand beside services");
            }
        }
        let fits = matches!((direction, end), ("ingress", "source") | ("egress", "destination"));
        if !fits && let Some(services) = end_at.get("services") {
            services.wrong("may stand only in source of ingress and in destination of egress");
        }
    }
}

/// Whether a field of an end is a list, so that an empty one counts as absent.
fn is_list(name: &str) -> bool {
    matches!(name, "nets" | "notNets" | "ports" | "notPorts")
}

#[cfg(test)]
mod tests {
    use crate::calico::Protocol;

    #[test]
    fn numbers_of_named_protocols_are_the_names() {
        assert_eq!(Protocol::of_number(6), Protocol::Tcp);
        assert_eq!(Protocol::of_number(47), Protocol::Other(47));
    }
}
