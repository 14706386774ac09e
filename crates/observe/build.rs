//! Compiles bpf/*.bpf.c with clang into OUT_DIR, from where the crate embeds the objects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// `SEKISHO_CLANG` goes before all of these.
const CLANGS: &[&str] = &["clang-19", "clang", "clang-20", "clang-18", "clang-17", "clang-16"];
const OBJECTS: &[&str] = &["sekisho", "probes"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let manifest = required("CARGO_MANIFEST_DIR")?;
    let bpf = Path::new(&manifest).join("../../bpf");
    let out = PathBuf::from(required("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=SEKISHO_CLANG");
    println!("cargo::rerun-if-changed={}", bpf.display());
    let clang = find_clang()?;
    for object in OBJECTS {
        compile(&clang, &bpf, object, &out)?;
    }
    Ok(())
}

fn required(variable: &str) -> Result<OsString, String> {
    std::env::var_os(variable).ok_or_else(|| format!("cargo did not set {variable}"))
}

/// The BPF macros of libbpf know the kernel's name of an architecture, not Rust's.
fn kernel_architecture() -> String {
    let name = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    match name.as_str() {
        "x86_64" => "x86".to_owned(),
        "aarch64" => "arm64".to_owned(),
        "riscv64" => "riscv".to_owned(),
        "s390x" => "s390".to_owned(),
        _ => name,
    }
}

#[expect(clippy::disallowed_methods, reason = "a build script cannot use our own crates")]
fn find_clang() -> Result<OsString, String> {
    let chosen = std::env::var_os("SEKISHO_CLANG");
    chosen
        .into_iter()
        .chain(CLANGS.iter().map(OsString::from))
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
        .ok_or_else(|| {
            "clang compiles the kernel programs and was not found: \
             `apt-get install clang-19 libbpf-dev`, or set SEKISHO_CLANG"
                .to_owned()
        })
}

#[expect(clippy::disallowed_methods, reason = "a build script cannot use our own crates")]
fn compile(clang: &OsString, bpf: &Path, object: &str, out: &Path) -> Result<(), String> {
    let output = Command::new(clang)
        .args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror"])
        // The context of a tracing program is a parameter by convention, used or not.
        .arg("-Wno-unused-parameter")
        .arg(format!("-D__TARGET_ARCH_{}", kernel_architecture()))
        .arg(format!("-ffile-prefix-map={}=bpf", bpf.display()))
        .arg("-I")
        .arg(bpf.join("include"))
        .arg("-I")
        .arg(bpf)
        .arg("-c")
        .arg(bpf.join(format!("{object}.bpf.c")))
        .arg("-o")
        .arg(out.join(format!("{object}.bpf.o")))
        .output()
        .map_err(|error| format!("start {}: {error}", clang.to_string_lossy()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("bpf/bpf_helpers.h") && stderr.contains("not found") {
        return Err("the headers of libbpf were not found: `apt-get install libbpf-dev`".to_owned());
    }
    // `cargo::error` holds one line; the rest are shown beside it.
    stderr.lines().for_each(|line| println!("cargo::warning={line}"));
    let first = stderr.lines().find(|line| line.contains("error")).unwrap_or("no message");
    Err(format!("{} could not compile bpf/{object}.bpf.c: {first}", clang.to_string_lossy()))
}
