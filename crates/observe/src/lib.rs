//! Loads bpf/, reads ring buffers; the only crate with unsafe.
