//! Comma-separated values (RFC 4180), with the line that each record begins on.

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Line that it begins on, from 1.
    pub(crate) line: u32,
    /// Its fields, without quotes and without spaces around them; or what is wrong with it.
    pub(crate) fields: Result<Vec<String>, &'static str>,
}

/// Reads records; empty lines, and lines that begin with `#`, are none. A semicolon or a tab
/// separates where the first line has one and no comma: spreadsheets write what their country uses.
pub(crate) fn records(text: &str) -> impl Iterator<Item = Record> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().find(|line| is_record(line)).unwrap_or_default();
    let separator =
        [',', ';', '\t'].into_iter().find(|separator| first.contains(*separator)).unwrap_or(',');
    let mut lines = text.lines().zip(1_u32..);
    std::iter::from_fn(move || {
        let (first, line) = lines.by_ref().find(|(line, _)| is_record(line))?;
        let mut record = first.to_owned();
        // A quoted field may go on over lines.
        let is_odd = |line: &str| line.matches('"').count() % 2 == 1;
        let mut is_open = is_odd(&record);
        while is_open {
            let Some((next, _)) = lines.next() else { break };
            is_open ^= is_odd(next);
            record.push('\n');
            record.push_str(next);
        }
        Some(Record { line, fields: fields(&record, separator) })
    })
}

fn is_record(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

fn fields(record: &str, separator: char) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = Some(record);
    while let Some(text) = rest {
        let text = text.trim_start_matches(' ');
        let Some(quoted) = text.strip_prefix('"') else {
            let (field, after) = match text.split_once(separator) {
                Some((field, after)) => (field, Some(after)),
                None => (text, None),
            };
            if field.contains('"') {
                return Err("a quote inside a field that is not quoted");
            }
            fields.push(field.trim().to_owned());
            rest = after;
            continue;
        };
        let (field, after) = unquoted(quoted)?;
        fields.push(field.trim().to_owned());
        let after = after.trim_start_matches(' ');
        rest = match after.strip_prefix(separator) {
            Some(next) => Some(next),
            None if after.is_empty() => None,
            None => return Err("text behind the end of a quoted field"),
        };
    }
    Ok(fields)
}

/// The field that `text` begins with, and what is behind its closing quote.
fn unquoted(mut text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    loop {
        let Some((part, after)) = text.split_once('"') else {
            return Err("a quoted field that does not end");
        };
        field.push_str(part);
        let Some(next) = after.strip_prefix('"') else { return Ok((field, after)) };
        field.push('"');
        text = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, Result<&[&str], &str>)]) {
        let found: Vec<Record> = records(text).collect();
        let found: Vec<_> = found
            .iter()
            .map(|record| {
                let fields = record
                    .fields
                    .as_ref()
                    .map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
                (record.line, fields.map_err(|reason| *reason))
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(line, fields)| (*line, fields.map(<[&str]>::to_vec))).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn fields_are_read_as_spreadsheets_write_them() {
        check(
            "\u{feff}a,b\r\n\r\n# note\n1, \"2, \"\"x\"\"\" \n",
            &[(1, Ok(&["a", "b"])), (4, Ok(&["1", "2, \"x\""]))],
        );
        check("a;b\n1;2,5", &[(1, Ok(&["a", "b"])), (2, Ok(&["1", "2,5"]))]);
        check(
            "a,b\n\"1\n2\",3\n4,",
            &[(1, Ok(&["a", "b"])), (2, Ok(&["1\n2", "3"])), (4, Ok(&["4", ""]))],
        );
        check("\"a", &[(1, Err("a quoted field that does not end"))]);
        check("\"a\"b,c", &[(1, Err("text behind the end of a quoted field"))]);
        check("a\"b\"", &[(1, Err("a quote inside a field that is not quoted"))]);
        check("", &[]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a\",;\\n\\r\\t #é]{0,60}") {
            for record in records(&text) {
                proptest::prop_assert!(record.line >= 1);
            }
        }
    }
}
