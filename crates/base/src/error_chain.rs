//! Prints an error with its causes on one line.

use std::error::Error;

/// Joins an error and its sources as `a: b: c`. A source whose text ends what is there already is
/// not repeated: errors of others often show their cause in their own text.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}
