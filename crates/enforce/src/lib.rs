//! VerifiedPolicy to nftables sets and verdict maps, with rollback.
