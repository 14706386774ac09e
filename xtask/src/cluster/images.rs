//! The images that every cluster has, made from programs of this machine, so that no registry is
//! asked: `pause`, `busybox`, `coredns` and, where Debian's server is installed, `redis`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::node;
use super::plan::Plan;
use crate::image::{Image, archive};
use crate::run;

/// Statically linked (package busybox-static).
const BUSYBOX: &str = "/bin/busybox";
const REDIS: &str = "/usr/bin/redis-server";

/// Writes one tar of all images and returns its path.
///
/// # Errors
/// If a program can't be read or the tar not be written.
pub(crate) fn make(plan: &Plan, coredns: &Path) -> Result<PathBuf> {
    let folder = plan.path("images");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut images = vec![pause()?, busybox()?, dns(coredns)?];
    if Path::new(REDIS).exists() {
        images.push(redis()?);
    }
    let tar = folder.join("fixture.tar");
    fs::write(&tar, archive(&images)?).with_context(|| format!("write {}", tar.display()))?;
    Ok(tar)
}

/// Keeps a pod's namespaces: as first process of a pod that shares its process namespace, it must
/// collect dead children and end when told, which busybox' shell does.
fn pause() -> Result<Image> {
    let mut image = Image::new(node::PAUSE);
    image.program(Path::new(BUSYBOX), "/bin/busybox")?;
    let script = "trap 'exit 0' TERM INT; while :; do sleep 2147483647 & wait $!; done";
    image.link("/bin/sleep", "busybox");
    image.entrypoint = ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
    Ok(image)
}

fn busybox() -> Result<Image> {
    let mut image = Image::new("docker.io/library/busybox:local");
    image.program(Path::new(BUSYBOX), "/bin/busybox")?;
    let list = run::output(run::command(BUSYBOX).arg("--list"))?;
    for applet in list.lines().filter(|applet| *applet != "busybox") {
        image.link(&format!("/bin/{applet}"), "busybox");
    }
    image.file(
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    );
    image.folder("/tmp", 0o1777);
    image.entrypoint = vec!["/bin/sh".to_owned()];
    Ok(image)
}

fn dns(coredns: &Path) -> Result<Image> {
    let mut image = Image::new("docker.io/coredns/coredns:local");
    image.program(coredns, "/coredns")?;
    image.entrypoint = vec!["/coredns".to_owned()];
    Ok(image)
}

fn redis() -> Result<Image> {
    let mut image = Image::new("docker.io/library/redis:local");
    image.program(Path::new(REDIS), "/usr/bin/redis-server")?;
    image.program(Path::new("/usr/bin/redis-cli"), "/usr/bin/redis-cli")?;
    image.file("/etc/passwd", 0o644, "redis:x:999:999::/data:/nologin\n");
    image.folder("/data", 0o1777);
    image.folder("/tmp", 0o1777);
    // Other pods are clients here, and none has a password.
    let arguments = ["/usr/bin/redis-server", "--protected-mode", "no", "--dir", "/data"];
    image.entrypoint = arguments.map(str::to_owned).to_vec();
    Ok(image)
}
