//! Parser of Calico's selector expressions, by recursive descent straight over the text.
//!
//! ```text
//! or        = and { "||" and }
//! and       = operand { "&&" operand }
//! operand   = { "!" } ( "(" or ")" | "all(" ")" | "global(" ")" | "has(" key ")" | test )
//! test      = key ( "==" | "!=" | "contains" | "starts" "with" | "ends" "with" ) text
//!           | key ( "in" | "not" "in" ) "{" [ text { "," text } [ "," ] ] "}"
//! text      = "'" any but ' "'" | '"' any but " '"'
//! key       = 1 to 512 of A-Z a-z 0-9 _ . / -
//! ```

use crate::at::shorten;
use crate::calico::{Selector, SelectorError};

/// Levels of parentheses that are read.
const DEPTH_MAX: usize = 100;
/// Characters of a key (libcalico-go, LabelKeyMatcher).
const KEY_CHARS_MAX: usize = 512;

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<Selector, SelectorError> {
    let mut parser = Parser { text, at: 0 };
    if parser.is_at_end() {
        return Ok(Selector::All);
    }
    let selector = parser.or(DEPTH_MAX)?;
    if !parser.is_at_end() {
        return Err(parser.expected("&& or ||"));
    }
    Ok(selector)
}

struct Parser<'t> {
    text: &'t str,
    /// Byte offset of what comes next.
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest().is_empty()
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn error(&self, message: String) -> SelectorError {
        let before = self.text.get(..self.at).unwrap_or_default();
        SelectorError { offset: before.chars().count(), message }
    }

    fn expected(&mut self, what: &str) -> SelectorError {
        self.skip_blanks();
        let found = self.rest().split([' ', '\t']).next().unwrap_or_default();
        self.error(if found.is_empty() {
            format!("expected {what}, found the end")
        } else {
            format!("expected {what}, found `{}`", shorten(found))
        })
    }

    fn or(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let mut any = vec![self.and(depth)?];
        while self.take("||") {
            any.push(self.and(depth)?);
        }
        Ok(single(any, Selector::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let mut all = vec![self.operand(depth)?];
        while self.take("&&") {
            all.push(self.operand(depth)?);
        }
        Ok(single(all, Selector::And))
    }

    fn operand(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let mut negated = false;
        while self.take("!") {
            negated = !negated;
        }
        let inner = self.primary(depth)?;
        Ok(if negated { Selector::Not(Box::new(inner)) } else { inner })
    }

    fn primary(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        if self.take("(") {
            let Some(depth) = depth.checked_sub(1) else {
                return Err(self.error(format!("more than {DEPTH_MAX} levels of parentheses")));
            };
            let inner = self.or(depth)?;
            self.close()?;
            return Ok(inner);
        }
        for (call, selector) in [("all(", Selector::All), ("global(", Selector::Global)] {
            if self.take(call) {
                self.close()?;
                return Ok(selector);
            }
        }
        if self.take("has(") {
            let key = self.key("a label key")?;
            self.close()?;
            return Ok(Selector::Has(key));
        }
        let key = self.key("a label key, has(), all(), global(), ! or (")?;
        self.test(key)
    }

    fn close(&mut self) -> Result<(), SelectorError> {
        if self.take(")") { Ok(()) } else { Err(self.expected("`)`")) }
    }

    fn key(&mut self, what: &str) -> Result<String, SelectorError> {
        self.skip_blanks();
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
        let key = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        if key.is_empty() {
            return Err(self.expected(what));
        }
        if key.len() > KEY_CHARS_MAX {
            return Err(self.error(format!("a label key has at most {KEY_CHARS_MAX} characters")));
        }
        self.at += key.len();
        Ok(key.to_owned())
    }

    fn test(&mut self, key: String) -> Result<Selector, SelectorError> {
        let make = if self.take("==") {
            Selector::Equal
        } else if self.take("!=") {
            Selector::NotEqual
        } else if self.take("contains") {
            Selector::Contains
        } else if self.take("starts") {
            self.word("with")?;
            Selector::StartsWith
        } else if self.take("ends") {
            self.word("with")?;
            Selector::EndsWith
        } else if self.take("not") {
            self.word("in")?;
            return Ok(Selector::NotIn(key, self.set()?));
        } else if self.take("in") {
            return Ok(Selector::In(key, self.set()?));
        } else {
            return Err(self.expected("an operator such as =="));
        };
        Ok(make(key, self.text()?))
    }

    fn word(&mut self, word: &str) -> Result<(), SelectorError> {
        if self.take(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    fn set(&mut self) -> Result<Vec<String>, SelectorError> {
        if !self.take("{") {
            return Err(self.expected("a set such as {'a', 'b'}"));
        }
        let mut values = Vec::new();
        loop {
            if self.take("}") {
                return Ok(values);
            }
            values.push(self.text()?);
            if !self.take(",") {
                return if self.take("}") { Ok(values) } else { Err(self.expected("`,` or `}`")) };
            }
        }
    }

    fn text(&mut self) -> Result<String, SelectorError> {
        self.skip_blanks();
        for quote in ['\'', '"'] {
            let Some(inner) = self.rest().strip_prefix(quote) else { continue };
            let Some((text, _)) = inner.split_once(quote) else {
                return Err(self.error(format!("no closing {quote}")));
            };
            self.at += text.len() + 2;
            return Ok(text.to_owned());
        }
        Err(self.expected("a text in quotes"))
    }
}

/// The only item as it is, several joined.
fn single(mut parts: Vec<Selector>, join: fn(Vec<Selector>) -> Selector) -> Selector {
    if parts.len() > 1 {
        return join(parts);
    }
    parts.pop().unwrap_or(Selector::All)
}
