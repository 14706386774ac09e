//! The API over real Unix sockets, with a service that answers from memory.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod orders;
