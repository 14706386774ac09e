//! HTTP types and endpoints over a Unix socket.
