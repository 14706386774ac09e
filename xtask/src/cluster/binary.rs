//! Builds the upstream programs once for each version, and keeps them outside the checkout:
//! `$XDG_CACHE_HOME/sekisho/cluster/<program>-<version>-<digest of its sources>/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

use crate::image::sha256;
use crate::{run, workspace};

/// The Go modules that call the upstream commands, from the workspace's root.
const FOLDER: &str = "testing/cluster";
/// Names under which the program `kubernetes` is each of the upstream commands.
pub(crate) const COMMANDS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];

/// Built programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    /// All of Kubernetes and etcd, under [`COMMANDS`].
    pub(crate) kubernetes: PathBuf,
    /// The cluster's DNS server.
    pub(crate) coredns: PathBuf,
    /// The version of Kubernetes, e.g. `1.37.2`.
    pub(crate) version: String,
}

/// A program to be built.
#[derive(Debug)]
struct Source {
    name: &'static str,
    /// Folder of the Go module.
    module: PathBuf,
    /// Its go.mod, or the one that stands in for it.
    modfile: PathBuf,
    /// The main package, from the module's folder.
    package: &'static str,
    /// The module whose version is the program's.
    upstream: &'static str,
}

/// Returns the programs, building those of which these sources were never built.
///
/// `release` is `1.34` or the like, for which testing/cluster has another go.mod; none is the main
/// version.
///
/// # Errors
/// Without a Go toolchain, if the release has no go.mod, or if a build fails.
pub(crate) fn programs(root: &Path, release: Option<&str>) -> Result<Programs> {
    let folder = root.join(FOLDER);
    let kubernetes = Source {
        name: "kubernetes",
        modfile: modfile(&folder, release)?,
        module: folder.clone(),
        package: "./cmd/kubernetes",
        upstream: "k8s.io/kubernetes",
    };
    let module = folder.join("coredns");
    let coredns = Source {
        name: "coredns",
        modfile: module.join("go.mod"),
        module,
        package: ".",
        upstream: "github.com/coredns/coredns",
    };
    Ok(Programs {
        version: kubernetes.version()?,
        kubernetes: kubernetes.built()?,
        coredns: coredns.built()?,
    })
}

/// Helm, built now if it never was: for the chart, not for the cluster.
///
/// # Errors
/// Without a Go toolchain, or if the build fails.
pub(crate) fn helm(root: &Path) -> Result<PathBuf> {
    let module = root.join("testing/helm");
    let modfile = module.join("go.mod");
    let (name, upstream) = ("helm", "helm.sh/helm/v4");
    Source { name, module, modfile, package: ".", upstream }.built()
}

/// The `hubble` command, built now if it never was: for the tests of our Observer API.
///
/// # Errors
/// Without a Go toolchain, or if the build fails.
pub(crate) fn hubble(root: &Path) -> Result<PathBuf> {
    let module = root.join("testing/hubble");
    let modfile = module.join("go.mod");
    let (name, upstream) = ("hubble", "github.com/cilium/cilium");
    Source { name, module, modfile, package: ".", upstream }.built()
}

impl Source {
    fn version(&self) -> Result<String> {
        let file = &self.modfile;
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        version(&text, self.upstream)
            .with_context(|| format!("{}: requires no {}", file.display(), self.upstream))
    }

    /// The program, built now if it never was.
    fn built(&self) -> Result<PathBuf> {
        let parent = workspace::cache()?.join("cluster");
        let name = format!("{}-{}-{}", self.name, self.version()?, self.digest()?);
        let folder = parent.join(name);
        let program = folder.join(self.name);
        if folder.is_dir() {
            return Ok(program);
        }
        fs::create_dir_all(&parent).with_context(|| format!("create {}", parent.display()))?;
        // Two checkouts that need the same build: the second waits and finds it.
        let lock = File::create(parent.join("lock")).context("create the lock of the build")?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).or_else(|(lock, _)| {
            println!("waiting for another build into {}", parent.display());
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)
        });
        let _lock = lock.context("lock the folder of the builds")?;
        if !folder.is_dir() {
            self.build(&folder)?;
        }
        Ok(program)
    }

    fn build(&self, folder: &Path) -> Result<()> {
        let go = go()?;
        let version = self.version()?;
        println!("building {} {version} (once for these sources; minutes)", self.name);
        let start = Instant::now();
        // Renamed when complete: a build that was interrupted is not taken for a good one.
        let partial = folder.with_added_extension("partial");
        fs::remove_dir_all(&partial).ok();
        fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
        let mut command = run::command(&go.to_string_lossy());
        command.current_dir(&self.module).env("CGO_ENABLED", "0").arg("build");
        command.args(["-trimpath", "-buildvcs=false", "-ldflags", &flags(&version)]);
        command.arg(format!("-modfile={}", self.modfile.display()));
        command.arg("-o").arg(partial.join(self.name)).arg(self.package);
        run::stream(&mut command)?;
        fs::rename(&partial, folder).with_context(|| format!("name {}", folder.display()))?;
        println!("built in {} s: {}", start.elapsed().as_secs(), folder.display());
        Ok(())
    }

    /// The first hexadecimal digits of the sources' SHA-256.
    fn digest(&self) -> Result<String> {
        let main = self.module.join(self.package).join("main.go");
        let mut bytes = Vec::new();
        for file in [self.modfile.clone(), self.modfile.with_file_name("go.sum"), main] {
            bytes.extend(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
        }
        Ok(sha256(&bytes)?.chars().take(12).collect())
    }
}

/// No debug information, and the version that Kubernetes' own build would set; to CoreDNS the
/// names mean nothing.
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

fn version(modfile: &str, upstream: &str) -> Option<String> {
    modfile.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        let version = (words.next()? == upstream).then(|| words.next())??;
        Some(version.trim_start_matches('v').to_owned())
    })
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
        assert_eq!(version(text, "k8s.io/kubernetes").as_deref(), Some("1.37.2"));
        assert_eq!(version("require a.b/c v2.0.1\n", "a.b/c").as_deref(), Some("2.0.1"));
        assert_eq!(version("module x\n", "a.b/c"), None);
    }

    #[test]
    fn a_release_without_a_go_mod_is_named() {
        let error = modfile(Path::new("/m"), Some("1.2")).unwrap_err();
        assert!(error.to_string().contains("/m/v1.2/go.mod"), "{error}");
    }
}
