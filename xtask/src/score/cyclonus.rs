//! Verdicts that Cyclonus computed, asked as flow lines.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::sekisho::{Program, argument};
use super::table::Scores;

const KIND: &str = "cyclonus: verdicts";

/// Scores all verdicts.
pub(super) fn score(program: &Program, path: &Path, scores: &mut Scores) -> Result<()> {
    let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).context("unpack the verdicts")?;
    let cases: Vec<Value> = serde_json::from_str(&text).context("read the verdicts")?;
    let folder = Folder::new()?;
    for case in &cases {
        let name = case.get("description").and_then(Value::as_str).unwrap_or_default();
        for (number, step) in list(case, "steps").iter().enumerate() {
            score_step(program, &folder, (&format!("{name} step {number}"), step), scores)?;
        }
    }
    Ok(())
}

fn score_step(
    program: &Program,
    folder: &Folder,
    (name, step): (&str, &Value),
    scores: &mut Scores,
) -> Result<()> {
    let rows = list(step, "expected");
    let objects = folder.write("objects.json", &objects(step).to_string())?;
    let lines: Vec<String> = rows.iter().map(|row| flow(row).to_string()).collect();
    let flows = folder.write("flows.jsonl", &lines.join("\n"))?;
    let arguments =
        ["policy", "decide", "-f", &objects, "--flows", &flows, "--dialect", "cyclonus"];
    let answer = program.ask(&arguments)?;
    let mut answers = answer.text.lines();
    for row in rows {
        let expected = match cell(row, 5).as_str() {
            Some("allowed") => "allowed",
            _ => "denied",
        };
        let verdict = answers.next().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let verdict = verdict.as_ref().and_then(|line| line.get("verdict")?.as_str());
        let why = match verdict {
            Some(verdict) if verdict == expected => None,
            Some(verdict) => Some(format!("{verdict}: {row}")),
            None => Some(format!("{}: {row}", answer.complaint())),
        };
        scores.add(KIND, name, why);
    }
    Ok(())
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn cell(row: &Value, index: usize) -> &Value {
    row.get(index).unwrap_or(&Value::Null)
}

fn flow(row: &Value) -> Value {
    json!({
        "source": {"pod": cell(row, 0)},
        "destination": {"pod": cell(row, 1)},
        "protocol": cell(row, 2),
        "port": cell(row, 3),
    })
}

/// A state of the corpus as Kubernetes objects.
fn objects(step: &Value) -> Value {
    let mut items: Vec<Value> = list(step, "policies").to_vec();
    for policy in &mut items {
        if let Value::Object(fields) = policy {
            fields.insert("apiVersion".to_owned(), json!("networking.k8s.io/v1"));
            fields.insert("kind".to_owned(), json!("NetworkPolicy"));
        }
    }
    for (name, labels) in step.get("namespaces").and_then(Value::as_object).into_iter().flatten() {
        let metadata = json!({"name": name, "labels": labels});
        items.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    items.extend(list(step, "pods").iter().map(pod));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn pod(pod: &Value) -> Value {
    let field = |name: &str| pod.get(name).cloned().unwrap_or_default();
    let containers: Vec<Value> = list(pod, "Containers")
        .iter()
        .enumerate()
        .map(|(number, container)| {
            let port = json!({
                "containerPort": container.get("Port"),
                "name": container.get("PortName"),
                "protocol": container.get("Protocol"),
            });
            json!({"name": format!("c{number}"), "image": "none", "ports": [port]})
        })
        .collect();
    // One pod of the corpus has no address yet, but a word in its place.
    let address = field("IP").as_str().and_then(|text| text.parse::<std::net::IpAddr>().ok());
    let addresses: Vec<Value> = address.iter().map(|address| json!({"ip": address})).collect();
    let metadata = json!({
        "namespace": field("Namespace"), "name": field("Name"), "labels": field("Labels")
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"containers": containers},
        "status": {"phase": "Running", "podIPs": addresses},
    })
}

/// A folder that ends with its value.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sekisho-score-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(argument(&path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left to the system's own cleaning if it can't be removed.
        std::fs::remove_dir_all(&self.path).ok();
    }
}
