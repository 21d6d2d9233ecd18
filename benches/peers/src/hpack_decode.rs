//! `hpack_decode`: header blocks of a browser to header maps, by this project's decoder and by that of the h2 crate, which is
//! only to be had with its frame layer around it: both get a HEADERS frame. Best of seven, in turn.

#[path = "../../../roles/hpack/benches/request/mod.rs"]
mod request;

use bytes::Bytes;
use core::ops::ControlFlow;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use millstream_hpack::{Decoder, Encoder, Limits};
use request::REQUEST;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are there, then no more for now.
struct Wire(Vec<u8>);

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let len = self.0.len().min(to.remaining());
        to.put_slice(&self.0[..len]);
        self.0.drain(..len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Codec = h2::Codec<Wire, Bytes>;

fn theirs(codec: &mut Codec, frame: &[u8]) {
    codec.get_mut().0.extend_from_slice(frame);
    match codec.poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(h2::frame::Frame::Headers(headers)))) => drop(black_box(headers)),
        _ => panic!("no head"),
    }
}

fn ours(decoder: &mut Decoder, frame: &[u8]) {
    let mut map = HeaderMap::new();
    let mut pseudo: [Option<Bytes>; 4] = [const { None }; 4];
    let result = decoder.decode(&frame[9..], |name, value| {
        match name {
            b":method" => pseudo[0] = Some(Bytes::copy_from_slice(value)),
            b":scheme" => pseudo[1] = Some(Bytes::copy_from_slice(value)),
            b":authority" => pseudo[2] = Some(Bytes::copy_from_slice(value)),
            b":path" => pseudo[3] = Some(Bytes::copy_from_slice(value)),
            _ => {
                let name = HeaderName::from_lowercase(name).expect("a name");
                map.append(name, HeaderValue::from_bytes(value).expect("a value"));
            }
        }
        ControlFlow::Continue(())
    });
    result.expect("a header block");
    black_box((map, pseudo));
}

fn nanos(rounds: u32, mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    (0..rounds).for_each(|_| work());
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
}

fn row(name: &str, len: usize, rounds: u32, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let (mut a, mut b) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..7 {
        a = a.min(nanos(rounds, &mut ours));
        b = b.min(nanos(rounds, &mut theirs));
    }
    println!("| {name}, {len} B | {a:.0} | {b:.0} | {:.2} |", b / a);
}

fn main() {
    let mut encoder = Encoder::new(4096);
    let [first, again] = [(); 2].map(|()| {
        let mut frame = vec![0; 9];
        let mut block = encoder.block(&mut frame);
        for (name, value) in REQUEST {
            block.field(name.as_bytes(), value.as_bytes());
        }
        // HEADERS of stream 1, with END_STREAM and END_HEADERS.
        let len = (frame.len() - 9) as u32;
        frame[..3].copy_from_slice(&len.to_be_bytes()[1..]);
        frame[3..9].copy_from_slice(&[1, 5, 0, 0, 0, 1]);
        frame
    });
    let codec = || Codec::new(Wire(Vec::new()));
    println!("| header block to header map | ours, ns | h2 crate, ns | ratio |\n|---|---|---|---|");
    row(
        "first request",
        first.len() - 9,
        5000,
        || ours(&mut Decoder::new(Limits::default()), &first),
        || theirs(&mut codec(), &first),
    );
    let (mut decoder, mut other) = (Decoder::new(Limits::default()), codec());
    ours(&mut decoder, &first);
    theirs(&mut other, &first);
    row(
        "the same again",
        again.len() - 9,
        20_000,
        || ours(&mut decoder, &again),
        || theirs(&mut other, &again),
    );
}
