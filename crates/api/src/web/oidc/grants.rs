//! What the members of groups may do.

use std::collections::BTreeSet;

use sekisho_model::Timestamp;

use super::OidcSettings;
use crate::web::{Access, Account};

/// The group of everybody.
const EVERYBODY: &str = "*";

impl OidcSettings {
    /// The account of somebody in these groups: the highest role that is granted to any of them, in
    /// the namespaces of all grants of that role. None = no grant names them.
    pub(super) fn account(&self, name: String, groups: &[&str], now: Timestamp) -> Option<Account> {
        let of_person = || {
            let is_in = |group: &str| group == EVERYBODY || groups.contains(&group);
            self.grants.iter().filter(move |grant| is_in(&grant.group))
        };
        let role: Access = of_person().map(|grant| grant.role).max()?;
        let mut namespaces = Some(BTreeSet::new());
        for grant in of_person().filter(|grant| grant.role == role) {
            match (&mut namespaces, grant.namespaces.is_empty()) {
                (Some(own), false) => own.extend(grant.namespaces.iter().cloned()),
                // One grant of all namespaces is of all.
                (_, true) => namespaces = None,
                (None, false) => {}
            }
        }
        let expires = Some(now.plus_seconds(self.session_s));
        Some(Account { name, role, namespaces, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::good;
    use super::*;

    #[test]
    fn the_highest_role_counts_with_the_namespaces_of_its_grants_and_no_others() {
        let settings = good(&[
            ("all-staff", Access::Viewer, &[]),
            ("shop-devs", Access::Author, &["shop", "shop-web"]),
            ("bank-devs", Access::Author, &["bank"]),
            ("platform", Access::Operator, &[]),
            ("shop-leads", Access::Operator, &["shop"]),
        ]);
        let now = Timestamp::from_seconds(100);
        let of = |groups: &[&str]| {
            let account = settings.account("oidc:a".to_owned(), groups, now)?;
            let own = account.namespaces.map(|own| own.into_iter().collect::<Vec<_>>().join(" "));
            Some((account.role, own))
        };
        let own = |names: &str| Some(names.to_owned());
        assert_eq!(of(&[]), None, "nobody gets in whom no grant names");
        assert_eq!(of(&["other", "*"]), None, "a group cannot call itself everybody");
        assert_eq!(of(&["all-staff"]), Some((Access::Viewer, None)));
        assert_eq!(of(&["all-staff", "bank-devs"]), Some((Access::Author, own("bank"))));
        let both = Some((Access::Author, own("bank shop shop-web")));
        assert_eq!(of(&["shop-devs", "bank-devs"]), both);
        assert_eq!(of(&["shop-leads", "bank-devs"]), Some((Access::Operator, own("shop"))));
        for order in [["platform", "shop-leads"], ["shop-leads", "platform"]] {
            assert_eq!(of(&order), Some((Access::Operator, None)));
        }
    }

    #[test]
    fn everybody_is_a_grant_of_its_own_and_a_session_ends() {
        let settings = good(&[("*", Access::Viewer, &["shop"])]);
        let now = Timestamp::from_seconds(100);
        let account = settings.account("oidc:a".to_owned(), &[], now).unwrap();
        assert_eq!((account.role, account.has("bank")), (Access::Viewer, false));
        assert_eq!(account.expires, Some(Timestamp::from_seconds(100 + 28_800)));
    }
}
