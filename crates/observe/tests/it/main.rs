//! Kernel programs against real sockets and processes. Needs root; each test has a cgroup of its
//! own, and its processes a network namespace that ends with them.

// Always so here; clippy allows `unwrap` in test code where it sees the attribute.
#[cfg(test)]
mod actor;
mod dns;
mod doctor;
#[cfg(test)]
mod drops;
mod loss;
mod process;
#[cfg(test)]
mod scene;
mod tcp;
mod udp;
