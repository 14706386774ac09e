//! Names made fit for a line, and the small words that several formats share.

use sekisho_base::harmless;
use sekisho_model::{EdgeDay, Reporters, Timestamp};

/// The vendor and the product that records name.
pub(super) const PRODUCT: &str = "Sekisho";
/// Longest text in CEF and LEEF, characters: the bound of CEF's host and process names.
const TEXT_CHARS_MAX: usize = 1_023;

/// JSON in ASCII alone: what is not becomes `\uXXXX`, in pairs beyond the first plane (RFC 8259 §7).
/// Line separators and reversed writing so reach nobody's line reader or terminal, and nothing is
/// lost.
pub(super) fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            // Outside of strings JSON is ASCII, so every other character stands in one.
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// `text` for CEF and LEEF: bounded, a cut shown by an ellipsis.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => text.to_owned(),
        Some(_) => text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

/// `text` as a value of LEEF, which has no escapes: nothing in it is a tab or ends a line.
pub(super) fn plain(text: &str) -> String {
    harmless(&bounded(text))
}

/// Milliseconds since the Unix epoch.
pub(super) fn milliseconds(at: Timestamp) -> u64 {
    at.nanos() / 1_000_000
}

/// Which ends reported, by name.
pub(super) fn reporters(reporters: Reporters) -> Vec<&'static str> {
    let names = [
        (reporters.source, "source"),
        (reporters.destination, "destination"),
        (reporters.datapath, "datapath"),
    ];
    names.into_iter().filter_map(|(on, name)| on.then_some(name)).collect()
}

/// The hours of the day (0 to 23, UTC) in which it was seen.
pub(super) fn hours(row: &EdgeDay) -> Vec<u32> {
    (0..24).filter(|hour| row.hours & (1 << hour) != 0).collect()
}

/// What limits the record's truth, for formats that have one field for all of it.
pub(super) fn doubts(row: &EdgeDay) -> String {
    let doubts = [
        (row.stats.loss, "records were lost"),
        (row.key.direction_inferred, "direction is a guess"),
    ];
    let told: Vec<_> = doubts.into_iter().filter_map(|(on, text)| on.then_some(text)).collect();
    told.join(", ")
}
