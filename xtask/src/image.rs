//! `cargo xtask image`: the product as a container image, in a tar that `docker load`, `podman load`
//! and `ctr images import` read; and the writer of such tars, which the cluster's images use too.
//!
//! Distroless in style: the program, the shared libraries that it and nft need, certificates of
//! authorities, and no shell. Equal inputs give equal bytes: times are zero and paths are sorted.
//! Layout: Docker Image Specification v1.2 ("Combined Image JSON + Filesystem Changeset Format").

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{artifact, console, run};

/// The product's image as the chart and the tests name it.
pub(crate) const SEKISHO: &str = "docker.io/sekisho/sekisho:dev";

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Programs that the product starts.
const HELPERS: &[&str] = &["/usr/sbin/nft"];

/// `cargo xtask image [--profile dev|release] [-o FILE]`.
///
/// # Errors
/// If the build fails or the image can't be written.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (mut profile, mut output) = ("release", PathBuf::from("target/sekisho-image.tar"));
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--profile" => profile = value,
            "-o" | "--output" => output = PathBuf::from(value),
            _ => bail!("usage: cargo xtask image [--profile dev|release] [-o FILE]"),
        }
    }
    console::ensure(root)?;
    let program = artifact::sekisho_in(root, profile)?;
    let bytes = archive(&[sekisho(&program)?])?;
    fs::write(&output, &bytes).with_context(|| format!("write {}", output.display()))?;
    println!("{SEKISHO}: {} ({} MB)", output.display(), bytes.len() / 1_000_000);
    Ok(())
}

/// The product's image around a built `sekisho`.
///
/// # Errors
/// If a program or a library that it needs can't be read.
pub(crate) fn sekisho(program: &Path) -> Result<Image> {
    let mut image = Image::new(SEKISHO);
    image.program(&stripped(program), "/usr/bin/sekisho")?;
    for helper in HELPERS {
        image.program(Path::new(helper), helper)?;
    }
    if Path::new(CERTIFICATES).exists() {
        image.file(CERTIFICATES, 0o644, read(Path::new(CERTIFICATES))?);
    }
    image.file(
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/:/nologin\nsekisho:x:65532:65532::/:/nologin\n",
    );
    image.file("/etc/group", 0o644, "root:x:0:\nsekisho:x:65532:\n");
    image.folder("/tmp", 0o1777);
    image.entrypoint = vec!["/usr/bin/sekisho".to_owned()];
    Ok(image)
}

/// A copy of a program without debug information, a quarter of its size; the program itself where
/// there is no `strip`.
fn stripped(program: &Path) -> PathBuf {
    let copy = program.with_added_extension("stripped");
    let mut strip = run::command("strip");
    if run::works(strip.args(["--strip-debug", "-o"]).arg(&copy).arg(program)) {
        return copy;
    }
    program.to_owned()
}

/// An image of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Name and tag in full, e.g. `docker.io/library/busybox:local`.
    pub(crate) name: String,
    /// What a container of it runs.
    pub(crate) entrypoint: Vec<String>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: u32,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Folder,
    File(Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
}

impl Image {
    /// An empty image.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), entrypoint: Vec::new(), entries: BTreeMap::new() }
    }

    /// Adds a file and the folders above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.add(path, Entry { mode, what: What::File(bytes.into()) });
    }

    /// Adds a folder and those above it.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        self.add(path, Entry { mode, what: What::Folder });
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.add(path, Entry { mode: 0o777, what: What::Link(target.to_owned()) });
    }

    /// Adds a program of this machine under `path`, and the shared libraries that it needs where
    /// the loader looks for them.
    ///
    /// # Errors
    /// If the program or a library can't be read, or a library is missing.
    pub(crate) fn program(&mut self, program: &Path, path: &str) -> Result<()> {
        self.file(path, 0o755, read(program)?);
        for library in libraries(program)? {
            let bytes = read(Path::new(&library))?;
            self.file(&library, 0o755, bytes);
        }
        Ok(())
    }

    /// The one layer.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = Tar::default();
        for (path, entry) in &self.entries {
            layer.add(path.trim_start_matches('/'), entry)?;
        }
        Ok(layer.finish())
    }

    /// The image's configuration; `digest` is its layer's.
    fn config(&self, digest: &str) -> Result<Vec<u8>> {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        serde_json::to_vec(&config).context("print the image's configuration")
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let above = Path::new(path).ancestors().skip(1).filter(|above| *above != Path::new("/"));
        for folder in above {
            let folder = folder.to_string_lossy().into_owned();
            let entry = Entry { mode: 0o755, what: What::Folder };
            self.entries.entry(folder).or_insert(entry);
        }
        self.entries.insert(path.to_owned(), entry);
    }
}

/// Images in one tar, to be loaded at once.
///
/// # Errors
/// If a path is too long for a tar (100 bytes), or `sha256sum` can't be run.
pub(crate) fn archive(images: &[Image]) -> Result<Vec<u8>> {
    let mut tar = Tar::default();
    let mut manifest = Vec::with_capacity(images.len());
    for image in images {
        let layer = image.layer()?;
        let digest = sha256(&layer)?;
        let config = image.config(&digest)?;
        let names = (format!("{}.json", sha256(&config)?), format!("{digest}.tar"));
        manifest.push(json!({
            "Config": names.0, "RepoTags": [image.name], "Layers": [names.1],
        }));
        for (name, bytes) in [(&names.0, config), (&names.1, layer)] {
            tar.add(name, &Entry { mode: 0o644, what: What::File(bytes) })?;
        }
    }
    let manifest = What::File(serde_json::to_vec(&manifest)?);
    tar.add("manifest.json", &Entry { mode: 0o644, what: manifest })?;
    Ok(tar.finish())
}

/// Paths of the shared libraries that a program needs, the loader among them; none if it is
/// static.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let mut ldd = run::command("ldd");
    let output = ldd.arg(program).output().context("start `ldd`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !said.contains("not a dynamic executable") {
        bail!("`ldd {}` ended with {}: {said}", program.display(), output.status);
    }
    text.lines().filter_map(|line| library(line).transpose()).collect()
}

/// One line of ldd: `libc.so.6 => /lib/x/libc.so.6 (0x1)`, `/lib64/ld.so (0x1)`, or
/// `linux-vdso.so.1 (0x1)`, which is no file.
fn library(line: &str) -> Result<Option<String>> {
    let line = line.trim();
    if line.ends_with("=> not found") {
        bail!("a shared library is missing: {line}");
    }
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let path = path.split(' ').next().unwrap_or_default();
    Ok(path.starts_with('/').then(|| path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// SHA-256 in hexadecimal, by coreutils: xtask is built without optimisation, which makes a digest
/// of 100 MB take 15 s.
pub(crate) fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = run::command("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start `sha256sum`")?;
    // It prints nothing before it has read all, so neither waits for the other.
    child.stdin.take().context("the input of `sha256sum`")?.write_all(bytes)?;
    let output = child.wait_with_output().context("wait for `sha256sum`")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(' ').next().map(str::to_owned).context("`sha256sum` printed nothing")
}

/// Go's name of this machine's processor, as images carry it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar as POSIX.1-1988 defines it (ustar), in memory.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
}

const BLOCK: usize = 512;

impl Tar {
    fn add(&mut self, path: &str, entry: &Entry) -> Result<()> {
        let (kind, content, target) = match &entry.what {
            What::Folder => (b'5', &[][..], ""),
            What::File(bytes) => (b'0', bytes.as_slice(), ""),
            What::Link(target) => (b'2', &[][..], target.as_str()),
        };
        if path.len() > 100 || target.len() > 100 {
            bail!("`{path}`: names in a tar have at most 100 bytes");
        }
        let mut header = Vec::with_capacity(BLOCK);
        field(&mut header, path.as_bytes(), 100);
        octal(&mut header, entry.mode.into(), 8);
        octal(&mut header, 0, 8);
        octal(&mut header, 0, 8);
        octal(&mut header, content.len() as u64, 12);
        octal(&mut header, 0, 12);
        // The checksum counts itself as spaces.
        header.extend([b' '; 8]);
        header.push(kind);
        field(&mut header, target.as_bytes(), 100);
        field(&mut header, b"ustar\x0000", 8);
        header.resize(BLOCK, 0);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        let digits = format!("{sum:06o}\0 ");
        for (place, digit) in header.iter_mut().skip(148).zip(digits.bytes()) {
            *place = digit;
        }
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Two empty blocks end it.
    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

fn field(header: &mut Vec<u8>, bytes: &[u8], width: usize) {
    let end = header.len() + width;
    header.extend(bytes);
    header.resize(end, 0);
}

fn octal(header: &mut Vec<u8>, value: u64, width: usize) {
    field(header, format!("{value:0digits$o}", digits = width - 1).as_bytes(), width);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::Value;

    use super::*;
    use crate::setup;

    /// No container engine runs in the tests, so what can be compared is.
    #[test]
    fn the_dockerfile_builds_with_the_rust_and_the_clang_that_are_tested() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let recipe = fs::read_to_string(root.join("deploy/image/Dockerfile")).unwrap();
        let rust = format!("FROM rust:{}-bookworm AS build\n", env!("CARGO_PKG_RUST_VERSION"));
        assert!(recipe.contains(&rust), "{rust}{recipe}");
        assert!(recipe.contains(&format!(" clang-{} ", setup::CLANG_MAJOR_MIN)), "{recipe}");
        for helper in HELPERS {
            assert!(recipe.contains(helper), "{helper} is in the tar and not in the Dockerfile");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-4, the example of one block.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").unwrap(), expected);
    }

    #[test]
    fn tar_reads_what_we_write() {
        let folder = std::env::temp_dir().join(format!("sekisho-xtask-t-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut image = Image::new("docker.io/library/x:1");
        image.file("/a/b/hello", 0o755, "hi\n");
        image.link("/a/link", "b/hello");
        image.folder("/tmp", 0o1777);
        fs::write(folder.join("image.tar"), archive(&[image]).unwrap()).unwrap();
        let tar = |arguments: &[&str]| {
            run::output(run::command("tar").current_dir(&folder).args(arguments)).unwrap()
        };
        let manifest: Value =
            serde_json::from_str(&tar(&["-xOf", "image.tar", "manifest.json"])).unwrap();
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        tar(&["-xf", "image.tar", layer]);
        tar(&["-xf", layer]);
        assert_eq!(fs::read_to_string(folder.join("a/link")).unwrap(), "hi\n");
        let mode = fs::metadata(folder.join("a/b/hello")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let mode = fs::metadata(folder.join("tmp")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn equal_inputs_are_equal_bytes() {
        let make = || {
            let mut image = Image::new("x:1");
            image.file("/f", 0o644, "x");
            archive(&[image]).unwrap()
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn a_name_that_is_too_long_is_an_error_and_not_a_broken_tar() {
        let mut image = Image::new("x:1");
        image.file(&format!("/{}", "n".repeat(101)), 0o644, "");
        assert!(archive(&[image]).is_err());
    }

    #[test]
    fn every_form_of_line_that_ldd_prints_is_understood() {
        let read = |line| library(line).unwrap();
        let path = "/lib/x86_64-linux-gnu/libc.so.6";
        assert_eq!(read("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)").unwrap(), path);
        assert_eq!(
            read("\t/lib64/ld-linux-x86-64.so.2 (0x7f)").unwrap(),
            "/lib64/ld-linux-x86-64.so.2"
        );
        assert_eq!(read("\tlinux-vdso.so.1 (0x7ffc)"), None);
        assert_eq!(read("\tstatically linked"), None);
        assert!(library("\tlibx.so => not found").is_err());
    }
}
