//! Frames of the ingest log: how a payload lies in a file, and how it is found again.
//!
//! A log is a 16-byte file header (magic, log id) and frames. A frame is a 16-byte header (magic,
//! kind, three zero bytes, payload length, checksum; little-endian) and the payload. The checksum
//! (CRC-32, IEEE) covers log id, offset, kind, length and payload: a stale block of an older log, or
//! a payload that itself contains a frame, never passes for a frame of this place.

/// First bytes of a log file: name and version of the format.
const LOG_MAGIC: [u8; 8] = *b"SKLOG\0\0\x01";
/// First bytes of a frame.
const FRAME_MAGIC: [u8; 4] = *b"\xf5SKF";
/// Bytes before the first frame.
pub(crate) const LOG_HEADER_BYTES: usize = 16;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 16;
/// Longest payload, in bytes. A longer length in a file is damage, not a reason to allocate.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// State of the server at the start of the log, as it gave it to `rotate`.
    Checkpoint,
    /// A batch of an agent, as the server gave it to `append`.
    Batch,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Checkpoint => 1,
            Self::Batch => 2,
        }
    }

    fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Checkpoint),
            2 => Some(Self::Batch),
            _ => None,
        }
    }
}

/// One frame of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// The bytes as they were given.
    pub payload: Vec<u8>,
}

/// Bytes of a log that hold no readable frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadBytes {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// What was found in the bytes of a log.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) frames: Vec<Frame>,
    /// Bad bytes with a good frame after them.
    pub(crate) holes: Vec<BadBytes>,
    /// Bad bytes up to the end of the file; nothing after them can be read.
    pub(crate) tail: Option<BadBytes>,
}

/// The header of the log `id`.
pub(crate) fn log_header(id: u64) -> [u8; LOG_HEADER_BYTES] {
    let mut header = [0; LOG_HEADER_BYTES];
    let (magic, number) = header.split_at_mut(8);
    magic.copy_from_slice(&LOG_MAGIC);
    number.copy_from_slice(&id.to_le_bytes());
    header
}

/// Appends a frame to `buffer`, to be written at `offset` of the log `id`; false, and nothing
/// appended, if the payload is longer than [`FRAME_BYTES_MAX`].
pub(crate) fn encode(
    buffer: &mut Vec<u8>,
    id: u64,
    offset: u64,
    kind: FrameKind,
    payload: &[u8],
) -> bool {
    let Some(length) = u32::try_from(payload.len()).ok().filter(|_| fits(payload.len())) else {
        return false;
    };
    buffer.extend(FRAME_MAGIC);
    buffer.extend([kind.code(), 0, 0, 0]);
    buffer.extend(length.to_le_bytes());
    buffer.extend(checksum(id, offset, kind.code(), payload).to_le_bytes());
    buffer.extend(payload);
    true
}

fn fits(length: usize) -> bool {
    length <= FRAME_BYTES_MAX
}

fn checksum(id: u64, offset: u64, kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&[kind]);
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Reads all frames of the log `id` out of `bytes`, skipping what is damaged.
pub(crate) fn parse(id: u64, bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut at = 0;
    if bytes.starts_with(&log_header(id)) {
        at = LOG_HEADER_BYTES;
    }
    // Even with its header damaged a log is searched: every frame names its log in its checksum.
    while at < bytes.len() {
        if let Some((frame, next)) = frame_at(id, bytes, at) {
            parsed.frames.push(frame);
            at = next;
            continue;
        }
        match next_frame(id, bytes, at.saturating_add(1)) {
            Some(next) => {
                parsed.holes.push(bad(at, next));
                at = next;
            }
            None => {
                parsed.tail = Some(bad(at, bytes.len()));
                break;
            }
        }
    }
    parsed
}

fn bad(from: usize, to: usize) -> BadBytes {
    BadBytes { offset: from as u64, bytes: to.saturating_sub(from) as u64 }
}

/// The frame at `at` and where the next one begins; None if there is no whole, right one.
fn frame_at(id: u64, bytes: &[u8], at: usize) -> Option<(Frame, usize)> {
    let rest = bytes.get(at..)?;
    let (magic, rest) = rest.split_first_chunk::<4>()?;
    let ([code, zeros @ ..], rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if *magic != FRAME_MAGIC || *zeros != [0; 3] {
        return None;
    }
    let kind = FrameKind::of(*code)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|&n| fits(n))?;
    let payload = rest.get(..length)?;
    if checksum(id, at as u64, *code, payload) != u32::from_le_bytes(*sum) {
        return None;
    }
    let next = at.checked_add(FRAME_HEADER_BYTES)?.checked_add(length)?;
    Some((Frame { kind, payload: payload.to_vec() }, next))
}

fn next_frame(id: u64, bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        let step = rest.windows(FRAME_MAGIC.len()).position(|window| window == FRAME_MAGIC)?;
        at = at.checked_add(step)?;
        if frame_at(id, bytes, at).is_some() {
            return Some(at);
        }
        at = at.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: u64, payloads: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = log_header(id).to_vec();
        let mut ends = vec![bytes.len()];
        for payload in payloads {
            let offset = bytes.len() as u64;
            assert!(encode(&mut bytes, id, offset, FrameKind::Batch, payload));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn payloads(parsed: &Parsed) -> Vec<&[u8]> {
        parsed.frames.iter().map(|frame| frame.payload.as_slice()).collect()
    }

    #[test]
    fn a_log_cut_at_any_byte_yields_exactly_its_whole_frames() {
        let all: [&[u8]; 4] = [b"one", b"", b"three three", b"4"];
        let (bytes, ends) = log(7, &all);
        for cut in 0..=bytes.len() {
            let parsed = parse(7, &bytes[..cut]);
            let whole = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
            assert_eq!(payloads(&parsed), &all[..whole], "cut at {cut}");
            assert!(parsed.holes.is_empty());
            assert_eq!(parsed.tail.is_some(), cut > 0 && !ends.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn any_single_damaged_byte_costs_one_frame_and_is_reported() {
        let all: [&[u8]; 3] = [b"first", b"second", b"third"];
        let (bytes, ends) = log(1, &all);
        for (at, mask) in (LOG_HEADER_BYTES..bytes.len()).flat_map(|at| [(at, 1), (at, 0x80)]) {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let parsed = parse(1, &damaged);
            let hit = ends.iter().filter(|&&end| end <= at).count() - 1;
            let expected: Vec<&[u8]> =
                all.iter().enumerate().filter(|&(i, _)| i != hit).map(|(_, p)| *p).collect();
            assert_eq!(payloads(&parsed), expected, "byte {at}");
            let reported = parsed.tail.or_else(|| parsed.holes.first().copied()).unwrap();
            assert_eq!(reported.offset, ends[hit] as u64);
            assert_eq!(reported.bytes, (ends[hit + 1] - ends[hit]) as u64);
        }
    }

    #[test]
    fn a_frame_inside_a_payload_is_not_taken_for_one() {
        let (inner, _) = log(3, &[b"forged"]);
        let (mut bytes, ends) = log(3, &[&inner, b"real"]);
        bytes[ends[0]] = 0;
        assert_eq!(payloads(&parse(3, &bytes)), [b"real"]);
    }

    #[test]
    fn a_frame_of_another_log_is_not_taken_for_one() {
        let (bytes, _) = log(3, &[b"old"]);
        assert!(parse(4, &bytes).frames.is_empty());
        assert_eq!(parse(3, &bytes).frames.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, id: u64) {
            parse(id, &bytes);
        }
    }
}
