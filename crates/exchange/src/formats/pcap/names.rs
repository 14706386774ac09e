//! Names that were asked for: answers of DNS, and the server name that TLS says in the clear.

use std::net::IpAddr;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::frames::{from, u8_at, u16_at, v4_at, v6_at};

/// Names that are remembered; beyond, the older half is forgotten.
const NAMES_MAX: usize = 1 << 16;
/// Records of an answer that are read.
const RECORDS_MAX: u16 = 64;
/// Longest name (RFC 1035, section 2.3.4), bytes.
const NAME_BYTES_MAX: usize = 253;
/// Longest beginning of a TLS connection that is kept until its name is known, bytes.
pub(crate) const HELLO_BYTES_MAX: usize = 16 << 10;

/// What each asker was told an address is called.
#[derive(Debug, Default)]
pub(crate) struct Names {
    told: IndexMap<(IpAddr, IpAddr), Arc<str>, foldhash::fast::FixedState>,
}

impl Names {
    /// The name by which `asker` knows `address`.
    pub(crate) fn name(&self, asker: IpAddr, address: IpAddr) -> Option<Arc<str>> {
        self.told.get(&(asker, address)).cloned()
    }

    /// Reads an answer of DNS that `asker` got.
    pub(crate) fn answer(&mut self, asker: IpAddr, message: &[u8]) {
        let Some((name, addresses)) = answer(message) else { return };
        let name: Arc<str> = name.into();
        for address in addresses {
            self.told.insert((asker, address), Arc::clone(&name));
        }
        if self.told.len() > NAMES_MAX {
            self.told.drain(..NAMES_MAX / 2);
        }
    }
}

/// The name and addresses of an answer (RFC 1035, section 4); None if it is none.
fn answer(message: &[u8]) -> Option<(String, Vec<IpAddr>)> {
    let flags = u16_at(message, 2)?;
    let (is_answer, failed) = (flags & 0x8000 != 0, flags & 0x000f != 0);
    if !is_answer || failed || u16_at(message, 4)? != 1 {
        return None;
    }
    let (name, mut at) = question(message)?;
    // Type and class of the question.
    at += 4;
    let mut addresses = Vec::new();
    for _ in 0..u16_at(message, 6)?.min(RECORDS_MAX) {
        at = after_name(message, at)?;
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let length = usize::from(u16_at(message, at + 8)?);
        match (kind, class, length) {
            (1, 1, 4) => addresses.push(v4_at(message, at + 10)?),
            (28, 1, 16) => addresses.push(v6_at(message, at + 10)?),
            _ => {}
        }
        at += 10 + length;
    }
    Some((name, addresses))
}

/// The name of the only question, in small letters, and where it ends.
fn question(message: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let length = usize::from(u8_at(message, at)?);
        if length == 0 {
            break;
        }
        let label = message.get(at + 1..at + 1 + length).filter(|_| length < 64)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&clean(label)?);
        at += 1 + length;
    }
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then_some((name, at + 1))
}

fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match u8_at(message, at)? {
            0 => return Some(at + 1),
            // The rest of the name stands elsewhere.
            length if length >= 0xc0 => return Some(at + 2),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// A name of letters, digits and `-_.` in small letters; None if anything else is in it.
fn clean(bytes: &[u8]) -> Option<String> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || !bytes.iter().all(good) {
        return None;
    }
    Some(String::from_utf8_lossy(bytes).to_ascii_lowercase())
}

/// What the beginning of a connection says of its server's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// It is named.
    Name(String),
    /// It is not TLS, or names nobody.
    Nobody,
    /// So far nothing is missing but more bytes.
    More,
}

/// Reads the first message of TLS (RFC 8446, section 4.1.2; RFC 6066, section 3).
pub(crate) fn server_name(bytes: &[u8]) -> Hello {
    // A record of the handshake, version 3.x, that begins with a ClientHello.
    let begins = [(0, 22), (1, 3), (5, 1)];
    if begins.into_iter().any(|(at, value)| u8_at(bytes, at).is_some_and(|byte| byte != value)) {
        return Hello::Nobody;
    }
    let Some(length) = u16_at(bytes, 3).map(usize::from) else { return Hello::More };
    if length > HELLO_BYTES_MAX {
        return Hello::Nobody;
    }
    let record = bytes.get(5..5 + length);
    let kept = record.unwrap_or(from(bytes, 5));
    match extension(kept) {
        Some(Some(name)) => Hello::Name(name),
        Some(None) => Hello::Nobody,
        None if record.is_none() => Hello::More,
        None => Hello::Nobody,
    }
}

/// The server's name in a ClientHello; None if it is cut off before the name could stand.
fn extension(hello: &[u8]) -> Option<Option<String>> {
    // Type, length, version, random.
    let mut at = 4 + 2 + 32;
    at += 1 + usize::from(u8_at(hello, at)?);
    at += 2 + usize::from(u16_at(hello, at)?);
    at += 1 + usize::from(u8_at(hello, at)?);
    let Some(all) = u16_at(hello, at) else {
        // Old versions have no extensions.
        let length = usize::from(u16_at(hello, 2)?);
        return (at >= 4 + length).then_some(None);
    };
    let end = at + 2 + usize::from(all);
    at += 2;
    while at < end {
        let (kind, length) = (u16_at(hello, at)?, usize::from(u16_at(hello, at + 2)?));
        if kind == 0 {
            let name = hello.get(at + 4..at + 4 + length)?;
            // Length of the list, kind of name (0 = host), length of the name.
            let host = name.get(5..5 + usize::from(u16_at(name, 3)?));
            return Some(host.filter(|_| name.get(2) == Some(&0)).and_then(clean));
        }
        at += 4 + length;
    }
    Some(None)
}
