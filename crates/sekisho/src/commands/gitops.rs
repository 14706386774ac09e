//! `sekisho apply --to DIR`: verified policies as files for Git, never to a cluster.
//!
//! One file per policy and a kustomization.yaml, so that the folder is a kustomize base. The first
//! line marks a file as ours; only such files are replaced or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use sekisho_enforce::Gap;
use sekisho_enforce::native::{ObjectKey, is_native};
use sekisho_manifest::{Object, print_policy, to_json};
use sekisho_policy::RuleSet;
use sekisho_verify::{Limits, UNCHANGED_ALL};
use serde_json::Value;

use super::{history, input, output, yaml};
use crate::cli::{ApplyArgs, TableOrJson};
use crate::exit::Exit;
use crate::pipeline;

/// First line of every file that is ours.
pub(crate) const MARK: &str =
    "# Written by Sekisho, and written over by it: change the policy and apply again.";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// Folder of policies without a namespace; no namespace is called so.
const CLUSTER_WIDE: &str = "_cluster";
/// Files looked at in the folder; more are no folder of policies.
const FILES_MAX: usize = 100_000;

/// Policies as files for Git.
#[derive(Debug, Args)]
pub(crate) struct GitOpsArgs {
    /// Write the verified policies and a kustomization.yaml into this folder, and touch no cluster.
    /// Only files that Sekisho wrote are replaced, or removed with --prune.
    #[arg(long, value_name = "DIR", conflicts_with = "cut")]
    pub(crate) to: Option<PathBuf>,
    /// With --to: write nothing; exit code 1 if something would be written.
    #[arg(long, requires = "to")]
    pub(crate) check: bool,
}

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Replace,
    Remove,
}

/// Verifies, then writes; with `--check` only says what would be written. `Found` if something
/// would be blocked, or with `--check` if something differs.
pub(crate) fn run(args: &ApplyArgs, gitops: &GitOpsArgs) -> anyhow::Result<Exit> {
    let Some(root) = &gitops.to else { bail!("--to names no folder") };
    let objects = input::objects(&args.files)?;
    let rules = RuleSet::from_objects(&objects, sekisho_policy::Dialect::default());
    if rules.is_empty() {
        bail!("the files hold no policy: nothing to write");
    }
    let history = history::load(&args.history, args.history.range(history::now()))?;
    let none = RuleSet::default();
    let kept = if args.prune { &none } else { &history.current };
    let proposed = pipeline::proposed(&history, kept, objects.clone());
    let limits = Limits { would_block: args.max_would_block, uncertain: args.max_uncertain };
    let pair = (&history.current, &proposed);
    let answer = pipeline::what_if(&history, pair, &args.accept, limits, UNCHANGED_ALL);
    match args.output {
        TableOrJson::Table => {
            output::print(&sekisho_verify::table(&answer.report, output::width(), output::color()))?
        }
        TableOrJson::Json => output::print(&sekisho_verify::json(&answer.report))?,
    }
    if answer.verified.is_none() {
        output::note(
            "nothing was written: correct the policies, or accept an edge by name with --accept, or \
             uncertain ones by number with --max-uncertain",
        );
        return Ok(Exit::Found);
    }
    let lost: Vec<String> = sekisho_enforce::unenforced(&rules)
        .iter()
        .filter(|rule| matches!(rule.gap, Gap::Condition(_)))
        .map(ToString::to_string)
        .collect();
    if !lost.is_empty() {
        bail!("these rules hold parts that would be lost in the files:\n{}", lost.join("\n"));
    }
    let changes = Folder::open(root, gitops.check)?.plan(&objects, args.prune)?;
    let done = changes.carry_out(gitops.check)?;
    if args.output == TableOrJson::Table {
        output::print(&done)?;
    }
    if gitops.check && !changes.is_empty() {
        return Ok(Exit::Found);
    }
    if history.rows.is_empty() {
        output::note("no history in this window: nothing was verified");
        return Ok(Exit::Partial);
    }
    Ok(history::whole_or_partial(&history))
}

/// The folder that is written to.
pub(crate) struct Folder {
    root: PathBuf,
}

/// What has to be written and removed, by path below the folder.
pub(crate) struct Changes {
    root: PathBuf,
    files: BTreeMap<PathBuf, (Change, String)>,
    unchanged: usize,
    notes: Vec<String>,
}

impl Folder {
    /// The folder at `root`; made if it is not there and may be.
    pub(crate) fn open(root: &Path, check: bool) -> anyhow::Result<Self> {
        if !check {
            std::fs::create_dir_all(root).with_context(|| format!("make `{}`", root.display()))?;
        }
        // A link at the root is the user's own choice; those below it are not followed out of it.
        let root = if root.exists() {
            root.canonicalize().with_context(|| format!("open `{}`", root.display()))?
        } else {
            root.to_owned()
        };
        Ok(Self { root })
    }

    /// Compares the policies among `objects` with the files that are there.
    pub(crate) fn plan(&self, objects: &[Object], prune: bool) -> anyhow::Result<Changes> {
        let mut wanted = BTreeMap::new();
        for object in objects.iter().filter(|object| is_native(object)) {
            let key = ObjectKey::of(object);
            let path = path_of(&key)?;
            // As the API server would see it: the later one of a name is meant.
            wanted.insert(path, format!("{MARK}\n{}", text_of(object)));
        }
        let ours = self.ours()?;
        let mut notes = Vec::new();
        let mut files = BTreeMap::new();
        let stale: Vec<PathBuf> =
            ours.keys().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        let mut resources: BTreeSet<PathBuf> = wanted.keys().cloned().collect();
        for path in stale.into_iter().filter(|path| path != Path::new(KUSTOMIZATION)) {
            if prune {
                files.insert(path, (Change::Remove, String::new()));
            } else {
                resources.insert(path);
            }
        }
        wanted.insert(PathBuf::from(KUSTOMIZATION), kustomization(&resources));
        let mut unchanged = 0;
        for (path, text) in wanted {
            let full = self.inside(&path)?;
            match ours.get(&path) {
                Some(known) if *known == text => unchanged += 1,
                Some(_) => files.extend([(path, (Change::Replace, text))]),
                None if !full.exists() => files.extend([(path, (Change::Add, text))]),
                None if path == Path::new(KUSTOMIZATION) => notes.push(format!(
                    "{KUSTOMIZATION} is not ours and stays: name these resources in it: {}",
                    resources
                        .iter()
                        .map(|one| one.display().to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
                None => bail!(
                    "`{}` is there and is not ours (its first line is not our mark): move it away",
                    full.display()
                ),
            }
        }
        Ok(Changes { root: self.root.clone(), files, unchanged, notes })
    }

    /// The path in the folder; refused if a link leads out of it.
    fn inside(&self, path: &Path) -> anyhow::Result<PathBuf> {
        let mut full = self.root.clone();
        for part in path.components() {
            full.push(part);
            if full.is_symlink() {
                let end = full.canonicalize();
                let end = end.with_context(|| format!("follow the link `{}`", full.display()))?;
                if !end.starts_with(&self.root) {
                    bail!(
                        "`{}` is a link out of `{}`: nothing was written",
                        full.display(),
                        self.root.display()
                    );
                }
            }
        }
        Ok(full)
    }

    /// Our files in the folder and in the folders right below it, with their texts.
    fn ours(&self) -> anyhow::Result<BTreeMap<PathBuf, String>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        let mut looked = 0_usize;
        while let Some(folder) = folders.pop() {
            let full = self.root.join(&folder);
            if !full.exists() {
                continue;
            }
            let listed =
                std::fs::read_dir(&full).with_context(|| format!("list `{}`", full.display()))?;
            for entry in listed {
                let entry = entry.with_context(|| format!("list `{}`", full.display()))?;
                looked += 1;
                if looked > FILES_MAX {
                    bail!("more than {FILES_MAX} files in `{}`", self.root.display());
                }
                let path = folder.join(entry.file_name());
                let kind =
                    entry.file_type().with_context(|| format!("look at `{}`", path.display()))?;
                if kind.is_dir() && folder.as_os_str().is_empty() {
                    folders.push(path);
                } else if kind.is_file() && path.extension().is_some_and(|name| name == "yaml") {
                    let full = self.root.join(&path);
                    let text = std::fs::read(&full)
                        .with_context(|| format!("read `{}`", full.display()))?;
                    let text = String::from_utf8_lossy(&text).into_owned();
                    if text.lines().next() == Some(MARK) {
                        found.insert(path, text);
                    }
                }
            }
        }
        Ok(found)
    }
}

impl Changes {
    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes and removes, unless it is only a check; what was (or would be) done, in words.
    pub(crate) fn carry_out(&self, check: bool) -> anyhow::Result<String> {
        let mut text = String::new();
        for (path, (change, content)) in &self.files {
            let word = match change {
                Change::Add => "add",
                Change::Replace => "replace",
                Change::Remove => "remove",
            };
            text.push_str(&format!("{word:8} {}\n", path.display()));
            if check {
                continue;
            }
            let full = self.root.join(path);
            match change {
                Change::Remove => std::fs::remove_file(&full)
                    .with_context(|| format!("remove `{}`", full.display()))?,
                Change::Add | Change::Replace => write(&full, content)?,
            }
        }
        for note in &self.notes {
            text.push_str(&format!("{note}\n"));
        }
        let files = output::count(self.files.len(), "file", "files");
        let would = if check { "would change" } else { "changed" };
        text.push_str(&format!(
            "{files} {would}, {} unchanged in {}\n",
            self.unchanged,
            self.root.display()
        ));
        Ok(text)
    }
}

/// Never half a file: a commit may be made at any moment.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("write `{}`", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let draft = path.with_extension("yaml.tmp");
    std::fs::write(&draft, text).with_context(failed)?;
    std::fs::rename(&draft, path).with_context(failed)
}

/// `namespace/kind-name.yaml`.
fn path_of(key: &ObjectKey) -> anyhow::Result<PathBuf> {
    let folder = if key.namespace.is_empty() { CLUSTER_WIDE } else { key.namespace.as_str() };
    let name = format!("{}-{}.yaml", key.kind.to_lowercase(), key.name);
    let plain = |part: &str| !part.contains('/') && !part.starts_with('.');
    if !plain(folder) || !plain(&name) {
        bail!("{key}: no file can have this name");
    }
    Ok(Path::new(folder).join(name))
}

/// The object as its file says it.
fn text_of(object: &Object) -> String {
    if let Object::NetworkPolicy(policy) = object {
        return print_policy(policy);
    }
    let mut value: Value = serde_json::from_str(&to_json(object)).unwrap_or_default();
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|name, _| {
            ["name", "namespace", "labels", "annotations"].contains(&name.as_str())
        });
    }
    yaml::print(&value)
}

fn kustomization(resources: &BTreeSet<PathBuf>) -> String {
    let mut text = format!(
        "{MARK}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
    );
    for path in resources {
        text.push_str(&format!("- {}\n", yaml::text(&path.display().to_string())));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: b}}}]}]}
";

    fn objects(text: &str) -> Vec<Object> {
        sekisho_manifest::parse("a.yaml", text).unwrap()
    }

    fn run(root: &Path, text: &str, prune: bool, check: bool) -> anyhow::Result<String> {
        Folder::open(root, check)?.plan(&objects(text), prune)?.carry_out(check)
    }

    #[test]
    fn what_is_written_is_read_back_as_the_same_policies_and_is_stable() {
        let root = tempfile::tempdir().unwrap();
        let said = run(root.path(), TWO, false, false).unwrap();
        assert!(said.contains("3 files changed"), "{said}");
        let written = input::objects(&[root.path().join("shop"), root.path().join("_cluster")]);
        let rules = |all: &[Object]| RuleSet::from_objects(all, Default::default());
        let plain = |set: RuleSet| (set.policies().len(), set.others().len());
        assert_eq!(plain(rules(&written.unwrap())), plain(rules(&objects(TWO))));
        let again = run(root.path(), TWO, false, true).unwrap();
        assert!(again.contains("0 files would change, 3 unchanged"), "{again}");
        let kustomization = std::fs::read_to_string(root.path().join(KUSTOMIZATION)).unwrap();
        assert!(kustomization.contains("- shop/networkpolicy-web.yaml"), "{kustomization}");
    }

    #[test]
    fn only_our_files_are_replaced_or_removed() {
        let root = tempfile::tempdir().unwrap();
        run(root.path(), TWO, false, false).unwrap();
        let foreign = root.path().join("shop/other.yaml");
        std::fs::write(&foreign, "kind: Other\n").unwrap();
        let one = TWO.split("---").next().unwrap();
        let kept = run(root.path(), one, false, false).unwrap();
        assert!(kept.contains("0 files changed"), "without --prune it stays: {kept}");
        let said = run(root.path(), one, true, false).unwrap();
        assert!(said.contains("remove   _cluster/clusternetworkpolicy-guard.yaml"), "{said}");
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "kind: Other\n");
    }

    #[test]
    fn a_file_of_somebody_else_where_ours_belongs_refuses_everything() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("shop")).unwrap();
        std::fs::write(root.path().join("shop/networkpolicy-web.yaml"), "mine\n").unwrap();
        let error = run(root.path(), TWO, false, false).unwrap_err().to_string();
        assert!(error.contains("is not ours"), "{error}");
        assert!(!root.path().join("_cluster").exists(), "nothing was written");
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused_and_one_inside_is_not() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("shop")).unwrap();
        let error = run(root.path(), TWO, false, false).unwrap_err().to_string();
        assert!(error.contains("a link out of"), "{error}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        std::fs::remove_file(root.path().join("shop")).unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("shop")).unwrap();
        run(root.path(), TWO, false, false).unwrap();
        assert!(root.path().join("real/networkpolicy-web.yaml").exists());
    }

    #[test]
    fn check_writes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let said = run(&root.path().join("new"), TWO, false, true).unwrap();
        assert!(said.contains("3 files would change"), "{said}");
        assert!(!root.path().join("new").exists());
    }
}
