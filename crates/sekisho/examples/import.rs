//! How fast flows of Hubble become stored rows, end to end: `sekisho import` of the same build, from the
//! file to the sealed segment.
//!
//! Writes records as `hubble observe -o json` does: connections of 2,000 workloads over an hour, each as
//! four records (both ends, both ways). `cargo run --release -p sekisho --example import -- [RECORDS]`
//! (400,000 if absent). Times are on the clock and of the processor, which is what a busy machine leaves
//! comparable.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use sekisho_model::Timestamp;
use sekisho_system::process;

const RECORDS: u64 = 400_000;
const RECORDS_PER_CONNECTION: u64 = 4;
const WORKLOADS: u64 = 2_000;
const START_S: u64 = 1_795_392_000;
const HOUR_S: u64 = 3_600;
/// A clock's ticks in a second, as /proc counts them (linux v6.18 include/asm-generic/param.h, USER_HZ).
const TICKS_PER_S: f64 = 100.0;

fn main() -> anyhow::Result<()> {
    let records = std::env::args().nth(1).map_or(Ok(RECORDS), |text| text.parse())?;
    let scratch = tempfile::tempdir().context("make a folder")?;
    let file = scratch.path().join("flows.json");
    write(&file, records)?;
    let bytes = std::fs::metadata(&file)?.len();
    let (began, before) = (Instant::now(), children_s()?);
    let told = import(&file, &scratch.path().join("history"))?;
    let (all_s, cpu_s) = (began.elapsed().as_secs_f64(), children_s()? - before);
    let count = |path: &str| told.pointer(path).and_then(serde_json::Value::as_u64);
    if count("/sources/0/records") != Some(records) {
        bail!("{records} records were written, and it says: {told}");
    }
    let rate = |seconds: f64| (records as f64 / seconds).round();
    writeln!(
        std::io::stdout(),
        "Hubble JSON to stored rows: {records} flows of {} bytes in {all_s:.2} s: {} flows/s; {cpu_s:.2} s of \
         the processor: {} flows/s of a core",
        bytes / records.max(1),
        rate(all_s),
        rate(cpu_s),
    )?;
    Ok(())
}

fn import(file: &Path, store: &Path) -> anyhow::Result<serde_json::Value> {
    let run = process::prepare(program()?)
        .args(["import", "--format", "hubble", "-o", "json", "--store"])
        .arg(store)
        .arg(file)
        .output()?;
    if !run.status.success() {
        bail!("sekisho import: {}", String::from_utf8_lossy(&run.stderr));
    }
    Ok(serde_json::from_slice(&run.stdout)?)
}

/// The binary beside this example: target/<profile>/examples/import -> target/<profile>/sekisho.
fn program() -> anyhow::Result<PathBuf> {
    let own = process::own_program()?;
    let program = own.parent().and_then(Path::parent).map(|folder| folder.join("sekisho"));
    program.filter(|path| path.exists()).context("build the binary first")
}

/// Seconds of the processor that ended children of this program had (proc(5), `cutime` and `cstime`).
fn children_s() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold anything; cutime and cstime are the fields 16 and 17.
    let (_, rest) = text.rsplit_once(')').context("a process without a name")?;
    let ticks = rest.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_S)
}

fn write(path: &Path, records: u64) -> anyhow::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for number in 0..records {
        let nanos = (START_S * 1_000_000_000) + number * (HOUR_S * 1_000_000_000) / records.max(1);
        writeln!(file, "{}", record(number, Timestamp::from_nanos(nanos)))?;
    }
    file.flush().context("write the records")
}

/// A record of a connection: of one of its ends, and of one of its ways.
fn record(number: u64, time: Timestamp) -> String {
    let (connection, part) = (number / RECORDS_PER_CONNECTION, number % RECORDS_PER_CONNECTION);
    let (client, server) = (connection * 7 % WORKLOADS, (connection * 31 + 1) % WORKLOADS);
    let port = 1_024 + connection / 16 % 60_000;
    let is_reply = part >= 2;
    let ends = [(client, port), (server, 8_000 + server % 40)];
    let [(source, source_port), (destination, destination_port)] = match (is_reply, ends) {
        (true, [asks, answers]) => [answers, asks],
        (false, ends) => ends,
    };
    let (way, flags) = match (part % 2, is_reply) {
        (0, false) => ("EGRESS", r#""SYN":true"#),
        (0, true) => ("EGRESS", r#""SYN":true,"ACK":true"#),
        (_, _) => ("INGRESS", r#""ACK":true"#),
    };
    let (from, to) = (endpoint(source), endpoint(destination));
    let (source, destination) = (address(source), address(destination));
    format!(
        r#"{{"flow":{{"time":"{time}","uuid":"{number:032x}","verdict":"FORWARDED","ethernet":{{"source":"0a:58:0a:01:00:05","destination":"0a:58:0a:01:00:06"}},"IP":{{"source":"{source}","destination":"{destination}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{source_port},"destination_port":{destination_port},"flags":{{{flags}}}}}}},"source":{from},"destination":{to},"Type":"L3_L4","node_name":"default/node-1","event_type":{{"type":4,"sub_type":3}},"traffic_direction":"{way}","trace_observation_point":"TO_ENDPOINT","is_reply":{is_reply},"Summary":"TCP Flags"}},"node_name":"default/node-1","time":"{time}"}}"#
    )
}

fn endpoint(number: u64) -> String {
    let (namespace, name) = (number % 50, format!("service-{number}"));
    format!(
        r#"{{"ID":{number},"identity":{},"cluster_name":"default","namespace":"team-{namespace}","labels":["k8s:app={name}","k8s:io.cilium.k8s.policy.cluster=default","k8s:io.cilium.k8s.policy.serviceaccount=default","k8s:io.kubernetes.pod.namespace=team-{namespace}"],"pod_name":"{name}-6f9c7d-x1z","workloads":[{{"name":"{name}","kind":"Deployment"}}]}}"#,
        10_000 + number
    )
}

fn address(number: u64) -> String {
    format!("10.42.{}.{}", number / 250, number % 250 + 1)
}
