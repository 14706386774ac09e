//! Exit codes, the same for every command (docs/cli.md).

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing found.
    Done,
    /// Done, and what was asked about was found: would block, differs, not allowed.
    Found,
    /// Answered only in part: data lost, objects unreadable. Never reported as done.
    Partial,
    /// The exit code of a program that was run for the user.
    Program(u8),
}

/// Wrong usage or unreadable input; nothing was changed.
pub(crate) const UNUSABLE: u8 = 2;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Found => 1,
            Exit::Partial => 3,
            Exit::Program(code) => code,
        })
    }
}
