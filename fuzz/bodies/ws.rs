//! What must hold for any bytes given to a WebSocket engine: no panic, ranges within the input, errors that stay, and the
//! same events however the bytes are cut. What one side agrees to or deflates, the other understands.

#[path = "../../roles/ws/tests/common/mod.rs"]
mod common;

use common::{BINARY, FIN, KEY, RSV1, TEXT, Told, bare, feed};
use http::{Method, Status};
use millstream_ws::handshake::{Answer, Offer, Terms};
use millstream_ws::{Deflate, Engine, Limits, Piece, Scratch};

/// Small limits, so that short inputs reach them.
const LIMITS: Limits = Limits { frame: 2000, message: 3000, ratio: 20 };

fn parameters(byte: u8) -> Deflate {
    Deflate {
        server_no_context_takeover: byte & 1 != 0,
        client_no_context_takeover: byte & 2 != 0,
        server_max_window_bits: 8 + (byte >> 2 & 7),
        client_max_window_bits: 8 + (byte >> 5),
    }
}

fn cut_anyhow(make: impl Fn() -> Engine, cut: u8, input: &[u8]) {
    let whole = feed(&mut make(), &[input], 4096);
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(feed(&mut make(), &[first, second], 100), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes, 1), whole);
    let errors = whole.iter().filter(|told| matches!(told, Told::Error(_))).count();
    assert!(errors <= 1);
}

fn frames(data: &[u8], make: impl Fn(Limits, Option<Deflate>) -> Engine) {
    let [cut, how, input @ ..] = data else { return };
    // Without compression, or with the parameters of a byte.
    let deflate = (*how != 0).then(|| parameters(*how));
    cut_anyhow(|| make(LIMITS, deflate), *cut, input);
}

/// Bytes from a client.
pub(crate) fn ws_server(data: &[u8]) {
    frames(data, Engine::server);
}

/// Bytes from a server.
pub(crate) fn ws_client(data: &[u8]) {
    frames(data, Engine::client);
}

/// A head's fields, one a line: as a request, then as a response. Then an offer and terms of the input's choice.
pub(crate) fn ws_handshake(data: &[u8]) {
    let [wish, own, flags, text @ ..] = data else { return };
    let deflate = |byte: u8, bit: u8| (flags & bit != 0).then(|| parameters(byte));
    let terms = Terms { protocols: "a, chat,superchat", deflate: deflate(*own, 1) };
    let wishes =
        Terms { protocols: if flags & 4 != 0 { "b, superchat" } else { "" }, deflate: deflate(*wish, 2) };
    let fields = || {
        let lines = text.split(|byte| *byte == b'\n');
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        })
    };
    for method in [Method::Get, Method::Connect] {
        if let Ok(answer) = Answer::new(method, fields(), &terms) {
            assert!(answer.agreed().deflate.is_none() || terms.deflate.is_some());
            assert!(answer.agreed().protocol.is_none_or(|name| terms.protocols.contains(name)));
            assert!(answer.fields().all(|(_, value)| http::field::is_value(value)));
        }
    }
    let offers = [Offer::new(b"the sample nonce", wishes), Offer::connect(wishes)];
    for (offer, method) in offers.iter().zip([Method::Get, Method::Connect]) {
        for status in [Status::SWITCHING_PROTOCOLS, Status::OK] {
            if let Ok(agreed) = offer.check(status, fields()) {
                assert!(agreed.deflate.is_none() || wishes.deflate.is_some());
                assert!(agreed.protocol.is_none_or(|name| wishes.protocols.contains(name)));
            }
        }
        let connection = [(&b"Connection"[..], &b"upgrade"[..])];
        let answer = Answer::new(method, offer.fields().chain(connection), &terms).unwrap();
        let agreed = offer.check(answer.status(), answer.fields().chain(connection)).unwrap();
        let granted = answer.agreed();
        assert_eq!(agreed.protocol, granted.protocol);
        assert_eq!(agreed.deflate.is_some(), granted.deflate.is_some());
        if let (Some(agreed), Some(granted)) = (agreed.deflate, granted.deflate) {
            // A window may be smaller than the other side has to expect, never larger.
            assert!(granted.server_max_window_bits <= agreed.server_max_window_bits);
            assert!(agreed.client_max_window_bits <= granted.client_max_window_bits);
        }
    }
}

/// Compressed payload of any kind, in one message and in two; then the same bytes as messages to compress.
pub(crate) fn ws_deflate(data: &[u8]) {
    let [cut, how, payload @ ..] = data else { return };
    let deflate = parameters(*how);
    let (first, second) = payload.split_at(usize::from(*cut).min(payload.len()));
    let frames = [bare(FIN | RSV1 | TEXT, first), bare(FIN | RSV1 | BINARY, second)].concat();
    cut_anyhow(|| Engine::client(LIMITS, Some(deflate)), *cut, &frames);
    cut_anyhow(|| Engine::client(LIMITS, Some(deflate)), *cut, &bare(FIN | RSV1 | BINARY, payload));

    let (mut from, mut to) =
        (Engine::client(Limits::default(), Some(deflate)), Engine::server(Limits::default(), Some(deflate)));
    let (mut scratch, mut wire) = (Scratch::default(), Vec::new());
    let messages = [&[first, second][..], &[payload], &[second, &[], first]];
    for pieces in messages {
        for (n, piece) in pieces.iter().enumerate() {
            let piece_is = Piece { is_binary: true, is_first: n == 0, is_last: n + 1 == pieces.len() };
            from.encode_deflated(piece, piece_is, KEY, &mut scratch, &mut wire).unwrap();
        }
    }
    let mut expected = messages.iter().flat_map(|pieces| pieces.iter());
    for told in feed(&mut to, &[&wire], 1000) {
        let Told::Frame { bytes, is_whole: true, .. } = told else { panic!("{told:?}") };
        assert_eq!(Some(&bytes.as_slice()), expected.next());
    }
    assert_eq!(expected.next(), None);
}
