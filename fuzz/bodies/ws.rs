//! What must hold for any bytes given to a WebSocket engine: no panic, ranges within the input, errors that stay, and the
//! same events however the bytes are cut. What one side agrees to or deflates, the other understands.

#[path = "../../roles/ws/tests/common/mod.rs"]
mod common;

use common::{BINARY, FIN, KEY, RSV1, Reader, TEXT, Told, bare, feed, masked};
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
    assert_eq!(feed_beside_another(make, cut, input), whole);
    check(&whole);
}

/// What an engine tells that shares its scratch with another, while both send too.
fn feed_beside_another(make: impl Fn() -> Engine, cut: u8, input: &[u8]) -> Vec<Told> {
    let (mut own, mut other, mut scratch) = (make(), make(), Scratch::new(300, 1));
    // A third was here before: 600 bytes in a stored block (RFC 1951 3.2.4), which nobody may refer to any more.
    let mut third = Engine::server(LIMITS, Some(Deflate::default()));
    let stored = [&[0, 0x58, 2, 0xa7, 0xfd], &[b'.'; 600][..], &[0]].concat();
    let mut before = Reader::new(&mut third);
    before.give(&masked(FIN | RSV1 | BINARY, &stored), &mut scratch, 300);
    assert!(matches!(&before.told[..], [Told::Frame { bytes, is_whole: true, .. }] if bytes.len() == 600));

    let mut wire = Vec::new();
    let (mut reader, mut beside) = (Reader::new(&mut own), Reader::new(&mut other));
    for piece in input.chunks(16 + usize::from(cut)) {
        reader.give(piece, &mut scratch, 300);
        beside.give(&piece[piece.len() / 2..], &mut scratch, 300);
        // Refused where nothing was agreed on, and behind a goodbye.
        for engine in [&mut *reader.engine, &mut *beside.engine] {
            let is = Piece { is_binary: true, is_first: true, is_last: true };
            let _ = engine.encode_deflated(b"some words, some words", is, KEY, &mut scratch, &mut wire);
        }
    }
    reader.told
}

/// What must hold for all that an engine tells: messages that begin, go on and end, within their limits (RFC 6455 5.4);
/// text that is text (RFC 6455 8.1); and nothing behind the end (RFC 6455 5.5.1).
fn check(told: &[Told]) {
    let (mut message, mut is_over) = (None, false);
    for (at, one) in told.iter().enumerate() {
        assert!(!is_over || matches!(one, Told::Sent(_)), "{one:?} behind the end");
        match one {
            Told::Frame { bytes, is_binary, is_first, is_last, is_whole } => {
                assert_eq!(message.is_none(), *is_first, "a message within another, or none");
                let (kind, so_far) = message.get_or_insert_with(|| (*is_binary, Vec::new()));
                assert_eq!(kind, is_binary);
                so_far.extend_from_slice(bytes);
                assert!(so_far.len() as u64 <= LIMITS.message);
                let text = std::str::from_utf8(so_far);
                assert!(
                    *is_binary || text.map_or_else(|error| error.error_len().is_none() && !is_last, |_| true)
                );
                // Only what comes to nothing is left half told.
                let next = told.get(at + 1);
                assert!(*is_whole || next.is_none_or(|next| matches!(next, Told::Error(_))), "{next:?}");
                if *is_last {
                    message = None;
                }
            }
            Told::Ping(payload) | Told::Pong(payload) => assert!(payload.len() <= 125),
            Told::Close(..) | Told::Error(_) => is_over = true,
            Told::Sent(_) => {}
        }
    }
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

/// Payload that is told to be compressed, or that is to be: in turns, since the latter takes most of the time.
pub(crate) fn ws_deflate(data: &[u8]) {
    let [cut, how, payload @ ..] = data else { return };
    if cut % 2 == 0 {
        inflate(*cut, parameters(*how), payload);
    } else {
        deflate(*cut, parameters(*how), payload);
    }
}

/// In one message and in two; in one, as zlib does it.
fn inflate(cut: u8, deflate: Deflate, payload: &[u8]) {
    let (first, second) = payload.split_at(usize::from(cut).min(payload.len()));
    let frames = [bare(FIN | RSV1 | TEXT, first), bare(FIN | RSV1 | BINARY, second)].concat();
    let make = || Engine::client(LIMITS, Some(deflate));
    cut_anyhow(make, cut, &frames);
    let frame = bare(FIN | RSV1 | BINARY, payload);
    cut_anyhow(make, cut, &frame);
    let told = feed(&mut make(), &[&frame], 4096);
    if let [Told::Frame { bytes, is_whole: true, .. }] = &told[..]
        && let Some(expected) = inflated(payload)
    {
        assert_eq!(*bytes, expected);
    }
}

/// What zlib makes of a message (RFC 7692 7.2.2), if it is one.
fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    let (mut zlib, mut out, mut len) = (zlib_rs::Inflate::new(false, 15), vec![0; 5000], 0);
    let input = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    let mut at = 0;
    loop {
        let before = (zlib.total_in(), zlib.total_out());
        let status = zlib.decompress(&input[at..], &mut out[len..], zlib_rs::InflateFlush::NoFlush).ok()?;
        at += usize::try_from(zlib.total_in() - before.0).unwrap();
        len += usize::try_from(zlib.total_out() - before.1).unwrap();
        if status != zlib_rs::Status::StreamEnd {
            return None;
        }
        // A block that calls itself the last need not be (RFC 7692 7.2.3.4).
        if at + 9 >= input.len() {
            out.truncate(len);
            return Some(out);
        }
        zlib.reset(false);
        zlib.set_dictionary(&out[..len]).ok()?;
    }
}

/// What one side deflates, the other understands.
fn deflate(cut: u8, deflate: Deflate, payload: &[u8]) {
    let (first, second) = payload.split_at(usize::from(cut).min(payload.len()));
    let limits = Limits::default();
    let (mut from, mut to) = (Engine::client(limits, Some(deflate)), Engine::server(limits, Some(deflate)));
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
