//! `cargo xtask setup`: what a fresh Debian 12 lacks for building and running, said and installed.
//!
//! Each need is probed first, so that a complete machine is left untouched and needs no network.
//! Nothing that apt would start is left running or enabled.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{format, run, workspace};

/// Older ones refuse the flexible array in the kernel's `struct cgroup` (bpf/include/vmlinux.h).
pub(crate) const CLANG_MAJOR_MIN: u32 = 19;

/// Something the machine must have.
struct Need {
    what: &'static str,
    why: &'static str,
    present: fn() -> bool,
    /// Debian packages that bring it; the first that can be installed is taken.
    packages: &'static [&'static str],
    /// What the package would start at boot.
    services: &'static [&'static str],
}

const BUILD: &[Need] = &[
    Need {
        what: "clang 19 or newer",
        why: "compiles the kernel programs in bpf/",
        present: has_clang,
        packages: &["clang-19"],
        services: &[],
    },
    Need {
        what: "libbpf headers",
        why: "bpf/ includes bpf/bpf_helpers.h",
        present: || Path::new("/usr/include/bpf/bpf_helpers.h").exists(),
        packages: &["libbpf-dev"],
        services: &[],
    },
    Need {
        what: "python3 venv",
        why: "tests read our Parquet with DuckDB, which comes from PyPI",
        present: || run::works(run::command("python3").args(["-c", "import venv, ensurepip"])),
        packages: &["python3-venv"],
        services: &[],
    },
];

const RUN: &[Need] = &[
    Need {
        what: "nft",
        why: "policies are enforced by nftables",
        present: || on_path("nft"),
        packages: &["nftables"],
        services: &["nftables"],
    },
    Need {
        what: "ip",
        why: "the lab's cluster is made of network namespaces",
        present: || on_path("ip"),
        packages: &["iproute2"],
        services: &[],
    },
];

/// The lab's shop runs without it; the cluster's tests have a pod of it.
const REDIS: Need = Need {
    what: "redis-server",
    why: "the shop's cache is then a real Redis",
    present: || on_path("redis-server"),
    packages: &["redis-server"],
    services: &["redis-server"],
};

/// What the cluster of testing/cluster is made of; Kubernetes itself is built from its sources.
const CLUSTER: &[Need] = &[
    Need {
        what: "containerd",
        why: "runs the cluster's containers",
        present: || on_path("containerd") && on_path("ctr"),
        packages: &["containerd"],
        services: &["containerd"],
    },
    Need {
        what: "runc",
        why: "starts the cluster's containers",
        present: || on_path("runc"),
        packages: &["runc"],
        services: &[],
    },
    Need {
        what: "CNI plugins",
        why: "give pods their addresses",
        present: || Path::new("/usr/lib/cni/ptp").exists(),
        packages: &["containernetworking-plugins"],
        services: &[],
    },
    Need {
        what: "iptables",
        why: "the CNI plugin portmap maps ports of a node to pods with it",
        present: || on_path("iptables"),
        packages: &["iptables"],
        services: &[],
    },
    Need {
        what: "busybox",
        why: "is what most pods of the tests run; static, as an image needs it",
        present: || Path::new("/bin/busybox").exists(),
        packages: &["busybox-static"],
        services: &[],
    },
    Need {
        what: "openssl",
        why: "makes the cluster's certificates",
        present: || on_path("openssl"),
        packages: &["openssl"],
        services: &[],
    },
    Need {
        what: "curl",
        why: "asks the cluster's etcd what no client of Kubernetes does",
        present: || on_path("curl"),
        packages: &["curl"],
        services: &[],
    },
    REDIS,
];

/// What shows the console to a test.
const BROWSER: &[Need] = &[Need {
    what: "chromium",
    why: "tests of the console look at it as a person does",
    present: || on_path("chromium"),
    packages: &["chromium"],
    services: &[],
}];

/// Never installed unasked: the shop runs without them.
const OPTIONAL: &[Need] = &[
    Need {
        what: "clang-format 19",
        why: "the form of bpf/ is then checked",
        present: || format::clang_format().is_some(),
        packages: &["clang-format-19"],
        services: &[],
    },
    REDIS,
    Need {
        what: "postgresql",
        why: "the shop's database is then a real PostgreSQL",
        present: || on_path("postgres") || Path::new("/usr/lib/postgresql").exists(),
        packages: &["postgresql"],
        services: &["postgresql"],
    },
];

/// File systems that must be mounted somewhere: type, folder used if missing, why.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("cgroup2", "/sys/fs/cgroup/unified", "each pod and process is known by its cgroup"),
    ("tracefs", "/sys/kernel/tracing", "the recorder attaches to tracepoints"),
];

/// How much a verb needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Compiling and the tests without root.
    Build,
    /// Running the lab, the agent and enforcement as well.
    Run,
    /// A Kubernetes cluster on this machine as well.
    Cluster,
}

/// `cargo xtask setup [--optional]`.
///
/// # Errors
/// If something is missing and can't be installed.
pub(crate) fn run(_root: &Path, arguments: &[String]) -> Result<()> {
    let optional = match arguments {
        [] => false,
        [flag] if flag == "--optional" => true,
        _ => bail!("usage: cargo xtask setup [--optional]"),
    };
    ensure(Scope::Run)?;
    let missing = missing(OPTIONAL);
    if optional && !missing.is_empty() {
        return install(&missing);
    }
    for need in missing {
        println!(
            "optional, not here: {} ({}); `cargo xtask setup --optional`",
            need.what, need.why
        );
    }
    println!("this machine has what is needed");
    Ok(())
}

/// Makes sure that the machine has what `scope` needs; says nothing if it does.
///
/// # Errors
/// In one line what is missing, if it can't be installed.
pub(crate) fn ensure(scope: Scope) -> Result<()> {
    let mut needs = missing(BUILD);
    if scope == Scope::Build {
        return install(&needs);
    }
    needs.extend(missing(RUN));
    if scope == Scope::Cluster {
        needs.extend(missing(CLUSTER));
    }
    install(&needs)?;
    mount_missing()
}

/// Makes sure that there is a browser for tests.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_browser() -> Result<()> {
    install(&missing(BROWSER))
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !(need.present)()).collect()
}

fn install(needs: &[&Need]) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    let packages = needs.iter().filter_map(|need| need.packages.first().copied());
    let line = format!("apt-get install {}", packages.collect::<Vec<_>>().join(" "));
    if !workspace::is_root() {
        bail!("this machine lacks {}: run `sudo {line}`", names(needs));
    }
    if !on_path("apt-get") {
        bail!(
            "this machine lacks {} and has no apt-get: install what `{line}` would",
            names(needs)
        );
    }
    for need in needs {
        println!(
            "missing: {} ({}); installing {}",
            need.what,
            need.why,
            need.packages.join(" or ")
        );
    }
    let quiet = ServicesStayOff::new(Path::new("/usr/sbin/policy-rc.d"))?;
    let outcome = needs.iter().try_for_each(|need| install_one(need));
    drop(quiet);
    outcome?;
    let left = needs.iter().filter(|need| !(need.present)()).copied().collect::<Vec<_>>();
    if !left.is_empty() {
        bail!("installed, but still not found: {}", names(&left));
    }
    Ok(())
}

fn install_one(need: &Need) -> Result<()> {
    if !need.packages.iter().any(|package| apt_install(package)) {
        // The lists may be absent (containers) or stale: fetch them and try once more.
        println!("apt-get update");
        run::stream(apt().args(["-qq", "update"]))?;
        if !need.packages.iter().any(|package| apt_install(package)) {
            bail!("apt-get could not install {} ({})", need.what, need.packages.join(" or "));
        }
    }
    for service in need.services {
        // Without systemd there is nothing to disable, and the failure means just that.
        run::works(run::command("systemctl").args(["disable", service]));
    }
    Ok(())
}

fn apt_install(package: &str) -> bool {
    run::works(apt().args(["-qq", "--yes", "--no-install-recommends", "install", package]))
}

fn apt() -> std::process::Command {
    let mut command = run::command("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Another apt (unattended-upgrades after boot) may hold the lock for a while.
    command.args(["-o", "DPkg::Lock::Timeout=120"]);
    command
}

/// While it lives, packages may not start services (Debian's `policy-rc.d`, exit code 101).
struct ServicesStayOff {
    file: Option<PathBuf>,
}

impl ServicesStayOff {
    const TEXT: &str =
        "#!/bin/sh\n# Made by Sekisho's `cargo xtask setup`; safe to remove.\nexit 101\n";

    fn new(path: &Path) -> Result<Self> {
        let ours = fs::read_to_string(path).is_ok_and(|text| text == Self::TEXT);
        if path.exists() && !ours {
            // The machine has a policy of its own (containers do): it is not ours to change.
            return Ok(Self { file: None });
        }
        let place = || format!("write {}", path.display());
        fs::write(path, Self::TEXT).with_context(place)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).with_context(place)?;
        Ok(Self { file: Some(path.to_path_buf()) })
    }
}

impl Drop for ServicesStayOff {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            fs::remove_file(path).ok();
        }
    }
}

fn mount_missing() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    for (kind, folder, why) in MOUNTS.iter().filter(|(kind, ..)| !is_mounted(&mounts, kind)) {
        if !workspace::is_root() {
            bail!("{kind} is not mounted: run `sudo mount -t {kind} {kind} {folder}`");
        }
        println!("not mounted: {kind} ({why}); mounting it on {folder}");
        fs::create_dir_all(folder).with_context(|| format!("create {folder}"))?;
        run::stream(run::command("mount").args(["-t", kind, kind, folder]))?;
    }
    Ok(())
}

fn is_mounted(mounts: &str, kind: &str) -> bool {
    mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's users have no sbin on the PATH, but the programs there can be run.
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

/// The names that crates/observe/build.rs tries; plain `clang` is 14 on Debian 12.
fn has_clang() -> bool {
    let version = || run::output(run::command("clang").arg("--version")).unwrap_or_default();
    ["clang-19", "clang-20"].iter().any(|name| on_path(name))
        || std::env::var_os("SEKISHO_CLANG").is_some()
        || (on_path("clang") && major(&version()) >= Some(CLANG_MAJOR_MIN))
}

/// `Debian clang version 19.1.7 (3~deb12u1)`
fn major(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("version ")?;
    rest.split('.').next()?.parse().ok()
}

fn names(needs: &[&Need]) -> String {
    needs.iter().map(|need| need.what).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_type_not_its_folder() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\nx /anywhere cgroup2 rw 0 0\n";
        assert!(is_mounted(mounts, "cgroup2"));
        assert!(!is_mounted(mounts, "tracefs"));
        assert!(!is_mounted("cgroup2 /mnt ext4 rw 0 0", "cgroup2"));
    }

    #[test]
    fn a_policy_of_the_machine_is_left_alone_and_ours_is_removed() {
        let folder = std::env::temp_dir().join(format!("sekisho-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("policy-rc.d");

        let ours = ServicesStayOff::new(&path).unwrap();
        assert!(path.exists());
        drop(ours);
        assert!(!path.exists());

        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        drop(ServicesStayOff::new(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "#!/bin/sh\nexit 0\n");

        // Ours from a run that was killed is taken over, and removed this time.
        fs::write(&path, ServicesStayOff::TEXT).unwrap();
        drop(ServicesStayOff::new(&path).unwrap());
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_version_of_clang_is_read_and_an_odd_one_is_too_old() {
        assert_eq!(major("Debian clang version 14.0.6\nTarget: x"), Some(14));
        assert!(major("Ubuntu clang version 20.1.2 (0ubuntu1)") >= Some(CLANG_MAJOR_MIN));
        assert!(major("something else") < Some(CLANG_MAJOR_MIN));
    }

    #[test]
    fn programs_are_found_on_the_path_and_others_are_not() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-of-sekisho"));
    }
}
