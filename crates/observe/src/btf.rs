//! Reads from the kernel's own type description (BTF) what the tracepoint `skb/kfree_skb` tells on
//! this kernel, and what its reasons are called: both change between kernels.
//!
//! Layout: linux v6.18 Documentation/bpf/btf.rst. The bytes are the kernel's, yet nothing here
//! relies on it: a description that makes no sense gives None.

use std::collections::BTreeMap;

const MAGIC: u16 = 0xeb9f;
/// Name, kind and size of a type.
const HEAD_BYTES: usize = 12;
const KIND_PTR: u32 = 2;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC_PROTO: u32 = 13;
/// Types in a description; linux 6.18 has some 130,000.
const TYPES_MAX: usize = 4 << 20;

const REASONS: &[u8] = b"skb_drop_reason";
const REASON_PREFIX: &str = "SKB_DROP_REASON_";
/// The tracepoint's function type; its first parameter is the program's own.
const TRACEPOINT: &[u8] = b"btf_trace_kfree_skb";

/// What `skb/kfree_skb` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KfreeSkb {
    /// Reasons by number, without their prefix, e.g. `NO_SOCKET`; empty if there are none.
    pub(crate) reasons: BTreeMap<u32, String>,
    /// Arguments of the tracepoint: packet, place, reason (since v5.17), socket (since v6.11).
    pub(crate) arguments: usize,
}

/// Finds it in a description; None if that can't be read.
pub(crate) fn kfree_skb(bytes: &[u8]) -> Option<KfreeSkb> {
    let btf = Btf::parse(bytes)?;
    let mut found = KfreeSkb::default();
    for at in &btf.types {
        let head = btf.head(*at)?;
        match head.kind {
            KIND_ENUM if found.reasons.is_empty() && btf.name(head.name)? == REASONS => {
                found.reasons = btf.values(*at, head.count)?;
            }
            KIND_TYPEDEF if btf.name(head.name)? == TRACEPOINT => {
                let pointer = btf.by_id(head.target)?;
                let function = btf.by_id(pointer.target)?;
                if (pointer.kind, function.kind) == (KIND_PTR, KIND_FUNC_PROTO) {
                    found.arguments = function.count.saturating_sub(1);
                }
            }
            _ => {}
        }
    }
    Some(found)
}

struct Btf<'a> {
    data: &'a [u8],
    strings: &'a [u8],
    /// Offset of each type in `data`; the first one has id 1.
    types: Vec<usize>,
}

struct Head {
    name: usize,
    kind: u32,
    count: usize,
    /// Id of the type it refers to, for kinds that do.
    target: usize,
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk::<2>()?);
        if magic != MAGIC {
            return None;
        }
        let field = |index: usize| word(bytes, index.checked_mul(4)?);
        let (header, types_at, types_length) = (field(1)?, field(2)?, field(3)?);
        let (strings_at, strings_length) = (field(4)?, field(5)?);
        let section = |at: usize, length: usize| {
            let from = header.checked_add(at)?;
            bytes.get(from..from.checked_add(length)?)
        };
        let data = section(types_at, types_length)?;
        let mut btf =
            Self { data, strings: section(strings_at, strings_length)?, types: Vec::new() };
        let mut at = 0_usize;
        while at < data.len() {
            let head = btf.head(at)?;
            btf.types.push(at);
            at = at.checked_add(HEAD_BYTES)?.checked_add(tail_bytes(head.kind, head.count)?)?;
            if btf.types.len() > TYPES_MAX {
                return None;
            }
        }
        Some(btf)
    }

    fn head(&self, at: usize) -> Option<Head> {
        let info = u32::try_from(word(self.data, at.checked_add(4)?)?).ok()?;
        Some(Head {
            name: word(self.data, at)?,
            kind: info >> 24 & 0x1f,
            count: usize::try_from(info & 0xffff).ok()?,
            target: word(self.data, at.checked_add(8)?)?,
        })
    }

    fn by_id(&self, id: usize) -> Option<Head> {
        self.head(*self.types.get(id.checked_sub(1)?)?)
    }

    fn name(&self, at: usize) -> Option<&'a [u8]> {
        self.strings.get(at..)?.split(|byte| *byte == 0).next()
    }

    /// The values of the enumeration at `at`.
    fn values(&self, at: usize, count: usize) -> Option<BTreeMap<u32, String>> {
        let first = at.checked_add(HEAD_BYTES)?;
        (0..count)
            .map(|index| {
                let at = first.checked_add(index.checked_mul(8)?)?;
                let name = String::from_utf8_lossy(self.name(word(self.data, at)?)?).into_owned();
                let short = name.strip_prefix(REASON_PREFIX).unwrap_or(&name).to_owned();
                let value = u32::try_from(word(self.data, at.checked_add(4)?)?).ok()?;
                Some((value, short))
            })
            .collect()
    }
}

/// Bytes that follow a type's head; None for a kind that this reader does not know.
fn tail_bytes(kind: u32, count: usize) -> Option<usize> {
    match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => Some(0),
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => Some(4),
        // ARRAY
        3 => Some(12),
        // ENUM, FUNC_PROTO
        6 | 13 => count.checked_mul(8),
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => count.checked_mul(12),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_ne_bytes(*word)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A description with an enumeration, a function type, a pointer to it and its name.
    fn sample() -> Vec<u8> {
        let strings =
            b"\0skb_drop_reason\0SKB_DROP_REASON_NO_SOCKET\0SKB_CONSUMED\0btf_trace_kfree_skb\0";
        let info = |kind: u32, count: u32| kind << 24 | count;
        let words: &[u32] = &[
            // 1: the enumeration
            1,
            info(KIND_ENUM, 2),
            4,
            17,
            3,
            43,
            1,
            // 2: a function of four parameters, 3: a pointer to it, 4: its name
            0,
            info(KIND_FUNC_PROTO, 4),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            info(KIND_PTR, 0),
            2,
            56,
            info(KIND_TYPEDEF, 0),
            3,
        ];
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let length = u32::try_from(types.len()).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for field in [24, 0, length, length, u32::try_from(strings.len()).unwrap()] {
            bytes.extend(u32::to_ne_bytes(field));
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn reasons_and_arguments_are_found() {
        let found = kfree_skb(&sample()).unwrap();
        let expected = [(1, "SKB_CONSUMED"), (3, "NO_SOCKET")].map(|(n, s)| (n, s.to_owned()));
        assert_eq!(found, KfreeSkb { reasons: BTreeMap::from(expected), arguments: 3 });
    }

    #[test]
    fn the_running_kernel_is_understood() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("did not run: this kernel has no BTF");
            return;
        };
        let found = kfree_skb(&bytes).unwrap();
        assert!(found.arguments >= 2);
        let named = |name: &str| found.reasons.values().any(|reason| reason == name);
        assert!(found.arguments == 2 || named("NO_SOCKET") && named("NETFILTER_DROP"), "{found:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = sample();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let end = cut.index(bytes.len());
            kfree_skb(&bytes);
            kfree_skb(&bytes[..end]);
        }
    }
}
