//! `sekisho map`.

use std::collections::BTreeSet;

use sekisho_map::{Grouping, MapOptions};
use sekisho_model::TimeRange;

use super::{history, output};
use crate::cli::{GroupBy, MapArgs, MapOutput};
use crate::exit::Exit;
use crate::pipeline;

/// Span of `--at`, seconds.
const AT_WINDOW_S: u64 = 900;

/// Prints the map; `Partial` if the history behind it has gaps.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<Exit> {
    let now = history::now();
    let range = match args.at {
        Some(at) => TimeRange { from: at.at(now).minus_seconds(AT_WINDOW_S), to: at.at(now) },
        None => args.history.range(now),
    };
    let history = history::load_all(&args.history, range)?;
    let options = MapOptions {
        grouping: grouping(args.by),
        range: history.window,
        hide_dns: args.hide_dns,
        hide_probes: args.hide_probes,
        clusters: history.mixed,
        namespaces: args.namespace.iter().cloned().collect::<BTreeSet<_>>(),
    };
    let map = pipeline::build(&history, &options);
    let text = match args.output {
        MapOutput::Table => sekisho_map::table(&map, output::width(), output::color()),
        MapOutput::Json => sekisho_map::json(&map)?,
        MapOutput::Dot => sekisho_map::dot(&map),
        MapOutput::Mermaid => sekisho_map::mermaid(&map),
        MapOutput::Svg => sekisho_map::svg(&map),
    };
    output::print(&text)?;
    Ok(history::whole_or_partial(&history))
}

fn grouping(by: GroupBy) -> Grouping {
    match by {
        GroupBy::Namespace => Grouping::Namespace,
        GroupBy::Workload => Grouping::Workload,
        GroupBy::Pod => Grouping::Pod,
        GroupBy::Process => Grouping::Process,
    }
}
