//! What must hold for any bytes given to an HTTP/1.1 engine: no panic, ranges within the input, errors that stay, and
//! the same events however the bytes are cut.

#[path = "../../roles/h1/tests/common/mod.rs"]
mod common;

use common::{Told, client_of, feed};
use http::Method;
use millstream_h1::{Engine, Limits};

/// Small limits, so that short inputs reach them.
const LIMITS: Limits =
    Limits { head: 2048, target: 512, fields: 20, chunk_line: 64, trailers: 256, discard: 1000, body: 5000 };

fn cut_anyhow(make: impl Fn() -> Engine, data: &[u8]) {
    let Some((&cut, input)) = data.split_first() else { return };
    let eof = cut & 1 == 1;
    let whole = feed(&mut make(), &[input], eof);
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    assert_eq!(feed(&mut make(), &[first, second], eof), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes, eof), whole);
    let errors = whole.iter().filter(|told| matches!(told, Told::Error(_))).count();
    assert!(errors <= 1);
}

/// Bytes from a client.
pub(crate) fn h1_request(data: &[u8]) {
    cut_anyhow(|| Engine::server(LIMITS), data);
}

/// Bytes from a server, to one of two methods.
pub(crate) fn h1_response(data: &[u8]) {
    let method = if data.first().is_some_and(|first| first & 2 == 2) { Method::Head } else { Method::Get };
    cut_anyhow(|| client_of(method), data);
}

/// The body of a request in chunks.
pub(crate) fn chunked(data: &[u8]) {
    let Some((cut, body)) = data.split_first() else { return };
    let mut whole = vec![*cut];
    whole.extend_from_slice(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    whole.extend_from_slice(body);
    cut_anyhow(|| Engine::server(LIMITS), &whole);
}
