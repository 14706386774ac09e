//! The little of netfilter's netlink that we speak: a socket in a namespace, messages, attributes.
//!
//! Everything received is untrusted in form: lengths are checked, nothing here can panic.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use sekisho_system::netns::{self, NetnsError};

/// Message types below this are netlink's own (linux include/uapi/linux/netlink.h).
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// Marks an attribute that holds attributes.
pub(crate) const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 16;
/// Bytes of `struct nfgenmsg`, which begins every netfilter message.
const NFGENMSG_BYTES: usize = 4;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Longest datagram we ask the kernel for is half of it.
const DATAGRAM_BYTES_MAX: usize = 256 * 1024;

/// A netlink socket could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The namespace could not be entered.
    #[error("open a netlink socket")]
    Namespace(#[source] NetnsError),
    /// A system call failed; EPERM means that CAP_NET_ADMIN is missing.
    #[error("{action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

pub(crate) fn system(action: &'static str) -> impl Fn(Errno) -> NetlinkError {
    move |errno| NetlinkError::System { action, cause: errno.into() }
}

/// A socket to netfilter, in the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Socket {
    /// Opens a socket in the namespace at `netns`. A socket stays in the namespace of its birth, so
    /// only a helper thread enters it.
    pub(crate) fn open(netns: &Path, receive_bytes: usize) -> Result<Self, NetlinkError> {
        let opened = netns::within(netns, move || {
            let descriptor = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkNetFilter,
            )?;
            setsockopt(&descriptor, sockopt::RcvBufForce, &receive_bytes)?;
            bind(descriptor.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            Ok(descriptor)
        });
        let descriptor = opened
            .map_err(NetlinkError::Namespace)?
            .map_err(system("open a netlink socket to netfilter"))?;
        Ok(Self { descriptor, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Errno> {
        send(self.descriptor.as_raw_fd(), message, MsgFlags::empty()).map(|_| ())
    }

    /// Receives one datagram; `DONTWAIT` gives EAGAIN when there is none.
    pub(crate) fn receive(&mut self, flags: MsgFlags) -> Result<&[u8], Errno> {
        let length = recv(self.descriptor.as_raw_fd(), &mut self.buffer, flags)?;
        Ok(self.buffer.get(..length).unwrap_or_default())
    }

    /// Sends `message` and waits for its acknowledgement. Other messages that come before it are
    /// lost (and missed by whoever numbers them).
    pub(crate) fn request(&mut self, message: &[u8]) -> Result<(), Errno> {
        self.send(message)?;
        loop {
            let answer = self.receive(MsgFlags::empty())?;
            if let Some(answer) = messages(answer).find(|answer| answer.kind == NLMSG_ERROR) {
                return error_of(answer.body);
            }
        }
    }
}

/// The result in the body of an NLMSG_ERROR: a negative errno, or 0 for success.
pub(crate) fn error_of(body: &[u8]) -> Result<(), Errno> {
    match body.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EBADMSG),
    }
}

/// Writes a netfilter message: header, `nfgenmsg`, attributes.
pub(crate) fn message(
    kind: u16,
    flags: u16,
    (family, resource): (u8, u16),
    attributes: &[u8],
) -> Vec<u8> {
    let length = HEADER_BYTES + NFGENMSG_BYTES + attributes.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    // Sequence and port id: one request is under way at a time, and the kernel fills the id.
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// Appends an attribute.
pub(crate) fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    /// What follows the netlink header.
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Family and attributes of a netfilter message.
    pub(crate) fn netfilter(&self) -> Option<(u8, Attributes<'a>)> {
        let family = *self.body.first()?;
        Some((family, Attributes(self.body.get(NFGENMSG_BYTES..)?)))
    }
}

/// The messages of a datagram; ends at the first malformed one.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let body = rest.get(HEADER_BYTES..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, body })
    })
}

/// Attributes, in order; ends at the first malformed one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?) & NLA_TYPE_MASK;
        let value = self.0.get(ATTRIBUTE_HEADER_BYTES..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of `kind`.
    pub(crate) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes inside the first attribute of `kind`.
    pub(crate) fn nested(self, kind: u16) -> Option<Attributes<'a>> {
        self.find(kind).map(Attributes)
    }
}
