//! Messages of syslog: what they carry (RFC 5424, RFC 3164), and where one ends in a stream (RFC 6587).

/// Longest message, bytes (RFC 5425 §4.3.1 wants 8,192 at least).
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Digits of a length.
const LENGTH_DIGITS_MAX: usize = 5;
/// Longest tag of RFC 3164, bytes; some senders write longer ones than it allows.
const TAG_BYTES_MAX: usize = 128;

/// What a message carries: a line of a flow log.
pub(super) fn payload(message: &[u8]) -> Result<&[u8], &'static str> {
    let no_priority = "no syslog message: it does not begin with <PRIORITY>";
    let rest = message.strip_prefix(b"<").ok_or(no_priority)?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>').ok_or(no_priority)?;
    let (digits, rest) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(no_priority);
    }
    let rest = rest.unwrap_or_default();
    let carried = match rest.strip_prefix(b"1 ") {
        Some(rest) => rfc_5424(rest)?,
        None => rfc_3164(rest),
    };
    let carried = carried.trim_ascii();
    // A cookie that says that JSON follows (CEE).
    let carried = carried.strip_prefix(b"@cee:").unwrap_or(carried).trim_ascii();
    if carried.is_empty() { Err("a syslog message that carries nothing") } else { Ok(carried) }
}

/// After `<PRIORITY>1 `: five words, structured data, and what is carried.
fn rfc_5424(rest: &[u8]) -> Result<&[u8], &'static str> {
    let cut_off = "a syslog message (RFC 5424) that is cut off in its head";
    let mut rest = rest;
    for _ in ["time", "host", "application", "process", "message id"] {
        rest = after_word(rest).ok_or(cut_off)?;
    }
    if let Some(after) = rest.strip_prefix(b"-") {
        rest = after;
    } else {
        while rest.starts_with(b"[") {
            rest =
                after_element(rest).ok_or("a syslog message whose structured data has no end")?;
        }
    }
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Ok(rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest))
}

fn after_word(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    bytes.get(end + 1..)
}

/// After `[...]`, in whose quoted values a backslash takes the next character as it is.
fn after_element(bytes: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return bytes.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// After `<PRIORITY>`: a time, a host and a tag, any of which senders leave out.
fn rfc_3164(rest: &[u8]) -> &[u8] {
    let Some(after) = after_time(rest) else { return rest };
    let Some(after) = after_word(after) else { return after };
    match after.iter().take(TAG_BYTES_MAX).position(|byte| matches!(byte, b':' | b' ')) {
        Some(end) if after.get(end) == Some(&b':') && !after.starts_with(b"{") => {
            after.get(end + 1..).unwrap_or_default()
        }
        Some(_) | None => after,
    }
}

/// After `Nov 23 10:00:00 `, or a time as RFC 5424 has it.
fn after_time(bytes: &[u8]) -> Option<&[u8]> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    if MONTHS.iter().any(|month| bytes.starts_with(*month)) && bytes.get(15) == Some(&b' ') {
        return bytes.get(16..);
    }
    let word = std::str::from_utf8(bytes.get(..bytes.iter().position(|byte| *byte == b' ')?)?);
    let is_time = word.is_ok_and(|word| word.parse::<sekisho_model::Timestamp>().is_ok());
    if is_time { after_word(bytes) } else { None }
}

/// Messages of a stream: each begins with its length, or ends with a line feed.
#[derive(Debug, Default)]
pub(super) struct Messages {
    held: Vec<u8>,
    /// What follows up to the next line feed belongs to a message that was too long.
    skipping: bool,
}

/// A message, or the beginning of what is none, with why.
pub(super) type Framed = Result<Vec<u8>, (Vec<u8>, &'static str)>;

impl Messages {
    /// Takes a piece of the stream; gives what it completes.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Vec<Framed> {
        self.held.extend_from_slice(piece);
        let mut framed = Vec::new();
        while let Some(one) = self.next() {
            framed.extend(one);
        }
        framed
    }

    /// The stream ended.
    pub(super) fn end(self) -> Option<Framed> {
        let rest = self.held;
        if rest.is_empty() || self.skipping {
            return None;
        }
        Some(match rest.first() {
            Some(b'<') => Ok(rest),
            _ => Err((rest, "the connection ended within a syslog message")),
        })
    }

    /// Cuts off what stands first; None = it is not whole yet, Some(None) = nothing of it is told.
    fn next(&mut self) -> Option<Option<Framed>> {
        let end = self.held.iter().position(|byte| matches!(byte, b'\n' | 0));
        if self.skipping {
            let end = end.unwrap_or(self.held.len());
            let ended = self.held.get(end).is_some();
            self.held.drain(..(end + usize::from(ended)).min(self.held.len()));
            self.skipping = !ended;
            return ended.then_some(None);
        }
        if self.held.first().is_some_and(|byte| matches!(byte, b'1'..=b'9')) {
            return self.counted().map(Some);
        }
        match end {
            Some(end) if end <= MESSAGE_BYTES_MAX => {
                let line: Vec<u8> = self.held.drain(..=end).take(end).collect();
                Some((!line.trim_ascii().is_empty()).then_some(Ok(line)))
            }
            Some(_) => Some(Some(self.refuse("a syslog message of more than 64 KiB"))),
            None if self.held.len() > MESSAGE_BYTES_MAX => {
                Some(Some(self.refuse("a syslog message of more than 64 KiB")))
            }
            None => None,
        }
    }

    /// A message that begins with its length.
    fn counted(&mut self) -> Option<Framed> {
        let digits = self.held.iter().take(LENGTH_DIGITS_MAX + 1);
        let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(self.held.get(..digits)?).ok();
        let length = text.and_then(|text| text.parse::<usize>().ok());
        match (self.held.get(digits), length) {
            (None, _) if digits <= LENGTH_DIGITS_MAX => None,
            (Some(b' '), Some(length)) if length <= MESSAGE_BYTES_MAX => {
                let (from, to) = (digits + 1, digits + 1 + length);
                if self.held.len() < to {
                    return None;
                }
                Some(Ok(self.held.drain(..to).skip(from).collect()))
            }
            _ => Some(self.refuse("no length of a syslog message, or one above 64 KiB")),
        }
    }

    /// Gives up on what stands first, up to the next line feed.
    fn refuse(&mut self, why: &'static str) -> Framed {
        let sample = self.held.iter().take(200).copied().collect();
        self.skipping = true;
        Err((sample, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_is_found_behind_each_head() {
        for (message, expected) in [
            ("<134>1 2026-11-23T10:00:00Z host app 12 ID - {\"a\":1}", "{\"a\":1}"),
            ("<134>1 - - - - - - \u{feff}line", "line"),
            ("<13>1 - - - - - [x@1 a=\"]\\\"\"][y b=\"\"] line", "line"),
            ("<13>Nov 23 10:00:00 host tag[12]: a line", "a line"),
            ("<13>Nov  3 10:00:00 host {\"a\": 1}", "{\"a\": 1}"),
            ("<13>2026-11-23T10:00:00Z host tag: @cee: {\"a\":1}", "{\"a\":1}"),
            ("<13>{\"a\":1}", "{\"a\":1}"),
            ("<13>Nov 23 10:00:00 host 2 123 eni-1 10.0.0.1", "2 123 eni-1 10.0.0.1"),
        ] {
            assert_eq!(payload(message.as_bytes()).unwrap(), expected.as_bytes(), "{message}");
        }
        for wrong in
            ["", "x", "<>x", "<1234>x", "<a>x", "<1", "<1>", "<1>1 - - -", "<1>1 - - - - - [a"]
        {
            assert!(payload(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    fn framed(pieces: &[&[u8]]) -> (Vec<String>, usize) {
        let (mut messages, mut good, mut bad) = (Messages::default(), Vec::new(), 0);
        let mut note = |one: Framed| match one {
            Ok(bytes) => good.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) => bad += 1,
        };
        pieces.iter().flat_map(|piece| messages.feed(piece)).for_each(&mut note);
        messages.end().into_iter().for_each(&mut note);
        (good, bad)
    }

    #[test]
    fn messages_are_the_same_wherever_the_pieces_end() {
        let stream = b"5 <1>ab<2>line\n\n7 <3>a\nbc<4>nul\0<5>last";
        let whole = framed(&[stream]);
        assert_eq!(whole.0, ["<1>ab", "<2>line", "<3>a\nbc", "<4>nul", "<5>last"]);
        assert_eq!(whole.1, 0);
        for at in 0..stream.len() {
            assert_eq!(framed(&[&stream[..at], &stream[at..]]), whole, "cut at {at}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_length_is_counted_and_the_next_message_is_read() {
        let long = [b"<1>".as_slice(), &vec![b'x'; 3 * MESSAGE_BYTES_MAX], b"\n<2>b\n"].concat();
        assert_eq!(framed(&[&long]), (vec!["<2>b".to_owned()], 1));
        let pieces: Vec<&[u8]> = long.chunks(1_000).collect();
        assert_eq!(framed(&pieces), (vec!["<2>b".to_owned()], 1));
        assert_eq!(framed(&[b"99999 <1>\n3 <2>"]), (vec!["<2>".to_owned()], 1));
        assert_eq!(framed(&[b"123456789 x\n<2>b\n"]), (vec!["<2>b".to_owned()], 1));
        assert_eq!(framed(&[b"10 <1>"]), (Vec::new(), 1));
        let noise: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        assert!(framed(&[&noise]).1 < 10_000);
    }
}
