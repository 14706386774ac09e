//! Talks to a running lab over its control socket; for the command line.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_manifest::Object;
use sekisho_model::Labels;
use sekisho_system::wait;

pub use crate::control::{ExecInfo, LabStatus, LabelTarget};
use crate::control::{Request, Response};
use crate::plan::StateDir;
use crate::protocol::{receive, send};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
const DOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// A running lab could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No lab runs with this state folder.
    #[error("no lab is running with state folder `{}`; start one with `sekisho lab up`", path.display())]
    NotRunning {
        /// The state folder.
        path: PathBuf,
    },
    /// The lab did not answer.
    #[error("ask the lab at `{}`", path.display())]
    Talk {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The lab says no.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
    },
}

/// Asks for the lab's state.
///
/// # Errors
/// [`ClientError`], as for all functions here.
pub fn status(state_dir: &Path) -> Result<LabStatus, ClientError> {
    match ask(state_dir, &Request::Status)? {
        Response::Status(status) => Ok(*status),
        other => Err(unexpected(&other)),
    }
}

/// Sets the replicas of a workload, `namespace/name`.
///
/// # Errors
/// [`ClientError`].
pub fn scale(state_dir: &Path, target: &str, replicas: u32) -> Result<(), ClientError> {
    done(state_dir, &Request::Scale { target: target.to_owned(), replicas })
}

/// Sets and removes labels.
///
/// # Errors
/// [`ClientError`].
pub fn label(
    state_dir: &Path,
    target: LabelTarget,
    set: Labels,
    remove: Vec<String>,
) -> Result<(), ClientError> {
    done(state_dir, &Request::Label { target, set, remove })
}

/// Restarts the containers of a pod or host, or replaces the pods of a workload.
///
/// # Errors
/// [`ClientError`].
pub fn restart(state_dir: &Path, target: &str) -> Result<(), ClientError> {
    done(state_dir, &Request::Restart { target: target.to_owned() })
}

/// Adds or changes objects; all of them or, if one is wrong, none.
///
/// # Errors
/// [`ClientError`].
pub fn apply(state_dir: &Path, objects: Vec<Object>) -> Result<(), ClientError> {
    done(state_dir, &Request::Apply { objects })
}

/// Deletes an object: `kind` as Kubernetes spells it, `namespace/name` (`/name` in cluster scope).
///
/// # Errors
/// [`ClientError`].
pub fn delete(state_dir: &Path, kind: &str, target: &str) -> Result<(), ClientError> {
    done(state_dir, &Request::Delete { kind: kind.to_owned(), target: target.to_owned() })
}

/// Asks where the processes of a pod, host, or workload's first pod are.
///
/// # Errors
/// [`ClientError`].
pub fn exec_info(state_dir: &Path, target: &str) -> Result<ExecInfo, ClientError> {
    match ask(state_dir, &Request::Exec { target: target.to_owned() })? {
        Response::Exec(info) => Ok(info),
        other => Err(unexpected(&other)),
    }
}

/// Asks the lab to end and waits until it has cleaned up, at most 30 s.
///
/// # Errors
/// [`ClientError`].
pub fn down(state_dir: &Path) -> Result<(), ClientError> {
    done(state_dir, &Request::Down)?;
    wait::until(DOWN_TIMEOUT, || (!state_dir.exists()).then_some(())).ok_or_else(|| {
        let message = format!("the lab did not end within {} s", DOWN_TIMEOUT.as_secs());
        ClientError::Refused { message }
    })
}

fn done(state_dir: &Path, request: &Request) -> Result<(), ClientError> {
    match ask(state_dir, request)? {
        Response::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn ask(state_dir: &Path, request: &Request) -> Result<Response, ClientError> {
    let path = StateDir::new(state_dir).socket();
    let stream = UnixStream::connect(&path)
        .map_err(|_no_listener| ClientError::NotRunning { path: state_dir.to_owned() })?;
    let talk = || -> io::Result<Option<Response>> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        send(&mut &stream, request)?;
        receive(&mut BufReader::new(&stream))
    };
    talk()
        .and_then(|answer| answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()))
        .map_err(|cause| ClientError::Talk { path, cause })
}

fn unexpected(response: &Response) -> ClientError {
    let message = match response {
        Response::Failed { message } => message.clone(),
        other => format!("unexpected answer {other:?}"),
    };
    ClientError::Refused { message }
}
