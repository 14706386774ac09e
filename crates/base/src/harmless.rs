//! Names that others chose, made fit to be shown.

/// `text` without what could steer a terminal or a reader: control characters and those that
/// change the direction of writing become `\u{fffd}`. Process names, labels and DNS names come from
/// workloads, so whatever prints them for people uses this.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_reversed_writing_are_replaced_and_words_stay() {
        assert_eq!(harmless("a\u{1b}[31m\u{202e}b"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(harmless("関所 /usr/bin/x-1"), "関所 /usr/bin/x-1");
    }
}
