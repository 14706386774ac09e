//! Answers that np-guard/netpol-analyzer published for its own test data.
//!
//! A published file is named `CASE[_focus_workload_W][_ingress|_egress][_with_PEER][_tcp-80]
//! [_allow|_deny]_(connlist|exposure|explain|explain_exposure)_output.(txt|json)`.

use std::path::Path;

use anyhow::{Context, Result};

use super::lists::{difference, line_difference};
use super::sekisho::{Answer, Program, argument};
use super::table::Scores;

/// Prefixes of cases about several networks per pod, which are scored apart.
const MULTI_NETWORK: [&str; 2] = ["nad_", "udn_"];

/// What a published file answers.
struct Question {
    file: String,
    case: String,
    /// Flags that the file's name tells.
    flags: Vec<String>,
    is_focused: bool,
    analysis: Analysis,
    is_json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Analysis {
    List,
    Exposure,
    Explain,
    ExplainExposure,
}

/// Endings of file names; the longest that fits counts.
const ANALYSES: [(&str, Analysis); 4] = [
    ("_explain_exposure_output", Analysis::ExplainExposure),
    ("_exposure_output", Analysis::Exposure),
    ("_explain_output", Analysis::Explain),
    ("_connlist_output", Analysis::List),
];

/// Scores all published answers.
pub(super) fn score(program: &Program, corpus: &Path, scores: &mut Scores) -> Result<()> {
    let mut cases = names(&corpus.join("tests"))?;
    // The longest name that fits is the case.
    cases.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let folder = corpus.join("test_outputs/connlist");
    for file in names(&folder)? {
        let theirs = read(&folder.join(&file))?;
        match question(&file, &cases) {
            Some(question) => ask(program, corpus, (&question, &theirs), scores)?,
            None => scores.add("files understood", &file, Some("unknown name".to_owned())),
        }
    }
    for (folder, sides) in [("diff", "ref1,ref2"), ("cli", "dir1,dir2")] {
        let folder = corpus.join("test_outputs").join(folder);
        for file in names(&folder)? {
            diff(program, corpus, (&file, sides, &read(&folder.join(&file))?), scores)?;
        }
    }
    for case in &cases {
        let answer =
            program.ask(&["policy", "list", "-f", &input(corpus, case), "-o", "npguard-txt"])?;
        let why = (answer.code != 0).then(|| answer.complaint());
        scores.add("np-guard: inputs that are read", case, why);
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn input(corpus: &Path, case: &str) -> String {
    argument(&corpus.join("tests").join(case))
}

fn question(file: &str, cases: &[String]) -> Option<Question> {
    let (stem, is_json) = match file.strip_suffix(".json") {
        Some(stem) => (stem, true),
        None => (file.strip_suffix(".txt")?, false),
    };
    let (name, analysis) = ANALYSES
        .iter()
        .find_map(|(ending, analysis)| Some((stem.strip_suffix(ending)?, *analysis)))?;
    let case = cases.iter().find(|case| {
        name.strip_prefix(case.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    })?;
    let flags = flags(name.strip_prefix(case.as_str())?)?;
    Some(Question {
        file: file.to_owned(),
        case: case.clone(),
        is_focused: !flags.is_empty(),
        flags,
        analysis,
        is_json,
    })
}

/// Flags for what stands behind the case in a file's name, read from the end; None if it can't be
/// read.
fn flags(rest: &str) -> Option<Vec<String>> {
    let mut flags = Vec::new();
    let mut rest = rest.to_owned();
    for only in ["allow", "deny"] {
        if let Some(before) = rest.strip_suffix(&format!("_{only}")) {
            flags.extend(["--explain-only".to_owned(), only.to_owned()]);
            rest = before.to_owned();
        }
    }
    if let Some((before, last)) = rest.clone().rsplit_once('_')
        && last.split_once('-').is_some_and(|(protocol, port)| {
            matches!(protocol, "tcp" | "udp" | "sctp") && port.parse::<u16>().is_ok()
        })
    {
        flags.extend(["--focus-connection".to_owned(), last.to_owned()]);
        rest = before.to_owned();
    }
    if let Some((before, peer)) = rest.clone().rsplit_once("_with_") {
        flags.extend(["--focus-workload-peer".to_owned(), workload(peer)]);
        rest = before.to_owned();
    }
    for direction in ["ingress", "egress"] {
        if let Some(before) = rest.strip_suffix(&format!("_{direction}")) {
            flags.extend(["--focus-direction".to_owned(), direction.to_owned()]);
            rest = before.to_owned();
        }
    }
    if let Some(names) = rest.strip_prefix("_focus_workload_") {
        flags.extend(["--focus-workload".to_owned(), workload(names)]);
        rest = String::new();
    }
    rest.is_empty().then_some(flags)
}

/// `namespace_name`, or several of them; names of Kubernetes have no `_`.
fn workload(text: &str) -> String {
    let words: Vec<&str> = text.split('_').collect();
    match words.as_slice() {
        [namespace, one, same, two] if namespace == same => {
            format!("{namespace}/{one},{namespace}/{two}")
        }
        [namespace, one, two] => format!("{namespace}/{one},{two}"),
        [namespace, name] => format!("{namespace}/{name}"),
        _ => text.to_owned(),
    }
}

/// What a kind of answers is called, and what is special about the case.
fn kind(question: &Question) -> String {
    let analysis = match question.analysis {
        Analysis::List => "lists",
        Analysis::Exposure => "exposure",
        Analysis::Explain => "explanations",
        Analysis::ExplainExposure => "explained exposure",
    };
    let special = if is_multi_network(&question.case) {
        "several networks, "
    } else if question.is_focused {
        "focus, "
    } else {
        ""
    };
    format!("np-guard: {special}{analysis}")
}

fn is_multi_network(case: &str) -> bool {
    MULTI_NETWORK.iter().any(|prefix| case.starts_with(prefix))
}

fn ask(
    program: &Program,
    corpus: &Path,
    (question, theirs): (&Question, &str),
    scores: &mut Scores,
) -> Result<()> {
    let folder = input(corpus, &question.case);
    let form = if question.is_json { "npguard-json" } else { "npguard-txt" };
    let mut arguments = vec!["policy", "list", "-f", &folder, "-o", form];
    arguments.extend(question.flags.iter().map(String::as_str));
    if matches!(question.analysis, Analysis::Exposure | Analysis::ExplainExposure) {
        arguments.push("--exposure");
    }
    if matches!(question.analysis, Analysis::Explain | Analysis::ExplainExposure) {
        arguments.push("--explain");
    }
    let answer = program.ask(&arguments)?;
    let failed = (answer.code != 0).then(|| answer.complaint());
    let kind = kind(question);
    if question.is_json {
        let why = failed.or_else(|| exact(theirs, &answer, line_difference));
        scores.add(&format!("{kind}, JSON to the letter"), &question.file, why);
        return Ok(());
    }
    let as_sets = match question.analysis {
        Analysis::List if !is_multi_network(&question.case) => difference,
        Analysis::List | Analysis::Exposure | Analysis::Explain | Analysis::ExplainExposure => {
            line_difference
        }
    };
    let why = failed.clone().or_else(|| as_sets(theirs, &answer.text));
    scores.add(&format!("{kind}, as sets"), &question.file, why);
    let why = failed.or_else(|| exact(theirs, &answer, line_difference));
    scores.add(&format!("{kind}, to the letter"), &question.file, why);
    Ok(())
}

/// None if an answer is theirs to the letter, but for white space at its end.
fn exact(
    theirs: &str,
    answer: &Answer,
    difference: fn(&str, &str) -> Option<String>,
) -> Option<String> {
    let is_same = theirs.trim_end() == answer.text.trim_end();
    (!is_same).then(|| {
        difference(theirs, &answer.text).unwrap_or_else(|| "order or white space".to_owned())
    })
}

fn diff(
    program: &Program,
    corpus: &Path,
    (file, sides, theirs): (&str, &str, &str),
    scores: &mut Scores,
) -> Result<()> {
    let cases = file
        .strip_prefix("diff_between_")
        .and_then(|rest| rest.strip_suffix(".txt"))
        .and_then(|rest| rest.split_once("_and_"));
    // `anp_and_banp_...` is the name of a case, but not of one that is compared.
    let Some((new, old)) = cases else { return Ok(()) };
    let (old, new_input) = (input(corpus, old), input(corpus, new));
    let arguments =
        ["policy", "diff", "-f", &old, "-f", &new_input, "-o", "npguard-txt", "--names", sides];
    let answer = program.ask(&arguments)?;
    let failed = (answer.code > 1).then(|| answer.complaint());
    let special = if is_multi_network(new) { "several networks, " } else { "" };
    let why = failed.clone().or_else(|| line_difference(theirs, &answer.text));
    scores.add(&format!("np-guard: {special}diffs, as sets"), file, why);
    let why = failed.or_else(|| exact(theirs, &answer, line_difference));
    scores.add(&format!("np-guard: {special}diffs, to the letter"), file, why);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_what_was_asked() {
        let cases = ["anp_demo".to_owned(), "nad_test_4".to_owned()];
        let asked = |file: &str| {
            let question = question(file, &cases).unwrap();
            (question.case, question.flags.join(" "))
        };
        assert_eq!(asked("anp_demo_connlist_output.txt"), ("anp_demo".into(), String::new()));
        let file = "anp_demo_focus_workload_harry-potter_egress_tcp-8080_exposure_output.json";
        let flags =
            "--focus-connection tcp-8080 --focus-direction egress --focus-workload harry-potter";
        assert_eq!(asked(file), ("anp_demo".into(), flags.into()));
        let file = "nad_test_4_focus_workload_pod2_ingress_with_pod3_tcp-80_explain_output.txt";
        let flags = "--focus-connection tcp-80 --focus-workload-peer pod3 --focus-direction ingress \
                     --focus-workload pod2";
        assert_eq!(asked(file), ("nad_test_4".into(), flags.into()));
        let flags = "--explain-only allow --focus-connection tcp-80";
        assert_eq!(asked("nad_test_4_tcp-80_allow_explain_output.txt").1, flags);
        assert!(question("unheard_of_connlist_output.txt", &cases).is_none());
    }

    #[test]
    fn focus_workloads_are_split_from_their_namespace() {
        assert_eq!(workload("ingress-controller"), "ingress-controller");
        assert_eq!(workload("backend_recommendation"), "backend/recommendation");
        assert_eq!(
            workload("hello-world_workload-a_workload-b"),
            "hello-world/workload-a,workload-b"
        );
    }
}
