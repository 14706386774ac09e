//! Real manifests of another project must be read.

use std::fs;
use std::path::{Path, PathBuf};

use sekisho_manifest::read;

/// Folders whose manifests are wrong on purpose, with what is wrong.
///
/// - `nad_test_1` has a field `app` in `spec.template.metadata`.
const BAD_ON_PURPOSE: &[&str] = &["nad_test_1"];

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() {
            files_below(&path, files);
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
}

#[test]
fn every_folder_of_netpol_analyzer_that_is_not_bad_on_purpose_is_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/corpora/policy/netpol-analyzer/tests");
    let Ok(folders) = fs::read_dir(&root) else {
        println!("not run: no corpus at {}", root.display());
        return;
    };
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let (mut good, mut objects, mut bad) = (0, 0, Vec::new());
    for folder in &folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let mut files = Vec::new();
        files_below(folder, &mut files);
        let mut errors = Vec::new();
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            let shown = file.strip_prefix(&root).unwrap().display().to_string();
            let reading = read(&shown, &text);
            objects += reading.objects.len();
            errors.extend(reading.errors);
        }
        if errors.is_empty() {
            good += 1;
        } else if !BAD_ON_PURPOSE.contains(&name) {
            bad.extend(errors.iter().map(|error| format!("{error} {:?}", error.help)));
        }
    }
    println!("{good} of {} folders read, {objects} objects", folders.len());
    assert!(bad.is_empty(), "{} errors:\n{}", bad.len(), bad.join("\n"));
}
