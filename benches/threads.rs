//! What it costs another thread to ask the loop for something: eight threads, a million requests each, none lost.

mod common;

use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState};

const THREADS: usize = 8;
const CALLS: u32 = 1_000_000;

struct Idle;

impl StreamHandler for Idle {
    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, _: StreamState, _: u32) -> Flow {
        Flow::Ok
    }
}

/// Nanoseconds that a request takes its thread, and of the loop's processor time that it takes.
fn measure(ask: impl Fn(&millstream::Remote, StreamId) + Clone + Send + 'static) -> (f64, f64) {
    let policy = r#"{ "s": [ { "idle": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1" } } ] }"#;
    let mut context =
        Context::builder().policy(policy).expect("a policy").app(0_usize).build().expect("a context");
    let stream = context.with(|cx| cx.create("idle", Idle)).expect("a stream");
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (remote, ask) = (context.remote(), ask.clone());
            std::thread::spawn(move || {
                let before = common::thread_time();
                for _ in 0..CALLS {
                    ask(&remote, stream);
                }
                let taken = common::thread_time().saturating_sub(before);
                let done = |cx: &mut Cx<'_>| {
                    let ended = cx.app::<usize>().expect("a count");
                    *ended += 1;
                    if *ended == THREADS {
                        cx.stop();
                    }
                };
                remote.attach(done).expect("a loop");
                taken.as_nanos() as f64 / f64::from(CALLS)
            })
        })
        .collect();
    let before = common::thread_time();
    context.run().expect("a poller");
    let served = common::thread_time().saturating_sub(before);
    let asked =
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum::<f64>() / THREADS as f64;
    (asked, served.as_nanos() as f64 / f64::from(CALLS) / THREADS as f64)
}

fn main() {
    println!("| {THREADS} threads, {CALLS} requests each | ns for the thread | ns for the loop |");
    println!("|---|---|---|");
    for (name, (asked, served)) in [
        ("request_tx", measure(|remote, stream| remote.request_tx(stream).expect("a loop"))),
        ("attach", measure(|remote, _| remote.attach(|_| ()).expect("a loop"))),
    ] {
        println!("| {name} | {asked:.0} | {served:.0} |");
    }
}
