//! Brings the shop (or manifests) up without the rest of Sekisho, until Ctrl-C or `down`.
//!
//! `lab up [STATE_DIR [NODES [FILE...]]]`, `lab STATE_DIR status|exec|scale|restart|attack|down ...`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sekisho_lab::{Lab, LabOptions, client};

#[expect(clippy::print_stdout, reason = "an example talks to its user")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let Some(code) = sekisho_lab::internal_main(&args) {
        return code;
    }
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let result = match words.as_slice() {
        ["workload", ..] => return sekisho_lab::workload_main(args.get(2..).unwrap_or_default()),
        ["up", rest @ ..] => up(rest),
        [state_dir, rest @ ..] => ask(Path::new(state_dir), rest),
        [] => Err("usage: lab up | lab STATE_DIR COMMAND".to_owned()),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            println!("error: {message}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "an example talks to its user")]
fn up(words: &[&str]) -> Result<ExitCode, String> {
    let text = |error: &dyn std::error::Error| sekisho_base::error_chain(error);
    let mut objects = Vec::new();
    for file in words.iter().skip(2) {
        let yaml = std::fs::read_to_string(file).map_err(|error| text(&error))?;
        objects.extend(
            sekisho_manifest::parse(file, &yaml)
                .map_err(|errors| errors.iter().map(|it| format!("{it}\n")).collect::<String>())?,
        );
    }
    if objects.is_empty() {
        objects = sekisho_lab::shop().map_err(|error| text(&error))?;
    }
    let mut options = LabOptions::new(objects);
    if let Some(folder) = words.first() {
        options.state_dir = PathBuf::from(folder);
    }
    options.nodes = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(2);
    // Blocked before any thread starts, so that all of them inherit it.
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGINT);
    signals.add(nix::sys::signal::Signal::SIGTERM);
    signals.thread_block().map_err(|error| text(&error))?;
    let start = Instant::now();
    let lab = Lab::up(options).map_err(|error| text(&error))?;
    let ready = lab.wait_ready(Duration::from_secs(60));
    println!("ready={ready} after {:?}, {} pods", start.elapsed(), lab.status().pods.len());
    let (sender, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        signals.wait().ok();
        sender.send(()).ok();
    });
    while !lab.wait_down_requested(Duration::from_millis(200)) && ended.try_recv().is_err() {}
    let start = Instant::now();
    lab.down().map_err(|error| text(&error))?;
    println!("down after {:?}", start.elapsed());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "an example talks to its user")]
fn ask(state_dir: &Path, words: &[&str]) -> Result<ExitCode, String> {
    let text = |error: &dyn std::error::Error| sekisho_base::error_chain(error);
    match words {
        ["status"] => {
            let status = client::status(state_dir).map_err(|error| text(&error))?;
            println!("{}", serde_json::to_string_pretty(&status).map_err(|error| text(&error))?);
        }
        ["exec", target, argv @ ..] => {
            let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
            let code = sekisho_lab::exec(state_dir, target, &argv).map_err(|error| text(&error))?;
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
        ["scale", target, count] => {
            let count = count.parse().map_err(|error: std::num::ParseIntError| text(&error))?;
            client::scale(state_dir, target, count).map_err(|error| text(&error))?;
        }
        ["restart", target] => client::restart(state_dir, target).map_err(|error| text(&error))?,
        ["label", pod, key, value] => {
            let set = [((*key).to_owned(), (*value).to_owned())].into_iter().collect();
            let target = client::LabelTarget::Pod((*pod).to_owned());
            client::label(state_dir, target, set, Vec::new()).map_err(|error| text(&error))?;
        }
        ["delete", kind, target] => {
            client::delete(state_dir, kind, target).map_err(|error| text(&error))?;
        }
        ["attack", name] => {
            let outcome = sekisho_lab::run_attack(state_dir, name).map_err(|error| text(&error))?;
            println!("{name}: succeeded={}\n{}", outcome.succeeded, outcome.output);
        }
        ["down"] => client::down(state_dir).map_err(|error| text(&error))?,
        other => return Err(format!("unknown command {other:?}")),
    }
    Ok(ExitCode::SUCCESS)
}
