//! Files of objects: folders, files, standard input.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sekisho_api::PolicyFile;
use sekisho_manifest::{ManifestError, Object, TEXT_BYTES_MAX};

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads all files that `paths` name: folders are walked, sorted by name, linked ones too, and each
/// folder once; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<PolicyFile>> {
    let mut files = Vec::new();
    let mut walked = BTreeSet::new();
    for path in paths {
        if path == Path::new("-") {
            let name = "standard input".to_owned();
            let text = read_text(&name, std::io::stdin())?;
            files.push(PolicyFile { name, text });
        } else if path.is_dir() {
            let found = files.len();
            walk(path, &mut walked, &mut files)?;
            if files.len() == found {
                bail!("folder `{}` holds no .yaml, .yml or .json file", path.display());
            }
        } else {
            files.push(read_file(path)?);
        }
    }
    Ok(files)
}

/// Adds the files below `folder`. `walked` holds the folders read before, by their real path: a link
/// to a folder above would never end, and objects that are read twice are duplicates.
fn walk(
    folder: &Path,
    walked: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PolicyFile>,
) -> anyhow::Result<()> {
    let list = || format!("list `{}`", folder.display());
    if !walked.insert(std::fs::canonicalize(folder).with_context(list)?) {
        return Ok(());
    }
    let listed = std::fs::read_dir(folder).with_context(list)?;
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.with_context(list)?.path());
    }
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && !is_volume_version(&path) {
            walk(&path, walked, files)?;
        } else if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            files.push(read_file(&path)?);
        }
    }
    Ok(())
}

/// True for `..data` and the folder it leads to, where a mounted ConfigMap keeps what the links
/// beside them name (Kubernetes pkg/volume/util/atomic_writer.go).
fn is_volume_version(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
}

fn read_file(path: &Path) -> anyhow::Result<PolicyFile> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("read `{name}`"))?;
    let text = read_text(&name, file)?;
    Ok(PolicyFile { name, text })
}

/// Reads no more than can be parsed, so that neither a huge file nor an endless pipe fills memory.
fn read_text(name: &str, source: impl Read) -> anyhow::Result<String> {
    let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    source
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .with_context(|| format!("read `{name}`"))?;
    if bytes.len() > TEXT_BYTES_MAX {
        bail!("`{name}` is longer than {TEXT_BYTES_MAX} bytes, the most that is read");
    }
    String::from_utf8(bytes).with_context(|| format!("`{name}` is not UTF-8 text"))
}

/// Parses all files as an API server would; every error of every file is told at once.
pub(crate) fn parse(files: &[PolicyFile]) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        match sekisho_manifest::parse(&file.name, &file.text) {
            Ok(found) => objects.extend(found),
            Err(errors) => wrong.extend(errors.iter().map(sentence)),
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(objects)
}

/// Reads files to ask questions about them: what an API server would refuse although its meaning
/// is clear is told, and read.
pub(crate) fn lenient(paths: &[PathBuf]) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut wrong = Vec::new();
    for file in read(paths)? {
        let reading = sekisho_manifest::read(&file.name, &file.text);
        wrong.extend(reading.errors.iter().map(sentence));
        for refusal in &reading.refusals {
            super::output::note(&format!("warning: {}", sentence(refusal)));
        }
        objects.extend(reading.objects);
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(objects)
}

/// An error with the advice that belongs to it.
pub(crate) fn sentence(error: &ManifestError) -> String {
    match &error.help {
        Some(help) => format!("{error}\n  help: {help}"),
        None => error.to_string(),
    }
}

/// Reads and parses.
pub(crate) fn objects(paths: &[PathBuf]) -> anyhow::Result<Vec<Object>> {
    parse(&read(paths)?)
}
