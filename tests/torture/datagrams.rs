//! Sockets for datagrams: bound ones and those with one peer, each of their callbacks; and what fails below them.

use crate::policy::{HOST, NAME};
use crate::protocol_user::{ANSWERS, Answer};
use crate::runner::{self, Runner};
use crate::user::{ACTS, Act, Moment, Plan, Side, Stage};
use millstream::sim::Network;
use millstream::{Census, ClientInfo, ClientRole, Context, Target, Validity};
use std::net::SocketAddr;
use std::time::Duration;

const PORT: u16 = 53;

/// Plays a scenario to its end; `failing` is the operation of the network that fails. Returns how often its moment came,
/// and how many operations there were.
fn play(plan: Plan, by_name: bool, failing: Option<u64>) -> (u32, u64) {
    let network = Network::new(11);
    network.name(NAME, &[HOST]);
    let mut context = Context::builder().sim(network.host(HOST)).build().unwrap();
    let bind = SocketAddr::new(HOST.parse().unwrap(), PORT);
    let host = if by_name { NAME } else { HOST };
    let mut info = ClientInfo::new(Target::Host(host.to_owned(), PORT), ClientRole::Udp);
    let secs = |secs| Some(Duration::from_secs(secs));
    info.validity = Some(Validity { ping: secs(2), hangup: secs(5) });
    let stage = Stage::new(plan, info, bind);
    if let Some(nth) = failing {
        network.fail_nth(nth);
    }
    context.with(|cx| {
        let bound = stage.bind(cx, bind, Side::Bound);
        assert!(bound.is_ok() || failing.is_some());
        stage.connect(cx, Side::Client);
        stage.other.set(Some(stage.connect(cx, Side::Other)));
    });
    let run = |context: &mut Context, millis| runner::run(&network, &mut [context], millis);
    // Long enough for the validity of what nobody closes.
    run(&mut context, 20);
    run(&mut context, 10_000);
    for _ in 0..3 {
        context.with(|cx| stage.close_all(cx));
        run(&mut context, 20);
    }
    run(&mut context, 400_000);
    assert_eq!(context.census(), Census::default());
    drop(context);
    stage.check();
    if failing.is_some() && plan.act == Act::Nothing {
        assert!(stage.hits.get() > 0, "the client's end was not told");
    }
    (stage.hits.get(), network.fallible_ops())
}

#[test]
fn datagrams() {
    let mut runner = Runner::new();
    for by_name in [false, true] {
        for side in [Side::Bound, Side::Client] {
            let mut moments = vec![Moment::Established, Moment::Datagram, Moment::Writeable, Moment::Closed];
            if side == Side::Client {
                moments.push(Moment::Ping);
            }
            for at in moments {
                for answer in ANSWERS {
                    for act in ACTS {
                        for always in [false, true] {
                            if always && (act.is_endless() || (act, at) == (Act::CloseAll, Moment::Closed)) {
                                continue;
                            }
                            let plan = Plan { side, at, answer, act, always };
                            let how = if by_name { "udp_name" } else { "udp" };
                            runner.run(&format!("{how}/{}", plan.name()), || {
                                assert!(play(plan, by_name, None).0 > 0, "the moment never came");
                            });
                        }
                    }
                }
            }
        }
    }
    runner.finish();
}

#[test]
fn datagrams_on_a_failing_network() {
    let mut runner = Runner::new();
    for by_name in [false, true] {
        for act in [Act::Nothing, Act::ConnectAnother, Act::BindAnother] {
            let at = if act == Act::Nothing { Moment::Closed } else { Moment::Datagram };
            let plan = Plan { at, act, answer: Answer::Ok, ..Plan::QUIET };
            let (_, operations) = play(plan, by_name, None);
            assert!(operations > 20, "{operations}");
            for nth in 0..operations {
                runner.run(&format!("udp_fails/{by_name}/{act:?}/{nth}"), || {
                    play(plan, by_name, Some(nth));
                });
            }
        }
    }
    runner.finish();
}
