//! User code straight on connections: each callback of `Protocol`, plain and TLS, both sides, whatever they speak.

use crate::policy::{self, HOST};
use crate::protocol_user::{
    Act, Answer, Door, Life, Moment, Plan, Shape, Side, Stage, User, address, client_info,
};
use crate::runner::{self, Runner};
use millstream::sim::Network;
use millstream::{Census, Context, Identity, ListenInfo, WsiId};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Plays a scenario to its end; `failing` is the operation of the network that fails once all is set up. Returns how
/// often its moment came, and how many operations there were.
fn play(plan: Plan, failing: Option<u64>) -> (u32, u64) {
    let network = Network::new(11);
    let mut context =
        Context::builder().policy(policy::text()).unwrap().sim(network.host(HOST)).build().unwrap();
    let stage = Stage::new(plan);
    let mut info =
        ListenInfo { websockets: plan.shape.is_ws(), ..ListenInfo::new(address(), plan.shape.server()) };
    let (cert, key) = policy::identity();
    info.tls = plan.tls.then(|| Identity::from_der(&[cert], key).unwrap());
    context.with(|cx| {
        stage.vhost.set(Some(cx.listen(info, Door(Rc::clone(&stage))).unwrap()));
        let info = client_info(cx, plan);
        stage.other.set(Some(cx.connect(&info, User::new(Side::Other, &stage))));
        cx.connect(&info, User::new(Side::Client, &stage));
    });
    let begun = network.fallible_ops();
    if let Some(nth) = failing {
        network.fail_nth(nth);
    }
    let run = |context: &mut Context, millis| runner::run(&network, &mut [context], millis);
    run(&mut context, 20);
    let is_one = context.counters().connected == 1;
    assert!(is_one || !plan.shape.is_shared() || !plan.is_harmless() || failing.is_some(), "none is shared");
    for _ in 0..2 {
        let ids: Vec<_> = stage.lives.borrow().keys().copied().collect();
        context.with(|cx| ids.into_iter().for_each(|id| drop(cx.wsi_close(id))));
        run(&mut context, 20);
    }
    context.with(|cx| drop(cx.vhost_destroy(stage.vhost.get().unwrap())));
    run(&mut context, 400_000);
    assert_eq!(context.census(), Census::default());
    drop(context);
    assert_eq!(stage.handlers.get(), 0, "handlers that were never dropped");
    let lives = stage.lives.borrow();
    lives.iter().for_each(|(id, life)| check_order(plan, *id, life));
    check_payload(&stage, &lives, failing.is_some());
    (stage.hits.get(), network.fallible_ops() - begun)
}

fn check_order(plan: Plan, id: WsiId, life: &Life) {
    let moments = &life.moments;
    let closed = moments.iter().filter(|at| **at == Moment::Closed).count();
    // Who gives a connection back hears nothing more of it.
    let may_be_released = plan.act == Act::Release;
    assert!(closed == 1 || (closed == 0 && may_be_released), "{id}: closed {closed} times: {life:?}");
    assert!(closed == 0 || moments.last() == Some(&Moment::Closed), "{id}: {life:?}");
    let comes_up = matches!(moments.first(), Some(Moment::Established | Moment::Closed));
    assert!(comes_up, "{id}: does not begin by its beginning: {life:?}");
}

/// Nothing arrives that was not sent; and where nobody has meddled, all of it does.
fn check_payload(stage: &Stage, lives: &BTreeMap<WsiId, Life>, fails: bool) {
    let plan = stage.plan;
    let touched = stage.touched.borrow();
    let clients: Vec<_> = lives.iter().filter(|(_, life)| life.side != Side::Server).collect();
    let servers: Vec<_> = lives.iter().filter(|(_, life)| life.side == Side::Server).collect();
    let mut alone = 0;
    for (id, client) in clients {
        let theirs = servers.iter().find(|(_, server)| {
            !server.got.is_empty() && client.sent.starts_with(server.got.get(..3).unwrap_or(&server.got))
        });
        let Some((server_id, server)) = theirs else {
            let is_from = |(id, server): &&(&WsiId, &Life)| {
                touched.contains(*id) && server.sent.starts_with(&client.got)
            };
            let is_known = client.got.is_empty() || servers.iter().any(|server| is_from(&server));
            assert!(is_known, "{id}: from nowhere: {client:?}");
            alone += usize::from(!touched.contains(id));
            continue;
        };
        assert!(client.sent.starts_with(&server.got), "{server_id}: {server:?} of {client:?}");
        assert!(server.sent.starts_with(&client.got), "{id}: {client:?} of {server:?}");
        if !fails && plan.ends_in_peace() {
            let (by_client, by_server) = (touched.contains(id), touched.contains(server_id));
            assert!(
                by_server || server.got.len() >= client.surely_sent,
                "{id}: lost: {client:?} to {server:?}"
            );
            assert!(
                by_client || client.got.len() >= server.surely_sent,
                "{id}: lost: {server:?} to {client:?}"
            );
        }
        if fails || touched.contains(id) || touched.contains(server_id) {
            continue;
        }
        assert!(client.has_all || plan.shape == Shape::Raw, "{id}: {client:?} of {server:?}");
        assert_eq!(client.sent, server.got, "{id}: {client:?} to {server:?}");
        assert_eq!(server.sent, client.got, "{server_id}: {server:?} to {client:?}");
    }
    let may_be_alone = match plan.act {
        _ if fails => usize::MAX,
        Act::DestroyVhost => usize::MAX,
        _ => usize::from(plan.side == Side::Server && !plan.is_harmless()),
    };
    assert!(alone <= may_be_alone, "{alone} clients are not served: {lives:?}");
}

fn role(shape: Shape, tls: bool) -> String {
    format!("{shape:?}{}", if tls { "Tls" } else { "" })
}

/// Each callback of both sides, each answer to it, each thing that may be asked for inside.
fn matrix(shape: Shape) {
    let mut runner = Runner::new();
    for (side, tls) in [Side::Client, Side::Server].into_iter().flat_map(|side| [(side, false), (side, true)])
    {
        let moments =
            shape.moments(side).iter().chain(&[Moment::Writeable, Moment::LastWriteable, Moment::Closed]);
        for at in moments.copied() {
            for answer in at.answers().iter().copied() {
                for act in Act::ALL.into_iter().filter(|act| act.is_for(shape, tls, at)) {
                    let plan = Plan { shape, tls, side, at, answer, act };
                    let name = format!("{}/{side:?}/{at:?}/{answer:?}/{act:?}", role(shape, tls));
                    runner.run(&name, || {
                        assert!(play(plan, None).0 > 0, "the moment never came");
                    });
                }
            }
        }
    }
    runner.finish();
}

#[test]
fn raw_protocols() {
    matrix(Shape::Raw);
}

#[test]
fn http_1_protocols() {
    matrix(Shape::H1);
}

#[test]
fn http_2_protocols() {
    matrix(Shape::H2);
}

#[test]
fn websocket_protocols() {
    matrix(Shape::Ws);
}

#[test]
fn websocket_protocols_over_http_2() {
    matrix(Shape::WsOverH2);
}

#[test]
fn protocols_on_a_failing_network() {
    let mut runner = Runner::new();
    for (shape, tls) in Shape::ALL.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        for act in [Act::Nothing, Act::ConnectAnother] {
            let at = Moment::Established;
            let plan = Plan { shape, tls, side: Side::Client, at, answer: Answer::Ok, act };
            let (_, operations) = play(plan, None);
            assert!(operations > 10, "{operations}");
            for nth in 0..operations {
                let name = format!("fails/{}/{act:?}/{nth}", role(shape, tls));
                runner.run(&name, || {
                    play(plan, Some(nth));
                });
            }
        }
    }
    runner.finish();
}
