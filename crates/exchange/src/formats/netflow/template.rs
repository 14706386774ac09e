//! Templates: which fields a record has, and where (RFC 3954, section 5; RFC 7011, sections 3 and 7).

use crate::frames::{from, u8_at, u16_at, u32_at};

/// Fields of a template at most.
const FIELDS_MAX: usize = 512;
/// A length that stands in each record (RFC 7011, section 7).
const VARIABLE: u16 = 0xffff;
/// Enterprise of the counts of the other direction (RFC 5103).
pub(crate) const REVERSE: u32 = 29_305;

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Number of the enterprise that defines it; 0 = IANA, and NetFlow 9.
    pub(crate) enterprise: u32,
    /// What it is.
    pub(crate) element: u16,
    length: u16,
}

/// The fields of a record, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    fields: Vec<Field>,
    /// Whether its records tell of the exporter, not of flows.
    pub(crate) options: bool,
    /// Bytes of a record at least.
    least: usize,
}

impl Template {
    /// Reads the fields of a template at the start of `bytes`; also gives their length in bytes.
    pub(crate) fn read(bytes: &[u8], count: usize, ipfix: bool) -> Option<(Self, usize)> {
        let (mut template, mut at) = (Self::default(), 0);
        for _ in 0..count.min(FIELDS_MAX + 1) {
            let (element, length) = (u16_at(bytes, at)?, u16_at(bytes, at + 2)?);
            at += 4;
            let own = ipfix && element & 0x8000 != 0;
            let enterprise = if own { u32_at(bytes, at)? } else { 0 };
            at += if own { 4 } else { 0 };
            let element = if own { element & 0x7fff } else { element };
            let variable = ipfix && length == VARIABLE;
            template.least += if variable { 1 } else { usize::from(length) };
            template.fields.push(Field { enterprise, element, length });
        }
        let sound = template.fields.len() <= FIELDS_MAX && template.least > 0;
        sound.then_some((template, at))
    }

    /// Whether `rest`, at the end of a set, is too short for any record (RFC 7011, section 3.3.1).
    pub(crate) fn is_padding(&self, rest: &[u8]) -> bool {
        rest.len() < self.least
    }

    /// Calls `see` with each field of the record that `bytes` begin with; gives its length, or None if
    /// no whole record is left: what is left is padding.
    pub(crate) fn record<'a>(
        &self,
        bytes: &'a [u8],
        ipfix: bool,
        mut see: impl FnMut(Field, &'a [u8]),
    ) -> Option<usize> {
        if bytes.len() < self.least {
            return None;
        }
        let mut at = 0;
        for field in &self.fields {
            let mut length = usize::from(field.length);
            if ipfix && field.length == VARIABLE {
                length = usize::from(u8_at(bytes, at)?);
                at += 1;
                if length == 255 {
                    length = usize::from(u16_at(bytes, at)?);
                    at += 2;
                }
            }
            see(*field, bytes.get(at..at + length)?);
            at += length;
        }
        Some(at)
    }
}

/// A template in a set: its number, itself if it is not withdrawn, and its length in bytes.
pub(crate) type Defined = (u16, Option<Template>, usize);

/// Reads the first template of a set.
pub(crate) fn plain(bytes: &[u8], ipfix: bool) -> Option<Defined> {
    let (number, count) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
    if count == 0 {
        return Some((number, None, 4));
    }
    let (template, length) = Template::read(from(bytes, 4), count, ipfix)?;
    Some((number, Some(template), 4 + length))
}

/// Reads the first options template of a set. NetFlow 9 tells lengths in bytes, IPFIX numbers of fields.
pub(crate) fn options(bytes: &[u8], ipfix: bool) -> Option<Defined> {
    let (number, first) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
    if ipfix && first == 0 {
        return Some((number, None, 4));
    }
    let second = usize::from(u16_at(bytes, 4)?);
    let count = if ipfix { first } else { (first + second) / 4 };
    let (template, length) = Template::read(from(bytes, 6), count, ipfix)?;
    Some((number, Some(Template { options: true, ..template }), 6 + length))
}
