//! Lines of bounded length out of pieces of any length.

/// Longest line that is read, bytes. The longest records known (flow logs of Azure) are documents, not
/// lines, and have a bound of their own.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// Cuts pieces into lines; holds at most one unfinished line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// The line at hand is too long; what follows of it is thrown away.
    too_long: bool,
}

/// A line, or what remains of one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Without its end of line.
    Whole(&'a [u8]),
    /// Longer than [`LINE_BYTES_MAX`]: its beginning.
    TooLong(&'a [u8]),
}

impl Lines {
    /// Calls `see` with each line that `piece` ends.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut see: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, after) = (piece.get(..end), piece.get(end + 1..));
            let line = line.unwrap_or_default();
            if self.rest.is_empty() && !self.too_long && line.len() <= LINE_BYTES_MAX {
                see(Line::Whole(trimmed(line)));
            } else {
                self.hold(line);
                self.flush(&mut see);
            }
            piece = after.unwrap_or_default();
        }
        self.hold(piece);
    }

    /// Calls `see` with what follows the last end of line, if anything does.
    pub(crate) fn end(&mut self, mut see: impl FnMut(Line<'_>)) {
        if !self.rest.is_empty() {
            self.flush(&mut see);
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.rest.len());
        self.too_long |= piece.len() > room;
        self.rest.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn flush(&mut self, see: &mut impl FnMut(Line<'_>)) {
        if self.too_long {
            see(Line::TooLong(&self.rest));
        } else {
            see(Line::Whole(trimmed(&self.rest)));
        }
        self.rest.clear();
        self.too_long = false;
    }
}

/// Without a carriage return at the end.
fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(bool, usize)> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut note = |line: Line<'_>| match line {
            Line::Whole(bytes) => seen.push((true, bytes.len())),
            Line::TooLong(bytes) => seen.push((false, bytes.len())),
        };
        pieces.iter().for_each(|piece| lines.feed(piece, &mut note));
        lines.end(&mut note);
        seen
    }

    #[test]
    fn lines_are_the_same_wherever_the_pieces_end() {
        let text = b"one\r\n\nthree and more\nlast";
        let whole = cut(&[text]);
        assert_eq!(whole, [(true, 3), (true, 0), (true, 14), (true, 4)]);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_the_next_one_is_read() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for _ in 0..5 {
            lines.feed(&vec![b'x'; LINE_BYTES_MAX / 2], |_| ());
            assert!(lines.rest.capacity() <= 2 * LINE_BYTES_MAX);
        }
        lines.feed(b"\nnext\n", |line| match line {
            Line::Whole(bytes) => seen.push(bytes.to_vec()),
            Line::TooLong(bytes) => seen.push(bytes[..3].to_vec()),
        });
        assert_eq!(seen, [b"xxx".to_vec(), b"next".to_vec()]);
    }
}
