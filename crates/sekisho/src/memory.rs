//! This process's memory.

const PAGE_BYTES: u64 = 4_096;

/// Resident set of this process in bytes (proc(5) /proc/self/statm, second field); 0 = unknown.
pub(crate) fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
