//! permessage-deflate in Sec-WebSocket-Extensions (RFC 6455 9.1, RFC 7692 5 and 7.1).

use super::HandshakeError;
use crate::Deflate;
use alloc::vec::Vec;
use http::field;

const NAME: &[u8] = b"permessage-deflate";
const SERVER_FORGETS: &[u8] = b"server_no_context_takeover";
const CLIENT_FORGETS: &[u8] = b"client_no_context_takeover";
const SERVER_BITS: &[u8] = b"server_max_window_bits";
const CLIENT_BITS: &[u8] = b"client_max_window_bits";

/// A parameter that says how large a window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Bits {
    #[default]
    Absent,
    /// Named without a value.
    Any,
    Of(u8),
}

impl Bits {
    fn max(self) -> u8 {
        if let Self::Of(bits) = self { bits } else { 15 }
    }
}

/// The parameters as they were said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Params {
    server_forgets: bool,
    client_forgets: bool,
    server_bits: Bits,
    client_bits: Bits,
}

/// An element of the field.
enum Extension {
    Deflate(Params),
    /// Another one, or one with parameters that are not known here or do not make sense.
    Other,
}

impl Extension {
    /// # Errors
    /// It follows no grammar (RFC 6455 9.1: that fails the handshake, whatever the extension).
    fn parse(text: &[u8]) -> Result<Self, HandshakeError> {
        let mut parts = text.split(|byte| *byte == b';').map(field::trim);
        let name = parts.next().filter(|name| field::is_token(name)).ok_or(HandshakeError::Extension)?;
        let mut params = Some(Params::default());
        for part in parts {
            let (name, value) = param(part)?;
            params = params.and_then(|params| params.with(name, value));
        }
        Ok(match params {
            Some(params) if name.eq_ignore_ascii_case(NAME) => Self::Deflate(params),
            _ => Self::Other,
        })
    }
}

/// `name`, `name=value` or `name="value"`.
fn param(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), HandshakeError> {
    let mut halves = text.splitn(2, |byte| *byte == b'=').map(field::trim);
    let name = halves.next().unwrap_or_default();
    let value = halves.next().map(|value| match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    });
    // A quoted value has to be a token too, so nothing in it can have been escaped.
    if field::is_token(name) && value.is_none_or(field::is_token) {
        Ok((name, value))
    } else {
        Err(HandshakeError::Extension)
    }
}

impl Params {
    /// `None`: not known, said twice, or with a value that it cannot have (RFC 7692 7.1).
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let flag = |slot: &mut bool| (value.is_none() && !core::mem::replace(slot, true)).then_some(());
        let bits = |slot: &mut Bits| {
            let new = match value {
                None => Bits::Any,
                Some(value) => Bits::Of(bits(value)?),
            };
            (core::mem::replace(slot, new) == Bits::Absent).then_some(())
        };
        if name.eq_ignore_ascii_case(SERVER_FORGETS) {
            flag(&mut self.server_forgets)?;
        } else if name.eq_ignore_ascii_case(CLIENT_FORGETS) {
            flag(&mut self.client_forgets)?;
        } else if name.eq_ignore_ascii_case(SERVER_BITS) && value.is_some() {
            bits(&mut self.server_bits)?;
        } else if name.eq_ignore_ascii_case(CLIENT_BITS) {
            bits(&mut self.client_bits)?;
        } else {
            return None;
        }
        Some(self)
    }

    fn write(self, out: &mut Vec<u8>) {
        let mut part = |name: &[u8], is_there: bool, bits: Bits| {
            if !is_there {
                return;
            }
            out.extend_from_slice(b"; ");
            out.extend_from_slice(name);
            if let Bits::Of(bits) = bits {
                out.push(b'=');
                if bits >= 10 {
                    out.push(b'1');
                }
                out.push(b'0' + bits % 10);
            }
        };
        part(SERVER_FORGETS, self.server_forgets, Bits::Absent);
        part(CLIENT_FORGETS, self.client_forgets, Bits::Absent);
        part(SERVER_BITS, self.server_bits != Bits::Absent, self.server_bits);
        part(CLIENT_BITS, self.client_bits != Bits::Absent, self.client_bits);
    }

    fn text(self) -> Vec<u8> {
        let mut out = NAME.to_vec();
        self.write(&mut out);
        out
    }
}

/// 8 to 15, without leading zeros.
fn bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(digit - b'0' + 10),
        _ => None,
    }
}

/// What a client offers.
pub(super) fn offer(wish: Deflate) -> Vec<u8> {
    let wish = wish.clamped();
    Params {
        server_forgets: wish.server_no_context_takeover,
        client_forgets: wish.client_no_context_takeover,
        server_bits: if wish.server_max_window_bits < 15 {
            Bits::Of(wish.server_max_window_bits)
        } else {
            Bits::Absent
        },
        // Always: only then may the server ask for a small window.
        client_bits: if wish.client_max_window_bits < 15 {
            Bits::Of(wish.client_max_window_bits)
        } else {
            Bits::Any
        },
    }
    .text()
}

/// A server's choice among the offers that it has been given.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) agreed: Option<Deflate>,
    pub(super) response: Vec<u8>,
}

impl Choice {
    /// Takes the first offer of `value` that makes sense, if none was taken before (RFC 7692 5.1).
    pub(super) fn consider(&mut self, value: &[u8], own: Option<Deflate>) -> Result<(), HandshakeError> {
        for text in field::list(value) {
            let (Extension::Deflate(offer), Some(own), None) = (Extension::parse(text)?, own, self.agreed)
            else {
                continue;
            };
            let (agreed, response) = grant(offer, own.clamped());
            (self.agreed, self.response) = (Some(agreed), response.text());
        }
        Ok(())
    }
}

/// What a server makes of an offer: the narrower of both.
fn grant(offer: Params, own: Deflate) -> (Deflate, Params) {
    let server_bits = own.server_max_window_bits.min(offer.server_bits.max());
    // RFC 7692 7.1.2.2: a client that does not mention it cannot be asked for less than everything.
    let client_bits = match offer.client_bits {
        Bits::Absent => 15,
        said => own.client_max_window_bits.min(said.max()),
    };
    let agreed = Deflate {
        server_no_context_takeover: own.server_no_context_takeover || offer.server_forgets,
        client_no_context_takeover: own.client_no_context_takeover || offer.client_forgets,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
    };
    let response = Params {
        server_forgets: agreed.server_no_context_takeover,
        client_forgets: agreed.client_no_context_takeover,
        server_bits: if offer.server_bits == Bits::Absent { Bits::Absent } else { Bits::Of(server_bits) },
        client_bits: if client_bits == 15 { Bits::Absent } else { Bits::Of(client_bits) },
    };
    (agreed, response)
}

/// What a client makes of the response to what it offered.
pub(super) fn check(
    value: &[u8],
    wish: Option<Deflate>,
    agreed: &mut Option<Deflate>,
) -> Result<(), HandshakeError> {
    for text in field::list(value) {
        let (Extension::Deflate(response), Some(wish), None) = (Extension::parse(text)?, wish, *agreed)
        else {
            return Err(HandshakeError::Extension);
        };
        *agreed = Some(settle(response, wish.clamped()).ok_or(HandshakeError::Extension)?);
    }
    Ok(())
}

fn settle(response: Params, wish: Deflate) -> Option<Deflate> {
    let limits_server = response.server_bits != Bits::Absent || wish.server_max_window_bits == 15;
    let legal = response.client_bits != Bits::Any
        && (response.server_forgets || !wish.server_no_context_takeover)
        && limits_server
        && response.server_bits.max() <= wish.server_max_window_bits
        && (response.client_bits == Bits::Absent
            || response.client_bits.max() <= wish.client_max_window_bits);
    legal.then(|| Deflate {
        server_no_context_takeover: response.server_forgets,
        // A client may always forget (RFC 7692 7.1.1.2), and refer less far back than it might.
        client_no_context_takeover: response.client_forgets || wish.client_no_context_takeover,
        server_max_window_bits: response.server_bits.max(),
        client_max_window_bits: response.client_bits.max().min(wish.client_max_window_bits),
    })
}

#[cfg(test)]
#[path = "extension_tests.rs"]
mod tests;
