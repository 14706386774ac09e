//! Hubble's filters on our flows.
//!
//! It fails closed: a field that our records can't answer is refused by name, and so is one that is
//! not known here. A filter that is ignored would show flows as what was asked for.
//! Meanings are those of cilium v1.20 `pkg/hubble/filters`.

use std::net::IpAddr;

use ipnet::IpNet;
use prost::Message as _;

use super::messages::{
    Endpoint, EventTypeFilter, Flow, FlowFilter, Layer4Protocol, Service, Workload, verdict,
};
use super::pattern::{NodePattern, Pattern};
use super::selector::Selector;
use super::wire;

/// Filters of one question, and values of one of them, at most.
const FILTERS_MAX: usize = 256;
const VALUES_MAX: usize = 1_024;
/// Longest filter, bytes.
const FILTER_BYTES_MAX: usize = 64 << 10;

/// Fields of `flow.FlowFilter` that are answered ([`FlowFilter`]).
const ANSWERED: [u64; 26] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 24, 25, 26, 27, 30, 33, 37, 38,
];
const LAYER_7: &str = "our records end at layer 4";
const NO_PACKETS: &str = "our records are of connections, not of packets";
/// Fields that are known and not answered: number, name, why.
const UNANSWERED: [(u64, &str, &str); 15] = [
    (9, "http_status_code", LAYER_7),
    (18, "dns_query", LAYER_7),
    (21, "http_method", LAYER_7),
    (22, "http_path", LAYER_7),
    (23, "tcp_flags", NO_PACKETS),
    (28, "trace_id", LAYER_7),
    (29, "uuid", "our records have no numbers of their own"),
    (31, "http_url", LAYER_7),
    (32, "http_header", LAYER_7),
    (34, "source_ip_xlated", "our records hold the source as the destination saw it"),
    (35, "interface", NO_PACKETS),
    (36, "node_labels", "our records name nodes without their labels"),
    (39, "ip_trace_id", NO_PACKETS),
    (40, "encrypted", NO_PACKETS),
    (999, "experimental", "expressions are not evaluated here"),
];

/// A filter that can't be answered, or is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedFilter {
    /// A field that our records can't answer.
    #[error("filter field `{field}`: {why}")]
    Unanswered {
        /// Name in flow.FlowFilter.
        field: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A field of a newer FlowFilter.
    #[error("filter field number {0} is not known to this server: leave it out")]
    UnknownField(u64),
    /// A value that is none of its field.
    #[error("filter field `{field}`: {why}")]
    Value {
        /// Name in flow.FlowFilter.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// More than is worked on.
    #[error(
        "at most {FILTERS_MAX} filters of {VALUES_MAX} values and {FILTER_BYTES_MAX} bytes each"
    )]
    TooMany,
    /// No FlowFilter at all.
    #[error("a filter can't be decoded as flow.FlowFilter")]
    Undecodable,
}

type Test = Box<dyn Fn(&Flow) -> bool + Send + Sync>;

/// What is asked for: flows of any filter of the whitelist, and of none of the blacklist.
pub struct Filters {
    /// Each filter's tests, all of which must hold.
    white: Vec<Vec<Test>>,
    black: Vec<Vec<Test>>,
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (white, black) = (self.white.len(), self.black.len());
        f.debug_struct("Filters").field("white", &white).field("black", &black).finish()
    }
}

impl Filters {
    /// Reads encoded `flow.FlowFilter`s.
    ///
    /// # Errors
    /// [`RefusedFilter`], which names the field.
    pub fn read(white: &[Vec<u8>], black: &[Vec<u8>]) -> Result<Self, RefusedFilter> {
        if white.len() + black.len() > FILTERS_MAX {
            return Err(RefusedFilter::TooMany);
        }
        let all = |list: &[Vec<u8>]| -> Result<Vec<Vec<Test>>, RefusedFilter> {
            list.iter().map(|bytes| filter(bytes)).collect()
        };
        Ok(Self { white: all(white)?, black: all(black)? })
    }

    /// Whether `flow` is asked for.
    #[must_use]
    pub fn take(&self, flow: &Flow) -> bool {
        let any = |list: &[Vec<Test>]| list.iter().any(|tests| tests.iter().all(|test| test(flow)));
        (self.white.is_empty() || any(&self.white)) && !any(&self.black)
    }
}

fn filter(bytes: &[u8]) -> Result<Vec<Test>, RefusedFilter> {
    if bytes.len() > FILTER_BYTES_MAX {
        return Err(RefusedFilter::TooMany);
    }
    let numbers = wire::fields(bytes).ok_or(RefusedFilter::Undecodable)?;
    for number in &numbers {
        if let Some((_, field, why)) = UNANSWERED.iter().find(|(known, ..)| known == number) {
            return Err(RefusedFilter::Unanswered { field, why });
        }
        if !ANSWERED.contains(number) {
            return Err(RefusedFilter::UnknownField(*number));
        }
    }
    if numbers.len() > VALUES_MAX {
        return Err(RefusedFilter::TooMany);
    }
    let filter = FlowFilter::decode(bytes).map_err(|_cause| RefusedFilter::Undecodable)?;
    let mut tests = Tests(Vec::new());
    tests.of_ends(&filter)?;
    tests.of_flow(&filter)?;
    Ok(tests.0)
}

/// Reads each of `values`; the error names the field.
fn each<T>(
    field: &'static str,
    values: &[String],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, RefusedFilter> {
    let named = |why| RefusedFilter::Value { field, why };
    values.iter().map(|value| read(value).map_err(named)).collect()
}

struct Tests(Vec<Test>);

impl Tests {
    /// Adds a test, unless there is nothing to test.
    fn any<T: Send + Sync + 'static>(
        &mut self,
        wanted: Vec<T>,
        is: impl Fn(&T, &Flow) -> bool + Send + Sync + 'static,
    ) {
        if !wanted.is_empty() {
            self.0.push(Box::new(move |flow| wanted.iter().any(|one| is(one, flow))));
        }
    }

    /// Source and destination are tested alike.
    fn of_ends(&mut self, filter: &FlowFilter) -> Result<(), RefusedFilter> {
        let source: fn(&Flow) -> Option<&Endpoint> = |flow| flow.source.as_ref();
        let destination: fn(&Flow) -> Option<&Endpoint> = |flow| flow.destination.as_ref();
        let ip = |field, values: &[String]| each(field, values, network);
        self.any(ip("source_ip", &filter.source_ip)?, |network, flow| {
            is_in(network, flow.ip.as_ref().map(|ip| ip.source.as_str()))
        });
        self.any(ip("destination_ip", &filter.destination_ip)?, |network, flow| {
            is_in(network, flow.ip.as_ref().map(|ip| ip.destination.as_str()))
        });
        let pod = |flow: &Flow, of: fn(&Flow) -> Option<&Endpoint>, name: &Name| {
            of(flow).is_some_and(|end| name.means(&end.namespace, &end.pod_name))
        };
        let names = |field, values: &[String]| each(field, values, Name::parse);
        let wanted = names("source_pod", &filter.source_pod)?;
        self.any(wanted, move |name, flow| pod(flow, source, name));
        let wanted = names("destination_pod", &filter.destination_pod)?;
        self.any(wanted, move |name, flow| pod(flow, destination, name));
        let service = |service: Option<&Service>, name: &Name| {
            service.is_some_and(|service| name.means(&service.namespace, &service.name))
        };
        let wanted = names("source_service", &filter.source_service)?;
        self.any(wanted, move |name, flow| service(flow.source_service.as_ref(), name));
        let wanted = names("destination_service", &filter.destination_service)?;
        self.any(wanted, move |name, flow| service(flow.destination_service.as_ref(), name));
        let fqdn = |field, values: &[String]| each(field, values, Pattern::parse);
        self.any(fqdn("source_fqdn", &filter.source_fqdn)?, |pattern, flow| {
            flow.source_names.iter().any(|name| pattern.matches(name))
        });
        self.any(fqdn("destination_fqdn", &filter.destination_fqdn)?, |pattern, flow| {
            flow.destination_names.iter().any(|name| pattern.matches(name))
        });
        let ends = [(source, true), (destination, false)];
        for (end, at_source) in ends {
            let (field, labels, workloads, identities, clusters) = match at_source {
                true => (
                    "source_label",
                    &filter.source_label,
                    &filter.source_workload,
                    &filter.source_identity,
                    &filter.source_cluster_name,
                ),
                false => (
                    "destination_label",
                    &filter.destination_label,
                    &filter.destination_workload,
                    &filter.destination_identity,
                    &filter.destination_cluster_name,
                ),
            };
            self.any(each(field, labels, Selector::parse)?, move |selector, flow| {
                selector.matches(end(flow).map_or(&[], |end| end.labels.as_slice()))
            });
            self.any(workloads.clone(), move |wanted, flow| {
                end(flow)
                    .is_some_and(|end| end.workloads.iter().any(|one| is_workload(wanted, one)))
            });
            self.any(identities.clone(), move |wanted, flow| {
                end(flow).is_some_and(|end| end.identity == *wanted)
            });
            self.any(clusters.clone(), move |wanted, flow| {
                end(flow).is_some_and(|end| end.cluster_name == *wanted)
            });
        }
        Ok(())
    }

    fn of_flow(&mut self, filter: &FlowFilter) -> Result<(), RefusedFilter> {
        self.any(filter.verdict.clone(), |wanted, flow| flow.verdict == *wanted);
        self.any(filter.event_type.clone(), is_event);
        let port = |word: &str| {
            let port = word.parse::<u16>().map(u32::from);
            port.map_err(|_cause| format!("`{word}` is no port: 0 to 65535"))
        };
        let wanted = each("source_port", &filter.source_port, port)?;
        self.any(wanted, |port, flow| ports(flow).is_some_and(|(source, _)| source == *port));
        let wanted = each("destination_port", &filter.destination_port, port)?;
        self.any(wanted, |port, flow| ports(flow).is_some_and(|(_, to)| to == *port));
        self.any(each("protocol", &filter.protocol, protocol)?, |is, flow| {
            flow.l4.and_then(|l4| l4.protocol).is_some_and(is)
        });
        // As Hubble: a denied flow of which nobody knows it is none that answers.
        self.any(filter.reply.clone(), |wanted, flow| match flow.is_reply {
            Some(is_reply) => is_reply.value == *wanted,
            None => flow.verdict == verdict::DROPPED && !wanted,
        });
        let wanted = each("node_name", &filter.node_name, NodePattern::parse)?;
        self.any(wanted, |pattern, flow| pattern.matches(&flow.node_name));
        self.any(filter.ip_version.clone(), |wanted, flow| {
            flow.ip.as_ref().is_some_and(|ip| ip.ip_version == *wanted)
        });
        self.any(filter.traffic_direction.clone(), |wanted, flow| {
            flow.traffic_direction == *wanted
        });
        self.any(filter.drop_reason_desc.clone(), |wanted, flow| {
            flow.verdict == verdict::DROPPED && flow.drop_reason_desc == *wanted
        });
        Ok(())
    }
}

/// `NAMESPACE/PREFIX`, `NAMESPACE/` or `PREFIX` in the namespace `default`
/// (cilium pkg/hubble/k8s, ParseNamespaceName).
struct Name {
    namespace: String,
    prefix: String,
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [""] => Err("a name that is empty".to_owned()),
            [prefix] => Ok(Self { namespace: "default".to_owned(), prefix: (*prefix).to_owned() }),
            [namespace, prefix, ..] => {
                Ok(Self { namespace: (*namespace).to_owned(), prefix: (*prefix).to_owned() })
            }
            [] => Err("a name that is empty".to_owned()),
        }
    }

    fn means(&self, namespace: &str, name: &str) -> bool {
        let nobody = namespace.is_empty() && name.is_empty();
        !nobody
            && name.starts_with(&self.prefix)
            && (self.namespace.is_empty() || self.namespace == namespace)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let network = match text.contains('/') {
        true => text.parse().ok(),
        false => text.parse::<IpAddr>().ok().map(IpNet::from),
    };
    network
        .ok_or_else(|| format!("`{text}` is neither an address nor a network such as 10.0.0.0/8"))
}

fn is_in(network: &IpNet, address: Option<&str>) -> bool {
    let address = address.and_then(|address| address.parse::<IpAddr>().ok());
    address.is_some_and(|address| network.contains(&address))
}

fn is_workload(wanted: &Workload, one: &Workload) -> bool {
    (wanted.name.is_empty() || wanted.name == one.name)
        && (wanted.kind.is_empty() || wanted.kind == one.kind)
}

fn is_event(wanted: &EventTypeFilter, flow: &Flow) -> bool {
    flow.event_type.is_some_and(|event| {
        (wanted.kind == 0 || wanted.kind == event.kind)
            && (!wanted.match_sub_type || wanted.sub_type == event.sub_type)
    })
}

fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4?.protocol? {
        Layer4Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Layer4Protocol::Udp(ports) | Layer4Protocol::Sctp(ports) => {
            Some((ports.source_port, ports.destination_port))
        }
        Layer4Protocol::Icmpv4(_) | Layer4Protocol::Icmpv6(_) => None,
    }
}

fn protocol(word: &str) -> Result<fn(Layer4Protocol) -> bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Ok(|l4| matches!(l4, Layer4Protocol::Tcp(_))),
        "udp" => Ok(|l4| matches!(l4, Layer4Protocol::Udp(_))),
        "sctp" => Ok(|l4| matches!(l4, Layer4Protocol::Sctp(_))),
        "icmpv4" => Ok(|l4| matches!(l4, Layer4Protocol::Icmpv4(_))),
        "icmpv6" => Ok(|l4| matches!(l4, Layer4Protocol::Icmpv6(_))),
        "icmp" => Ok(|l4| matches!(l4, Layer4Protocol::Icmpv4(_) | Layer4Protocol::Icmpv6(_))),
        "dns" | "http" | "vrrp" | "igmp" => {
            Err(format!("`{word}` is not in our records: tcp, udp, sctp, icmp, icmpv4, icmpv6 are"))
        }
        _ => Err(format!("`{word}` is no protocol: tcp, udp, sctp, icmp, icmpv4, icmpv6")),
    }
}
