//! The way of a device to normal operation: steps, those who hold them, and those who wait for them.

use millstream::sim::Network;
use millstream::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Log = Rc<RefCell<Vec<String>>>;

fn said(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.borrow_mut())
}

#[test]
fn without_notifiers_a_context_is_operational_from_its_beginning() {
    let mut context = Context::builder().sim(Network::new(1).host("10.0.0.1")).build().unwrap();
    let log = Log::default();
    let told = Rc::clone(&log);
    context.with(|cx| {
        assert_eq!(cx.system_state(), SystemState::Operational);
        cx.attach(SystemState::Operational, move |_| told.borrow_mut().push("at once".into()));
    });
    assert_eq!(said(&log), ["at once"]);
}

#[test]
fn each_step_is_asked_for_in_order_and_who_waits_for_one_hears_of_it() {
    let log = Log::default();
    let told = Rc::clone(&log);
    let mut context = Context::builder()
        .sim(Network::new(1).host("10.0.0.1"))
        .system_notifier(move |cx, next| {
            assert_eq!(cx.system_state().next(), Some(next));
            told.borrow_mut().push(format!("{next:?}?"));
            Step::GoOn
        })
        .build()
        .unwrap();
    let waiting = Rc::clone(&log);
    context.with(|cx| {
        assert_eq!(cx.system_state(), SystemState::ContextCreated);
        for state in [SystemState::Operational, SystemState::Dhcp] {
            let waiting = Rc::clone(&waiting);
            cx.attach(state, move |cx| {
                assert!(cx.system_state() >= state);
                waiting.borrow_mut().push(format!("{state:?}!"));
            });
        }
    });
    let steps = [
        "Initialized?",
        "IfaceColdplug?",
        "Dhcp?",
        "Dhcp!",
        "TimeValid?",
        "PolicyValid?",
        "Registered?",
        "Auth1?",
        "Auth2?",
        "Operational?",
        "Operational!",
    ];
    assert_eq!(said(&log), steps);
}

#[test]
fn a_step_is_held_until_its_holder_says_and_then_all_are_asked_again() {
    let network = Network::new(1);
    let (log, mut held) = (Log::default(), 0);
    let (first, second) = (Rc::clone(&log), Rc::clone(&log));
    let mut context = Context::builder()
        .sim(network.host("10.0.0.1"))
        .system_notifier(move |_, next| {
            if next == SystemState::TimeValid {
                first.borrow_mut().push("first".into());
            }
            Step::GoOn
        })
        .system_notifier(move |cx, next| {
            if next != SystemState::TimeValid || held == 2 {
                return Step::GoOn;
            }
            held += 1;
            second.borrow_mut().push(format!("held at {}", cx.now().as_us()));
            cx.sul_schedule(Duration::from_secs(1), |cx| {
                cx.system_go_on();
                cx.system_go_on();
            });
            Step::Hold
        })
        .build()
        .unwrap();
    let reached = Rc::clone(&log);
    context.with(|cx| {
        cx.attach(SystemState::Operational, move |cx| {
            reached.borrow_mut().push(format!("reached at {}", cx.now().as_us()));
        });
    });
    network.run(&mut [&mut context], Us::from_us(10_000_000)).unwrap();
    assert_eq!(said(&log), ["first", "held at 0", "first", "held at 1000000", "first", "reached at 2000000"]);
    context.with(|cx| cx.system_go_on());
    assert_eq!(context.with(|cx| cx.system_state()), SystemState::Operational);
}

#[test]
fn a_thread_leaves_a_call_for_a_state_that_is_still_to_come() {
    let mut is_ready = false;
    let mut context = Context::builder()
        .system_notifier(move |cx, next| {
            if next == SystemState::Registered && !is_ready {
                is_ready = true;
                cx.sul_schedule(Duration::from_millis(1), |cx| cx.system_go_on());
                return Step::Hold;
            }
            Step::GoOn
        })
        .build()
        .unwrap();
    let remote = context.remote();
    let thread = std::thread::spawn(move || {
        remote.attach_at(SystemState::Operational, |cx| {
            assert_eq!(cx.system_state(), SystemState::Operational);
            cx.stop();
        })
    });
    thread.join().unwrap().unwrap();
    context.run().unwrap();
}
