//! TLS, behind one small type: ciphertext in, plaintext out, plaintext in, ciphertext out. Nothing of the TLS library is
//! known outside of this folder.

mod client;
mod clock;
mod error;
mod hello;
mod identity;
mod server;
mod trust;

pub(crate) use client::{ClientConfig, Trust};
pub(crate) use clock::TlsClock;
pub use error::TlsError;
use hello::{Asked, Hello};
pub use identity::Identity;
pub(crate) use server::{ClientAuth, ServerConfig};

use rustls::Connection;
use std::io::{ErrorKind, Read, Write};

/// Plaintext that a session takes ahead of what it can encrypt and hand out: one record's worth.
const BUFFERED: usize = 16 * 1024;

/// One connection's TLS, either side.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    /// Plaintext that was decrypted and not read yet.
    plain: usize,
    /// Ciphertext that has to wait until that is read.
    held: Vec<u8>,
    peer_closed: bool,
}

/// A server with several identities has to hear whom the client means before there is a connection to speak of.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every session is up, and boxed as a whole")]
enum Phase {
    Hello(Box<Hello>),
    Up(Connection),
}

/// What reading plaintext came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainRead {
    Data(usize),
    /// More ciphertext is needed.
    Empty,
    /// The peer has said goodbye.
    CloseNotify,
}

impl Session {
    fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(BUFFERED));
        Self { phase: Phase::Up(connection), plain: 0, held: Vec::new(), peer_closed: false }
    }

    /// A server's side that takes its identity by [`Self::choose`], once [`Self::asked`] is there.
    pub(crate) fn undecided() -> Self {
        Self { phase: Phase::Hello(Box::default()), plain: 0, held: Vec::new(), peer_closed: false }
    }

    /// The client has said whom it means.
    pub(crate) fn asked(&self) -> Option<Asked> {
        match &self.phase {
            Phase::Hello(hello) => hello.asked(),
            Phase::Up(_) => None,
        }
    }

    /// Goes on as this server.
    pub(crate) fn choose(&mut self, config: &ServerConfig) -> Result<(), TlsError> {
        let Phase::Hello(hello) = &mut self.phase else { return Ok(()) };
        let mut connection = hello.choose(config)?;
        connection.set_buffer_limit(Some(BUFFERED));
        // What came behind the hello.
        let state = connection.process_new_packets().map_err(|error| TlsError::from_rustls(&error));
        self.phase = Phase::Up(Connection::Server(connection));
        state.map(drop)
    }

    fn up(&mut self) -> Option<&mut Connection> {
        match &mut self.phase {
            Phase::Hello(_) => None,
            Phase::Up(connection) => Some(connection),
        }
    }

    /// Takes ciphertext, and says how much of it: less than all only while the choice of an identity waits to be made.
    pub(crate) fn read_tls(&mut self, ciphertext: &[u8]) -> Result<usize, TlsError> {
        let connection = match &mut self.phase {
            Phase::Hello(hello) => return hello.input(ciphertext),
            Phase::Up(connection) => connection,
        };
        let mut left = ciphertext;
        while !left.is_empty() {
            match connection.read_tls(&mut left) {
                Ok(0) => break,
                Ok(_) => {}
                // The TLS library holds as much plaintext as it wants to.
                Err(_) if self.plain > 0 => {
                    self.held.extend_from_slice(left);
                    left = &[];
                }
                Err(error) => return Err(TlsError::Protocol(error.to_string())),
            }
            let state = connection.process_new_packets().map_err(|error| TlsError::from_rustls(&error))?;
            self.plain = state.plaintext_bytes_to_read();
            self.peer_closed = state.peer_has_closed();
        }
        Ok(ciphertext.len() - left.len())
    }

    /// Moves ciphertext that had to wait into `out`, for [`Self::read_tls`]: no more than that was given at a time.
    pub(crate) fn take_held(&mut self, out: &mut [u8]) -> Option<usize> {
        let held = std::mem::take(&mut self.held);
        out.get_mut(..held.len()).filter(|to| !to.is_empty())?.copy_from_slice(&held);
        Some(held.len())
    }

    /// Moves plaintext into `out`.
    pub(crate) fn read_plain(&mut self, out: &mut [u8]) -> PlainRead {
        if self.plain == 0 {
            return if self.peer_closed && self.held.is_empty() {
                PlainRead::CloseNotify
            } else {
                PlainRead::Empty
            };
        }
        let Some(connection) = self.up() else { return PlainRead::Empty };
        match connection.reader().read(out) {
            Ok(len @ 1..) => {
                self.plain = self.plain.saturating_sub(len);
                PlainRead::Data(len)
            }
            Ok(0) => PlainRead::CloseNotify,
            Err(error) => {
                debug_assert_eq!(error.kind(), ErrorKind::WouldBlock);
                self.plain = 0;
                PlainRead::Empty
            }
        }
    }

    /// Plaintext waits to be read, or the peer's goodbye to be heard.
    pub(crate) fn has_plain(&self) -> bool {
        self.plain > 0 || !self.held.is_empty() || self.peer_closed
    }

    /// Encrypts as much of `plain` as is taken at a time, and appends it to `out`. Returns how much that was.
    pub(crate) fn write_plain(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<usize, TlsError> {
        let Some(connection) = self.up() else { return Ok(0) };
        let taken =
            connection.writer().write(plain).map_err(|error| TlsError::Protocol(error.to_string()))?;
        self.poll_output(out);
        Ok(taken)
    }

    /// Appends what TLS has to say on its own account: handshake, alerts, tickets. False when there is nothing.
    pub(crate) fn poll_output(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let connection = match &mut self.phase {
            Phase::Hello(hello) => return hello.poll_output(out),
            Phase::Up(connection) => connection,
        };
        while connection.wants_write() {
            // Writing to memory does not fail.
            if !matches!(connection.write_tls(out), Ok(1..)) {
                break;
            }
        }
        out.len() > before
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.phase {
            Phase::Hello(_) => true,
            Phase::Up(connection) => connection.is_handshaking(),
        }
    }

    /// Tells the peer that nothing more will come (RFC 8446 6.1).
    pub(crate) fn send_close_notify(&mut self, out: &mut Vec<u8>) {
        if let Some(connection) = self.up() {
            connection.send_close_notify();
        }
        self.poll_output(out);
    }

    /// The certificate by which the peer has shown who it is (DER).
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        match &self.phase {
            Phase::Hello(_) => None,
            Phase::Up(connection) => Some(connection.peer_certificates()?.first()?),
        }
    }

    /// The protocol that both sides agreed on (RFC 7301).
    #[cfg(any(test, feature = "h2"))]
    pub(crate) fn alpn(&mut self) -> Option<&[u8]> {
        self.up()?.alpn_protocol()
    }

    /// The handshake took up an earlier session.
    #[cfg(test)]
    pub(crate) fn is_resumed(&mut self) -> bool {
        self.up().and_then(|up| up.handshake_kind()) == Some(rustls::HandshakeKind::Resumed)
    }
}

/// The one provider; never the process-wide default, which belongs to the application.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
