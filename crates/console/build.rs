//! Writes the table of the console's files, if `cargo xtask console` has built them.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let console = own.join("../../console");
    let dist = console.join("dist");
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        println!("cargo:rerun-if-changed={}", dist.display());
        list(&dist, &mut files)?;
        files.sort();
    } else if console.is_dir() {
        // So that a first build of the console is seen: a folder that is not there can't be watched.
        println!("cargo:rerun-if-changed={}", console.display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // Copies: a later build of the console must not pull files away from under a compiler.
    let copies = out.join("files");
    if copies.is_dir() {
        fs::remove_dir_all(&copies)?;
    }
    fs::create_dir_all(&copies)?;
    fs::write(out.join("files.rs"), table(&dist, &copies, &files)?)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension() != Some(OsStr::new("gz")) {
            files.push(path);
        }
    }
    Ok(())
}

/// One line for each file, sorted by path.
fn table(dist: &Path, copies: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut text = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let name = file.strip_prefix(dist).map_err(io::Error::other)?.to_string_lossy();
        let kind = content_type(file)?;
        let copy = copies.join(number.to_string());
        fs::copy(file, &copy)?;
        let packed = PathBuf::from(format!("{}.gz", file.display()));
        let packed = if packed.is_file() {
            let copy = copies.join(format!("{number}.gz"));
            fs::copy(&packed, &copy)?;
            format!("Some(include_bytes!({copy:?}))")
        } else {
            "None".to_owned()
        };
        // Names in assets/ hold a hash of what is in them.
        let immutable = name.starts_with("assets/");
        writeln!(
            text,
            "({name:?}, File {{ content_type: {kind:?}, body: include_bytes!({copy:?}), \
             gzip: {packed}, immutable: {immutable} }}),"
        )
        .map_err(io::Error::other)?;
    }
    text.push(']');
    Ok(text)
}

fn content_type(file: &Path) -> io::Result<&'static str> {
    match file.extension().and_then(OsStr::to_str) {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(io::Error::other(format!("{}: no content type is known for it", file.display()))),
    }
}
