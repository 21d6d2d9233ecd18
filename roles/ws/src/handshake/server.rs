//! The side that answers.

use super::extension::Choice;
use super::{
    ACCEPT, Agreed, CONNECTION, EXTENSIONS, HandshakeError, KEY, PROTOCOL, THIRTEEN, Terms, UPGRADE, VERSION,
    WEBSOCKET, accept, field, has, is, is_key, once, pair,
};
use alloc::vec::Vec;
use http::{Method, Status};

/// What a server grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    agreed: Agreed<'a>,
    /// `None` over HTTP/2.
    accept: Option<[u8; 28]>,
    extensions: Vec<u8>,
}

/// What a request says.
#[derive(Debug, Default)]
struct Request<'f, 'a> {
    upgrades: bool,
    connection: bool,
    key: Option<&'f [u8]>,
    version: Option<&'f [u8]>,
    protocol: Option<&'a str>,
    choice: Choice,
}

impl<'a> Answer<'a> {
    /// Reads a request: GET over HTTP/1.1, or CONNECT over HTTP/2 with the `:protocol` `websocket`, and all its fields.
    /// Of the subprotocols the client's first is taken that is among the terms.
    ///
    /// # Errors
    /// It does not ask for a websocket, or not in a way that a client may (RFC 6455 4.2.1).
    pub fn new<'f>(
        method: Method,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
        terms: &Terms<'a>,
    ) -> Result<Self, HandshakeError> {
        let on_h2 = match method {
            Method::Get => false,
            Method::Connect => true,
            _ => return Err(HandshakeError::Method),
        };
        let mut request = Request::default();
        for (name, value) in fields {
            request.field(name, value, terms)?;
        }
        let key = if on_h2 { None } else { Some(request.upgrade()?) };
        if request.version != Some(THIRTEEN) {
            return Err(HandshakeError::Version);
        }
        Ok(Self {
            agreed: Agreed { protocol: request.protocol, deflate: request.choice.agreed },
            accept: key.map(accept),
            extensions: request.choice.response,
        })
    }

    /// What was agreed on.
    pub fn agreed(&self) -> Agreed<'a> {
        self.agreed
    }

    /// The response's status: 101, over HTTP/2 200.
    pub fn status(&self) -> Status {
        if self.accept.is_some() { Status::SWITCHING_PROTOCOLS } else { Status::OK }
    }

    /// The fields that the response needs. Over HTTP/1.1 the head adds `Connection: Upgrade`.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let on_h2 = self.accept.is_none();
        let accept = self.accept.as_ref().map(<[u8; 28]>::as_slice);
        [
            pair(UPGRADE, on_h2, accept.map(|_| WEBSOCKET)),
            pair(ACCEPT, on_h2, accept),
            pair(PROTOCOL, on_h2, self.agreed.protocol.map(str::as_bytes)),
            pair(EXTENSIONS, on_h2, Some(&self.extensions)),
        ]
        .into_iter()
        .flatten()
    }
}

impl<'f, 'a> Request<'f, 'a> {
    fn field(&mut self, name: &[u8], value: &'f [u8], terms: &Terms<'a>) -> Result<(), HandshakeError> {
        if is(name, UPGRADE) {
            self.upgrades |= has(value, WEBSOCKET);
        } else if is(name, CONNECTION) {
            self.connection |= has(value, b"upgrade");
        } else if is(name, KEY) {
            once(&mut self.key, value, HandshakeError::Key)?;
        } else if is(name, VERSION) {
            once(&mut self.version, value, HandshakeError::Version)?;
        } else if is(name, PROTOCOL) {
            for asked in field::list(value) {
                if !field::is_token(asked) {
                    return Err(HandshakeError::Protocol);
                }
                self.protocol = self.protocol.or_else(|| terms.protocol(asked));
            }
        } else if is(name, EXTENSIONS) {
            self.choice.consider(value, terms.deflate)?;
        }
        Ok(())
    }

    /// What an upgrade from HTTP/1.1 has to say: gives the key.
    fn upgrade(&self) -> Result<&'f [u8], HandshakeError> {
        if !self.upgrades {
            return Err(HandshakeError::Upgrade);
        }
        if !self.connection {
            return Err(HandshakeError::Connection);
        }
        self.key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)
    }
}
