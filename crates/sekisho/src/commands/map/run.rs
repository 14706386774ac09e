//! Prints the map, or what it differs in from an earlier one.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;
use sekisho_api::SnapshotQuery;
use sekisho_labels::LabelState;
use sekisho_map::{Map, MapOptions, Order, Top};
use sekisho_model::{TimeRange, Timestamp};

use super::args::{EdgeOrder, MapArgs, MapOutput};
use crate::commands::{history, output};
use crate::exit::Exit;
use crate::labelling::Told;
use crate::pipeline::{self, History};

/// Span of `--at`, seconds.
const AT_WINDOW_S: u64 = 900;

/// Prints the map; `Partial` if the history behind it has gaps.
pub(crate) fn run(args: &MapArgs) -> anyhow::Result<Exit> {
    let now = history::now();
    let range = match args.at {
        Some(at) => TimeRange { from: at.at(now).minus_seconds(AT_WINDOW_S), to: at.at(now) },
        None => args.history.range(now),
    };
    let history = history::load_all(&args.history, &SnapshotQuery::of(range))?;
    let told = told(args)?;
    let map = pipeline::build(&history, &options(args, &history, &told));
    if let Some(window) = args.compare {
        // An open window begins with the first that was seen.
        let is_open = range.from == Timestamp::EPOCH;
        let start = if is_open { history.window.from } else { range.from };
        let earlier = window.before(start, now);
        if earlier.from >= earlier.to {
            bail!("--compare: the window from {} to {} is empty", earlier.from, earlier.to);
        }
        let earlier = history::load_all(&args.history, &SnapshotQuery::of(earlier))?;
        return compared((args, &told), &map, &earlier);
    }
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

/// Prints what `map` has other than the map of `earlier`; `Found` if anything.
fn compared((args, told): (&MapArgs, &Told), map: &Map, earlier: &History) -> anyhow::Result<Exit> {
    let before = pipeline::build(earlier, &options(args, earlier, told));
    let diff = sekisho_map::compare(&before, map);
    let text = match args.output {
        MapOutput::Table => sekisho_map::diff_table(&diff, output::width(), output::color()),
        MapOutput::Json => sekisho_map::diff_json(&diff)?,
        MapOutput::Dot | MapOutput::Mermaid | MapOutput::Svg => {
            bail!("--compare has no picture: -o table or -o json")
        }
    };
    output::print(&text)?;
    if !diff.is_empty() {
        return Ok(Exit::Found);
    }
    let is_whole = |map: &Map| map.completeness.ratio >= 1.0;
    Ok(if is_whole(map) && is_whole(&before) { Exit::Done } else { Exit::Partial })
}

/// What people told of labels, where the map asks for it.
fn told(args: &MapArgs) -> anyhow::Result<Told> {
    let asks = args.by.asks_for_values()
        || args.within.iter().any(|within| within.grouping().asks_for_values());
    let environment = args.environment_label.as_str();
    match (&args.history.store, asks) {
        (_, false) => Told::of(LabelState::default(), environment),
        (Some(folder), true) => Told::open(folder, environment),
        (None, true) => {
            let client = args.history.server.connect()?;
            Told::of(history::call(client.label_state())?, environment)
        }
    }
}

fn options(args: &MapArgs, history: &History, told: &Told) -> MapOptions {
    MapOptions {
        grouping: args.by.clone(),
        labels: told.of_map(history, &args.by, &args.within),
        places: Arc::clone(&history.places),
        range: history.window,
        hide_dns: args.hide_dns,
        hide_probes: args.hide_probes,
        hide_scrapes: args.hide_scrapes,
        within: args.within.clone(),
        rules: Vec::new(),
        clusters: history.mixed,
        namespaces: args.namespace.iter().cloned().collect::<BTreeSet<_>>(),
        top: args.top.map(|count| Top { count, order: order(args.order) }),
    }
}

fn order(order: EdgeOrder) -> Order {
    match order {
        EdgeOrder::Connections => Order::Connections,
        EdgeOrder::Bytes => Order::Bytes,
        EdgeOrder::Resets => Order::Resets,
        EdgeOrder::Newest => Order::Newest,
    }
}
