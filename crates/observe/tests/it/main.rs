//! Kernel programs against real sockets and processes. Needs root; each test has a cgroup of its
//! own, and its processes a network namespace that ends with them.

mod actor;
mod dns;
mod loss;
mod process;
mod scene;
mod tcp;
mod udp;
