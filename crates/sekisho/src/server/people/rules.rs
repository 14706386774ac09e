//! What each rule of the policies in force and staged let through.

use std::collections::BTreeMap;

use sekisho_api::{Account, DatapathMode, Refusal, RuleHitsQuestion};
use sekisho_policy::PolicyName;

use crate::approvals::approval;
use crate::rule_hits::{RuleHits, State, rule_hits};
use crate::server::fleet::Fleet;

impl Fleet {
    /// The rules of the policies that `account` may see.
    pub(super) fn rules(
        &self,
        account: &Account,
        of: &RuleHitsQuestion,
    ) -> Result<RuleHits, Refusal> {
        let history = self.seen(account, of.cluster.as_ref(), of.range)?;
        let core = self.pick(of.cluster.as_ref())?.core();
        let staged = core.revisions.rules(DatapathMode::Audit);
        let mut since = BTreeMap::new();
        for (state, mode, rules) in [
            (State::Enforced, DatapathMode::Enforce, &history.current),
            (State::Staged, DatapathMode::Audit, &staged),
        ] {
            for policy in rules.rulebook().tiers.iter().flat_map(|tier| &tier.policies) {
                let name = &policy.name;
                let named = (name.kind.as_str(), name.namespace.as_str(), name.name.as_str());
                let found = approval(core.revisions.iter(), mode, named);
                since.insert((state, name.clone()), found.map(|found| found.time));
            }
        }
        // Everything takes long from here on, and others wait for the core.
        drop(core);
        let since = |state, policy: &PolicyName| since.get(&(state, policy.clone())).copied()?;
        let is_asked = |policy: &PolicyName| account.has(&policy.namespace);
        Ok(rule_hits(&history, (&history.current, &staged), &is_asked, &since))
    }
}
