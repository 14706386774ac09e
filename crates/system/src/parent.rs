//! Ending with the process that started us.

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// The parent is gone already, or the kernel refused.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// prctl(2) PR_SET_PDEATHSIG failed.
    #[error("ask to be ended with the parent process")]
    Refused(#[source] nix::Error),
    /// It ended before we could ask.
    #[error("the parent process has ended")]
    Gone,
}

/// Asks the kernel for SIGKILL when the parent's starting thread ends (prctl(2)
/// PR_SET_PDEATHSIG), so that a killed demo leaves no roles behind.
///
/// # Errors
/// [`ParentError::Gone`] if the parent ended before this call.
pub fn die_with_parent() -> Result<(), ParentError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(ParentError::Refused)?;
    // The parent may have ended between our start and the call above.
    if getppid().as_raw() <= 1 { Err(ParentError::Gone) } else { Ok(()) }
}
