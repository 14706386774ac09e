//! The inventory and the real joiner together, on stories kept as files.

#[cfg(test)]
mod stories;
