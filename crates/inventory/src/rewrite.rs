//! The whole inventory as a journal: what a copy that grew too long is replaced by.

use std::io::{self, Write};
use std::sync::Arc;

use sekisho_manifest::Object;
use sekisho_model::Timestamp;

use crate::journal::write_line;
use crate::{Change, Inventory};

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 256 * 1024;

impl Inventory {
    /// Writes what is remembered, oldest first, as lines that [`Inventory::apply_line`] reads: an
    /// empty inventory that takes them gives the same answers. Returns the bytes written.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_journal(&self, out: &mut dyn Write) -> io::Result<u64> {
        let mut total = 0;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for (time, change, object) in self.retold() {
            write_line(&mut chunk, time, change, &object);
            if chunk.len() >= CHUNK_BYTES {
                out.write_all(&chunk)?;
                total += chunk.len() as u64;
                chunk.clear();
            }
        }
        out.write_all(&chunk)?;
        Ok(total + chunk.len() as u64)
    }

    /// The changes that lead to what is remembered, in order.
    fn retold(&self) -> Vec<(Timestamp, Change, Arc<Object>)> {
        let mut changes = Vec::new();
        for spans in self.history.objects.values() {
            let mut spans = spans.iter().peekable();
            let mut change = Change::Added;
            while let Some(span) = spans.next() {
                changes.push((span.from, change, Arc::clone(&span.value)));
                let lasts = spans.peek().is_some_and(|next| next.from == span.to);
                change = if lasts { Change::Modified } else { Change::Added };
                if !lasts && span.to != Timestamp::MAX {
                    changes.push((span.to, Change::Deleted, Arc::clone(&span.value)));
                }
            }
        }
        // An address is given up before it is taken; the sort keeps the order of what is left.
        changes.sort_by_key(|(time, change, _)| (*time, *change != Change::Deleted));
        changes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sekisho_flow::Directory;
    use sekisho_manifest::parse;

    use super::*;
    use crate::InventoryLimits;

    fn pod(name: &str, address: &str, label: u8, phase: &str) -> Object {
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"shop",
                "uid":"uid-{name}-1","labels":{{"n":"{label}"}}}},
                "spec":{{"containers":[{{"name":"app","image":"i"}}]}},
                "status":{{"phase":"{phase}","podIPs":[{{"ip":"{address}"}}]}}}}"#
        );
        parse("test", &text).unwrap().remove(0)
    }

    fn reread(inventory: &Inventory) -> Inventory {
        let mut text = Vec::new();
        let bytes = inventory.write_journal(&mut text).unwrap();
        assert_eq!(bytes, text.len() as u64);
        let mut again = Inventory::new(InventoryLimits::default());
        for (number, line) in String::from_utf8(text).unwrap().lines().enumerate() {
            again.apply_line("copy", number as u64 + 1, line).unwrap();
        }
        again
    }

    proptest! {
        /// Whoever had an address at a time has had it then, too, for whoever reads what was
        /// written anew.
        #[test]
        fn a_journal_that_is_written_anew_names_the_same_owners_at_all_times(
            steps in prop::collection::vec((1_u64..4, 0_usize..4, 0_usize..3, 0_u8..6), 1..60)
        ) {
            let names = ["a", "b", "c", "d"];
            let addresses = ["10.244.1.1", "10.244.1.2", "10.244.1.3"];
            let mut inventory = Inventory::new(InventoryLimits::default());
            let mut now = 1_000;
            for (wait, name, address, action) in steps {
                now += wait;
                let (change, phase) = match action {
                    0 => (Change::Deleted, "Running"),
                    1 => (Change::Modified, "Succeeded"),
                    _ => (Change::Modified, "Running"),
                };
                let object = pod(names[name], addresses[address], action, phase);
                inventory.apply_live(Timestamp::from_seconds(now), change, &Arc::new(object));
            }
            let again = reread(&inventory);
            for second in 999..now + 5 {
                let at = Timestamp::from_seconds(second);
                for address in addresses {
                    let ip = address.parse().unwrap();
                    prop_assert_eq!(
                        inventory.party_of_address(ip, None, at),
                        again.party_of_address(ip, None, at)
                    );
                }
                prop_assert_eq!(inventory.objects_at(at).len(), again.objects_at(at).len());
            }
            prop_assert_eq!(inventory.stats().objects, again.stats().objects);
        }
    }

    #[test]
    fn what_was_forgotten_is_not_written() {
        let mut inventory = Inventory::new(InventoryLimits::default());
        let at = Timestamp::from_seconds;
        let (old, new) =
            (pod("a", "10.244.1.1", 1, "Running"), pod("a", "10.244.1.1", 2, "Running"));
        inventory.apply(at(10), Change::Added, &old);
        inventory.apply(at(20), Change::Modified, &new);
        assert_eq!(inventory.retold().len(), 2);
        inventory.forget_before(at(30));
        assert_eq!(inventory.retold().len(), 1);
        assert_eq!(reread(&inventory).stats().objects, 1);
    }
}
