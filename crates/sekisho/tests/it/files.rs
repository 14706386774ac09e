//! Questions on files alone: no root, no server; bad input is named with file, line and field.

use std::io::Write;

use serde_json::Value;

use crate::run::{run, sekisho};

const CLUSTER: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i, ports: [{name: sql, containerPort: 5432}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
";

fn folder_with(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn decide_answers_line_by_line_and_keeps_unknown_fields() {
    let (_folder, path) = folder_with("cluster.yaml", CLUSTER);
    let flows = "\
{\"source\":{\"pod\":\"shop/web\"},\"destination\":{\"pod\":\"shop/db\"},\"protocol\":\"TCP\",\"port\":5432,\"n\":1}
{\"source\":{\"pod\":\"shop/web\"},\"destination\":{\"pod\":\"shop/db\"},\"protocol\":\"TCP\",\"port\":22}
{\"source\":{\"pod\":\"shop/nobody\"},\"destination\":{\"pod\":\"shop/db\"},\"protocol\":\"TCP\",\"port\":22}
";
    let (_flows_folder, flows_path) = folder_with("flows.jsonl", flows);
    let answer = run(&["policy", "decide", "-f", &path, "--flows", &flows_path]).with_code(3);
    let lines: Vec<Value> =
        answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<&str> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["allowed", "denied", "error"]);
    assert_eq!(lines[0]["n"], 1);
    assert_eq!(lines[0]["ingress"]["decided_by"]["policy"], "shop/db");
    assert_eq!(lines[0]["ingress"]["decided_by"]["rule"], 0);
}

#[test]
fn explain_names_policy_and_line_and_tells_by_its_exit_code() {
    let (_folder, path) = folder_with("cluster.yaml", CLUSTER);
    let question = ["policy", "explain", "-f", &path, "--from", "shop/web", "--to", "shop/db"];
    let allowed = run(&[&question[..], &["--port", "5432"]].concat()).with_code(0);
    assert!(allowed.out.contains("shop/db") && allowed.out.contains("19"), "{}", allowed.out);
    run(&[&question[..], &["--port", "22"]].concat()).with_code(1);
}

#[test]
fn a_wrong_field_is_named_with_file_line_and_field() {
    let (_folder, path) =
        folder_with("bad.yaml", &CLUSTER.replace("ports: [{port: sql}]", "port: sql"));
    let answer = run(&["policy", "check", "-f", &path]).with_code(2);
    let expected = ["bad.yaml:20:", "spec.ingress[0].port", "help: "];
    assert!(expected.iter().all(|part| answer.err.contains(part)), "{}", answer.err);
    assert!(answer.out.is_empty());
}

#[test]
fn an_unknown_operator_is_refused() {
    let bad = CLUSTER.replace(
        "podSelector: {matchLabels: {app: db}}",
        "podSelector: {matchExpressions: [{key: app, operator: Like, values: [d]}]}",
    );
    let (_folder, path) = folder_with("bad.yaml", &bad);
    let answer = run(&["policy", "check", "-f", &path]).with_code(2);
    assert!(answer.err.contains("operator") && answer.err.contains("Like"), "{}", answer.err);
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let mut child = sekisho(&["policy", "check", "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(CLUSTER.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("3 objects read"));
}

#[test]
fn without_a_server_the_message_says_how_to_start_one() {
    let answer = run(&["map", "--server", "/nonexistent/sekisho.sock"]).with_code(2);
    assert!(answer.err.contains("sekisho demo"), "{}", answer.err);
}

#[test]
fn a_missing_folder_and_an_empty_one_are_two_clear_errors() {
    let answer = run(&["policy", "check", "-f", "/nonexistent/dir"]).with_code(2);
    assert!(answer.err.contains("/nonexistent/dir"), "{}", answer.err);
    let empty = tempfile::tempdir().unwrap();
    let answer = run(&["policy", "check", "-f", empty.path().to_str().unwrap()]).with_code(2);
    assert!(answer.err.contains("holds no"), "{}", answer.err);
}

#[test]
fn an_unknown_configuration_key_is_refused_with_its_line() {
    let (_folder, path) = folder_with("config.toml", "[server]\nretention = 3\n");
    let answer = run(&["--config", &path, "policy", "check", "-f", "-"]).with_code(2);
    assert!(answer.err.contains("line 2") && answer.err.contains("retention"), "{}", answer.err);
}

#[test]
fn list_prints_its_forms_and_diff_tells_by_its_exit_code() {
    let (_folder, path) = folder_with("cluster.yaml", CLUSTER);
    let table = run(&["policy", "list", "-f", &path]).with_code(0).out;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        table.lines().any(|line| words(line) == "shop/web[Pod] shop/db[Pod] TCP 5432"),
        "{table}"
    );
    let json = run(&["policy", "list", "-f", &path, "-o", "json", "--dialect", "np-guard"]);
    let json: Value = serde_json::from_str(&json.with_code(0).out).unwrap();
    let row = json["connections"].as_array().unwrap().last().unwrap();
    assert_eq!((&row["src"], &row["dst"]), (&"shop/web[Pod]".into(), &"shop/db[Pod]".into()));
    assert_eq!(row["ports"], serde_json::json!([[5432, 5432]]));
    let focus = ["--focus-workload", "db", "--focus-direction", "ingress"];
    let text = ["policy", "list", "-f", &path, "-o", "npguard-txt"];
    let text = run(&[&text[..], &focus].concat()).with_code(0).out;
    assert_eq!(text, "shop/web[Pod] => shop/db[Pod] : TCP 5432\n");

    let wider = CLUSTER.replace("[{port: sql}]", "[{port: sql}, {port: 22}]");
    let (_other, wider) = folder_with("cluster.yaml", &wider);
    let same = run(&["policy", "diff", "-f", &path, "-f", &path, "-o", "npguard-txt"]);
    assert_eq!(same.with_code(0).out, "");
    let differs = run(&["policy", "diff", "-f", &path, "-f", &wider]).with_code(1).out;
    assert!(
        differs.contains("~ shop/web[Pod] -> shop/db[Pod]: TCP 5432 -> TCP 22,5432"),
        "{differs}"
    );
    run(&["policy", "diff", "-f", &path]).with_code(2);
}

#[test]
fn a_list_of_wrong_input_prints_nothing_but_where_it_is_wrong() {
    let (_folder, path) =
        folder_with("bad.yaml", &CLUSTER.replace("podSelector: {m", "podSelector: {n"));
    for form in ["table", "json", "npguard-txt"] {
        let answer = run(&["policy", "list", "-f", &path, "-o", form]).with_code(2);
        assert_eq!(answer.out, "");
        assert!(
            answer.err.contains("bad.yaml:17") && answer.err.contains("podSelector"),
            "{}",
            answer.err
        );
    }
}

#[test]
fn a_linked_folder_is_read_once_and_links_that_lead_back_end() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("cluster.yaml"), CLUSTER).unwrap();
    let link = std::os::unix::fs::symlink::<&std::path::Path, std::path::PathBuf>;
    for name in ["linked", "again"] {
        link(elsewhere.path(), folder.path().join(name)).unwrap();
    }
    link(folder.path(), elsewhere.path().join("back")).unwrap();
    let path = folder.path().to_str().unwrap();
    let answer = run(&["policy", "list", "-f", path, "-o", "csv"]).with_code(0).out;
    assert!(answer.contains("shop/web[Pod],shop/db[Pod],TCP,5432,5432"), "{answer}");
}

/// A ConfigMap's volume: names that lead through `..data` to the files of this version.
#[test]
fn a_mounted_config_map_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let link = std::os::unix::fs::symlink::<&str, std::path::PathBuf>;
    std::fs::create_dir(folder.path().join("..2026_11_23")).unwrap();
    std::fs::write(folder.path().join("..2026_11_23/cluster.yaml"), CLUSTER).unwrap();
    link("..2026_11_23", folder.path().join("..data")).unwrap();
    link("..data/cluster.yaml", folder.path().join("cluster.yaml")).unwrap();
    let path = folder.path().to_str().unwrap();
    let answer = run(&["policy", "list", "-f", path, "-o", "csv"]).with_code(0).out;
    assert!(answer.contains("shop/web[Pod],shop/db[Pod],TCP,5432,5432"), "{answer}");
}
