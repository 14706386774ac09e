//! Who showed wrong tokens waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sekisho_model::Timestamp;

/// Wrong tokens of one address before it has to wait.
const TRIES: u32 = 10;
/// How long it waits, and after which time wrong tokens are forgotten, seconds.
const WAIT_S: u64 = 60;
/// Addresses that are remembered; beyond that the oldest are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// Wrong tokens, by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<BTreeMap<IpAddr, Tried>>);

#[derive(Clone, Copy, Debug)]
struct Tried {
    wrong: u32,
    last: Timestamp,
}

impl Throttle {
    /// Seconds that this address has to wait; None = it may try.
    pub(crate) fn wait(&self, from: IpAddr, now: Timestamp) -> Option<u64> {
        let tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = tried.get(&from)?;
        let since_s = now.seconds_since(tried.last);
        (tried.wrong >= TRIES && since_s < WAIT_S).then(|| WAIT_S - since_s)
    }

    /// Notes a wrong token.
    pub(crate) fn wrong(&self, from: IpAddr, now: Timestamp) {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.len() >= ADDRESSES_MAX && !tried.contains_key(&from) {
            tried.retain(|_, one| now.seconds_since(one.last) < WAIT_S);
            let oldest = tried.iter().min_by_key(|(_, one)| one.last).map(|(from, _)| *from);
            if let Some(oldest) = oldest.filter(|_| tried.len() >= ADDRESSES_MAX) {
                tried.remove(&oldest);
            }
        }
        let one = tried.entry(from).or_insert(Tried { wrong: 0, last: now });
        if now.seconds_since(one.last) >= WAIT_S {
            one.wrong = 0;
        }
        one.wrong = one.wrong.saturating_add(1);
        one.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_tokens_make_an_address_wait_and_no_other() {
        let throttle = Throttle::default();
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let at = Timestamp::from_seconds;
        for second in 0..9 {
            throttle.wrong(one, at(second));
        }
        assert_eq!(throttle.wait(one, at(9)), None);
        throttle.wrong(one, at(9));
        assert_eq!(throttle.wait(one, at(9)), Some(60));
        assert_eq!(throttle.wait(one, at(68)), Some(1));
        assert_eq!(throttle.wait(other, at(9)), None);
        assert_eq!(throttle.wait(one, at(69)), None);
        throttle.wrong(one, at(70));
        assert_eq!(throttle.wait(one, at(70)), None, "it begins anew");
    }

    #[test]
    fn no_number_of_addresses_makes_it_grow_without_bound() {
        let throttle = Throttle::default();
        for number in 0..5_000_u32 {
            throttle.wrong(IpAddr::from(number.to_be_bytes()), Timestamp::from_seconds(1));
        }
        assert!(throttle.0.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
