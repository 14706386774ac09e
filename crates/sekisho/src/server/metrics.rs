//! Prometheus text (exposition format 0.0.4). Labels are nodes, hooks and states only, so that the
//! number of series is bounded by the number of agents.

use std::fmt::Write;

use sekisho_api::Status;

use super::service::SILENT_S;

/// Writes all metrics.
pub(crate) fn exposition(status: &Status) -> String {
    let mut text = Text::default();
    text.family("sekisho_flows_total", "counter", "Flows recorded since the server started.");
    text.value("sekisho_flows_total", "", status.flows);
    text.family("sekisho_completeness_ratio", "gauge", "Completeness of the last 15 minutes.");
    text.value("sekisho_completeness_ratio", "", status.completeness);
    agents(&mut text, status);
    text.family("sekisho_joiner_total", "counter", "Halves of flows by what became of them.");
    for (state, count) in &status.joiner {
        text.value("sekisho_joiner_total", &format!("state=\"{state}\""), count);
    }
    text.family("sekisho_store_bytes", "gauge", "Bytes of history on disk.");
    text.value("sekisho_store_bytes", "", status.store.bytes);
    text.family("sekisho_store_degraded", "gauge", "1 if history can't be written.");
    text.value("sekisho_store_degraded", "", u8::from(!status.store.degraded.is_empty()));
    text.family("sekisho_policy_revision", "gauge", "Revision enforced; 0 = none.");
    text.value("sekisho_policy_revision", "", status.revision);
    text.family("sekisho_server_memory_bytes", "gauge", "Resident memory of the server.");
    text.value("sekisho_server_memory_bytes", "", status.memory_bytes);
    text.0
}

fn agents(text: &mut Text, status: &Status) {
    text.family("sekisho_agent_up", "gauge", "1 if the agent was heard in the last 15 s.");
    for agent in &status.agents {
        let up = status.time.seconds_since(agent.last_heard) < SILENT_S;
        text.value("sekisho_agent_up", &format!("node=\"{}\"", agent.node), u8::from(up));
    }
    text.family("sekisho_agent_memory_bytes", "gauge", "Resident memory of the agent.");
    for agent in &status.agents {
        let label = format!("node=\"{}\"", agent.node);
        text.value("sekisho_agent_memory_bytes", &label, agent.report.memory_bytes);
    }
    text.family("sekisho_agent_shed_total", "counter", "Reports the agent's full queue refused.");
    for agent in &status.agents {
        text.value("sekisho_agent_shed_total", &format!("node=\"{}\"", agent.node), agent.shed);
    }
    text.family(
        "sekisho_records_total",
        "counter",
        "Kernel records by hook; produced = delivered + dropped.",
    );
    for agent in &status.agents {
        for hook in &agent.hooks {
            let counts = [
                ("produced", hook.produced),
                ("delivered", hook.delivered),
                ("dropped", hook.dropped),
            ];
            for (state, count) in counts {
                let label =
                    format!("node=\"{}\",hook=\"{}\",state=\"{state}\"", agent.node, hook.hook);
                text.value("sekisho_records_total", &label, count);
            }
        }
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").ok();
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(self.0, "{name}{labels} {value}").ok();
    }
}
