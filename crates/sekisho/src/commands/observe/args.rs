//! The flags of `sekisho observe`.

use clap::{Args, ValueEnum};
use sekisho_flow::{FlowFilter, VerdictFilter};

use crate::cli::HistoryArgs;

/// Which flows, and in what form.
#[derive(Debug, Args)]
pub(crate) struct ObserveArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,
    /// Keep printing new flows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// At most this many of the newest.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// As it was at this time: the 15 minutes before it.
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["since", "until", "follow"])]
    pub(crate) at: Option<sekisho_model::When>,
    /// One line for each edge of the window, with when it was seen first and last, in place of one
    /// for each minute.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) edges: bool,
    /// Source pod, as `namespace/name` or `name`; a prefix will do.
    #[arg(long, value_name = "POD")]
    pub(crate) from_pod: Option<String>,
    /// Destination pod.
    #[arg(long, value_name = "POD")]
    pub(crate) to_pod: Option<String>,
    /// Pod at either end.
    #[arg(long, value_name = "POD")]
    pub(crate) pod: Option<String>,
    /// Source namespace.
    #[arg(long, value_name = "NS")]
    pub(crate) from_namespace: Option<String>,
    /// Destination namespace.
    #[arg(long, value_name = "NS")]
    pub(crate) to_namespace: Option<String>,
    /// Namespace at either end.
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// Source workload, as `namespace/name` or `name`.
    #[arg(long, value_name = "W")]
    pub(crate) from_workload: Option<String>,
    /// Destination workload.
    #[arg(long, value_name = "W")]
    pub(crate) to_workload: Option<String>,
    /// Workload at either end.
    #[arg(long, value_name = "W")]
    pub(crate) workload: Option<String>,
    /// Source address.
    #[arg(long, value_name = "IP")]
    pub(crate) from_ip: Option<std::net::IpAddr>,
    /// Destination address.
    #[arg(long, value_name = "IP")]
    pub(crate) to_ip: Option<std::net::IpAddr>,
    /// DNS name of the destination; `*` matches any characters.
    #[arg(long, value_name = "NAME")]
    pub(crate) to_fqdn: Option<String>,
    /// Destination port.
    #[arg(long, value_name = "PORT")]
    pub(crate) to_port: Option<u16>,
    /// tcp, udp, sctp or icmp.
    #[arg(long, value_name = "P")]
    pub(crate) protocol: Option<sekisho_model::Protocol>,
    /// allowed, denied, would_deny, unknown, or dropped: denied by a policy or dropped by the kernel
    /// for another reason.
    #[arg(long, value_name = "V")]
    pub(crate) verdict: Option<VerdictFilter>,
    /// Executable or command name at either end; `*` matches any characters.
    #[arg(long, value_name = "NAME")]
    pub(crate) process: Option<String>,
    /// Policy that decided, as `namespace/name`.
    #[arg(long, value_name = "POLICY")]
    pub(crate) decided_by: Option<String>,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = FlowOutput::Compact)]
    pub(crate) output: FlowOutput,
}

impl ObserveArgs {
    /// Which flows are asked for.
    pub(crate) fn filter(&self) -> FlowFilter {
        FlowFilter {
            from_pod: self.from_pod.clone(),
            to_pod: self.to_pod.clone(),
            pod: self.pod.clone(),
            from_namespace: self.from_namespace.clone(),
            to_namespace: self.to_namespace.clone(),
            namespace: self.namespace.clone(),
            from_workload: self.from_workload.clone(),
            to_workload: self.to_workload.clone(),
            workload: self.workload.clone(),
            from_ip: self.from_ip,
            to_ip: self.to_ip,
            to_fqdn: self.to_fqdn.clone(),
            to_port: self.to_port,
            protocol: self.protocol,
            verdict: self.verdict,
            process: self.process.clone(),
            decided_by: self.decided_by.clone(),
        }
    }
}

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlowOutput {
    Compact,
    Json,
}
