//! The buffers that every connection borrows while it is being served, and none keeps.

use crate::http::Head;
use crate::wsi::Burst;

/// Bytes read from a socket at a time: as much as a connection may read in a turn.
pub(crate) const RX_SIZE: usize = 64 * 1024;

/// The same where they are ciphertext: about as much as a TLS record holds (RFC 8446 5.1), and TLS takes at a time.
#[cfg(feature = "tls")]
pub(crate) const CIPHER_SIZE: usize = 16 * 1024;

/// Payload offered to one tx callback.
pub(crate) const TX_SIZE: usize = 16 * 1024;

/// So much to send is worth a write, whatever may come behind it.
pub(crate) const BURST_FULL: usize = 48 * 1024;

/// Room for the heads that go out with a payload. Larger ones cost a copy.
pub(crate) const FRONT_ROOM: usize = 2048;

/// Room for what an engine puts before a payload, and behind it.
pub(crate) const PREFIX_ROOM: usize = 32;
pub(crate) const SUFFIX_ROOM: usize = 16;

/// Spare buffers that are kept for the next connection that needs one, and the largest that is worth keeping: what a socket
/// leaves of a burst is less.
const SPARES: usize = 16;
const SPARE_SIZE: usize = 128 * 1024;

/// Taken out of the context while a connection is served, so that its parts can be lent to user code beside the core.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What came from the socket.
    pub(crate) rx: Vec<u8>,
    /// What TLS made of it.
    pub(crate) plain: Vec<u8>,
    /// What goes out: fronts, room, payload, room.
    pub(crate) tx: Vec<u8>,
    /// What of that the connection in service has still to send.
    pub(crate) burst: Burst,
    /// What TLS made of that.
    pub(crate) cipher: Vec<u8>,
    /// One datagram; empty until there is a socket for them.
    pub(crate) datagram: Vec<u8>,
    /// The head of the message at hand.
    pub(crate) head: Head,
    /// What websockets need to compress.
    #[cfg(feature = "ws")]
    pub(crate) ws: ws::Scratch,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            rx: vec![0; RX_SIZE],
            #[cfg(feature = "tls")]
            plain: vec![0; CIPHER_SIZE],
            #[cfg(not(feature = "tls"))]
            plain: Vec::new(),
            tx: vec![0; FRONT_ROOM + BURST_FULL + 2 * PREFIX_ROOM + TX_SIZE + SUFFIX_ROOM],
            burst: Burst::default(),
            cipher: Vec::new(),
            datagram: Vec::new(),
            head: Head::new(),
            #[cfg(feature = "ws")]
            ws: ws::Scratch::default(),
        }
    }
}

/// Empty buffers with capacity, for connections that must keep bytes for a while: so keeping costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<Vec<u8>>);

impl Spares {
    /// Gives `buffer` a used allocation, when it has none and there is one.
    pub(crate) fn lend(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0
            && let Some(spare) = self.0.pop()
        {
            *buffer = spare;
        }
    }

    /// Takes the allocation of `buffer` back, leaving it empty and without heap.
    pub(crate) fn take_back(&mut self, buffer: &mut Vec<u8>) {
        let mut spare = std::mem::take(buffer);
        if self.0.len() < SPARES && (1..=SPARE_SIZE).contains(&spare.capacity()) {
            spare.clear();
            self.0.push(spare);
        }
    }
}
