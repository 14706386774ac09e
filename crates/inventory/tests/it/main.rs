//! The inventory and the real joiner together, on stories kept as files.

mod stories;
