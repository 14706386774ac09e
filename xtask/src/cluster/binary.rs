//! Builds the upstream programs once for each version, and keeps them outside the checkout:
//! `$XDG_CACHE_HOME/sekisho/cluster/<version>-<digest of testing/cluster's sources>/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::run;

/// The Go module that calls the upstream commands, from the workspace's root.
const MODULE: &str = "testing/cluster";
/// Main packages of the module, each a program.
const PROGRAMS: &[&str] = &["kubernetes"];
/// Names under which the first program is each of the upstream commands.
pub(crate) const COMMANDS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];

/// Built programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    /// Their folder.
    pub(crate) folder: PathBuf,
    /// The version of Kubernetes, e.g. `1.37.2`.
    pub(crate) version: String,
}

/// Returns the programs, building them if this version of their sources was never built.
///
/// `release` is `1.34` or the like, for which testing/cluster has another go.mod; none is the main
/// version.
///
/// # Errors
/// Without a Go toolchain, if the release has no go.mod, or if the build fails.
pub(crate) fn programs(root: &Path, release: Option<&str>) -> Result<Programs> {
    let module = root.join(MODULE);
    let modfile = modfile(&module, release)?;
    let text =
        fs::read_to_string(&modfile).with_context(|| format!("read {}", modfile.display()))?;
    let version = version(&text)
        .with_context(|| format!("{}: requires no k8s.io/kubernetes", modfile.display()))?;
    let digest = digest(&module, &modfile)?;
    let folder = cache()?.join(format!("{version}-{digest}"));
    let programs = Programs { folder, version };
    if programs.folder.is_dir() {
        return Ok(programs);
    }
    let parent = cache()?;
    fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
    // Two checkouts that need the same build: the second waits and finds it.
    let lock = File::create(parent.join("lock")).context("create the lock of the build")?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context("lock the folder of the builds")?;
    if !programs.folder.is_dir() {
        build(&module, &modfile, &programs)?;
    }
    Ok(programs)
}

fn build(module: &Path, modfile: &Path, programs: &Programs) -> Result<()> {
    let go = go()?;
    let Programs { folder, version } = programs;
    println!("building Kubernetes {version} from {} (once; minutes)", module.display());
    let start = Instant::now();
    // Renamed when complete: a build that was interrupted is not taken for a good one.
    let partial = folder.with_extension("partial");
    fs::remove_dir_all(&partial).ok();
    fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
    for program in PROGRAMS {
        let mut command = run::command(&go.to_string_lossy());
        command.current_dir(module).env("CGO_ENABLED", "0").arg("build");
        command.args(["-trimpath", "-buildvcs=false", "-ldflags", &flags(version)]);
        command.arg(format!("-modfile={}", modfile.display()));
        command.arg("-o").arg(partial.join(program)).arg(format!("./cmd/{program}"));
        run::stream(&mut command)?;
    }
    fs::rename(&partial, folder).with_context(|| format!("name {}", folder.display()))?;
    println!("built in {} s: {}", start.elapsed().as_secs(), folder.display());
    Ok(())
}

/// No debug information, and the version that upstream's own build would set.
fn flags(version: &str) -> String {
    let place = "k8s.io/component-base/version";
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!(
        "-s -w -X {place}.gitVersion=v{version} -X {place}.gitMajor={major} \
         -X {place}.gitMinor={minor}"
    )
}

fn modfile(module: &Path, release: Option<&str>) -> Result<PathBuf> {
    let Some(release) = release else { return Ok(module.join("go.mod")) };
    let path = module.join(format!("v{release}/go.mod"));
    if path.is_file() {
        return Ok(path);
    }
    bail!("there is no {}: the releases known are the folders v* beside it", path.display())
}

fn version(modfile: &str) -> Option<String> {
    let mut words = modfile.lines().map(str::split_whitespace);
    words
        .find_map(|mut line| (line.next()? == "k8s.io/kubernetes").then(|| line.next())?)
        .map(|word| word.trim_start_matches('v').to_owned())
}

/// The first hexadecimal digits of the sources' SHA-256.
fn digest(module: &Path, modfile: &Path) -> Result<String> {
    let mut files = vec![modfile.to_owned(), modfile.with_file_name("go.sum")];
    let mut mains = PROGRAMS.iter().map(|name| module.join(format!("cmd/{name}/main.go")));
    files.extend(mains.by_ref());
    let mut sum = Sha256::new();
    for file in files {
        sum.update(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(sum.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// Where the builds are kept.
fn cache() -> Result<PathBuf> {
    let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder = own.filter(|path| path.is_absolute()).or_else(home);
    let folder = folder.context("neither XDG_CACHE_HOME nor HOME says where to keep builds")?;
    Ok(folder.join("sekisho/cluster"))
}

/// The Go toolchain: on the PATH, or where its own instructions put it.
fn go() -> Result<PathBuf> {
    let places = ["go", "/usr/local/go/bin/go"];
    let found = places.iter().find(|place| run::works(run::command(place).arg("version")));
    found.map(PathBuf::from).context(
        "the Go toolchain is missing, which builds Kubernetes for the cluster tests: install Go \
         1.26 or newer (https://go.dev/dl) into /usr/local/go; Debian's own is too old",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_the_module_requires() {
        let text =
            "require (\n\tk8s.io/kubernetes v1.37.2\n)\nreplace (\n\tk8s.io/api => x v1\n)\n";
        assert_eq!(version(text).as_deref(), Some("1.37.2"));
        assert_eq!(version("module x\n"), None);
    }

    #[test]
    fn a_release_without_a_go_mod_is_named() {
        let error = modfile(Path::new("/m"), Some("1.2")).unwrap_err();
        assert!(error.to_string().contains("/m/v1.2/go.mod"), "{error}");
    }
}
