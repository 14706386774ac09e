//! `sekisho demo`: the whole loop on one machine, shown live.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use sekisho_api::{Access, Client, NewToken, SnapshotQuery, Status};
use sekisho_map::{Map, MapOptions};
use sekisho_model::TimeRange;
use sekisho_recommend::{Proposal, Scope, Template};
use sekisho_system::wait;

use super::stack::{Stack, StackOptions};
use super::{history, output};
use crate::cli::DemoArgs;
use crate::exit::Exit;
use crate::pipeline::{self, History};
use crate::signals::Stop;

const READY_WAIT: Duration = Duration::from_secs(60);
/// The map is shown when no new edge came for so long ...
const QUIET: Duration = Duration::from_secs(6);
/// ... or after this time in any case.
const FIRST_MAP_MAX: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(500);

/// Runs until Ctrl-C (or once); nothing stays behind.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let stop = runtime.block_on(async { Stop::new() })?;
    let began = Instant::now();
    output::note("Bringing up the lab: 2 nodes, a VM, an internet, and a web shop ...");
    let options = StackOptions {
        state: &args.state,
        socket: &args.server,
        manifests: None,
        bare: false,
        web: Some(args.web_listen),
    };
    let stack = Stack::up(&options)?;
    let shown = show(&stack, args, &stop, began);
    output::note("Taking everything down ...");
    stack.down();
    shown
}

fn show(stack: &Stack, args: &DemoArgs, stop: &Stop, began: Instant) -> anyhow::Result<Exit> {
    if !super::lab::await_ready(stack.lab(), stop, READY_WAIT) {
        if stop.is_set() {
            return Ok(Exit::Done);
        }
        anyhow::bail!("not all pods were ready: {}", super::lab::unready(&stack.lab().status()));
    }
    output::note(&format!(
        "All pods ready after {:.1} s; watching their connections ...",
        began.elapsed().as_secs_f64()
    ));
    let mut view = View { client: Client::new(&args.server), known: BTreeSet::new() };
    let history = view.first_look(stop)?;
    if stop.is_set() {
        return Ok(Exit::Done);
    }
    let map = view.map(&history);
    output::print(&sekisho_map::table(&map, output::width(), output::color()))?;
    let proposal = pipeline::propose(&history, Scope::default(), Template::default());
    output::print(&recommendation(&proposal))?;
    output::print(&next_steps(args, began.elapsed()))?;
    output::print(&format!("The same in a browser, until Ctrl-C:\n  {}\n\n", view.door()?))?;
    if args.once {
        return Ok(Exit::Done);
    }
    view.follow(stop)?;
    Ok(Exit::Done)
}

struct View {
    client: Client,
    known: BTreeSet<String>,
}

impl View {
    fn history(&self) -> anyhow::Result<History> {
        history::call(self.client.snapshot(SnapshotQuery::of(TimeRange::ALL))).map(History::of)
    }

    /// The address of the console, with what opens it. A browser sends nobody what comes after `#`.
    fn door(&self) -> anyhow::Result<String> {
        let wanted =
            NewToken { name: "demo".to_owned(), role: Access::Operator, ..NewToken::default() };
        let made = history::call(self.client.create_token(&wanted, "demo"))?;
        let url = history::call(self.client.status())?.console.unwrap_or_default();
        Ok(format!("{url}#token={}", made.token.reveal()))
    }

    fn map(&self, history: &History) -> Map {
        let options = MapOptions { hide_dns: true, hide_probes: true, ..MapOptions::default() };
        pipeline::build(history, &options)
    }

    /// Edges not seen before, as lines.
    fn news(&mut self, map: &Map) -> Vec<String> {
        let lines = map.edges.iter().map(|edge| {
            let (from, to) = (&edge.source, &edge.destination);
            format!("{from} -> {to}:{}/{} {}", edge.port, edge.protocol, edge.verdict)
        });
        lines.filter(|line| self.known.insert(line.clone())).collect()
    }

    /// Waits until the map has settled.
    fn first_look(&mut self, stop: &Stop) -> anyhow::Result<History> {
        let began = Instant::now();
        let mut last_news = Instant::now();
        loop {
            let history = self.history()?;
            let map = self.map(&history);
            if !self.news(&map).is_empty() {
                last_news = Instant::now();
            }
            let settled = !map.edges.is_empty() && last_news.elapsed() >= QUIET;
            if settled || began.elapsed() >= FIRST_MAP_MAX || stop.is_set() {
                return Ok(history);
            }
            wait::pause_for(LOOK);
        }
    }

    /// Prints every new edge, and a line of figures that stays at the bottom of a terminal.
    fn follow(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let is_terminal = std::io::stdout().is_terminal();
        while !stop.is_set() {
            let history = self.history()?;
            let map = self.map(&history);
            for line in self.news(&map) {
                let clear = if is_terminal { "\r\x1b[K" } else { "" };
                output::print(&format!("{clear}new edge  {line}\n"))?;
            }
            if is_terminal {
                let status = history::call(self.client.status())?;
                output::print(&figures(&status, &map))?;
                std::io::stdout().flush().context("write the figures")?;
            }
            wait::pause_for(LOOK);
        }
        Ok(())
    }
}

fn figures(status: &Status, map: &Map) -> String {
    let lost: u64 =
        status.agents.iter().flat_map(|agent| &agent.hooks).map(|hook| hook.dropped).sum();
    format!(
        "\r\x1b[K{} flows · {} edges · completeness {:.1} % · {lost} records lost · policy revision {} · Ctrl-C ends",
        status.flows,
        map.edges.len(),
        (status.completeness * 1_000.0).floor() / 10.0,
        status.revision,
    )
}

/// The recommendation we are surest of, and of those the one that says most.
fn recommendation(proposal: &Proposal) -> String {
    let score = |policy: &&sekisho_recommend::RecommendedPolicy| policy.confidence.score;
    let best = proposal
        .policies
        .iter()
        .filter(|policy| policy.rules.len() > 1)
        .max_by(|a, b| score(a).total_cmp(&score(b)).then(a.rules.len().cmp(&b.rules.len())));
    let Some(best) = best else {
        return "\nNo recommendation yet: too little was seen.\n".to_owned();
    };
    let name = best.workloads.join(", ");
    let reasons = best.confidence.reasons.join("; ");
    format!(
        "\nOne of {} recommendations: {name}, confidence {:.0} %{}\n\n{}",
        proposal.policies.len(),
        best.confidence.score * 100.0,
        if reasons.is_empty() { String::new() } else { format!(" ({reasons})") },
        sekisho_manifest::print_policy(&best.policy),
    )
}

fn next_steps(args: &DemoArgs, took: Duration) -> String {
    let program = sekisho_system::process::own_program().ok();
    let here = std::env::current_dir().unwrap_or_default();
    let program = program
        .as_deref()
        .map_or(Path::new("sekisho"), |path| path.strip_prefix(&here).unwrap_or(path));
    let program = program.display();
    let server = if args.server == Path::new(crate::config::DEFAULT_SOCKET) {
        String::new()
    } else {
        format!(" --server {}", args.server.display())
    };
    let state = if args.state == Path::new(crate::config::DEFAULT_LAB_STATE) {
        String::new()
    } else {
        format!(" --state {}", args.state.display())
    };
    format!(
        "\nUp and mapped in {:.0} s. Next, in another terminal:\n  \
         {program} recommend{server} --write policies/   least-privilege policies for every workload\n  \
         {program} verify{server} -f policies/           what they would have blocked: nothing\n  \
         {program} apply{server} -f policies/            enforce them\nThen attack, and go back:\n  \
         {program} lab attack{state} all\n  \
         {program} observe{server} --verdict denied\n  \
         {program} rollback{server}\n\n",
        took.as_secs_f64(),
    )
}
