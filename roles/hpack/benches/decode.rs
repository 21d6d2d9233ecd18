//! Reading header blocks, beside another decoder in the same run.
//!
//! `cargo bench -p millstream-hpack`

mod request;

use core::ops::ControlFlow;
use millstream_hpack::{Decoder, Encoder, Limits};
use request::REQUEST;
use std::hint::black_box;

#[expect(clippy::disallowed_methods, reason = "the benchmark is about time that passes")]
fn nanos_each(rounds: u32, mut work: impl FnMut()) -> f64 {
    let best = (0..7).map(|_| {
        let began = std::time::Instant::now();
        (0..rounds).for_each(|_| work());
        began.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
    });
    best.fold(f64::INFINITY, f64::min)
}

fn ours(decoder: &mut Decoder, block: &[u8]) {
    let result = decoder.decode(black_box(block), |name, value| {
        black_box((name, value));
        ControlFlow::Continue(())
    });
    result.unwrap();
}

fn theirs(decoder: &mut loona_hpack::Decoder<'_>, block: &[u8]) {
    decoder
        .decode_with_cb(black_box(block), |name, value| {
            black_box((name, value));
        })
        .unwrap();
}

fn main() {
    let (mut encoder, mut first, mut again) = (Encoder::new(4096), Vec::new(), Vec::new());
    for out in [&mut first, &mut again] {
        let mut block = encoder.block(out);
        for (name, value) in REQUEST {
            block.field(name.as_bytes(), value.as_bytes());
        }
    }
    // The shortest strings there are, as many as fit a frame: the most work for the fewest bytes.
    let bomb: Vec<u8> = [0x00, 0x81, 0x1f, 0x81, 0x1f].repeat(16_384 / 5);

    println!("| decode | ours, ns | loona-hpack, ns | ratio |\n|---|---|---|---|");
    for (name, block, rounds) in [("first request", &first, 20_000), ("16 KiB of short strings", &bomb, 200)]
    {
        let a = nanos_each(rounds, || ours(&mut Decoder::new(Limits::default()), block));
        let b = nanos_each(rounds.div_ceil(100), || theirs(&mut loona_hpack::Decoder::new(), block));
        println!("| {name}, {} B | {a:.0} | {b:.0} | {:.1} |", block.len(), b / a);
    }
    let (mut decoder, mut other) = (Decoder::new(Limits::default()), loona_hpack::Decoder::new());
    ours(&mut decoder, &first);
    theirs(&mut other, &first);
    let a = nanos_each(100_000, || ours(&mut decoder, &again));
    let b = nanos_each(1000, || theirs(&mut other, &again));
    println!("| the same again, {} B | {a:.0} | {b:.0} | {:.1} |", again.len(), b / a);
    let mut out = Vec::new();
    let a = nanos_each(20_000, || {
        out.clear();
        let mut encoder = Encoder::new(4096);
        let mut block = encoder.block(&mut out);
        for (name, value) in REQUEST {
            block.field(name.as_bytes(), value.as_bytes());
        }
    });
    println!("| encode the first request | {a:.0} | | |");
    let a = nanos_each(20_000, || {
        out.clear();
        let mut block = encoder.block(&mut out);
        for (name, value) in REQUEST {
            block.field(name.as_bytes(), value.as_bytes());
        }
    });
    println!("| encode the same again | {a:.0} | | |");
}
