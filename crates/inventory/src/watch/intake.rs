//! Carries deltas into an inventory, and into the journal that tells of them after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sekisho_manifest::{Meta, Object, OtherObject};
use sekisho_model::Timestamp;

use super::delta::Delta;
use crate::journal::write_line;
use crate::{Change, Inventory};

/// Takes the deltas of one [`super::Watch`], in their order.
#[derive(Debug, Default)]
pub struct Intake {
    /// By kind, what was told before its first list ended.
    told: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Kinds of which all was told.
    listed: BTreeSet<String>,
    /// When we heard of the delta that was taken last.
    heard: Timestamp,
}

impl Intake {
    /// Takes a delta; what it changed is appended to `journal`, as lines that
    /// [`Inventory::apply_line`] reads.
    pub fn take(&mut self, inventory: &mut Inventory, delta: Delta, journal: &mut Vec<u8>) {
        match delta {
            Delta::Change { time, change, object } => {
                self.heard = time;
                self.note(change, &object);
                let object = Arc::new(*object);
                if let Some(from) = inventory.apply_live(time, change, &object) {
                    write_line(journal, from, change, &object);
                }
            }
            Delta::Listed { time, kind, unreadable } => {
                self.heard = time;
                let told = self.told.remove(&kind).unwrap_or_default();
                if !self.listed.insert(kind.clone()) {
                    return;
                }
                let unreadable: BTreeSet<_> = unreadable.into_iter().collect();
                let there = |key: &(String, String)| told.contains(key) || unreadable.contains(key);
                for key in inventory.live_names(&kind).into_iter().filter(|key| !there(key)) {
                    let (namespace, name) = key;
                    let meta = Meta { namespace, name, ..Meta::default() };
                    let object = Arc::new(Object::Other(OtherObject {
                        api_version: String::new(),
                        kind: kind.clone(),
                        meta,
                    }));
                    let change = Change::Deleted;
                    if let Some(from) = inventory.apply_live(time, change, &object) {
                        write_line(journal, from, change, &object);
                    }
                }
            }
        }
    }

    /// When we heard of the delta that was taken last.
    #[must_use]
    pub fn heard(&self) -> Timestamp {
        self.heard
    }

    fn note(&mut self, change: Change, object: &Object) {
        if self.listed.contains(object.kind()) {
            return;
        }
        let meta = object.meta();
        let key = (meta.namespace.clone(), meta.name.clone());
        let told = self.told.entry(object.kind().to_owned()).or_default();
        match change {
            Change::Added | Change::Modified => told.insert(key),
            Change::Deleted => told.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use sekisho_flow::Directory;
    use sekisho_manifest::{OwnerRef, parse};

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn pod(name: &str, ip: &str, owner: &str) -> Object {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"shop",
                "uid":"uid-{name}-1","ownerReferences":[{{"kind":"ReplicaSet","name":"{owner}",
                "controller":true}}]}},"spec":{{"containers":[{{"name":"app","image":"i"}}]}},
                "status":{{"phase":"Running","podIPs":[{{"ip":"{ip}"}}]}}}}"#
        );
        parse("test", &text).unwrap().remove(0)
    }

    fn link(kind: &str, name: &str, owner: Option<(&str, &str)>) -> Object {
        let owner =
            owner.map(|(kind, name)| OwnerRef { kind: kind.to_owned(), name: name.to_owned() });
        let (name, namespace) = (name.to_owned(), "shop".to_owned());
        Object::Other(OtherObject {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            meta: Meta { name, namespace, owner, ..Meta::default() },
        })
    }

    fn tell(change: Change, seconds: u64, object: Object) -> Delta {
        Delta::Change { time: at(seconds), change, object: Box::new(object) }
    }

    fn listed(kind: &str, seconds: u64) -> Delta {
        Delta::Listed { time: at(seconds), kind: kind.to_owned(), unreadable: Vec::new() }
    }

    fn take(inventory: &mut Inventory, deltas: Vec<Delta>) -> String {
        let (mut intake, mut journal) = (Intake::default(), Vec::new());
        for delta in deltas {
            intake.take(inventory, delta, &mut journal);
        }
        String::from_utf8(journal).unwrap()
    }

    fn read(journal: &str) -> Inventory {
        let mut inventory = Inventory::default();
        for (number, line) in journal.lines().enumerate() {
            inventory.apply_line("copy", number as u64 + 1, line).unwrap();
        }
        inventory
    }

    fn who(inventory: &Inventory, ip: &str, seconds: u64) -> String {
        inventory.party_of_address(ip.parse().unwrap(), None, at(seconds)).to_string()
    }

    #[test]
    fn a_pod_that_is_told_before_its_replica_set_gets_its_right_name_when_that_comes() {
        let mut inventory = Inventory::default();
        let early = vec![tell(Change::Added, 1, pod("cart-1", "10.244.1.5", "cart-7d4b9c"))];
        let mut journal = take(&mut inventory, early);
        assert_eq!(who(&inventory, "10.244.1.5", 2), "shop/cart-7d4b9c[ReplicaSet]");
        let later = vec![
            tell(Change::Added, 3, link("ReplicaSet", "cart-7d4b9c", Some(("Rollout", "cart")))),
            tell(Change::Added, 3, pod("other-1", "10.244.1.6", "other-1")),
        ];
        journal.push_str(&take(&mut inventory, later));
        assert_eq!(who(&inventory, "10.244.1.5", 4), "shop/cart[Rollout]", "a custom owner");
        assert_eq!(who(&inventory, "10.244.1.6", 4), "shop/other-1[ReplicaSet]");
        assert_eq!(who(&read(&journal), "10.244.1.5", 4), "shop/cart[Rollout]", "after a restart");
        let adopted = link("ReplicaSet", "cart-7d4b9c", Some(("Deployment", "cart")));
        take(&mut inventory, vec![tell(Change::Modified, 5, adopted)]);
        assert_eq!(who(&inventory, "10.244.1.5", 6), "shop/cart[Deployment]");
        // The replica set goes first when a Deployment is deleted; the name stays.
        let gone = link("ReplicaSet", "cart-7d4b9c", None);
        take(&mut inventory, vec![tell(Change::Deleted, 7, gone)]);
        assert_eq!(who(&inventory, "10.244.1.5", 8), "shop/cart[Deployment]");
    }

    #[test]
    fn what_vanished_while_no_server_ran_is_gone_and_what_could_not_be_read_is_not() {
        let mut first = Inventory::default();
        let names = [("a", "10.244.1.1"), ("b", "10.244.1.2"), ("c", "10.244.1.3")];
        let pods = names.iter().map(|(name, ip)| tell(Change::Added, 1, pod(name, ip, "x")));
        let mut deltas: Vec<_> = pods.collect();
        deltas.push(listed("Pod", 2));
        let journal = take(&mut first, deltas);
        let mut second = read(&journal);
        let told = tell(Change::Added, 50, pod("a", "10.244.1.1", "x"));
        let unreadable = vec![("shop".to_owned(), "c".to_owned())];
        let end = Delta::Listed { time: at(51), kind: "Pod".to_owned(), unreadable };
        let more = take(&mut second, vec![told, end]);
        assert_eq!(second.live_names("Pod").len(), 2);
        assert_eq!(who(&second, "10.244.1.2", 60), "10.244.1.2[External]");
        assert_eq!(who(&second, "10.244.1.2", 40), "shop/x[ReplicaSet]", "history stays");
        assert_eq!(more.lines().count(), 1, "only the end of b is news: {more}");
        let both = read(&(journal + &more));
        assert_eq!(both.live_names("Pod"), second.live_names("Pod"));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_change() {
        let mut inventory = Inventory::default();
        let deltas = vec![
            tell(Change::Added, 100, pod("a", "10.244.1.1", "x")),
            tell(Change::Modified, 40, pod("a", "10.244.1.2", "x")),
        ];
        take(&mut inventory, deltas);
        assert_eq!(who(&inventory, "10.244.1.2", 200), "shop/x[ReplicaSet]");
        assert_eq!(who(&inventory, "10.244.1.1", 200), "10.244.1.1[External]");
        assert_eq!(inventory.stats().stale, 0);
    }
}
