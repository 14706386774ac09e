//! The text of the workspace's files, as the checks see it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold nothing we wrote.
const SKIPPED: &[&str] = &["target", ".git", ".claude", "node_modules"];

/// One text file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl File {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file of the workspace, sorted by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    files: Vec<File>,
    /// Paths of files that are no text.
    pictures: Vec<String>,
}

impl Tree {
    /// Reads the files under `root`; of those that are not UTF-8 (pictures, captures) the paths alone.
    ///
    /// # Errors
    /// If a folder or file can't be read.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let place = || format!("read folder {}", folder.display());
        for entry in fs::read_dir(folder).with_context(place)? {
            let entry = entry.with_context(place)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().with_context(place)?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &path)?;
                }
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("read {path}"))?;
                match String::from_utf8(bytes) {
                    Ok(text) => self.files.push(File { path, text }),
                    Err(_binary) => self.pictures.push(path),
                }
            }
        }
        Ok(())
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// Whether a file is at `path`, or under it; of whatever kind.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let is_it = |own: &str| own == path || own.starts_with(&folder);
        self.files().any(|file| is_it(&file.path)) || self.pictures.iter().any(|own| is_it(own))
    }

    /// The file at `path`, if it is there.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    /// C sources and headers of bpf/ that we wrote: `vmlinux.h` is the kernel's.
    pub(crate) fn c_sources(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| {
            let c = file.path.ends_with(".c") || file.path.ends_with(".h");
            c && file.path.starts_with("bpf/") && file.name() != "vmlinux.h"
        })
    }

    /// Manifests of the packages (not of the workspace).
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        // The fuzz targets are no package of the workspace: cargo-fuzz wants another compiler.
        let is_ours = |file: &&File| !file.path.starts_with("fuzz/");
        self.files().filter(|file| file.path.ends_with("/Cargo.toml")).filter(is_ours)
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of the given paths and texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect(), pictures: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_sources_are_read_and_build_products_are_not() {
        let tree = Tree::read(&crate::workspace::root()).unwrap();
        assert!(tree.file("xtask/src/tidy/tree.rs").is_some());
        assert!(tree.files().all(|file| !file.path.starts_with("target/")));
    }

    #[test]
    fn the_kernels_own_header_is_not_ours() {
        let tree = Tree::of(&[("bpf/include/vmlinux.h", ""), ("bpf/lib/a.h", "")]);
        assert_eq!(tree.c_sources().count(), 1);
    }
}
