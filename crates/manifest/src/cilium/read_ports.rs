//! Reads ports, ICMP types and application conditions of Cilium rules.

use crate::at::{At, nearest, shorten};
use crate::cilium::read::read_word;
use crate::cilium::read_rule::{Side, read_name};
use crate::cilium::{
    Condition, IcmpFamily, IcmpField, IcmpRule, PortProtocol, PortRule, Protocol, icmp, known,
};
use crate::read_meta::string;
use crate::{PortRef, check};

/// Ports of an item of toPorts, and fields of an item of icmps, that Cilium takes.
const ITEMS_MAX: usize = 40;

/// Reads toPorts.
pub(super) fn read_port_rules(rule: &At<'_>, side: Side) -> Vec<PortRule> {
    rule.list("toPorts", |item| {
        let fields = if side.deny { known::PORT_DENY_RULE } else { known::PORT_RULE };
        if !item.check_fields(fields) {
            return None;
        }
        if let Some(ports) = item.get("ports") {
            ports.refuse_above(ITEMS_MAX, ports.lenient_items().len(), "ports");
        }
        let found =
            PortRule { ports: item.list("ports", read_port), conditions: read_conditions(item) };
        check_conditions(item, &found, side);
        Some(found)
    })
}

fn read_port(at: &At<'_>) -> Option<PortProtocol> {
    if !at.check_fields(known::PORT) {
        return None;
    }
    let protocol = match at.get("protocol").filter(|at| at.lenient_string() != Some("")) {
        Some(at) => read_word(&at, &Protocol::ALL, Protocol::as_str),
        None => Some(Protocol::Any),
    };
    let port = at.required("port").and_then(|at| read_port_ref(&at));
    let end = at.get("endPort").and_then(|at| {
        let end = at.int(0, u32::from(u16::MAX)).and_then(|end| u16::try_from(end).ok())?;
        Some((at, end))
    });
    let port = port?;
    let end_port = match (&port, end) {
        (PortRef::Number(first), Some((at, end))) if end != 0 => {
            if end < *first {
                at.wrong(format!("must not be below port {first}, found {end}"));
            }
            Some(end)
        }
        (PortRef::Number(_) | PortRef::Name(_), _) => None,
    };
    Some(PortProtocol { protocol: protocol?, port, end_port })
}

/// A port is a string here, of a number or a name.
fn read_port_ref(at: &At<'_>) -> Option<PortRef> {
    let text = at.string()?;
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        let number = text.parse::<u16>().ok().filter(|_| text == "0" || !text.starts_with('0'));
        if number.is_none() {
            at.wrong(format!("must be from \"0\" to \"{}\", found `{}`", u16::MAX, shorten(text)));
        }
        return number.map(PortRef::Number);
    }
    let name = text.to_ascii_lowercase();
    if let Some(message) = check::port_name(&name) {
        at.wrong(format!("`{}`: {message}", shorten(text)));
        return None;
    }
    Some(PortRef::Name(name))
}

fn read_conditions(item: &At<'_>) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(rules) = item.get("rules") {
        rules.check_fields(known::L7);
        read_application(&rules, &mut conditions);
    }
    let names = item.list("serverNames", |name| {
        if name.string() == Some("") {
            name.wrong("must not be empty");
        }
        Some(())
    });
    if !names.is_empty() {
        conditions.push(Condition::ServerNames);
    }
    for tls in ["terminatingTLS", "originatingTLS"] {
        let Some(tls) = item.get(tls) else { continue };
        tls.check_fields(known::TLS);
        if let Some(secret) = tls.required("secret") {
            secret.check_fields(known::SECRET);
        }
    }
    if let Some(listener) = item.get("listener") {
        listener.check_fields(known::LISTENER);
        if let Some(config) = listener.required("envoyConfig") {
            config.check_fields(known::ENVOY_CONFIG);
        }
        let name = listener.required("name").and_then(|at| at.string().map(str::to_owned));
        conditions.push(Condition::Listener(name.unwrap_or_default()));
    }
    conditions
}

/// http, kafka, dns or l7proto of `rules`.
fn read_application(rules: &At<'_>, conditions: &mut Vec<Condition>) {
    let http = rules.list("http", |item| {
        item.check_fields(known::HTTP);
        for header in item.get("headerMatches").iter().flat_map(At::items) {
            header.check_fields(known::HEADER_MATCH);
        }
        Some(())
    });
    let kafka = rules.list("kafka", |item| Some(item.check_fields(known::KAFKA)));
    let dns = rules.list("dns", |item| {
        item.check_fields(known::DOMAIN);
        for name in ["matchName", "matchPattern"] {
            if let Some(at) = item.get(name).filter(|at| at.lenient_string() != Some("")) {
                read_name(&at, if name == "matchPattern" { "*" } else { "" });
            }
        }
        Some(())
    });
    for (found, condition) in [
        (!http.is_empty(), Condition::Http),
        (!kafka.is_empty(), Condition::Kafka),
        (!dns.is_empty(), Condition::Dns),
    ] {
        if found {
            conditions.push(condition);
        }
    }
    let protocol = string(rules, "l7proto").filter(|name| !name.is_empty());
    if let (None, Some(l7)) = (&protocol, rules.get("l7")) {
        l7.wrong("needs `l7proto` beside it");
    }
    conditions.extend(protocol.map(Condition::Protocol));
    if conditions.len() > 1 {
        rules.wrong_with(
            "may hold rules of only one protocol",
            Some("write items of toPorts of their own".to_owned()),
        );
    }
}

/// What Cilium refuses beside application rules.
fn check_conditions(item: &At<'_>, found: &PortRule, side: Side) {
    let has_dns = found.conditions.contains(&Condition::Dns);
    let is_application = found.conditions.iter().any(|condition| match condition {
        Condition::Http | Condition::Kafka | Condition::Dns | Condition::Protocol(_) => true,
        Condition::ServerNames | Condition::Listener(_) => false,
    });
    let Some(rules) = item.get("rules").filter(|_| is_application) else { return };
    if has_dns && side.ingress {
        rules.wrong("DNS rules may stand only in egress");
    }
    if has_dns && found.ports.is_empty() {
        rules.wrong("DNS rules need port \"53\" in ports");
    }
    if item.get("listener").is_some() {
        rules.wrong("may not stand together with listener");
    }
    if found.conditions.contains(&Condition::ServerNames) && item.get("terminatingTLS").is_none() {
        rules.wrong("may not stand together with serverNames without terminatingTLS");
    }
    for port in &found.ports {
        if port.port == PortRef::Number(0) {
            rules.wrong("may not stand beside port \"0\"");
        }
        if !has_dns && port.protocol != Protocol::Tcp {
            rules.wrong(format!(
                "application rules need protocol TCP, found {} (DNS rules take UDP too)",
                port.protocol.as_str()
            ));
        }
        if has_dns && port.end_port.is_some() {
            rules.wrong("DNS rules may not stand beside a range of ports");
        }
    }
}

/// Reads icmps.
pub(super) fn read_icmps(rule: &At<'_>) -> Vec<IcmpRule> {
    rule.list("icmps", |item| {
        if !item.check_fields(known::ICMP_RULE) {
            return None;
        }
        if let Some(fields) = item.get("fields") {
            fields.refuse_above(ITEMS_MAX, fields.lenient_items().len(), "fields");
        }
        Some(IcmpRule { fields: item.list("fields", read_icmp) })
    })
}

fn read_icmp(at: &At<'_>) -> Option<IcmpField> {
    if !at.check_fields(known::ICMP_FIELD) {
        return None;
    }
    let family = match at.get("family").filter(|at| at.lenient_string() != Some("")) {
        Some(at) => {
            let all = [IcmpFamily::V4, IcmpFamily::V6];
            read_word(&at, &all, |family| match family {
                IcmpFamily::V4 => "IPv4",
                IcmpFamily::V6 => "IPv6",
            })?
        }
        None => IcmpFamily::V4,
    };
    let kind = at.required("type")?;
    let text = kind.lenient_string().unwrap_or_default();
    let number = if kind.is_string() {
        text.parse().ok()
    } else {
        Some(kind.int(0, u32::from(u8::MAX)).and_then(|number| u8::try_from(number).ok())?)
    };
    let names = icmp::names(family);
    let named = names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let Some(kind_number) = number.or(named) else {
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        kind.wrong_with(
            format!("`{}` is no ICMP type of this family", shorten(text)),
            nearest(text, &known).map(|name| format!("did you mean `{name}`?")),
        );
        return None;
    };
    Some(IcmpField { family, kind: kind_number })
}
