//! The kernel's packet queues, as far as a network needs them that is slow and loses packets: bind
//! a queue, hear of packets, say what becomes of each. Bytes in, bytes out; knows no weather.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

/// `NFNL_SUBSYS_QUEUE`, in the upper half of a message's type.
const SUBSYSTEM: u16 = 3 << 8;
const PACKET: u16 = SUBSYSTEM;
const VERDICT: u16 = SUBSYSTEM | 1;
const CONFIG: u16 = SUBSYSTEM | 2;
const NLMSG_ERROR: u16 = 2;
const REQUEST: u16 = 1;
const REQUEST_AND_ANSWER: u16 = 1 | 4;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH_MAX: u16 = 3;
const PACKET_HEADER: u16 = 1;
const VERDICT_HEADER: u16 = 2;

const COMMAND_BIND: u8 = 1;
/// Only the header: nobody looks at what is in a packet.
const COPY_META: u8 = 1;
/// The most packets under way in one queue; what comes then is lost, as on any full line.
const PACKETS_MAX: u32 = 20_000;

const HEADER_BYTES: usize = 16;
const RECEIVE_BYTES: usize = 8 * 1024 * 1024;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It vanishes.
    Drop,
    /// It goes on.
    Accept,
}

/// A packet that waits in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its queue.
    pub queue: u16,
    /// Its number there.
    pub id: u32,
}

/// The queues of the network that this was made in.
#[derive(Debug)]
pub struct Queues {
    socket: OwnedFd,
}

impl Queues {
    /// Opens the queues of this thread's network.
    ///
    /// # Errors
    /// When the kernel has none, or this is not root.
    pub fn open() -> Result<Self, Errno> {
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        let socket = socket_with(AddressFamily::NETLINK, kind, flags, Some(NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        // More than a user may ask for; root may. With less, only the burst that fits is safe.
        let _ = set_socket_recv_buffer_size_force(&socket, RECEIVE_BYTES);
        Ok(Self { socket })
    }

    /// Takes a queue. Packets sent to it wait from now on until something is said about them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bind(&self, queue: u16) -> Result<(), Errno> {
        self.configure(queue, CONFIG_COMMAND, &[COMMAND_BIND, 0, 0, 0])?;
        self.configure(queue, CONFIG_PARAMETERS, &[0, 0, 0, 0, COPY_META])?;
        self.configure(queue, CONFIG_LENGTH_MAX, &PACKETS_MAX.to_be_bytes())
    }

    fn configure(&self, queue: u16, attribute: u16, value: &[u8]) -> Result<(), Errno> {
        self.send(&message(CONFIG, REQUEST_AND_ANSWER, queue, attribute, value))?;
        set_socket_timeout(&self.socket, Timeout::Recv, Some(Duration::from_secs(5)))?;
        loop {
            // Packets of a queue that was bound before may come first; they are lost, as packets
            // are.
            let mut buffer = vec![0; 64 * 1024];
            let (length, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            if let Some(code) = messages(&buffer[..length]).find_map(answer) {
                return if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-code)) };
            }
        }
    }

    /// Waits at most so long for packets.
    ///
    /// # Errors
    /// When the kernel refuses; that nothing came is no error.
    pub fn wait(&self, at_most: Duration) -> Result<Vec<Waiting>, Errno> {
        let at_most = at_most.max(Duration::from_micros(100));
        set_socket_timeout(&self.socket, Timeout::Recv, Some(at_most))?;
        let mut buffer = vec![0; 64 * 1024];
        match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _)) => Ok(messages(&buffer[..length]).filter_map(packet).collect()),
            // Nothing came, or more than there was room for, which is then lost.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Says what becomes of a packet.
    ///
    /// # Errors
    /// When the kernel cannot be told.
    pub fn decide(&self, packet: Waiting, verdict: Verdict) -> Result<(), Errno> {
        let verdict = u32::from(verdict == Verdict::Accept).to_be_bytes();
        let value = [verdict, packet.id.to_be_bytes()].concat();
        self.send(&message(VERDICT, REQUEST, packet.queue, VERDICT_HEADER, &value))
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        send(&self.socket, bytes, SendFlags::empty()).map(drop)
    }
}

/// One message with one attribute. Lengths and types are in the order of this machine, what is
/// netfilter's own in the network's.
fn message(kind: u16, flags: u16, queue: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let attribute_length = 4 + value.len();
    let length = HEADER_BYTES + 4 + attribute_length.next_multiple_of(4);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // A sequence number and a port, which nobody asks for.
    bytes.extend([0; 8]);
    // Any address family, version 0.
    bytes.extend([0, 0]);
    bytes.extend(queue.to_be_bytes());
    bytes.extend((attribute_length as u16).to_ne_bytes());
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(length, 0);
    bytes
}

/// The messages in what was received: their types and bodies.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(HEADER_BYTES..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The kernel's answer to a request: 0, or an error number below it.
fn answer((kind, body): (u16, &[u8])) -> Option<i32> {
    let code = (kind == NLMSG_ERROR).then(|| body.get(..4))??;
    Some(i32::from_ne_bytes(code.try_into().ok()?))
}

/// The packet that a message tells of.
fn packet((kind, body): (u16, &[u8])) -> Option<Waiting> {
    if kind != PACKET {
        return None;
    }
    let queue = u16::from_be_bytes(body.get(2..4)?.try_into().ok()?);
    let mut rest = body.get(4..)?;
    loop {
        let length = u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?) as usize;
        let attribute = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        if attribute == PACKET_HEADER {
            let id = u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?);
            return Some(Waiting { queue, id });
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_back() {
        let header = [7_u32.to_be_bytes().as_slice(), &[8, 0, 1]].concat();
        let mut bytes = message(PACKET, 0, 9, PACKET_HEADER, &header);
        bytes.extend(message(NLMSG_ERROR, 0, 0, 0, &[]));
        let found: Vec<Waiting> = messages(&bytes).filter_map(packet).collect();
        assert_eq!(found, [Waiting { queue: 9, id: 7 }]);
        assert_eq!(messages(&bytes).filter_map(answer).collect::<Vec<_>>(), [0]);
        for length in 0..bytes.len() {
            let _ = messages(&bytes[..length]).filter_map(packet).count();
        }
    }
}
