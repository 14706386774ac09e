//! `cargo xtask chart [--check]`: lints the Helm chart and writes `deploy/manifests` from it, so that
//! people without Helm install the same.
//!
//! The manifests begin with a digest of the chart that they were made from. A test compares it, so
//! that a change of the chart alone fails at once, without Helm, whose build takes minutes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::image::sha256;
use crate::{cluster, run};

const CHART: &str = "deploy/chart/sekisho";
const MANIFESTS: &str = "deploy/manifests/sekisho.yaml";
const NAMESPACE: &str = "sekisho";
/// Settings with which the chart must be good, beside its defaults.
const VARIANTS: &[&[&str]] = &[
    &[],
    &["enforcement.native.enabled=true", "server.persistence.enabled=false"],
    &["tls.mode=certManager", "networkPolicy.enabled=false", "namespace.create=true"],
    &[
        "tls.mode=existing",
        "image.tag=dev",
        "server.extraConfig=rotate_s = 60",
        "server.webListen=",
    ],
    &["tls.nodeCertificates=false", "rbac.probe=true"],
    &["server.clusters.east=sekisho-east", "server.clusters.west=sekisho-west"],
    AGENTS,
];
/// Agents alone, of a server elsewhere.
const AGENTS: &[&str] = &[
    "server.enabled=false",
    "tls.mode=existing",
    "agent.cluster=east",
    "agent.server=https://sekisho.example",
];
/// Every part that the chart can have.
const ALL: &[&str] = &["enforcement.native.enabled=true", "rbac.probe=true", "rbac.operator=true"];
/// What plain manifests have: their namespace, and Secrets that `sekisho certificates` makes.
const PLAIN: &[&str] = &["namespace.create=true", "tls.mode=existing"];

/// Runs the verb; with `--check` it writes nothing.
///
/// # Errors
/// If the chart is not good, or the manifests differ (with `--check`).
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let check = match words.as_slice() {
        [] => false,
        ["--check"] => true,
        _ => bail!("usage: cargo xtask chart [--check]"),
    };
    let helm = Helm { root, program: cluster::helm(root)? };
    for settings in VARIANTS {
        let what = || format!("the chart with {settings:?}");
        helm.run(&["lint", "--strict"], NAMESPACE, settings).with_context(what)?;
        helm.template(settings).with_context(what)?;
    }
    ensure!(
        helm.template(&["agent.cgruop=/x"]).is_err(),
        "the chart takes a value that it does not know"
    );
    cert_manager(&helm.template(&["tls.mode=certManager"])?)
        .context("the chart with tls.mode=certManager")?;
    ensure!(
        helm.template(&["server.enabled=false"]).is_err(),
        "the chart takes agents without a server that they could reach"
    );
    agents_alone(&helm.template(AGENTS)?).context("the chart with agents alone")?;
    apart(&helm)?;
    println!("{CHART} is good in {} variants", VARIANTS.len());
    let rendered = helm.template(PLAIN)?;
    let text = format!("{}{rendered}", head(&digest(root)?));
    let path = root.join(MANIFESTS);
    match (fs::read_to_string(&path).is_ok_and(|old| old == text), check) {
        (true, _) => println!("{MANIFESTS} is up to date"),
        (false, true) => bail!("{MANIFESTS} differs from the chart: run `cargo xtask chart`"),
        (false, false) => {
            fs::write(&path, text).with_context(|| format!("write {MANIFESTS}"))?;
            println!("wrote {MANIFESTS}");
        }
    }
    Ok(())
}

/// Helm, for our chart.
struct Helm<'a> {
    root: &'a Path,
    program: PathBuf,
}

impl Helm<'_> {
    fn run(&self, verb: &[&str], namespace: &str, settings: &[&str]) -> Result<String> {
        let mut command = run::command(&self.program.to_string_lossy());
        command.current_dir(self.root).args(verb).arg(CHART).args(["--namespace", namespace]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        run::output(&mut command)
    }

    fn template(&self, settings: &[&str]) -> Result<String> {
        self.run(&["template", NAMESPACE], NAMESPACE, settings)
    }
}

/// An object in rendered text: kind, name, and whether it is in a namespace.
fn objects(rendered: &str) -> Vec<(&str, &str, bool)> {
    let object = |text| {
        let value = |key: &str| {
            let mut lines = str::lines(text).filter_map(|line| line.strip_prefix(key));
            Some(lines.next()?.trim_matches('"'))
        };
        let placed = value("  namespace: ").is_some();
        Some((value("kind: ")?, value("  name: ")?, placed))
    };
    rendered.split("\n---\n").filter_map(object).collect()
}

/// Two releases in two namespaces share no object that has no namespace, whatever they are called.
fn apart(helm: &Helm<'_>) -> Result<()> {
    let mut owners = BTreeMap::new();
    for place in [("sekisho", "sekisho"), ("sekisho", "b"), ("b", "sekisho"), ("b", "b")] {
        let (release, namespace) = place;
        let rendered = helm.run(&["template", release], namespace, ALL)?;
        let all = objects(&rendered);
        let roles = all.iter().filter(|(kind, _, placed)| *kind == "ClusterRole" && !placed);
        ensure!(roles.count() == 4, "not every part is there: {all:?}");
        for (kind, name, placed) in all {
            let other = (!placed).then(|| owners.insert(format!("{kind} {name}"), place)).flatten();
            if let Some(other) = other.filter(|other| *other != place) {
                bail!("{kind} `{name}` is of {place:?} and of {other:?} (release, namespace)");
            }
        }
    }
    Ok(())
}

/// Agents without a server have what they need, leave the account for the server elsewhere, and
/// nothing else.
fn agents_alone(rendered: &str) -> Result<()> {
    let mut found: Vec<String> =
        objects(rendered).iter().map(|(kind, name, _)| format!("{kind} {name}")).collect();
    found.sort();
    let own = format!("{NAMESPACE}:{NAMESPACE}");
    let wanted = [
        format!("ClusterRole {own}:agents"),
        format!("ClusterRole {own}:inventory"),
        format!("ClusterRoleBinding {own}:agents"),
        format!("ClusterRoleBinding {own}:inventory"),
        "ConfigMap sekisho-agent".to_owned(),
        "DaemonSet sekisho-agent".to_owned(),
        "Role sekisho-operator".to_owned(),
        "ServiceAccount sekisho-agent".to_owned(),
        "ServiceAccount sekisho-server".to_owned(),
    ];
    ensure!(found == wanted, "it has {found:?}");
    for line in [
        "server = \"https://sekisho.example\"",
        "cluster = \"east\"",
        "token = \"/var/run/secrets/sekisho/token\"",
    ] {
        ensure!(rendered.contains(&format!("\n    {line}\n")), "its agents lack `{line}`");
    }
    Ok(())
}

/// What the server and the agents need of cert-manager's Certificates: a Secret for each that is
/// mounted, the name that says what its holder may do (crates/api/src/tls/identity.rs), the usage
/// that TLS asks for at its end, and the server's DNS name.
fn cert_manager(rendered: &str) -> Result<()> {
    let documents: Vec<&str> = rendered.split("\n---\n").collect();
    let certificate = |secret: &str| {
        let line = format!("\n  secretName: {secret}\n");
        let mut found = documents.iter().filter(|text| {
            text.contains("\nkind: Certificate\n") && format!("{text}\n").contains(&line)
        });
        let one = found.next().with_context(|| format!("no Certificate makes {secret}"))?;
        ensure!(found.next().is_none(), "two Certificates make {secret}");
        Ok(*one)
    };
    ensure!(!rendered.contains("\nkind: Secret\n"), "a Secret is in the way of cert-manager's");
    for line in rendered.lines().filter(|line| line.trim_start().starts_with("secretName: ")) {
        certificate(line.trim().trim_start_matches("secretName: "))?;
    }
    let authority = certificate("sekisho-ca")?;
    ensure!(authority.contains("\n  isCA: true\n"), "sekisho-ca is no authority");
    for (holder, path, usage) in [
        ("server", "server", "server auth"),
        ("agent", "agent", "client auth"),
        ("operator", "operator/admin", "client auth"),
        ("monitor", "monitor", "client auth"),
    ] {
        let text = certificate(&format!("sekisho-{holder}-tls"))?;
        for wanted in [
            format!("\n  uris: [\"spiffe://cluster.local/{path}\"]\n"),
            format!("\n  usages: [digital signature, {usage}]\n"),
            "\n  issuerRef: {name: sekisho, kind: Issuer}\n".to_owned(),
        ] {
            ensure!(format!("{text}\n").contains(&wanted), "{holder} lacks `{}`", wanted.trim());
        }
    }
    let names = certificate("sekisho-server-tls")?;
    let url = format!("sekisho-server.{NAMESPACE}.svc");
    ensure!(
        rendered.contains(&format!("https://{url}:")),
        "agents ask for another name than {url}"
    );
    for name in [url.as_str(), "localhost"] {
        let is_name = |line: &str| {
            line.trim_start().starts_with("dnsNames:") && line.contains(&format!("\"{name}\""))
        };
        ensure!(names.lines().any(is_name), "the server's certificate lacks {name}");
    }
    Ok(())
}

fn head(digest: &str) -> String {
    format!(
        "# Written by `cargo xtask chart` from {CHART}; do not edit. docs/install.md says how to use it.\n\
         # Chart: {digest}\n"
    )
}

/// The SHA-256 of the chart's files and their names.
fn digest(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(&root.join(CHART), &mut files)?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        all.extend(format!("{name}\0{}\0", bytes.len()).into_bytes());
        all.extend(bytes);
    }
    sha256(&all)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let listed = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in listed {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_manifests_are_those_of_this_chart() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = fs::read_to_string(root.join(MANIFESTS)).unwrap();
        let own = head(&digest(root).unwrap());
        assert!(text.starts_with(&own), "the chart changed: run `cargo xtask chart`");
    }
}
