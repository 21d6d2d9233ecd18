//! The side that asks.

use super::{
    ACCEPT, Agreed, CONNECTION, EXTENSIONS, HandshakeError, KEY, PROTOCOL, THIRTEEN, Terms, UPGRADE, VERSION,
    WEBSOCKET, accept, base64, extension, field, has, is, once, pair,
};
use alloc::vec::Vec;
use http::Status;

/// What a client asks for. It is needed again when the response arrives, and may be made again of the same nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    terms: Terms<'a>,
    /// `None` over HTTP/2, where nothing has to be proved.
    key: Option<[u8; 24]>,
    extensions: Vec<u8>,
}

impl<'a> Offer<'a> {
    /// For an upgrade from HTTP/1.1: a GET. `nonce` is drawn at random for each connection (RFC 6455 4.1).
    pub fn new(nonce: &[u8; 16], terms: Terms<'a>) -> Self {
        Self { key: Some(base64(nonce)), ..Self::connect(terms) }
    }

    /// For an extended CONNECT over HTTP/2, whose `:protocol` is `websocket` (RFC 8441 5).
    pub fn connect(terms: Terms<'a>) -> Self {
        Self { terms, key: None, extensions: terms.deflate.map(extension::offer).unwrap_or_default() }
    }

    /// The fields that the request needs. Over HTTP/1.1 the head adds `Connection: Upgrade`.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let on_h2 = self.key.is_none();
        let key = self.key.as_ref().map(<[u8; 24]>::as_slice);
        [
            pair(UPGRADE, on_h2, key.map(|_| WEBSOCKET)),
            pair(KEY, on_h2, key),
            pair(VERSION, on_h2, Some(THIRTEEN)),
            pair(PROTOCOL, on_h2, Some(self.terms.protocols.as_bytes())),
            pair(EXTENSIONS, on_h2, Some(&self.extensions)),
        ]
        .into_iter()
        .flatten()
    }

    /// Reads the response: its status and all its fields.
    ///
    /// # Errors
    /// It does not grant the request, or not in a way that a server may (RFC 6455 4.1).
    pub fn check<'f>(
        &self,
        status: Status,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Result<Agreed<'a>, HandshakeError> {
        let granted =
            if self.key.is_some() { status == Status::SWITCHING_PROTOCOLS } else { status.is_success() };
        if !granted {
            return Err(HandshakeError::Status(status));
        }
        let (mut upgrades, mut connection) = (false, false);
        let (mut accepted, mut protocol, mut deflate) = (None, None, None);
        for (name, value) in fields {
            if is(name, UPGRADE) {
                upgrades |= has(value, WEBSOCKET);
            } else if is(name, CONNECTION) {
                connection |= has(value, b"upgrade");
            } else if is(name, ACCEPT) {
                once(&mut accepted, value, HandshakeError::Accept)?;
            } else if is(name, PROTOCOL) {
                once(&mut protocol, value, HandshakeError::Protocol)?;
            } else if is(name, EXTENSIONS) {
                extension::check(field::trim(value), self.terms.deflate, &mut deflate)?;
            }
        }
        if let Some(key) = &self.key {
            if !upgrades {
                return Err(HandshakeError::Upgrade);
            }
            if !connection {
                return Err(HandshakeError::Connection);
            }
            if accepted != Some(&accept(key)) {
                return Err(HandshakeError::Accept);
            }
        }
        let protocol = match protocol {
            None => None,
            Some(name) => Some(self.terms.protocol(name).ok_or(HandshakeError::Protocol)?),
        };
        Ok(Agreed { protocol, deflate })
    }
}
