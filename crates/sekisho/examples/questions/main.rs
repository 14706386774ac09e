//! How long people wait for answers about a day of a large cluster.
//!
//! Makes a day of 1,000 nodes (66,200 edges, 19 million edge-minutes) as it lies in a data folder
//! days later, with six days before it of a tenth of its edges, starts the server of the same build on it, and asks over HTTP as the console does. Beside
//! it DuckDB and SQLite answer the same from the same rows, where a Python with duckdb is named
//! (`cargo xtask bench questions` does). `cargo run --release -p sekisho --example questions --
//! [FOLDER]`; a folder that is there already is only asked.

mod ask;
mod day;
mod others;
mod pods;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sekisho_system::{process, terminate, wait};

use ask::Asker;

const READY_WAIT: Duration = Duration::from_secs(300);

fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("make a folder")?;
    let named = std::env::args().nth(1).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| scratch.path().join("data"));
    let start_s = day::make(&folder)?;
    let socket = scratch.path().join("s.sock");
    let mut server = start(&folder, &socket)?;
    let answered = asked(&socket, start_s, server.id());
    terminate(&mut server, Duration::from_secs(60));
    answered?;
    others::ask((&folder.join("segments"), start_s), scratch.path(), tell)
}

/// Writes a figure as soon as it is known: the next one may take minutes.
fn tell(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("write a figure")
}

/// The binary beside this example: target/<profile>/examples/questions -> target/<profile>/sekisho.
fn program() -> anyhow::Result<PathBuf> {
    let own = process::own_program()?;
    let program = own.parent().and_then(Path::parent).map(|folder| folder.join("sekisho"));
    program.filter(|path| path.exists()).context("build the binary first")
}

fn start(folder: &Path, socket: &Path) -> anyhow::Result<Child> {
    let mut server = process::prepare(program()?)
        .arg("server")
        .arg("--data-dir")
        .arg(folder)
        .arg("--socket")
        .arg(socket)
        .args(["--web-listen", "127.0.0.1:0", "--cluster", "default", "--die-with-parent"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    // None = it ended.
    let answers = || match server.try_wait() {
        Ok(None) => said(socket, &["status", "-o", "json"]).ok().map(Some),
        Ok(Some(_)) | Err(_) => Some(None),
    };
    match wait::until(READY_WAIT, answers) {
        Some(Some(_)) => Ok(server),
        Some(None) => bail!("the server ended"),
        None => {
            terminate(&mut server, Duration::from_secs(60));
            bail!("the server does not answer")
        }
    }
}

/// What a command of the program prints.
fn said(socket: &Path, words: &[&str]) -> anyhow::Result<String> {
    let run = process::prepare(program()?).args(words).arg("--server").arg(socket).output()?;
    if !run.status.success() {
        bail!("sekisho {}: {}", words.join(" "), String::from_utf8_lossy(&run.stderr));
    }
    Ok(String::from_utf8(run.stdout)?.trim().to_owned())
}

fn asked(socket: &Path, start_s: u64, server: u32) -> anyhow::Result<()> {
    let status: serde_json::Value =
        serde_json::from_str(&said(socket, &["status", "-o", "json"])?)?;
    let console =
        status.get("console").and_then(|url| url.as_str()).context("the server has no console")?;
    // A folder that is asked again keeps its tokens.
    let name = format!("bench-{server}");
    let token = said(socket, &["token", "create", &name, "--role", "author"])?;
    let asker = Asker::new(console, token, start_s);
    for (name, path, days) in [
        ("map of a day by namespace", "/map?by=namespace", 1),
        ("map of a day by workload", "/map?by=workload", 1),
        ("picture of a day by workload", "/scene?by=workload", 1),
        ("time line of a day, 48 parts", "/timeline?buckets=48", 1),
        ("time line of a day, 24 parts", "/timeline?buckets=24", 1),
        ("peers of a workload, a day", "/history?workload=team-0/service-0", 1),
        (
            "last 100 denied of a workload, 7 days",
            "/history?workload=team-0/service-0&verdict=denied&limit=100",
            day::DAYS,
        ),
        ("a workload's page", "/workload?id=team-0/service-0[Deployment]", 1),
        ("top talkers", "/history?order=bytes&limit=10", 1),
    ] {
        tell(&asker.measure(name, path, days)?)?;
    }
    tell(&asker.what_if("what-if of a namespace's policies", "&namespace=team-0")?)?;
    let status = std::fs::read_to_string(format!("/proc/{server}/status"))?;
    let memory = status.lines().filter(|line| line.starts_with("Vm"));
    let memory = memory.filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    let kib = |line: &str| -> Option<u64> { line.split_whitespace().nth(1)?.parse().ok() };
    for line in memory {
        let name = if line.starts_with("VmHWM") { "most so far" } else { "now" };
        tell(&format!("memory of the server, {name}: {} MiB", kib(line).unwrap_or(0) / 1024))?;
    }
    Ok(())
}
