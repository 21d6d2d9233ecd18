//! Timers: what one costs among a million.
//!
//! `cargo bench --bench timers`

mod common;

use millstream::{Context, Cx, SulId};
use std::time::Duration;

const LIVE: u32 = 1_000_000;
const ROUNDS: u32 = 5;

/// Spreads times over an hour, without order.
fn delay(nth: u32) -> Duration {
    Duration::from_micros(1 + u64::from(nth.wrapping_mul(2_654_435_761)) % 3_600_000_000)
}

fn schedule(cx: &mut Cx<'_>, nth: u32) -> SulId {
    cx.sul_schedule(delay(nth), |_| {})
}

fn main() {
    let mut context = Context::builder().build().expect("a context");
    let mut ids = Vec::with_capacity(LIVE as usize);
    let (mut first, mut pairs, mut moves) = (0.0, Vec::new(), Vec::new());
    context.with(|cx| {
        first = common::nanos_each(LIVE, |nth| ids.push(schedule(cx, nth)));
        for round in 0..ROUNDS {
            pairs.push(common::nanos_each(LIVE, |nth| {
                let id = schedule(cx, nth ^ round);
                cx.sul_cancel(id).expect("it is there");
            }));
            moves.push(common::nanos_each(LIVE, |nth| {
                let at = nth.wrapping_mul(40_503) as usize % ids.len();
                cx.sul_cancel(ids[at]).expect("it is there");
                ids[at] = schedule(cx, nth.wrapping_add(round));
            }));
        }
    });
    println!("| timers, {LIVE} live | ns |");
    println!("|---|---|");
    println!("| schedule the first million, each | {first:.0} |");
    println!("| schedule and cancel one | {:.0} |", common::median(pairs));
    println!("| cancel any, schedule another | {:.0} |", common::median(moves));
}
