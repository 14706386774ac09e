//! `sekisho status`.

use sekisho_api::{ArchiveFigures, ImageReview, Status};
use sekisho_base::harmless;

use super::connect::ServerArg;
use super::{history, native, output};
use crate::cli::TableOrJson;
use crate::exit::Exit;
use crate::images;

const MIB: u64 = 1 << 20;

/// Prints the server's state; `Partial` if something is wrong.
pub(crate) fn run(server: &ServerArg, form: TableOrJson) -> anyhow::Result<Exit> {
    let status = history::call(server.connect()?.status())?;
    match form {
        TableOrJson::Json => output::print_json(&status)?,
        TableOrJson::Table => output::print(&table(&status))?,
    }
    let is_well = status.all().all(|of| of.problems.is_empty());
    Ok(if is_well { Exit::Done } else { Exit::Partial })
}

/// The status as text: the server, then each of its clusters; one that is alone is not named.
fn table(status: &Status) -> String {
    let sum = |pick: fn(&Status) -> u64| status.all().map(pick).sum::<u64>();
    let mut text = format!(
        "server {}, up {} s, {} MiB; {} flows, {} objects, history {} KiB on disk\n",
        status.version,
        status.time.seconds_since(status.started),
        status.memory_bytes / MIB,
        sum(|of| of.flows),
        sum(|of| of.objects),
        sum(|of| of.store.bytes) / 1_024,
    );
    let completeness =
        |of: &Status| format!("completeness of the last 15 minutes: {}\n", percent(of));
    let is_alone = status.others.is_empty();
    if is_alone {
        text.push_str(&completeness(status));
    }
    if let Some(listener) = &status.listener {
        text.push_str(&format!(
            "network: {}, {} connected, certificate until {}\n",
            listener.address, listener.connections, listener.not_after
        ));
    }
    if let Some(url) = &status.console {
        text.push_str(&format!("console: {url}\n"));
    }
    for of_cluster in status.all() {
        if !is_alone {
            text.push_str(&format!("\ncluster {}\n", of_cluster.cluster_name));
            text.push_str(&completeness(of_cluster));
        }
        text.push_str(&of_one(of_cluster));
    }
    for problem in status.all().flat_map(|of| &of.problems) {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

/// What there is to say of one cluster, after its completeness.
fn of_one(status: &Status) -> String {
    let policy = match (status.revision, status.staged) {
        (0, 0) => "none in force".to_owned(),
        (0, staged) => format!("revision {staged} staged, none enforced"),
        (enforced, 0) => format!("revision {enforced} enforced"),
        (enforced, staged) => format!("revision {enforced} enforced, {staged} staged"),
    };
    let mut text = format!("policy: {policy}\n");
    if let Some(found) = &status.native {
        text.push_str(&native::status(found, status.time));
    }
    text.push_str(&status.store.archive.as_ref().map(archive_line).unwrap_or_default());
    text.push_str(&status.images.as_ref().map(new_images).unwrap_or_default());
    text.push('\n');
    text.push_str(&agents(status));
    text.push_str(&cluster(status));
    text.push_str(&sources(status));
    text.push_str(&kernel_drops(status));
    for gap in &status.gaps {
        text.push_str(&format!("gap: {gap}\n"));
    }
    text
}

/// A line for what is shipped to ClickHouse.
fn archive_line(figures: &ArchiveFigures) -> String {
    let mut line = format!(
        "ClickHouse: {} segments shipped ({} rows), {} wait",
        figures.segments, figures.rows, figures.waiting_segments
    );
    if figures.waiting_segments > 0 {
        line.push_str(&format!(
            " ({} rows, the oldest for {} s)",
            figures.waiting_rows, figures.waiting_s
        ));
    }
    if figures.lost_segments > 0 {
        let (segments, rows) = (figures.lost_segments, figures.lost_rows);
        line.push_str(&format!(", {segments} were deleted before that ({rows} rows)"));
    }
    if let Some(until) = figures.only_there_until {
        line.push_str(&format!("; only there: before {until}"));
    }
    line.push('\n');
    line
}

/// A line for each workload whose image is new, and what the replay since said.
fn new_images(review: &ImageReview) -> String {
    let line = |change| harmless(&images::words(change, review.revision)) + "\n";
    let mut text: String = review.changes.iter().map(line).collect();
    if !review.changes.is_empty() {
        let new = match review.new_edges {
            1 => "1 new edge".to_owned(),
            more => format!("{more} new edges"),
        };
        text.push_str(&format!("  verified again: {} would block, {new}\n", review.would_block));
    }
    text
}

/// Rounded down: 99.99 % must not read as 100 %.
fn percent(status: &Status) -> String {
    format!("{:.1} %", (status.completeness * 1_000.0).floor() / 10.0)
}

fn agents(status: &Status) -> String {
    let head = ["node", "version", "heard", "produced", "delivered", "dropped", "shed", "memory"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for agent in &status.agents {
        let sum = |pick: fn(&sekisho_model::HookCounters) -> u64| {
            agent.hooks.iter().map(pick).sum::<u64>().to_string()
        };
        rows.push(vec![
            agent.node.clone(),
            agent.report.version.clone(),
            format!("{} s ago", status.time.seconds_since(agent.last_heard)),
            sum(|hook| hook.produced),
            sum(|hook| hook.delivered),
            sum(|hook| hook.dropped),
            agent.shed.to_string(),
            format!("{} MiB", agent.report.memory_bytes / MIB),
        ]);
    }
    output::columns(&rows, &[false, false, true, true, true, true, true, true])
}

/// The live cluster: a line for its API server, and one for each kind.
fn cluster(status: &Status) -> String {
    let Some(cluster) = &status.cluster else { return String::new() };
    let synced = if cluster.synced { "known in full" } else { "being listed" };
    let mut text = format!(
        "\nAPI server {} {}: {synced}, {} ms behind\n",
        cluster.server, cluster.version, cluster.lag_ms
    );
    let head = ["resource", "objects", "unreadable", "changes", "lists", "errors", "state"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for kind in &cluster.kinds {
        let dot = if kind.group.is_empty() { "" } else { "." };
        rows.push(vec![
            format!("{}{dot}{}", kind.resource, kind.group),
            kind.objects.to_string(),
            kind.unreadable.to_string(),
            kind.events.to_string(),
            kind.lists.to_string(),
            kind.errors.to_string(),
            kind.state.clone(),
        ]);
    }
    text.push_str(&output::columns(&rows, &[false, true, true, true, true, true, false]));
    text
}

/// A line for each live source, and one for each reason for which it rejected something.
fn sources(status: &Status) -> String {
    if status.sources.is_empty() {
        return String::new();
    }
    let head = ["source", "from", "state", "records", "rejected", "lost", "refused", "last flow"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for source in &status.sources {
        rows.push(vec![
            source.name.clone(),
            harmless(&source.from),
            source.state.clone(),
            source.records.to_string(),
            source.rejected.to_string(),
            source.lost.to_string(),
            source.refused.to_string(),
            source.last.map_or_else(|| "-".to_owned(), |last| last.to_string()),
        ]);
        for one in &source.reasons {
            let (name, count, reason) = (&source.name, one.count, &one.reason);
            let line = format!("{name}: {count} rejected: {reason}, first: {}", one.sample);
            notes.push_str(&format!("{}\n", harmless(&line)));
        }
    }
    let right = [false, false, false, true, true, true, true, false];
    format!("\n{}{notes}", output::columns(&rows, &right))
}

/// A line for each node whose kernel dropped packets, the most frequent reason first.
fn kernel_drops(status: &Status) -> String {
    let mut text = String::new();
    for agent in status.agents.iter().filter(|agent| !agent.report.drops.is_empty()) {
        let mut drops: Vec<_> = agent.report.drops.iter().collect();
        drops.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), reason));
        let drops: Vec<_> = drops.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let line = format!("packets dropped by the kernel of {}: {}", agent.node, drops.join(", "));
        text.push_str(&format!("{}\n", harmless(&line)));
    }
    text
}
