//! The way in: header fields that a client asks with and a server answers with (RFC 6455 4, RFC 8441 5). The head around
//! them is another engine's.
//!
//! ```
//! use http::{Method, Status};
//! use millstream_ws::handshake::{Answer, Offer, Terms};
//!
//! let terms = Terms { protocols: "chat, superchat", deflate: None };
//! let offer = Offer::new(b"the sample nonce", terms);
//! // HTTP/1.1 adds `Connection: Upgrade` by itself, in both directions.
//! let connection = [(&b"Connection"[..], &b"Upgrade"[..])];
//! let request = offer.fields().chain(connection);
//!
//! let answer = Answer::new(Method::Get, request, &Terms { protocols: "superchat", deflate: None }).unwrap();
//! let response = answer.fields().chain(connection);
//!
//! let agreed = offer.check(Status::SWITCHING_PROTOCOLS, response).unwrap();
//! assert_eq!(agreed.protocol, Some("superchat"));
//! ```

mod client;
mod error;
mod extension;
mod server;

pub use client::Offer;
pub use error::HandshakeError;
pub use server::Answer;

use crate::Deflate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::field;

/// What a side would agree to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Subprotocols, with commas between them: a client's in order of preference. Empty for none.
    pub protocols: &'a str,
    /// permessage-deflate, if at all. A client offers it so; a server goes no further than this, and less far where the
    /// client wants that.
    pub deflate: Option<Deflate>,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed<'a> {
    /// The subprotocol; `None` although some were asked for if the server speaks none of them.
    pub protocol: Option<&'a str>,
    /// For [`crate::Engine::client`] and [`crate::Engine::server`].
    pub deflate: Option<Deflate>,
}

impl<'a> Terms<'a> {
    fn protocol(&self, name: &[u8]) -> Option<&'a str> {
        self.protocols.split(',').map(str::trim).find(|known| !known.is_empty() && known.as_bytes() == name)
    }
}

/// A field's name, as HTTP/1.1 has it and as HTTP/2 wants it.
type Name = [&'static str; 2];

const ACCEPT: Name = ["Sec-WebSocket-Accept", "sec-websocket-accept"];
const EXTENSIONS: Name = ["Sec-WebSocket-Extensions", "sec-websocket-extensions"];
const KEY: Name = ["Sec-WebSocket-Key", "sec-websocket-key"];
const PROTOCOL: Name = ["Sec-WebSocket-Protocol", "sec-websocket-protocol"];
const UPGRADE: Name = ["Upgrade", "upgrade"];
const VERSION: Name = ["Sec-WebSocket-Version", "sec-websocket-version"];
const CONNECTION: Name = ["Connection", "connection"];

/// The one version there is (RFC 6455 4.1).
const THIRTEEN: &[u8] = b"13";

const WEBSOCKET: &[u8] = b"websocket";

fn is(name: &[u8], known: Name) -> bool {
    let [title, _] = known;
    name.eq_ignore_ascii_case(title.as_bytes())
}

/// One field, if there is a value for it.
fn pair(name: Name, on_h2: bool, value: Option<&[u8]>) -> Option<(&'static [u8], &[u8])> {
    let [title, lower] = name;
    let value = value.filter(|value| !value.is_empty())?;
    Some((if on_h2 { lower } else { title }.as_bytes(), value))
}

/// `value` is a list that has `member`; case does not count.
fn has(value: &[u8], member: &[u8]) -> bool {
    field::list(value).any(|one| one.eq_ignore_ascii_case(member))
}

/// Takes note of a value that may come once.
fn once<'f>(
    slot: &mut Option<&'f [u8]>,
    value: &'f [u8],
    error: HandshakeError,
) -> Result<(), HandshakeError> {
    match slot.replace(field::trim(value)) {
        None => Ok(()),
        Some(_) => Err(error),
    }
}

/// What shows that a server has understood a key (RFC 6455 4.2.2).
fn accept(key: &[u8]) -> [u8; 28] {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&sha1.digest().bytes())
}

/// `N` is the length that base64 makes of `bytes`.
fn base64<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [b'='; N];
    // There is room for it.
    let _ = STANDARD.encode_slice(bytes, &mut text);
    text
}

/// 16 bytes in base64.
fn is_key(text: &[u8]) -> bool {
    let mut bytes = [0; 18];
    text.len() == 24 && STANDARD.decode_slice(text, &mut bytes) == Ok(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_6455_1_3_is_accepted_as_it_says() {
        assert_eq!(base64::<24>(b"the sample nonce"), *b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_the_base64_of_16_bytes() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in
            [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZWU=", b"dGhlIHNhbXBsZSBub25j Q=="]
        {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
