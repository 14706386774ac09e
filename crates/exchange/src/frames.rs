//! Frames of bounded length out of pieces of any length, and numbers in them.

use crate::reader::Told;

/// Longest frame that is read, bytes.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// What a format made of the bytes at the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes, counted from the start of the frame, are needed; more than there are.
    Need(usize),
    /// A frame of so many bytes was read; at least 1.
    Took(usize),
    /// Nothing after this can be read.
    Stop,
}

/// What reads frames of one format.
pub(crate) trait FrameFormat: Send {
    /// Reads the frame that `bytes` begin with, if it is whole.
    fn frame(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Told<'_>)) -> Step;
    /// The input ends with `rest`, the beginning of a frame; empty = between frames.
    fn end(&mut self, rest: &[u8], tell: &mut dyn FnMut(Told<'_>));
}

/// Frames of a format; holds at most one that is not whole.
pub(crate) struct FrameReader<F> {
    format: F,
    rest: Vec<u8>,
    /// Bytes that the frame in `rest` needs.
    need: usize,
    stopped: bool,
}

impl<F: FrameFormat> FrameReader<F> {
    pub(crate) fn new(format: F) -> Self {
        Self { format, rest: Vec::new(), need: 0, stopped: false }
    }
}

impl<F: FrameFormat> crate::reader::Reader for FrameReader<F> {
    fn feed(&mut self, mut piece: &[u8], tell: &mut dyn FnMut(Told<'_>)) {
        while !self.stopped && !piece.is_empty() {
            if self.rest.is_empty() {
                match self.format.frame(piece, tell) {
                    Step::Took(bytes) => piece = piece.get(bytes.max(1)..).unwrap_or_default(),
                    Step::Need(bytes) => {
                        self.need = bytes;
                        self.rest.extend_from_slice(piece);
                        piece = &[];
                    }
                    Step::Stop => self.stopped = true,
                }
                continue;
            }
            let missing = self.need.saturating_sub(self.rest.len()).max(1).min(piece.len());
            let (first, after) = piece.split_at(missing);
            self.rest.extend_from_slice(first);
            piece = after;
            self.unpack(tell);
        }
    }

    fn end(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        let rest = std::mem::take(&mut self.rest);
        self.format.end(if self.stopped { &[] } else { &rest }, tell);
    }
}

impl<F: FrameFormat> FrameReader<F> {
    /// Reads frames in what is held.
    fn unpack(&mut self, tell: &mut dyn FnMut(Told<'_>)) {
        while !self.rest.is_empty() && self.rest.len() >= self.need {
            match self.format.frame(&self.rest, tell) {
                Step::Took(bytes) => {
                    self.rest.drain(..bytes.clamp(1, self.rest.len()));
                    self.need = 1;
                }
                Step::Need(bytes) => self.need = bytes.max(self.rest.len().saturating_add(1)),
                Step::Stop => {
                    self.stopped = true;
                    self.rest.clear();
                }
            }
        }
    }
}

/// The first bytes as people read them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    words.join(" ")
}

/// The part of `bytes` from `at` on; empty if there is none.
pub(crate) fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// One byte.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two bytes, the high one first.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Four bytes, the high one first.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// An IPv4 address.
pub(crate) fn v4_at(bytes: &[u8], at: usize) -> Option<std::net::IpAddr> {
    array::<4>(bytes, at).map(std::net::IpAddr::from)
}

/// An IPv6 address; IPv4 inside of it counts as IPv4 (RFC 4291, section 2.5.5.2).
pub(crate) fn v6_at(bytes: &[u8], at: usize) -> Option<std::net::IpAddr> {
    array::<16>(bytes, at).map(|octets| std::net::IpAddr::from(octets).to_canonical())
}

/// Order of the bytes of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// High byte first.
    Big,
    /// Low byte first.
    Little,
}

impl Order {
    /// Two bytes.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let read = u16_at(bytes, at);
        if self == Self::Big { read } else { read.map(u16::swap_bytes) }
    }

    /// Four bytes.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let read = u32_at(bytes, at);
        if self == Self::Big { read } else { read.map(u32::swap_bytes) }
    }

    /// Four bytes, as a length.
    pub(crate) fn length(self, bytes: &[u8], at: usize) -> Option<usize> {
        self.u32(bytes, at).and_then(|length| usize::try_from(length).ok())
    }

    /// Eight bytes.
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let read = array(bytes, at).map(u64::from_be_bytes);
        if self == Self::Big { read } else { read.map(u64::swap_bytes) }
    }
}
