//! Whether this process may load kernel programs.

use std::fs;

const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// The capabilities that are missing, by name; empty if all are there.
pub(crate) fn missing() -> Vec<&'static str> {
    missing_of(effective(&fs::read_to_string("/proc/self/status").unwrap_or_default()))
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn missing_of(effective: u64) -> Vec<&'static str> {
    // CAP_SYS_ADMIN includes the two newer ones (linux v5.8).
    let has = |capability| effective & (capability | CAP_SYS_ADMIN) != 0;
    let mut names = Vec::new();
    if !has(CAP_BPF) {
        names.push("CAP_BPF");
    }
    if !has(CAP_PERFMON) {
        names.push("CAP_PERFMON");
    }
    if effective & CAP_NET_ADMIN == 0 {
        names.push("CAP_NET_ADMIN");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lacks_nothing_and_nobody_lacks_all() {
        assert!(missing_of(effective("Name:\tx\nCapEff:\t000001ffffffffff\n")).is_empty());
        assert_eq!(missing_of(0), ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"]);
        assert!(missing_of(CAP_SYS_ADMIN | CAP_NET_ADMIN).is_empty());
    }
}
