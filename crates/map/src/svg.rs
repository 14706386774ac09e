//! draft
use crate::Map;
/// Draws `map`.
#[must_use]
pub fn svg(_map: &Map) -> String {
    String::new()
}
