//! Runs `nft` inside a network namespace.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sekisho_system::command::{self, CommandError};
use sekisho_system::netns::{self, NetnsError};

/// How long one call of nft may take: a million elements load in some 15 s.
const NFT_TIMEOUT: Duration = Duration::from_secs(60);
/// nft reports one error after another; the first is the cause.
const MESSAGE_CHARS_MAX: usize = 300;

/// nft refused. What was in force stays in force: a script is one transaction.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// A line of the script is wrong.
    #[error("nft refused line {line} `{text}`: {message}")]
    Line {
        /// Line of the script, from 1.
        line: usize,
        /// That line, cut to a readable length.
        text: String,
        /// nft's words.
        message: String,
    },
    /// It failed without naming a line, or could not be run.
    #[error("run nft")]
    Run(#[source] CommandError),
    /// The network namespace can't be entered.
    #[error("run nft")]
    Namespace(#[source] NetnsError),
}

/// What can run nft: in a namespace, or whatever a test wants.
pub trait Executor: fmt::Debug + Send {
    /// Runs `nft` with `arguments`; `script` is its standard input. Returns what it printed.
    ///
    /// # Errors
    /// [`NftError`] if nft fails; the rules are then as they were.
    fn nft(&self, arguments: &[&str], script: &str) -> Result<String, NftError>;
}

/// Runs nft in the network namespace at a path. The namespace of this process itself needs no right
/// to enter.
#[derive(Clone, Debug)]
pub struct InNamespace {
    /// Path of the namespace, e.g. `/run/netns/node-1` or `/proc/self/ns/net`.
    pub netns: PathBuf,
}

impl Executor for InNamespace {
    fn nft(&self, arguments: &[&str], script: &str) -> Result<String, NftError> {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (argv, input) = (own(&[&["nft"], arguments].concat()), script.to_owned());
        let ran = netns::within(&self.netns, move || {
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            command::run(&argv, &input, NFT_TIMEOUT)
        });
        match ran.map_err(NftError::Namespace)? {
            Ok(output) => Ok(output.stdout),
            Err(error) => Err(located(error, script)),
        }
    }
}

/// Finds the script's line in nft's message (`/dev/stdin:12:3-9: Error: ...`).
fn located(error: CommandError, script: &str) -> NftError {
    let CommandError::Failed { stderr, .. } = &error else { return NftError::Run(error) };
    let found = stderr.lines().find_map(|message| {
        let (place, words) = message.split_once(": Error: ")?;
        let line: usize = place.split(':').nth(1)?.parse().ok()?;
        Some((line, words.to_owned()))
    });
    let Some((line, words)) = found else { return NftError::Run(error) };
    let cut = |text: &str| text.trim().chars().take(MESSAGE_CHARS_MAX).collect::<String>();
    let text = script.lines().nth(line.saturating_sub(1)).map(cut).unwrap_or_default();
    NftError::Line { line, text, message: cut(&words) }
}
