//! Everything the inventory remembers, with a bound on what has ended.
//!
//! Four histories: versions of objects, holders of addresses, pods by uid, and backends of
//! Services. Each interval that ends is noted in `ended`, so that the oldest goes first, whichever
//! history it belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_manifest::Object;
use sekisho_model::{Party, Timestamp};

use crate::services::{Backends, Member};
use crate::spans::Spans;

/// kind, namespace, name.
pub(crate) type ObjectKey = (String, String, String);

/// Who holds an address or is behind a uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) owner: Arc<ObjectKey>,
    pub(crate) party: Arc<Party>,
}

/// Where an interval ended.
#[derive(Clone, Debug)]
enum Place {
    Object(Arc<ObjectKey>),
    Address(IpAddr),
    Name(String),
    Backends(Arc<ObjectKey>),
}

/// All histories.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) objects: BTreeMap<Arc<ObjectKey>, Spans<Arc<Object>>>,
    pub(crate) addresses: BTreeMap<IpAddr, Spans<Holder>>,
    /// Pods by uid, and hosts and nodes by `host/<name>` and `node/<name>`.
    pub(crate) names: BTreeMap<String, Spans<Holder>>,
    pub(crate) backends: BTreeMap<Arc<ObjectKey>, Backends>,
    /// (end, serial) -> where, oldest first.
    ended: BTreeMap<(Timestamp, u64), Place>,
    serial: u64,
    pub(crate) evicted: u64,
}

impl History {
    pub(crate) fn open_object(&mut self, key: &Arc<ObjectKey>, from: Timestamp, it: Arc<Object>) {
        let ended = self.objects.entry(Arc::clone(key)).or_default().open(from, it);
        self.note(ended, || Place::Object(Arc::clone(key)));
    }

    pub(crate) fn close_object(&mut self, key: &Arc<ObjectKey>, at: Timestamp) {
        let ended = self.objects.get_mut(key).and_then(|spans| spans.close(at));
        self.note(ended, || Place::Object(Arc::clone(key)));
        if self.objects.get(key).is_some_and(Spans::is_empty) {
            self.objects.remove(key);
        }
    }

    pub(crate) fn open_address(&mut self, address: IpAddr, from: Timestamp, holder: Holder) {
        let ended = self.addresses.entry(address).or_default().open(from, holder);
        self.note(ended, || Place::Address(address));
    }

    /// Ends the hold of `owner` on `address`, if it is the holder.
    pub(crate) fn close_address(&mut self, address: IpAddr, at: Timestamp, owner: &ObjectKey) {
        let Some(spans) = self.addresses.get_mut(&address) else { return };
        if spans.current().is_none_or(|holder| *holder.owner != *owner) {
            return;
        }
        let ended = spans.close(at);
        if spans.is_empty() {
            self.addresses.remove(&address);
        }
        self.note(ended, || Place::Address(address));
    }

    pub(crate) fn open_name(&mut self, name: &str, from: Timestamp, holder: Holder) {
        let spans = self.names.entry(name.to_owned()).or_default();
        if spans.current() == Some(&holder) {
            return;
        }
        let ended = spans.open(from, holder);
        self.note(ended, || Place::Name(name.to_owned()));
    }

    pub(crate) fn close_name(&mut self, name: &str, at: Timestamp) {
        let ended = self.names.get_mut(name).and_then(|spans| spans.close(at));
        self.note(ended, || Place::Name(name.to_owned()));
    }

    /// Sets what `pod` offers to a Service; None = nothing.
    pub(crate) fn set_backend(
        &mut self,
        service: &Arc<ObjectKey>,
        pod: &Arc<ObjectKey>,
        from: Timestamp,
        member: Option<Member>,
    ) {
        let backends = self.backends.entry(Arc::clone(service)).or_default();
        let ended = backends.set(pod, from, member);
        self.note(ended, || Place::Backends(Arc::clone(service)));
    }

    fn note(&mut self, ended: Option<Timestamp>, place: impl FnOnce() -> Place) {
        if let Some(at) = ended {
            self.serial += 1;
            self.ended.insert((at, self.serial), place());
        }
    }

    /// Intervals that ended and are remembered.
    pub(crate) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Forgets the oldest ended intervals beyond `max`.
    pub(crate) fn bound(&mut self, max: usize) {
        while self.ended.len() > max {
            self.forget_oldest();
            self.evicted += 1;
        }
    }

    /// Forgets intervals that ended before `time`.
    pub(crate) fn forget_before(&mut self, time: Timestamp) {
        while self.ended.first_key_value().is_some_and(|((at, _), _)| *at < time) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        match self.ended.pop_first() {
            Some((_, Place::Object(key))) => forget(&mut self.objects, &key),
            Some((_, Place::Address(address))) => forget(&mut self.addresses, &address),
            Some((_, Place::Name(name))) => forget(&mut self.names, &name),
            Some((_, Place::Backends(key))) => {
                if let Some(backends) = self.backends.get_mut(&key) {
                    backends.forget_oldest();
                    if backends.is_empty() {
                        self.backends.remove(&key);
                    }
                }
            }
            None => {}
        }
    }
}

fn forget<K: Ord, T>(histories: &mut BTreeMap<K, Spans<T>>, key: &K) {
    if let Some(spans) = histories.get_mut(key) {
        spans.forget_oldest();
        if spans.is_empty() {
            histories.remove(key);
        }
    }
}
