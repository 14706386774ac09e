//! Prometheus text (exposition format 0.0.4). Labels are clusters, nodes, sources, hooks, states and the
//! kernel's drop reasons only, so that the number of series is bounded by the number of agents. Where
//! the server has one cluster only, the label `cluster` is left out.

use std::fmt::Write;

use sekisho_api::{AgentStatus, SourceStatus, Status};
use sekisho_exchange::{MetricFamily, MetricKind, MetricPoint, Number};
use sekisho_model::Timestamp;

use super::service::SILENT_S;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Writes all metrics.
pub(crate) fn exposition(status: &Status) -> String {
    gathered(status).written()
}

/// The same as families, for who pushes them.
pub(crate) fn families(status: &Status) -> Vec<MetricFamily> {
    gathered(status).families.into_iter().map(|family| family.metric).collect()
}

fn gathered(status: &Status) -> Text {
    let mut text = Text { since: status.started, ..Text::default() };
    text.family("sekisho_build_info", "gauge", "Always 1; the version is a label.");
    text.value("sekisho_build_info", &[("version", &status.version)], 1_u64);
    let help = "Resident memory of the server.";
    text.single("sekisho_server_memory_bytes", "gauge", help, status.memory_bytes);
    text.single("sekisho_clusters", "gauge", "Clusters of the server.", status.all().count());
    listener(&mut text, status);
    super::sinks::metrics(&mut text, &status.sinks);
    for of_cluster in status.all() {
        if !status.others.is_empty() {
            text.cluster = Some(of_cluster.cluster_name.to_string());
        }
        cluster(&mut text, of_cluster);
    }
    text
}

/// Writes the metrics of one cluster.
fn cluster(text: &mut Text, status: &Status) {
    text.single("sekisho_flows_total", "counter", "Flows since the server started.", status.flows);
    let help = "Completeness of the last 15 minutes.";
    text.single("sekisho_completeness_ratio", "gauge", help, status.completeness);
    let help = "Things that are wrong now; `sekisho status` names them.";
    text.single("sekisho_problems", "gauge", help, status.problems.len());
    text.family("sekisho_batches_total", "counter", "Batches by what became of them.");
    let ingest = status.ingest;
    for (state, count) in
        [("taken", ingest.taken), ("repeated", ingest.repeated), ("refused", ingest.refused)]
    {
        text.value("sekisho_batches_total", &[("state", state)], count);
    }
    text.family("sekisho_joiner_total", "counter", "Halves of flows by what became of them.");
    for (state, count) in &status.joiner {
        text.value("sekisho_joiner_total", &[("state", state)], count);
    }
    text.family("sekisho_joiner_held", "gauge", "Connections that the joiner holds now.");
    for (state, count) in &status.joiner_held {
        text.value("sekisho_joiner_held", &[("state", state)], count);
    }
    store(text, status);
    super::metrics_cluster::cluster(text, status);
    sources(text, status);
    agents(text, status);
    certificates(text, status);
    kernel_drops(text, status);
    super::native_words::metrics(text, status);
    super::images::metrics(text, status);
}

fn sources(text: &mut Text, status: &Status) {
    type Figure = fn(&SourceStatus) -> u64;
    let figures: [(&str, &str, &str, Figure); 6] = [
        ("sekisho_source_up", "gauge", "1 if the live source works.", |source| {
            u64::from(source.problem.is_empty() && source.state != "starting")
        }),
        ("sekisho_source_units_total", "counter", "Lines, messages and records read.", |source| {
            source.units
        }),
        ("sekisho_source_records_total", "counter", "Flows that they gave.", |source| {
            source.records
        }),
        ("sekisho_source_rejected_total", "counter", "Units not understood.", |source| {
            source.rejected
        }),
        ("sekisho_source_lost_total", "counter", "Records that were lost before.", |source| {
            source.lost
        }),
        (
            "sekisho_source_refused_total",
            "counter",
            "Datagrams and connections of senders that may not send.",
            |source| source.refused,
        ),
    ];
    for (name, kind, help, figure) in figures {
        if !status.sources.is_empty() {
            text.family(name, kind, help);
        }
        for source in &status.sources {
            text.value(name, &[("source", &source.name)], figure(source));
        }
    }
}

fn store(text: &mut Text, status: &Status) {
    let figures = &status.store;
    text.single("sekisho_store_bytes", "gauge", "Bytes of history on disk.", figures.bytes);
    text.single("sekisho_store_segments", "gauge", "Sealed segments.", figures.segments);
    text.single("sekisho_store_hot_rows", "gauge", "Rows in memory.", figures.hot_rows);
    let degraded = u8::from(!figures.degraded.is_empty());
    text.single("sekisho_store_degraded", "gauge", "1 if history can't be written.", degraded);
    let help = "Revision enforced; 0 = none.";
    text.single("sekisho_policy_revision", "gauge", help, status.revision);
    let help = "Number of the newest order to the nodes.";
    text.single("sekisho_order_generation", "gauge", help, status.generation);
    super::archive::metrics(text, status);
    text.single("sekisho_objects", "gauge", "Objects of the cluster known.", status.objects);
}

fn listener(text: &mut Text, status: &Status) {
    let Some(listener) = &status.listener else { return };
    let help = "Clients on the network that proved who they are, connected now.";
    text.single("sekisho_listener_connections", "gauge", help, listener.connections);
    text.family("sekisho_listener_clients_total", "counter", "Clients by what became of them.");
    let counts = [
        ("accepted", listener.accepted),
        ("failed", listener.failed),
        ("refused", listener.refused),
    ];
    for (state, count) in counts {
        text.value("sekisho_listener_clients_total", &[("state", state)], count);
    }
    let help = "End of the server's certificate, Unix time.";
    let until_s = listener.not_after.nanos() / NANOS_PER_SECOND;
    text.single("sekisho_certificate_expiry_timestamp_seconds", "gauge", help, until_s);
}

fn certificates(text: &mut Text, status: &Status) {
    let help = "End of the agent's certificate, Unix time.";
    text.family("sekisho_agent_certificate_expiry_timestamp_seconds", "gauge", help);
    for agent in &status.agents {
        if let Some(until) = agent.report.certificate_until {
            let name = "sekisho_agent_certificate_expiry_timestamp_seconds";
            text.value(name, &[("node", &agent.node)], until.nanos() / NANOS_PER_SECOND);
        }
    }
}

fn agents(text: &mut Text, status: &Status) {
    type Figure = fn(&Status, &AgentStatus) -> u64;
    let figures: [(&str, &str, &str, Figure); 6] = [
        (
            "sekisho_agent_up",
            "gauge",
            "1 if the agent was heard in the last 15 s.",
            |all, agent| u64::from(all.time.seconds_since(agent.last_heard) < SILENT_S),
        ),
        ("sekisho_agent_memory_bytes", "gauge", "Resident memory of the agent.", |_, agent| {
            agent.report.memory_bytes
        }),
        (
            "sekisho_agent_shed_total",
            "counter",
            "Reports that the agent's full queue refused.",
            |_, agent| agent.shed,
        ),
        (
            "sekisho_agent_tampered_total",
            "counter",
            "Times that somebody else changed our rules.",
            |_, agent| agent.report.tampered,
        ),
        (
            "sekisho_agent_order_generation",
            "gauge",
            "Number of the order in force there.",
            |_, agent| agent.report.generation,
        ),
        (
            "sekisho_agent_error",
            "gauge",
            "1 if the last order is not in force there.",
            |_, agent| u64::from(!agent.report.error.is_empty()),
        ),
    ];
    for (name, kind, help, figure) in figures {
        text.family(name, kind, help);
        for agent in &status.agents {
            text.since = agent.epoch;
            text.value(name, &[("node", &agent.node)], figure(status, agent));
        }
    }
    let help = "Records by hook; produced = delivered + dropped.";
    text.family("sekisho_records_total", "counter", help);
    for agent in &status.agents {
        text.since = agent.epoch;
        for hook in &agent.hooks {
            let counts = [
                ("produced", hook.produced),
                ("delivered", hook.delivered),
                ("dropped", hook.dropped),
            ];
            for (state, count) in counts {
                let labels =
                    [("node", agent.node.as_str()), ("hook", &hook.hook), ("state", state)];
                text.value("sekisho_records_total", &labels, count);
            }
        }
    }
    let help = "What the agent's assembler holds now and let go since its start.";
    text.family("sekisho_agent_assembler", "untyped", help);
    for agent in &status.agents {
        for (state, count) in &agent.report.assembler {
            let labels = [("node", agent.node.as_str()), ("state", state)];
            text.value("sekisho_agent_assembler", &labels, count);
        }
    }
    text.since = status.started;
}

fn kernel_drops(text: &mut Text, status: &Status) {
    let help = "Packets dropped by the node's kernel, by its reason; denials are not among them.";
    text.family("sekisho_kernel_dropped_packets_total", "counter", help);
    for agent in &status.agents {
        text.since = agent.epoch;
        for (reason, count) in &agent.report.drops {
            let labels = [("node", agent.node.as_str()), ("reason", reason)];
            text.value("sekisho_kernel_dropped_packets_total", &labels, count);
        }
    }
    text.since = status.started;
}

/// Families of series, in the order in which they came up. What is written of one family for several
/// clusters stands together, as the format asks.
#[derive(Default)]
pub(crate) struct Text {
    families: Vec<Family>,
    /// The cluster of what is written now; None = of the server, or there is one only.
    cluster: Option<String>,
    /// Since when what is written now is counted.
    since: Timestamp,
}

struct Family {
    /// As the format names it.
    kind: String,
    metric: MetricFamily,
}

impl Text {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        if self.families.iter().all(|family| family.metric.name != name) {
            let metric = MetricFamily {
                name: name.to_owned(),
                help: help.to_owned(),
                kind: if kind == "counter" { MetricKind::Counter } else { MetricKind::Gauge },
                points: Vec::new(),
            };
            self.families.push(Family { kind: kind.to_owned(), metric });
        }
    }

    /// Adds a series to a family that was begun before.
    pub(crate) fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Into<Number>) {
        let Some(family) = self.families.iter_mut().find(|family| family.metric.name == name)
        else {
            return;
        };
        let cluster = self.cluster.as_deref().map(|cluster| ("cluster", cluster));
        let labels = cluster.iter().chain(labels);
        let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let point =
            MetricPoint { labels: labels.collect(), value: value.into(), since: self.since };
        family.metric.points.push(point);
    }

    fn written(self) -> String {
        let mut text = String::new();
        for Family { kind, metric: MetricFamily { name, help, points, .. } } in self.families {
            // Writing to a String cannot fail.
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
            for MetricPoint { labels, value, .. } in points {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
                    .collect();
                let labels = match labels.is_empty() {
                    true => String::new(),
                    false => format!("{{{}}}", labels.join(",")),
                };
                writeln!(text, "{name}{labels} {value}").ok();
            }
        }
        text
    }

    /// A family of one series without labels.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Into<Number>) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

/// Escapes a label's value: backslash, quote and line feed, as the format asks.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_two_clusters_stands_in_one_family_with_the_cluster_as_a_label() {
        let mut text = Text::default();
        text.single("a", "gauge", "Help.", 1_u64);
        for (cluster, value) in [("east", 2_u64), ("west", 3)] {
            text.cluster = Some(cluster.to_owned());
            text.family("b_total", "counter", "More.");
            text.value("b_total", &[("node", "n")], value);
            text.single("c", "gauge", "Last.", value);
        }
        let expected = "# HELP a Help.\n# TYPE a gauge\na 1\n\
                        # HELP b_total More.\n# TYPE b_total counter\n\
                        b_total{cluster=\"east\",node=\"n\"} 2\n\
                        b_total{cluster=\"west\",node=\"n\"} 3\n\
                        # HELP c Last.\n# TYPE c gauge\n\
                        c{cluster=\"east\"} 2\nc{cluster=\"west\"} 3\n";
        assert_eq!(text.written(), expected);
    }
}
