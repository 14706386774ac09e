//! The commands of the CI recipes, taken from their files and run in a repository with two commits.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::run::{run, sekisho};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ci-sample");
const WORKFLOW: &str = ".github/workflows/network-policy.yaml";
const GITLAB: &str = ".gitlab-ci.yml";

/// A repository whose branch `main` is the sample and whose work tree has `changed` policies.
fn repository(change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("k8s")).unwrap();
    for file in ["k8s/workloads.yaml", "k8s/policies.yaml"] {
        std::fs::copy(Path::new(SAMPLE).join(file), folder.path().join(file)).unwrap();
    }
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let output = shell(folder.path(), "git \"$@\"", &[&identity[..], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "--quiet", "--initial-branch", "main"]);
    git(&["add", "k8s"]);
    git(&["commit", "--quiet", "-m", "policies"]);
    git(&["checkout", "--quiet", "-b", "change"]);
    let policies = folder.path().join("k8s/policies.yaml");
    let text = std::fs::read_to_string(&policies).unwrap();
    std::fs::write(&policies, change(&text)).unwrap();
    git(&["commit", "--quiet", "--allow-empty", "-am", "change"]);
    folder
}

/// Runs a script as CI does (`bash -e`), with the binary under test first on the PATH.
#[expect(clippy::disallowed_methods, reason = "the recipe is run as CI runs it")]
pub(crate) fn shell(folder: &Path, script: &str, arguments: &[&str]) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_sekisho"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new("bash");
    command.args(["-e", "-o", "pipefail", "-c", script, "bash"]).args(arguments);
    command.current_dir(folder).env("PATH", path).env("BASE", "main").env_remove("COMMENT_TOKEN");
    command.env_remove("GIT_DIR").env_remove("GIT_INDEX_FILE").env_remove("GIT_WORK_TREE");
    command.output().unwrap()
}

fn outline(file: &str) -> sekisho_manifest::Outline {
    let text = std::fs::read_to_string(Path::new(SAMPLE).join(file)).unwrap();
    sekisho_manifest::outline(&text).remove(0)
}

/// The steps of the workflow that ask Sekisho.
fn workflow_steps() -> Vec<String> {
    let root = outline(WORKFLOW);
    let steps = root.get("jobs").and_then(|jobs| jobs.get("check")?.get("steps")).unwrap();
    let scripts = steps.items().iter().filter_map(|step| step.get("run")?.text());
    scripts.filter(|script| script.contains("sekisho policy")).map(ToOwned::to_owned).collect()
}

/// The whole script of the GitLab job; without a token it leaves no comment.
fn gitlab_script() -> String {
    let root = outline(GITLAB);
    let lines = root.get("network-policy").and_then(|job| job.get("script")).unwrap();
    let lines: Vec<&str> = lines.items().iter().filter_map(|line| line.text()).collect();
    lines.join("\n")
}

fn read(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[track_caller]
fn code(output: &Output) -> i32 {
    let code = output.status.code().unwrap();
    assert!(
        code <= 1,
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    code
}

/// Opens the api to every pod of the namespace, on a port by a wrong name.
fn careless(text: &str) -> String {
    text.replace("[{podSelector: {matchLabels: {app: web}}}]", "[{podSelector: {}}]")
        .replace("port: 8080", "port: 80")
}

#[test]
fn the_workflow_passes_a_change_that_changes_nothing() {
    let folder = repository(|text| format!("# same\n{text}"));
    let [report, decide] = workflow_steps().try_into().unwrap();
    assert_eq!(code(&shell(folder.path(), &report, &[])), 0);
    assert_eq!(code(&shell(folder.path(), &decide, &[])), 0);
    let sarif: Value = serde_json::from_str(&read(folder.path(), "report/lint.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
}

#[test]
fn the_workflow_tells_what_a_careless_change_does_and_fails() {
    let folder = repository(careless);
    let [report, decide] = workflow_steps().try_into().unwrap();
    assert_eq!(code(&shell(folder.path(), &report, &[])), 0);
    let comment = read(folder.path(), "report/comment.md");
    assert!(comment.contains("shop/web") && comment.contains("SK304"), "{comment}");
    assert!(comment.contains("+    ports: [{port: 8080}]"), "{comment}");
    let sarif: Value = serde_json::from_str(&read(folder.path(), "report/lint.sarif")).unwrap();
    check_sarif(&sarif, folder.path());
    assert_eq!(code(&shell(folder.path(), &decide, &[])), 1);
}

#[test]
fn the_gitlab_job_passes_and_fails_likewise() {
    let script = gitlab_script();
    let same = repository(|text| format!("# same\n{text}"));
    assert_eq!(code(&shell(same.path(), &script, &[])), 0);
    let changed = repository(careless);
    assert_eq!(code(&shell(changed.path(), &script, &[])), 1);
    let junit = read(changed.path(), "report/lint.xml");
    assert!(junit.starts_with("<?xml") && junit.contains("failures=\"1\""), "{junit}");
    assert!(junit.contains("SK304 NetworkPolicy shop/web spec.egress[0].ports[0]"), "{junit}");
}

#[test]
fn a_manifest_that_cannot_be_read_fails_the_recipe() {
    let folder =
        repository(|text| text.replace("policyTypes: [Ingress]", "policyTypes: [Inwards]"));
    let [report, _decide] = workflow_steps().try_into().unwrap();
    let output = shell(folder.path(), &report, &[]);
    assert!(!output.status.success());
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("policies.yaml:"), "{err}");
}

/// What the schema of SARIF 2.1.0 asks of the parts that we write.
fn check_sarif(sarif: &Value, folder: &Path) {
    let run = &sarif["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    let at_least_one = |value: &Value| value.as_u64().is_some_and(|number| number >= 1);
    let mut fixes = 0;
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        let lines = read(folder, uri).lines().count();
        let region = &place["region"];
        assert!(at_least_one(&region["startLine"]) && at_least_one(&region["startColumn"]));
        assert!(region["startLine"].as_u64().unwrap() <= u64::try_from(lines).unwrap());
        for fix in result["fixes"].as_array().into_iter().flatten() {
            fixes += 1;
            let change = &fix["artifactChanges"][0];
            assert_eq!(change["artifactLocation"]["uri"].as_str().unwrap(), uri);
            for replacement in change["replacements"].as_array().unwrap() {
                let gone = &replacement["deletedRegion"];
                for field in ["startLine", "startColumn", "endLine", "endColumn"] {
                    assert!(at_least_one(&gone[field]), "{replacement}");
                }
                assert!(replacement["insertedContent"]["text"].is_string());
            }
        }
    }
    assert!(fixes > 0);
}

#[test]
fn fix_changes_the_files_and_leaves_nothing_to_find() {
    let folder = repository(careless);
    let path = folder.path().join("k8s");
    let path = path.to_str().unwrap();
    let found = run(&["policy", "lint", "-f", path, "-o", "json"]).with_code(1).json();
    assert_eq!(found["summary"]["warnings"], 1, "{found}");
    let all = found["findings"].as_array().unwrap();
    let finding = all.iter().find(|one| one["code"] == "SK304").unwrap();
    let patch = finding["fix"]["patch"].as_str().unwrap();
    assert!(patch.contains("-    ports: [{port: 80}]\n+    ports: [{port: 8080}]\n"), "{patch}");
    let after = run(&["policy", "lint", "-f", path, "--fix"]).with_code(0);
    assert!(after.out.contains("1 finding mended"), "{}", after.out);
    assert!(read(folder.path(), "k8s/policies.yaml").contains("port: 8080"));
}

#[test]
fn the_threshold_and_the_choice_of_codes_decide_the_exit_code() {
    let folder = repository(careless);
    let path = folder.path().join("k8s");
    let path = path.to_str().unwrap();
    let lint = |more: &[&str], code: i32| {
        run(&[&["policy", "lint", "-f", path][..], more].concat()).with_code(code)
    };
    lint(&["--fail-on", "error"], 0);
    lint(&["--skip", "SK304"], 0);
    lint(&["--only", "service-port"], 1);
    lint(&["--only", "SK999"], 2);
    run(&["policy", "lint"]).with_code(2);
    let told = run(&["policy", "lint", "--explain", "SK304"]).with_code(0);
    assert!(told.out.contains("# SK304 service-port"), "{}", told.out);
}

#[test]
fn two_sets_are_compared_with_witnesses() {
    let folder = repository(careless);
    let path = folder.path().join("k8s");
    let path = path.to_str().unwrap();
    let compare = ["policy", "compare", "-f", path, "-f"];
    let sample = format!("{SAMPLE}/k8s");
    let found = run(&[&compare[..], &[&sample, "-o", "json"]].concat()).with_code(1).json();
    assert_eq!(found["relation"], "subset", "{found}");
    assert_eq!(found["only_b"]["witnesses"][1]["source"], "shop/web[Deployment]");
    run(&[&compare[..], &[&sample, "--expect", "subset"]].concat()).with_code(0);
    run(&[&compare[..], &[&sample, "--expect", "superset"]].concat()).with_code(1);
    run(&[&compare[..], &[path]].concat()).with_code(0);
}

#[test]
fn the_page_of_codes_is_what_the_binary_prints() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lint.md");
    let printed = sekisho(&["policy", "lint", "--list", "-o", "md"]).output().unwrap().stdout;
    let written = std::fs::read(page).unwrap();
    assert!(
        written == printed,
        "docs/lint.md is old: `sekisho policy lint --list -o md > docs/lint.md`"
    );
}

/// An answer that is not whole says so in every form, and is not reported as done.
#[test]
fn a_lint_that_left_something_out_says_so_and_is_not_done() {
    let one = |n: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: ns, labels: {{app: a{n}}}}}\n\
             spec: {{containers: [{{name: c, image: i}}]}}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{n}, namespace: ns}}\n\
             spec: {{podSelector: {{matchLabels: {{app: a{n}}}}}, policyTypes: [Ingress], \
             ingress: [{{from: [{{podSelector: {{matchLabels: {{app: a0}}}}}}]}}]}}\n---\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.yaml");
    std::fs::write(&path, (0..1_700).map(one).collect::<String>()).unwrap();
    let file = path.to_str().unwrap();
    let ask = |more: &[&str]| {
        run(&[&["policy", "lint", "-f", file, "--fail-on", "error"], more].concat())
    };
    let said = "not looked for everywhere: SK";
    for form in ["table", "sarif"] {
        let answer = ask(&["-o", form]).with_code(3);
        assert!(answer.out.contains(said), "{form}");
    }
    let answer = ask(&["-o", "json"]).with_code(3).json();
    assert!(answer["unchecked"][0]["codes"].as_array().is_some_and(|codes| !codes.is_empty()));
}
