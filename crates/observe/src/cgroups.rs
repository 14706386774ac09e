//! cgroup v2 folders: which one is observed, and the path of each id below it.
//!
//! Paths are learnt from the kernel when a folder is made, and by walking the tree at start and
//! when an id is unknown. A removed folder's path is kept: its sockets may be reported later.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// Paths remembered; beyond it those of removed folders are forgotten.
const PATHS_MAX: usize = 65_536;
/// A walk because of an unknown id happens at most this often.
const WALK_EVERY: Duration = Duration::from_millis(500);
/// Deeper folders are not walked (the kernel's own paths are at most 1,024 bytes).
const DEPTH_MAX: usize = 64;

/// A folder can't be observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("open cgroup folder `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{path}` is not a folder of a cgroup v2 file system")]
    NotCgroup2 { path: PathBuf },
    #[error("`{path}` is not below a cgroup2 mount in /proc/self/mountinfo")]
    NotMounted { path: PathBuf },
}

/// The observed folder and the paths below it.
#[derive(Debug)]
pub(crate) struct Cgroups {
    folder: PathBuf,
    /// The folder's own path in the hierarchy, `/` for the root.
    root_path: String,
    root_id: u64,
    level: u32,
    paths: BTreeMap<u64, String>,
    walked: Option<Instant>,
}

impl Cgroups {
    /// Finds out what `folder` is in the kernel's terms. Reads no tree yet: see [`Self::walk`].
    pub(crate) fn open(folder: &Path) -> Result<Self, CgroupError> {
        let failed = |cause| CgroupError::Open { path: folder.to_owned(), cause };
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let meta = fs::metadata(&folder).map_err(failed)?;
        let kind = statfs(&folder).map_err(|errno| failed(errno.into()))?.filesystem_type();
        if kind != CGROUP2_SUPER_MAGIC || !meta.is_dir() {
            return Err(CgroupError::NotCgroup2 { path: folder });
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(failed)?;
        let Some(root_path) = path_in_hierarchy(&mounts, &folder) else {
            return Err(CgroupError::NotMounted { path: folder });
        };
        let level = root_path.split('/').filter(|part| !part.is_empty()).count();
        Ok(Self {
            folder,
            root_path,
            // The id of a folder is its inode number (linux v6.18 kernfs_id_ino, 64-bit inodes).
            root_id: meta.ino(),
            level: u32::try_from(level).unwrap_or(u32::MAX),
            paths: BTreeMap::new(),
            walked: None,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn root_id(&self) -> u64 {
        self.root_id
    }

    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    /// Takes a path that the kernel told.
    pub(crate) fn learn(&mut self, id: u64, path: String) {
        self.paths.insert(id, path);
        if self.paths.len() > PATHS_MAX {
            self.paths.clear();
            self.walk(&mut |_, _| {});
        }
    }

    /// The path of `id`; empty if nobody knows it.
    pub(crate) fn path(&mut self, id: u64) -> String {
        if let Some(path) = self.paths.get(&id) {
            return path.clone();
        }
        if id == 0 || self.walked.is_some_and(|at| at.elapsed() < WALK_EVERY) {
            return String::new();
        }
        self.walk(&mut |_, _| {});
        self.paths.get(&id).cloned().unwrap_or_default()
    }

    /// Reads the whole subtree; `visit` gets each folder and its path in the hierarchy.
    pub(crate) fn walk(&mut self, visit: &mut dyn FnMut(&Path, &str)) {
        self.walked = Some(Instant::now());
        let mut folders = vec![(self.folder.clone(), self.root_path.clone(), 0_usize)];
        while let Some((folder, path, depth)) = folders.pop() {
            // A folder may vanish while we look: then there is nothing to learn from it.
            let Ok(meta) = fs::metadata(&folder) else { continue };
            self.paths.insert(meta.ino(), path.clone());
            visit(&folder, &path);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                if depth < DEPTH_MAX && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = entry.file_name();
                    let below = format!("{}/{}", path.trim_end_matches('/'), name.display());
                    folders.push((entry.path(), below, depth.saturating_add(1)));
                }
            }
        }
    }
}

/// The path of `folder` from the root of the cgroup v2 hierarchy, by the mount it lies in.
///
/// A mount's own root is `/` or, seen from within a cgroup namespace, a row of `/..`: both are
/// taken as the hierarchy's root, which is right for the host's tree mounted into a container.
fn path_in_hierarchy(mountinfo: &str, folder: &Path) -> Option<String> {
    let (root, point) = mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            (right.split(' ').next()? == "cgroup2").then_some((root, Path::new(point)))
        })
        .filter(|(_, point)| folder.starts_with(point))
        .max_by_key(|(_, point)| point.as_os_str().len())?;
    let below = folder.strip_prefix(point).ok()?;
    let root = if root.split('/').all(|part| part.is_empty() || part == "..") { "" } else { root };
    let path = format!("{root}/{}", below.display());
    Some(if path == "/" { path } else { path.trim_end_matches('/').to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 1 0:20 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs cgroup rw
41 30 0:37 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
50 24 0:37 /kubepods /mnt/pods rw - cgroup2 cgroup2 rw
51 24 0:37 /../.. /host/cgroup rw - cgroup2 cgroup2 rw
";

    fn check(folder: &str, expected: Option<&str>) {
        assert_eq!(path_in_hierarchy(MOUNTS, Path::new(folder)).as_deref(), expected, "{folder}");
    }

    #[test]
    fn a_folder_is_named_from_the_root_of_its_hierarchy() {
        check("/sys/fs/cgroup/unified", Some("/"));
        check("/sys/fs/cgroup/unified/a/b", Some("/a/b"));
        check("/mnt/pods/pod1", Some("/kubepods/pod1"));
        check("/mnt/pods", Some("/kubepods"));
        check("/host/cgroup/x", Some("/x"));
        check("/sys/fs/cgroup/memory", None);
    }
}
