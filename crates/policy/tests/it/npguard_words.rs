//! The words of np-guard/netpol-analyzer's explanations and exposure, against the files that tool
//! publishes. Read in place; prints n/N per kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sekisho_manifest::Object;
use sekisho_model::{Direction, Protocol};
use sekisho_policy::Dialect;
use sekisho_policy::explain::npguard::{self, Options};
use sekisho_policy::list::FocusDirection;

fn corpus() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    root.join("shared/corpora/policy/netpol-analyzer")
}

/// What a file is the answer to.
struct Case {
    file: String,
    folder: PathBuf,
    options: Options,
    json: bool,
}

/// Reads a case off the name of its file: `CASE[_focus_workload_...][_tcp-80][_explain][_exposure]`.
fn case(corpus: &Path, file: &str) -> Option<Case> {
    let (mut stem, json) = match file.strip_suffix("_output.txt") {
        Some(stem) => (stem, false),
        None => (file.strip_suffix("_output.json")?, true),
    };
    let mut options = Options::default();
    if let Some(rest) = stem.strip_suffix("_exposure") {
        (stem, options.exposure) = (rest, true);
    }
    if let Some(rest) = stem.strip_suffix("_explain") {
        (stem, options.explain) = (rest, true);
    }
    if !options.exposure && !options.explain {
        return None;
    }
    if let Some(rest) = stem.strip_suffix("_allow") {
        (stem, options.only) = (rest, Some(true));
    }
    let folder = |name: &str| corpus.join("tests").join(name);
    if folder(stem).is_dir() {
        return Some(Case { file: file.to_owned(), folder: folder(stem), options, json });
    }
    let (mut name, mut focus) = stem.split_once("_focus_workload_").unwrap_or((stem, ""));
    let last = if focus.is_empty() { name } else { focus };
    if let Some((rest, connection)) = last.rsplit_once('_')
        && let Some((protocol, port)) = connection.split_once('-')
        && let (Ok(protocol), Ok(port)) = (protocol.parse::<Protocol>(), port.parse())
    {
        options.focus.connection = Some((protocol, port));
        if focus.is_empty() {
            name = rest;
        } else {
            focus = rest;
        }
    }
    let mut named = Vec::new();
    for part in focus.split('_').filter(|part| !part.is_empty()) {
        match part {
            "ingress" => options.focus.direction = FocusDirection::Only(Direction::Ingress),
            "egress" => options.focus.direction = FocusDirection::Only(Direction::Egress),
            "with" => options.focus.workloads = std::mem::take(&mut named),
            workload => named.push(workload.to_owned()),
        }
    }
    let names = if focus.contains("_with_") {
        &mut options.focus.peers
    } else {
        // Namespace and workload are joined with `_` too.
        if let [namespace, workload, ..] = named.as_slice()
            && namespace == "hello-world"
        {
            let joined = format!("{namespace}/{workload}");
            named.splice(..2, [joined]);
        }
        &mut options.focus.workloads
    };
    *names = named;
    folder(name).is_dir().then(|| Case {
        file: file.to_owned(),
        folder: folder(name),
        options,
        json,
    })
}

fn objects(folder: &Path) -> Vec<Object> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let is_manifest = path.extension().is_some_and(|extension| {
                ["yaml", "yml", "json"].iter().any(|one| extension == *one)
            });
            if path.is_dir() {
                folders.push(path);
            } else if is_manifest {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        sekisho_manifest::read(&path.display().to_string(), &text).objects
    };
    files.iter().flat_map(read).collect()
}

#[derive(Default)]
struct Score {
    all: usize,
    as_sets: usize,
    exact: usize,
    wrong: Vec<String>,
}

/// Whether a case needs that tool's multi-network mode.
fn is_multi_network(file: &str) -> bool {
    ["nad_", "udn_", "cudn_"].iter().any(|prefix| file.starts_with(prefix))
}

#[test]
fn published_explanations_and_exposure_are_met() {
    let corpus = corpus();
    let Ok(outputs) = std::fs::read_dir(corpus.join("test_outputs/connlist")) else {
        println!("not run: no corpus at {}", corpus.display());
        return;
    };
    let mut files: Vec<String> =
        outputs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    for case in files.iter().filter_map(|file| case(&corpus, file)) {
        let kind = match (is_multi_network(&case.file), case.json, &case.options) {
            (true, ..) => "explain, multi-network",
            (_, true, _) => "exposure json",
            (_, _, Options { explain: true, exposure: true, .. }) => "explain and exposure",
            (_, _, Options { explain: true, .. }) => "explain",
            (_, _, _) => "exposure",
        };
        let expected =
            std::fs::read_to_string(corpus.join("test_outputs/connlist").join(&case.file)).unwrap();
        let objects = objects(&case.folder);
        let ours = if case.json {
            npguard::json(&objects, Dialect::NpGuard, &case.options)
        } else {
            npguard::text(&objects, Dialect::NpGuard, &case.options)
        };
        let ours = ours.unwrap_or_else(|error| error.to_string());
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let score = scores.entry(kind).or_default();
        score.all += 1;
        score.exact += usize::from(ours == expected);
        if lines(&ours) == lines(&expected) {
            score.as_sets += 1;
        } else {
            score.wrong.push(case.file.clone());
        }
        if let Some(folder) = std::env::var_os("SEKISHO_NPGUARD_ANSWERS") {
            std::fs::write(Path::new(&folder).join(&case.file), &ours).unwrap();
        }
    }
    for (kind, Score { all, as_sets, exact, wrong }) in &scores {
        println!(
            "{kind}: {as_sets}/{all} as sets of lines, {exact}/{all} as text; wrong: {wrong:?}"
        );
        if *kind != "explain, multi-network" {
            assert!(as_sets * 100 >= all * 95, "{kind}: {wrong:?}");
        }
    }
}
