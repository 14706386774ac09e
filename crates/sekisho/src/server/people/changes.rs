//! What changes something, between its two entries of the audit log.

use super::audit::Call;
use crate::server::fleet::Fleet;
use crate::server::service::now;
use sekisho_api::{
    ApplyRequest, ApplyResponse, CreatedToken, DatapathMode, NewToken, Outcome, Refusal,
    RollbackRequest, TokenError,
};

fn told(response: &ApplyResponse) -> (Outcome, String) {
    match (response.revision, &response.report) {
        (Some(revision), _) => (Outcome::Done, format!("revision {revision}")),
        (None, Some(report)) => {
            let text = format!("{} edges would be blocked", report.would_block_unaccepted());
            (Outcome::Refused, text)
        }
        (None, None) => (Outcome::Refused, "nothing changed".to_owned()),
    }
}

fn refused(error: TokenError) -> Refusal {
    match &error {
        TokenError::Exists(_)
        | TokenError::Name(_)
        | TokenError::Over(_)
        | TokenError::Nothing
        | TokenError::TooMany => Refusal::Invalid(error.to_string()),
        TokenError::Unknown(_) => Refusal::Unknown(error.to_string()),
        TokenError::Random(_) | TokenError::File { .. } => {
            Refusal::Unavailable(sekisho_base::error_chain(&error))
        }
    }
}

impl Fleet {
    /// See [`sekisho_api::Service::apply`].
    pub(crate) fn audited_apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Refusal> {
        let member = self.pick(request.cluster.as_ref())?;
        let (who, target) = (request.operator.clone(), member.name().to_string());
        let action = match request.mode {
            DatapathMode::Enforce => "apply",
            DatapathMode::Audit => "stage",
        };
        let call = Call { who: &who, action, target: &target };
        let files: Vec<&str> = request.files.iter().map(|file| file.name.as_str()).collect();
        let prune = if request.prune { ", and nothing else" } else { "" };
        let detail = format!("{}{prune}", files.join(", "));
        self.audit().around((&call, &detail), || member.apply(request), told)
    }

    /// See [`sekisho_api::Service::rollback`].
    pub(crate) fn audited_rollback(
        &self,
        request: RollbackRequest,
    ) -> Result<ApplyResponse, Refusal> {
        let member = self.pick(request.cluster.as_ref())?;
        let (who, target) = (request.operator.clone(), member.name().to_string());
        let call = Call { who: &who, action: "rollback", target: &target };
        let detail = match (request.revision, request.repair) {
            (_, true) => "repair".to_owned(),
            (Some(revision), false) => format!("to revision {revision}"),
            (None, false) => "to the one before".to_owned(),
        };
        self.audit().around((&call, &detail), || member.rollback(request), told)
    }

    /// Makes a token in the name of `who`.
    pub(crate) fn create_token(
        &self,
        wanted: NewToken,
        who: &str,
    ) -> Result<CreatedToken, Refusal> {
        let name = wanted.name.clone();
        let call = Call { who, action: "create_token", target: &name };
        let detail = match &wanted.namespaces {
            None => wanted.role.to_string(),
            Some(own) => {
                let own: Vec<&str> = own.iter().map(String::as_str).collect();
                format!("{} of {}", wanted.role, own.join(", "))
            }
        };
        let work = || self.all_tokens().create(wanted, who, now()).map_err(refused);
        let done = |_: &_| (Outcome::Done, String::new());
        let (info, token) = self.audit().around((&call, &detail), work, done)?;
        Ok(CreatedToken { info, token })
    }

    /// Ends a token in the name of `who`.
    pub(crate) fn revoke_token(&self, name: &str, who: &str) -> Result<(), Refusal> {
        let call = Call { who, action: "revoke_token", target: name };
        let work = || {
            self.all_tokens().revoke(name).map_err(refused)?;
            self.kept().forget(name);
            Ok(())
        };
        self.audit().around((&call, ""), work, |()| (Outcome::Done, String::new()))
    }
}
