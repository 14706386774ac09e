//! JSON objects of bounded length out of pieces of any length: one a line, elements of an array, or
//! elements of an array inside of an answer (`{"records": [...]}`).
//!
//! Only the outline is read here: strings, brackets, and the names of members around the elements. An
//! object that is cut off costs itself: where one begins at the start of a line, the one before is over.

/// Longest element that is read, bytes. Azure writes a minute of one network interface as one.
pub(crate) const ELEMENT_BYTES_MAX: usize = 16 << 20;
/// Members of an answer that lead to the elements.
const WRAPPERS: [&[u8]; 8] =
    [b"records", b"items", b"flows", b"entries", b"data", b"result", b"hits", b"logs"];
/// Bytes that tell whether the input is an answer.
const HEAD_BYTES: usize = 64 << 10;
/// Objects and arrays around an element at most.
const AROUND_MAX: usize = 8;
/// Longest name of a member around the elements that is remembered, bytes.
const NAME_BYTES_MAX: usize = 32;

const TOO_LONG: &str = "an object of more than 16 MiB";
const CUT_OFF: &str = "JSON: an object that is cut off";
const NO_OBJECT: &str = "JSON: no object";

/// An element, or what remains of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// An object, its brackets in balance.
    Object(&'a [u8]),
    /// No object, or not a whole one: its beginning, and why.
    Broken(&'a [u8], &'static str),
}

/// Cuts pieces into elements; holds at most one.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    /// The first bytes, until there are enough to tell what the input is.
    head: Vec<u8>,
    /// What the input is; None = not known yet.
    outline: Option<Outline>,
}

/// What stands around the elements, and where in it the reader is.
#[derive(Debug)]
struct Outline {
    /// Whether objects at the top are answers, and the elements in them.
    answers: bool,
    state: State,
    /// The element at hand, as far as it came in earlier pieces.
    held: Vec<u8>,
    /// What is open around the elements, outermost first: true for an array.
    around: Vec<bool>,
    /// Last string around the elements, and whether a colon followed.
    name: Vec<u8>,
    named: bool,
    /// True where a line begins.
    line_begins: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between elements.
    Outside,
    /// In a string between elements.
    Name { escaped: bool },
    /// In something between elements that is nothing of ours.
    Stray,
    /// In an element.
    Inside(Inside),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inside {
    depth: u32,
    string: bool,
    escaped: bool,
    /// It began at the start of a line: then another one at the start of a line ends it.
    from_line_start: bool,
    /// False for a member of an answer that leads to no elements.
    wanted: bool,
    /// Too long; its rest is thrown away.
    too_long: bool,
}

impl Elements {
    /// Calls `see` with each element that `piece` ends.
    pub(crate) fn feed(&mut self, piece: &[u8], mut see: impl FnMut(Element<'_>)) {
        if let Some(outline) = &mut self.outline {
            outline.feed(piece, &mut see);
            return;
        }
        // The same bytes decide wherever the pieces end.
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(piece.len());
        let (first, rest) = piece.split_at(room);
        self.head.extend_from_slice(first);
        if self.head.len() >= HEAD_BYTES {
            let outline = self.decide(&mut see);
            outline.feed(rest, &mut see);
        }
    }

    /// Calls `see` with what was not ended.
    pub(crate) fn end(&mut self, mut see: impl FnMut(Element<'_>)) {
        if self.outline.is_none() {
            self.decide(&mut see);
        }
        if let Some(mut outline) = self.outline.take() {
            outline.end(&mut see);
        }
    }

    fn decide(&mut self, see: &mut impl FnMut(Element<'_>)) -> &mut Outline {
        let head = std::mem::take(&mut self.head);
        let outline = self.outline.insert(Outline::new(is_answer(&head)));
        outline.feed(&head, see);
        outline
    }
}

/// Whether the first object has a member that leads to elements.
pub(crate) fn is_answer(head: &[u8]) -> bool {
    let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let head = head.get(start..).unwrap_or_default();
    if head.first() != Some(&b'{') {
        return false;
    }
    let (mut depth, mut string, mut escaped) = (0_u32, None, false);
    let mut name: &[u8] = b"";
    for (at, byte) in head.iter().enumerate() {
        if let Some(from) = string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    name = head.get(from..at).unwrap_or_default();
                    string = None;
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => string = Some(at + 1),
            b'{' | b'[' => {
                if depth == 1 && WRAPPERS.contains(&name) {
                    return true;
                }
                depth += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => name = b"",
            _ => {}
        }
        if depth == 0 {
            return false;
        }
    }
    false
}

impl Outline {
    fn new(answers: bool) -> Self {
        Self {
            answers,
            state: State::Outside,
            held: Vec::new(),
            around: Vec::new(),
            name: Vec::new(),
            named: false,
            line_begins: true,
        }
    }

    fn feed(&mut self, piece: &[u8], see: &mut impl FnMut(Element<'_>)) {
        // Where the element at hand begins in this piece.
        let mut from = 0;
        let mut at = 0;
        while let Some(byte) = piece.get(at).copied() {
            let begins = std::mem::replace(&mut self.line_begins, byte == b'\n');
            if let State::Inside(inside) = self.state {
                if self.is_over(inside, byte, begins) {
                    self.close(piece.get(from..at), Some(CUT_OFF), see);
                    // The byte is looked at again, from outside.
                    self.line_begins = begins;
                    continue;
                }
                if self.step(inside, byte) {
                    self.close(piece.get(from..=at), None, see);
                }
            } else if self.outside(byte, begins, see) {
                from = at;
            }
            at += 1;
        }
        if matches!(self.state, State::Inside(_)) {
            self.hold(piece.get(from..).unwrap_or_default());
        }
    }

    fn end(&mut self, see: &mut impl FnMut(Element<'_>)) {
        match self.state {
            State::Inside(_) => self.close(None, Some(CUT_OFF), see),
            State::Name { .. } | State::Outside | State::Stray if !self.around.is_empty() => {
                see(Element::Broken(b"", "JSON: an array or answer that is cut off"));
            }
            State::Name { .. } => see(Element::Broken(&self.name, NO_OBJECT)),
            State::Outside | State::Stray => {}
        }
    }

    /// Whether the element at hand is over though its brackets are open: a string holds no raw end of
    /// line (RFC 8259, section 7), and a line that begins with an object is another element.
    fn is_over(&self, inside: Inside, byte: u8, begins: bool) -> bool {
        (inside.string && byte == b'\n') || (begins && byte == b'{' && inside.from_line_start)
    }

    /// One byte of an element; true if it was its last.
    fn step(&mut self, mut inside: Inside, byte: u8) -> bool {
        match byte {
            _ if inside.escaped => inside.escaped = false,
            b'\\' if inside.string => inside.escaped = true,
            b'"' => inside.string = !inside.string,
            _ if inside.string => {}
            b'{' | b'[' => inside.depth = inside.depth.saturating_add(1),
            b'}' | b']' => inside.depth = inside.depth.saturating_sub(1),
            _ => {}
        }
        self.state = State::Inside(inside);
        inside.depth == 0
    }

    /// One byte between elements; true if an element begins with it.
    fn outside(&mut self, byte: u8, begins: bool, see: &mut impl FnMut(Element<'_>)) -> bool {
        match (self.state, byte) {
            (State::Name { .. }, b'\n') => {
                see(Element::Broken(&self.name, CUT_OFF));
                self.state = State::Outside;
            }
            (State::Name { escaped: true }, _) => self.state = State::Name { escaped: false },
            (State::Name { .. }, b'\\') => self.state = State::Name { escaped: true },
            (State::Name { .. }, b'"') => self.state = State::Outside,
            (State::Name { .. }, _) if self.name.len() < NAME_BYTES_MAX => self.name.push(byte),
            (State::Name { .. }, _) => {}
            (State::Stray, b'\n' | b',' | b']' | b'}') => {
                self.state = State::Outside;
                return self.between(byte, begins, see);
            }
            (State::Stray, _) => {}
            (State::Outside | State::Inside(_), _) => return self.between(byte, begins, see),
        }
        false
    }

    fn between(&mut self, byte: u8, begins: bool, see: &mut impl FnMut(Element<'_>)) -> bool {
        let array = self.around.last().copied();
        let leads = array == Some(false) && self.named && WRAPPERS.contains(&self.name.as_slice());
        match byte {
            b'{' if array == Some(false) && !self.named && begins => {
                // The answer before was cut off.
                see(Element::Broken(b"", CUT_OFF));
                self.around.clear();
                self.push(false);
            }
            b'{' if leads || (array.is_none() && self.answers) => self.push(false),
            b'[' if leads || array != Some(false) => self.push(true),
            b'{' | b'[' => return self.begin(begins && array.is_none(), array != Some(false)),
            b']' | b'}' => {
                if self.around.pop().is_none() {
                    see(Element::Broken(&[byte], NO_OBJECT));
                }
                self.named = false;
            }
            b'"' => {
                self.name.clear();
                self.named = false;
                self.state = State::Name { escaped: false };
                if array != Some(false) {
                    see(Element::Broken(b"\"", NO_OBJECT));
                }
            }
            b':' if array == Some(false) => self.named = true,
            b',' => self.named = false,
            _ if byte.is_ascii_whitespace() => {}
            // The value of a member of an answer.
            _ if array == Some(false) && self.named => self.state = State::Stray,
            _ => {
                see(Element::Broken(&[byte], NO_OBJECT));
                self.state = State::Stray;
            }
        }
        false
    }

    fn push(&mut self, array: bool) {
        self.named = false;
        if self.around.len() < AROUND_MAX {
            self.around.push(array);
        }
    }

    fn begin(&mut self, from_line_start: bool, wanted: bool) -> bool {
        self.named = false;
        self.state = State::Inside(Inside {
            depth: 1,
            string: false,
            escaped: false,
            from_line_start,
            wanted,
            too_long: false,
        });
        true
    }

    /// Keeps what of the element at hand stands at the end of a piece.
    fn hold(&mut self, piece: &[u8]) {
        let State::Inside(inside) = &mut self.state else { return };
        if !inside.wanted {
            return;
        }
        let room = ELEMENT_BYTES_MAX.saturating_sub(self.held.len());
        inside.too_long |= piece.len() > room;
        self.held.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// The element at hand is over; `last` is what of it stands in this piece.
    fn close(
        &mut self,
        last: Option<&[u8]>,
        broken: Option<&'static str>,
        see: &mut impl FnMut(Element<'_>),
    ) {
        let last = last.unwrap_or_default();
        let State::Inside(inside) = self.state else { return };
        if inside.wanted || broken.is_some() {
            let in_one_piece = self.held.is_empty() && last.len() <= ELEMENT_BYTES_MAX;
            if !in_one_piece {
                self.hold(last);
            }
            let State::Inside(inside) = self.state else { return };
            let bytes = if in_one_piece { last } else { &self.held };
            match broken {
                _ if inside.too_long => see(Element::Broken(bytes, TOO_LONG)),
                Some(why) => see(Element::Broken(bytes, why)),
                None => see(Element::Object(bytes)),
            }
        }
        self.held.clear();
        self.state = State::Outside;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &[u8], piece: usize) -> Vec<(String, bool)> {
        let (mut elements, mut seen) = (Elements::default(), Vec::new());
        let mut note = |element: Element<'_>| match element {
            Element::Object(bytes) => seen.push((String::from_utf8_lossy(bytes).into(), true)),
            Element::Broken(bytes, _) => seen.push((String::from_utf8_lossy(bytes).into(), false)),
        };
        text.chunks(piece).for_each(|piece| elements.feed(piece, &mut note));
        elements.end(&mut note);
        seen
    }

    #[track_caller]
    fn check(text: &str, objects: &[&str], broken: usize) {
        let all = cut(text.as_bytes(), usize::MAX);
        let good: Vec<&str> =
            all.iter().filter(|(_, good)| *good).map(|(text, _)| text.as_str()).collect();
        assert_eq!(good, objects, "{text}");
        assert_eq!(all.len() - good.len(), broken, "{text}: {all:?}");
        for piece in 1..text.len() {
            assert_eq!(cut(text.as_bytes(), piece), all, "{text} in pieces of {piece}");
        }
    }

    #[test]
    fn lines_arrays_and_answers_give_the_same_elements() {
        let two = [r#"{"a":"}\"{","b":[1,{}]}"#, r#"{"c":2}"#];
        let [one, other] = two;
        check(&format!("{one}\n{other}\n"), &two, 0);
        check(&format!("{one}{other}"), &two, 0);
        check(&format!("[\n  {one},\n  {other}\n]\n"), &two, 0);
        check(&format!(r#"{{"records":[{one},{other}]}}"#), &two, 0);
        check(
            &format!(
                r#"{{"status":"success","data":{{"resultType":"streams","stats":{{"x":[{{}}]}},"result":[{one},{other}]}}}}"#
            ),
            &two,
            0,
        );
        check(
            &format!(r#"{{"took":1,"hits":{{"total":{{"v":1}},"hits":[{one},{other}]}}}}"#),
            &two,
            0,
        );
        check(&format!("{{\"records\":[{one}]}}\n{{\"records\":[{other}]}}\n"), &two, 0);
    }

    #[test]
    fn an_object_that_is_cut_off_costs_itself_and_the_next_one_is_read() {
        check("{\"a\":1,\"b\":\n{\"c\":2}\n", &["{\"c\":2}"], 1);
        check("{\"a\":\"x\n{\"c\":2}\n", &["{\"c\":2}"], 1);
        check("{\"c\":2}\n{\"a\":", &["{\"c\":2}"], 1);
        check("nonsense\n{\"c\":2}\n", &["{\"c\":2}"], 1);
        check("[{\"c\":2},{\"a\"", &["{\"c\":2}"], 1);
        check("[{\"c\":2},", &["{\"c\":2}"], 1);
        check("{\"records\":[{\"c\":2}", &["{\"c\":2}"], 1);
        check("]]]\n{\"c\":2}", &["{\"c\":2}"], 3);
    }

    #[test]
    fn an_element_without_end_takes_bounded_memory() {
        let mut elements = Elements::default();
        let mut broken = 0;
        let mut note = |element: Element<'_>| match element {
            Element::Object(_) => panic!("it has no end"),
            Element::Broken(bytes, why) => {
                assert_eq!((bytes.len(), why), (ELEMENT_BYTES_MAX, TOO_LONG));
                broken += 1;
            }
        };
        elements.feed(b"{\"a\":\"", &mut note);
        for _ in 0..40 {
            elements.feed(&vec![b'x'; 1 << 20], &mut note);
        }
        elements.end(&mut note);
        assert_eq!(broken, 1);
    }
}
