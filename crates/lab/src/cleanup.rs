//! Removes everything a lab leaves on the machine, whether or not its supervisor still lives, and
//! the janitor process that does so when the supervisor ends without a word.

use std::fs;
use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use sekisho_base::error_chain;
use sekisho_system::cgroup::{self, CgroupError};
use sekisho_system::netns::{self, NetnsError};
use sekisho_system::{process, wait};

use crate::plan::Names;

const KILL_DEADLINE: Duration = Duration::from_secs(10);
const REMOVE_DEADLINE: Duration = Duration::from_secs(3);
/// What the supervisor says to its janitor after it has cleaned by itself.
const WORD_CLEAN: &[u8] = b"clean\n";

/// Something of a lab could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// Processes or cgroups stay.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A network namespace stays.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A file stays.
    #[error("remove `{}`", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The state folder can't be made.
    #[error("make state folder `{}`", path.display())]
    Make {
        /// The state folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The state folder holds files that are not a lab's.
    #[error("state folder `{}` holds files that are not a lab's; name another", path.display())]
    Foreign {
        /// The state folder.
        path: PathBuf,
    },
    /// The lock of a state folder can't be asked for.
    #[error("lock state folder `{}`", path.display())]
    Lock {
        /// The state folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A lab runs with this state folder.
    #[error("a lab is running with state folder `{}`; end it with `sekisho lab down`", path.display())]
    Running {
        /// The state folder.
        path: PathBuf,
    },
}

/// Removes what a lab with this state folder left behind when it was killed; fine if there is
/// nothing.
///
/// # Errors
/// [`CleanupError::Running`] if that lab is alive; otherwise what could not be removed.
pub fn clean_leftovers(state_dir: &Path) -> Result<(), CleanupError> {
    let _lock = Lock::take(state_dir)?;
    clean(state_dir)
}

/// Held by who works with a state folder: a supervisor, or who cleans after one.
///
/// An abstract socket name is the lock: the kernel frees it with its holder, and no file stays.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its drop")] UnixListener);

impl Lock {
    /// Takes the lock; waits for who cleans, at most [`REMOVE_DEADLINE`].
    ///
    /// # Errors
    /// [`CleanupError::Running`] if a supervisor holds it.
    pub(crate) fn take(state_dir: &Path) -> Result<Self, CleanupError> {
        let name = Names::of(state_dir).cgroup();
        let held = || CleanupError::Running { path: state_dir.to_owned() };
        let address = SocketAddr::from_abstract_name(name.as_bytes())
            .map_err(|cause| CleanupError::Lock { path: state_dir.to_owned(), cause })?;
        wait::until(REMOVE_DEADLINE, || match UnixListener::bind_addr(&address) {
            Ok(listener) => Some(Ok(Self(listener))),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => None,
            Err(cause) => Some(Err(CleanupError::Lock { path: state_dir.to_owned(), cause })),
        })
        .unwrap_or_else(|| Err(held()))
    }
}

/// Removes processes, cgroups, namespaces (and with them links and rules) and the state folder.
pub(crate) fn clean(state_dir: &Path) -> Result<(), CleanupError> {
    let names = Names::of(state_dir);
    let root = cgroup::mount_point()?.join(names.cgroup().trim_start_matches('/'));
    cgroup::kill_and_remove(&root, KILL_DEADLINE)?;
    for name in netns::list(&names.netns_prefix()) {
        netns::delete(&name)?;
    }
    remove_files(state_dir)
}

/// File that marks a folder as a lab's: nothing else is ever removed.
const MARK: &str = ".sekisho-lab";

/// Makes the state folder.
///
/// # Errors
/// [`CleanupError::Foreign`] if it holds files that are not a lab's.
pub(crate) fn claim(state_dir: &Path) -> Result<(), CleanupError> {
    let failed = |cause| CleanupError::Make { path: state_dir.to_owned(), cause };
    fs::create_dir_all(state_dir).map_err(failed)?;
    if fs::read_dir(state_dir).map_err(failed)?.next().is_some() {
        return Err(CleanupError::Foreign { path: state_dir.to_owned() });
    }
    fs::write(state_dir.join(MARK), "").map_err(failed)
}

/// Removes the state folder, its mark last, if it is a lab's. A pod that dies in this moment may
/// still write a file: try again.
fn remove_files(state_dir: &Path) -> Result<(), CleanupError> {
    let mark = state_dir.join(MARK);
    if !mark.exists() {
        return Ok(());
    }
    let attempt = || -> io::Result<()> {
        for entry in fs::read_dir(state_dir)? {
            let path = entry?.path();
            if path == mark {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        fs::remove_file(&mark)?;
        fs::remove_dir(state_dir)
    };
    let mut last = None;
    wait::until(REMOVE_DEADLINE, || match attempt() {
        Ok(()) => Some(()),
        Err(cause) => {
            last = Some(cause);
            None
        }
    })
    .ok_or_else(|| CleanupError::Remove {
        path: state_dir.to_owned(),
        cause: last.unwrap_or_else(|| io::ErrorKind::DirectoryNotEmpty.into()),
    })
}

/// The supervisor's hold on its janitor: when it is closed without [`Janitor::dismiss`], the
/// janitor cleans.
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Starts the janitor, in a session of its own so that the terminal's Ctrl-C misses it.
    pub(crate) fn start(program: &Path, state_dir: &Path) -> io::Result<Self> {
        process::prepare(program)
            .args([Path::new("__lab"), Path::new("janitor"), state_dir])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    /// Ends the janitor: there is nothing left to clean.
    pub(crate) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // A janitor that is gone can't be told, and need not be.
            io::Write::write_all(&mut pipe, WORD_CLEAN).ok();
        }
        self.0.wait().ok();
    }
}

/// Runs as a janitor: waits for the supervisor's end, then cleans unless told not to.
pub(crate) fn janitor_main(state_dir: &Path) -> ExitCode {
    // EPERM: already the leader of a session.
    nix::unistd::setsid().ok();
    let mut word = Vec::new();
    io::stdin().take(64).read_to_end(&mut word).ok();
    if word == WORD_CLEAN {
        return ExitCode::SUCCESS;
    }
    let cleaned = match Lock::take(state_dir) {
        Ok(_lock) => clean(state_dir),
        // A new lab has the folder already, and has cleaned it.
        Err(CleanupError::Running { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    match cleaned {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = error_chain(&error), "could not clean up after the lab");
            ExitCode::FAILURE
        }
    }
}
