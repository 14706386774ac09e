//! A flow as protobuf, in the form in which JSON is read: what it means is said once, there.

use std::borrow::Cow;

use super::ends::{Ended, Endpoint, Workload};
use super::{EventType, Flags, Flow, Icmp, Ip, L4, Policy, Ports, Service, Word};
use crate::observer::messages::{self, Layer4Protocol, direction, drop_reason, event, verdict};

impl<'a> Flow<'a> {
    /// The flow of a message.
    pub(crate) fn of_message(flow: &'a messages::Flow) -> Self {
        let time = flow.time.as_ref().and_then(crate::observer::time);
        Self {
            time: time.map(|time| Word(Cow::Owned(time.to_string()))),
            verdict: Some(word(verdict_word(flow.verdict))),
            drop_reason_desc: reason_word(flow).map(word),
            ip: flow
                .ip
                .as_ref()
                .map(|ip| Ip { source: text(&ip.source), destination: text(&ip.destination) }),
            l4: flow.l4.map(|l4| layer_4(l4.protocol)),
            source: flow.source.as_ref().map(ended),
            destination: flow.destination.as_ref().map(ended),
            // 3 = FlowType.SOCK.
            kind: (flow.kind == 3).then_some(word("SOCK")),
            node_name: Some(word(&flow.node_name)),
            source_names: flow.source_names.iter().map(|name| word(name)).collect(),
            destination_names: flow.destination_names.iter().map(|name| word(name)).collect(),
            event_type: flow.event_type.map(|event| EventType { kind: event.kind.into() }),
            destination_service: flow.destination_service.as_ref().map(service),
            source_service: flow.source_service.as_ref().map(service),
            traffic_direction: match flow.traffic_direction {
                direction::INGRESS => Some(word("INGRESS")),
                direction::EGRESS => Some(word("EGRESS")),
                _ => None,
            },
            is_reply: flow.is_reply.map(|is_reply| is_reply.value),
            egress_denied_by: flow.egress_denied_by.iter().map(policy).collect(),
            ingress_denied_by: flow.ingress_denied_by.iter().map(policy).collect(),
        }
    }
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn word(text: &str) -> Word<'_> {
    Word(Cow::Borrowed(text))
}

fn ended(end: &messages::Endpoint) -> Ended<'_> {
    Ended::Read(Box::new(Endpoint::of_message(end)))
}

fn verdict_word(number: i32) -> &'static str {
    match number {
        verdict::UNKNOWN => "VERDICT_UNKNOWN",
        verdict::FORWARDED => "FORWARDED",
        verdict::DROPPED => "DROPPED",
        verdict::ERROR => "ERROR",
        verdict::AUDIT => "AUDIT",
        verdict::REDIRECTED => "REDIRECTED",
        verdict::TRACED => "TRACED",
        verdict::TRANSLATED => "TRANSLATED",
        _ => "a verdict that is newer than this program",
    }
}

/// Why it was dropped, as far as it makes a difference: by a policy, or not.
fn reason_word(flow: &messages::Flow) -> Option<&'static str> {
    if flow.verdict != verdict::DROPPED {
        return None;
    }
    let is_drop = flow.event_type.is_some_and(|event| event.kind == event::DROP);
    match flow.drop_reason_desc {
        drop_reason::POLICY_DENIED => Some("POLICY_DENIED"),
        drop_reason::POLICY_DENY => Some("POLICY_DENY"),
        // Older servers name no reason, but for drops, where none is one that they don't know.
        0 if !is_drop => None,
        _ => Some("another"),
    }
}

fn layer_4(protocol: Option<Layer4Protocol>) -> L4 {
    let port = |number: u32| u16::try_from(number).unwrap_or(0);
    let plain = |ports: messages::Ports| Ports {
        source_port: port(ports.source_port),
        destination_port: port(ports.destination_port),
        flags: Flags::default(),
    };
    match protocol {
        Some(Layer4Protocol::Tcp(tcp)) => {
            let ports = messages::Ports {
                source_port: tcp.source_port,
                destination_port: tcp.destination_port,
            };
            let flags = tcp.flags.unwrap_or_default();
            let flags = Flags { syn: flags.syn, ack: flags.ack, rst: flags.rst };
            L4 { tcp: Some(Ports { flags, ..plain(ports) }), ..L4::default() }
        }
        Some(Layer4Protocol::Udp(ports)) => L4 { udp: Some(plain(ports)), ..L4::default() },
        Some(Layer4Protocol::Sctp(ports)) => L4 { sctp: Some(plain(ports)), ..L4::default() },
        Some(Layer4Protocol::Icmpv4(_)) => L4 { icmp: Some(Icmp {}), ..L4::default() },
        Some(Layer4Protocol::Icmpv6(_)) => L4 { icmp6: Some(Icmp {}), ..L4::default() },
        None => L4::default(),
    }
}

impl<'a> Endpoint<'a> {
    fn of_message(end: &'a messages::Endpoint) -> Self {
        let workload =
            |one: &'a messages::Workload| Workload { name: text(&one.name), kind: text(&one.kind) };
        Self {
            namespace: text(&end.namespace),
            labels: end.labels.iter().map(|label| word(label)).collect(),
            pod_name: text(&end.pod_name),
            workloads: end.workloads.iter().map(workload).collect(),
        }
    }
}

fn service(service: &messages::Service) -> Service<'_> {
    Service { name: text(&service.name), namespace: text(&service.namespace) }
}

fn policy(policy: &messages::Policy) -> Policy<'_> {
    Policy { name: text(&policy.name), namespace: text(&policy.namespace) }
}
