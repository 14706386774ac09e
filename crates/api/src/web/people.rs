//! What a server must be able to do for people.

use bytes::Bytes;

use super::{Account, FlowsQuestion, Question, Tokens, Upload, UploadQuestion};
use crate::{FlowPage, Refusal};

/// A server, as people ask it.
pub trait People: Send + Sync + 'static {
    /// Who may sign in.
    fn tokens(&self) -> &Tokens;

    /// Answers `question` for `account`, whose role was found sufficient; which namespaces it may see
    /// is minded here. The answer is a JSON document, or YAML where that was asked for.
    ///
    /// # Errors
    /// [`Refusal`], in words for people.
    fn answer(&self, account: &Account, question: &Question) -> Result<Bytes, Refusal>;

    /// Begins to take in a file of flows.
    ///
    /// # Errors
    /// [`Refusal`] if it can't be taken.
    fn receive(
        &self,
        account: &Account,
        question: &UploadQuestion,
    ) -> Result<Box<dyn Upload>, Refusal>;

    /// Flows after `cursor`, oldest first, as far as `account` may see them and `question` asks for
    /// them, for a stream of them; the newest cursor for `u64::MAX`.
    ///
    /// # Errors
    /// [`Refusal`] if there is no such cluster.
    fn follow(
        &self,
        account: &Account,
        question: &FlowsQuestion,
        cursor: u64,
    ) -> Result<FlowPage, Refusal>;

    /// What the answers to `account` differ by from those to others with the same rights; empty if
    /// by nothing.
    fn own(&self, account: &Account) -> String;

    /// A number that changes whenever a map may have changed: flows came, policies were put in force.
    fn revision(&self) -> u64;

    /// Writes into the audit log that somebody signed in by another's word.
    ///
    /// # Errors
    /// [`Refusal`] if it can't be written: nobody is signed in then.
    fn signed_in(&self, account: &Account) -> Result<(), Refusal>;

    /// Writes a call that was not permitted into the audit log.
    fn denied(&self, who: &str, action: &str, why: &str);
}
