//! The API over real Unix sockets and real TLS, with a service that answers from memory.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod hubble;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod own;
#[cfg(test)]
mod tls;
