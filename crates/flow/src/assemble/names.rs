//! Which name a cgroup asked for to get an address.
//!
//! Keyed by cgroup, because two pods may reach one address under two names. The latest answer
//! wins, but a connection gets only a name that was answered before it opened.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_model::{DnsAnswer, Timestamp};

/// An answer is kept at least this long, seconds: programs cache addresses beyond their time to
/// live, e.g. in connection pools.
const KEPT_MIN_S: u64 = 600;
/// A hostile time to live may not pin an entry for ever, seconds.
const KEPT_MAX_S: u64 = 86_400;

/// (cgroup, address) -> name, bounded.
#[derive(Debug)]
pub(super) struct Names {
    max: usize,
    by_cgroup: BTreeMap<Arc<str>, BTreeMap<IpAddr, Name>>,
    /// Serial of the latest answer -> where it is, oldest first.
    order: BTreeMap<u64, (Arc<str>, IpAddr)>,
    serial: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Name {
    serial: u64,
    name: Arc<str>,
    since: Timestamp,
    expires: Timestamp,
    previous: Option<(Arc<str>, Timestamp)>,
}

impl Names {
    pub(super) fn new(max: usize) -> Self {
        Self { max, by_cgroup: BTreeMap::new(), order: BTreeMap::new(), serial: 0, evicted: 0 }
    }

    pub(super) fn learn(&mut self, answer: &DnsAnswer) {
        if answer.addresses.is_empty() || answer.name.is_empty() {
            return;
        }
        let name: Arc<str> = Arc::from(answer.name.as_str());
        let cgroup = match self.by_cgroup.get_key_value(answer.cgroup.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(answer.cgroup.as_str()),
        };
        let kept_s = u64::from(answer.ttl_s).clamp(KEPT_MIN_S, KEPT_MAX_S);
        let expires = answer.time.plus_seconds(kept_s);
        for address in &answer.addresses {
            self.put(&cgroup, address.to_canonical(), &name, (answer.time, expires));
        }
        while self.order.len() > self.max {
            if self.remove_oldest() {
                self.evicted += 1;
            }
        }
    }

    fn put(
        &mut self,
        cgroup: &Arc<str>,
        address: IpAddr,
        name: &Arc<str>,
        (time, expires): (Timestamp, Timestamp),
    ) {
        self.serial += 1;
        let serial = self.serial;
        let names = self.by_cgroup.entry(Arc::clone(cgroup)).or_default();
        let fresh =
            |previous| Name { serial, name: Arc::clone(name), since: time, expires, previous };
        match names.get_mut(&address) {
            None => {
                names.insert(address, fresh(None));
            }
            Some(known) => {
                self.order.remove(&known.serial);
                known.serial = serial;
                known.expires = known.expires.max(expires);
                if known.name == *name {
                    known.since = known.since.min(time);
                } else if time >= known.since {
                    let previous = (Arc::clone(&known.name), known.since);
                    *known = fresh(Some(previous));
                } else {
                    known.previous = Some((Arc::clone(name), time));
                }
            }
        }
        self.order.insert(serial, (Arc::clone(cgroup), address));
    }

    /// The name that `cgroup` had for `address` when a connection opened at `opened`.
    pub(super) fn find(&self, cgroup: &str, address: IpAddr, opened: Timestamp) -> Option<&str> {
        let known = self.by_cgroup.get(cgroup)?.get(&address)?;
        if known.since <= opened {
            return (opened < known.expires).then_some(&*known.name);
        }
        let (name, since) = known.previous.as_ref()?;
        (*since <= opened).then_some(&**name)
    }

    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        while let Some((_, (cgroup, address))) = self.order.first_key_value() {
            let name = self.by_cgroup.get(cgroup).and_then(|names| names.get(address));
            if name.is_some_and(|name| name.expires > now) {
                break;
            }
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) -> bool {
        let Some((_, (cgroup, address))) = self.order.pop_first() else { return false };
        if let Some(names) = self.by_cgroup.get_mut(&cgroup) {
            names.remove(&address);
            if names.is_empty() {
                self.by_cgroup.remove(&cgroup);
            }
        }
        true
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }
}
