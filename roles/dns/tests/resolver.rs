//! Whom a resolver asks, what it tells, and what it keeps.

mod common;
#[path = "common/net.rs"]
mod net;

use common::*;
use millstream_dns::{Failure, HEDGE_DELAY, Limits, NameError, Output, Transport};
use net::*;

const TWO: &str = "nameserver 192.0.2.53\nnameserver 192.0.2.54\n";

#[test]
fn each_family_is_told_when_it_is_known() {
    let mut net = net(TWO);
    net.lookup(1, "A.example");
    let [v6, v4] = net.asked_both();
    assert_eq!((v6.what().0.as_str(), v6.server.as_str(), v6.has_edns()), ("a.example", "192.0.2.53", true));
    assert_ne!(read_query(&v6.sent).0, read_query(&v4.sent).0);
    net.answer(&v4, &v4.reply().address("a.example", "192.0.2.1", 60).address("a.example", "192.0.2.2", 60));
    assert_eq!(net.told_one(), ["4:192.0.2.1 192.0.2.2"]);
    net.answer(&v6, &v6.reply().soa("example", 60, 60));
    assert_eq!(net.told_one(), ["6:NoAddress"]);
    net.assert_idle();
}

#[test]
fn addresses_are_their_own_names() {
    let mut net = net(TWO);
    net.lookup(1, "192.0.2.7");
    net.lookup(2, "2001:db8::7");
    let told = net.told();
    let told: Vec<(u64, &str)> = told.iter().map(|(id, text)| (*id, text.as_str())).collect();
    assert_eq!(told, [(1, "6:NoAddress"), (1, "4:192.0.2.7"), (2, "6:2001:db8::7"), (2, "4:NoAddress")]);
    net.assert_idle();
}

#[test]
fn the_hosts_file_comes_before_all_servers() {
    let mut net = net_with(TWO, "192.0.2.9 printer\n192.0.2.8 localhost\n", Limits::default());
    net.lookup(1, "PRINTER.");
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.9"]);
    net.lookup(1, "localhost");
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.8"]);
    net.assert_idle();
}

#[test]
fn names_that_are_set_apart_are_not_asked_for() {
    let mut net = net("search lan\n");
    for (name, told) in [
        ("localhost", ["6:::1", "4:127.0.0.1"]),
        ("a.localhost.", ["6:::1", "4:127.0.0.1"]),
        ("a.onion", ["6:NoSuchName", "4:NoSuchName"]),
    ] {
        net.lookup(1, name);
        assert_eq!(net.told_one(), told);
    }
    net.assert_idle();
}

#[test]
fn what_is_no_name_is_refused_at_once() {
    let mut net = net(TWO);
    assert_eq!(refused(&mut net, "a..b"), Failure::BadName(NameError::EmptyLabel));
    assert_eq!(refused(&mut net, "fe80::1%eth0"), Failure::BadName(NameError::Character));
    net.assert_idle();
}

#[test]
fn lookups_of_one_name_share_its_queries() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [v6, v4] = net.asked_both();
    net.lookup(2, "A.EXAMPLE");
    assert_eq!(net.asked().len(), 0);
    net.answer(&v4, &v4.reply().address("a.example", "192.0.2.1", 60));
    net.answer(&v6, &v6.reply().address("a.example", "2001:db8::1", 60));
    let told = net.told();
    assert_eq!(told.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 2, 1, 2]);
    assert_eq!((told[0].1.as_str(), told[3].1.as_str()), ("4:192.0.2.1", "6:2001:db8::1"));
    net.assert_idle();
}

#[test]
fn what_servers_said_is_kept_as_long_as_it_holds() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [v6, v4] = net.asked_both();
    net.answer(&v4, &v4.reply().address("a.example", "192.0.2.1", 60));
    net.answer(&v6, &v6.reply().soa("example", 10, 10));
    net.told();
    net.now = 10 * SECOND - 1;
    net.lookup(1, "a.example");
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.1"]);
    net.now += 1;
    net.lookup(1, "a.example");
    assert_eq!(net.told_one(), ["4:192.0.2.1"]);
    let again = net.asked_once();
    assert_eq!(again.what().1, AAAA);
    net.answer(&again, &again.reply());
    assert_eq!(net.told_one(), ["6:NoAddress"]);
    net.resolver.clear_cache();
    net.lookup(1, "a.example");
    assert_eq!(net.asked().len(), 2);
    net.resolver.cancel(1);
    net.assert_idle();
}

#[test]
fn failures_are_not_kept() {
    let mut net = net("nameserver 192.0.2.53\noptions attempts:1\n");
    for _ in 0..2 {
        net.lookup(1, "a.example");
        for asked in net.asked_both() {
            net.answer(&asked, &asked.reply().rcode(2));
        }
        assert_eq!(net.told_one(), ["6:ServerFailure", "4:ServerFailure"]);
    }
    net.assert_idle();
}

#[test]
fn a_lookup_that_is_cancelled_is_not_told_and_its_queries_end_with_the_last() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    net.lookup(2, "a.example");
    let [v6, v4] = net.asked_both();
    net.answer(&v4, &v4.reply().address("a.example", "192.0.2.1", 60));
    net.resolver.cancel(1);
    assert_eq!(net.told(), [(2, "4:192.0.2.1".to_owned())]);
    net.asked();
    assert_eq!(net.open.len(), 1);
    net.resolver.cancel(2);
    net.answer(&v6, &v6.reply().address("a.example", "2001:db8::1", 60));
    net.resolver.cancel(2);
    net.assert_idle();
}

#[test]
fn an_id_that_is_used_again_begins_anew() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    net.asked();
    net.lookup(1, "192.0.2.1");
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.1"]);
    net.assert_idle();
}

#[test]
fn a_socket_that_nobody_opened_is_not_to_be_closed() {
    let mut net = net(TWO);
    for _ in 0..1000 {
        net.lookup(1, "a.example");
        net.resolver.cancel(1);
    }
    assert_eq!(net.resolver.poll_output(), None);
}

#[test]
fn the_search_list_is_gone_through_while_there_is_no_such_name() {
    let mut net = net("search x.example y.example\n");
    net.lookup(1, "host");
    for name in ["host.x.example", "host.y.example"] {
        let [v6, v4] = net.asked_both();
        assert_eq!((v6.what().0.as_str(), v4.what().0.as_str()), (name, name));
        net.answer(&v4, &v4.reply().rcode(3));
        assert_eq!(net.asked().len(), 0);
        net.answer(&v6, &v6.reply().rcode(3));
    }
    let [v6, v4] = net.asked_both();
    assert_eq!(v6.what().0, "host");
    net.answer(&v4, &v4.reply().rcode(3));
    assert_eq!(net.told_one(), ["4:NoSuchName"]);
    net.answer(&v6, &v6.reply().rcode(3));
    assert_eq!(net.told_one(), ["6:NoSuchName"]);
    net.assert_idle();
}

#[test]
fn dots_say_whether_a_name_is_searched_for_first() {
    for (conf, name, first) in [
        ("search x.example\n", "a.b", "a.b"),
        ("search x.example\noptions ndots:2\n", "a.b", "a.b.x.example"),
        ("search x.example\noptions ndots:2\n", "a.b.c", "a.b.c"),
        ("search x.example\noptions ndots:0\n", "a", "a"),
        ("search x.example\n", "a.", "a"),
        ("search x.example\n", "a", "a.x.example"),
    ] {
        let mut net = net(conf);
        net.lookup(1, name);
        assert_eq!(net.asked_both()[0].what().0, first, "{name} with {conf}");
    }
}

#[test]
fn a_name_with_a_dot_at_its_end_is_not_searched_for() {
    let mut net = net("search x.example\n");
    net.lookup(1, "host.");
    for asked in net.asked_both() {
        net.answer(&asked, &asked.reply().rcode(3));
    }
    assert_eq!(net.told_one(), ["6:NoSuchName", "4:NoSuchName"]);
    net.assert_idle();
}

#[test]
fn one_family_is_enough_to_end_the_search() {
    let mut net = net("search x.example\n");
    net.lookup(1, "host");
    let [v6, v4] = net.asked_both();
    net.answer(&v6, &v6.reply());
    assert_eq!(net.told_one(), [""; 0]);
    net.answer(&v4, &v4.reply().address("host.x.example", "192.0.2.1", 60));
    assert_eq!(net.told_one(), ["4:192.0.2.1", "6:NoAddress"]);
    net.assert_idle();
}

#[test]
fn searches_go_on_in_what_is_kept() {
    let mut net = net("search x.example y.example\n");
    net.lookup(1, "host.x.example.");
    for asked in net.asked_both() {
        net.answer(&asked, &asked.reply().soa("x.example", 60, 60).rcode(3));
    }
    net.told();
    net.lookup(1, "host");
    assert_eq!(net.asked_both()[0].what().0, "host.y.example");
}

#[test]
fn a_server_that_is_silent_makes_way_for_the_next_and_stays_behind() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let silent = net.asked_both();
    assert_eq!(net.resolver.next_due(), Some(HEDGE_DELAY));
    net.wait();
    let [v6, v4] = net.asked_both();
    assert_eq!((v6.server.as_str(), v4.server.as_str()), ("192.0.2.54", "192.0.2.54"));
    net.answer(&v6, &v6.reply());
    net.answer(&v4, &v4.reply().address("a.example", "192.0.2.1", 60));
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.1"]);
    // What comes too late comes to a socket that is closed.
    net.answer(&silent[1], &silent[1].reply().address("a.example", "192.0.2.66", 60));
    assert_eq!(net.told_one(), [""; 0]);
    net.assert_idle();
    net.lookup(1, "b.example");
    assert_eq!(net.asked_both()[0].server, "192.0.2.54");
}

#[test]
fn a_server_that_is_slow_is_heard_if_it_answers_before_the_next() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let slow = net.asked_both();
    net.wait();
    let hedges = net.asked_both();
    for (asked, last) in slow.iter().zip(["1", "2"]) {
        net.answer(asked, &asked.reply().address("a.example", &format!("192.0.2.{last}"), 60));
    }
    assert_eq!(net.told_one(), ["6:NoAddress", "4:192.0.2.2"]);
    net.answer(&hedges[1], &hedges[1].reply().address("a.example", "192.0.2.66", 60));
    assert_eq!(net.told_one(), [""; 0]);
    net.assert_idle();
    net.lookup(1, "b.example");
    assert_eq!(net.asked_both()[0].server, "192.0.2.53");
}

#[test]
fn who_fails_while_another_is_asked_beside_it_leaves_the_rest_to_that() {
    let mut net = net("nameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 192.0.2.55\n");
    net.lookup(1, "a.example");
    let first = net.asked_both();
    net.wait();
    let second = net.asked_both();
    net.fail(&first[1]);
    assert_eq!(net.asked().len(), 0);
    net.answer(&second[1], &second[1].reply().rcode(2));
    let third = net.asked();
    assert_eq!((third.len(), third[0].server.as_str()), (1, "192.0.2.55"));
    net.answer(&third[0], &third[0].reply().address("a.example", "192.0.2.1", 60));
    net.answer(&second[0], &second[0].reply());
    assert_eq!(net.told_one(), ["4:192.0.2.1", "6:NoAddress"]);
    net.assert_idle();
}

#[test]
fn a_server_that_is_not_there_stays_behind() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    for asked in net.asked_both() {
        net.fail(&asked);
    }
    assert_eq!(net.asked_both()[0].server, "192.0.2.54");
    net.lookup(2, "b.example");
    assert_eq!(net.asked_both()[0].server, "192.0.2.54");
    // A server that fails for one name may know others.
    net.lookup(3, "c.example");
    let [v6, _] = net.asked_both();
    net.answer(&v6, &v6.reply().rcode(2));
    net.lookup(4, "d.example");
    assert_eq!(net.asked()[1].server, "192.0.2.54");
}

#[test]
fn servers_are_asked_as_often_as_said_and_at_last_without_edns() {
    let mut net = net("nameserver 192.0.2.53\nnameserver 192.0.2.54\noptions attempts:2 timeout:3\n");
    net.lookup(1, "a.example");
    let mut order = Vec::new();
    loop {
        for asked in net.asked() {
            order.push((asked.what().1 == A, asked.server.ends_with("54"), asked.has_edns()));
        }
        if net.resolver.next_due().is_none() {
            break;
        }
        net.wait();
    }
    let of_v4: Vec<(bool, bool)> = order.iter().filter(|of| of.0).map(|of| (of.1, of.2)).collect();
    assert_eq!(of_v4, [(false, true), (true, true), (false, false), (true, false)]);
    assert_eq!(order.len(), 8);
    // The second server begins a hedge's time after the first; each has its own time, twice.
    assert_eq!(net.now, 6 * SECOND + HEDGE_DELAY);
    assert_eq!(net.told_one(), ["6:Timeout", "4:Timeout"]);
    net.assert_idle();
}

#[test]
fn a_server_that_fails_makes_way_at_once() {
    let ways: [fn(&mut Net, &Asked); 5] = [
        |net, asked| net.answer(asked, &asked.reply().rcode(2)),
        |net, asked| net.answer(asked, &asked.reply().rcode(5)),
        |net, asked| net.fail(asked),
        |net, asked| net.answer(asked, &asked.reply().alias("a.example", "a.example", 5)),
        |net, asked| {
            let mut broken = asked.reply().address("a.example", "192.0.2.66", 5);
            broken.0.pop();
            net.answer(asked, &broken);
        },
    ];
    for way in ways {
        let mut net = net(TWO);
        net.lookup(1, "a.example");
        let [_, first] = net.asked_both();
        way(&mut net, &first);
        let second = net.asked_once();
        assert_eq!((second.server.as_str(), second.what().1), ("192.0.2.54", A));
        net.answer(&second, &second.reply().address("a.example", "192.0.2.1", 60));
        assert_eq!(net.told_one(), ["4:192.0.2.1"]);
    }
}

#[test]
fn the_last_failure_is_told() {
    let one = "nameserver 192.0.2.53\noptions attempts:1\n";
    let mut net = net(one);
    net.lookup(1, "a.example");
    let [v6, v4] = net.asked_both();
    net.fail(&v6);
    let mut broken = v4.reply().address("a.example", "192.0.2.66", 5);
    broken.0.pop();
    net.answer(&v4, &broken);
    assert_eq!(net.told_one(), ["6:ServerFailure", "4:Malformed"]);
    net.assert_idle();
}

#[test]
fn a_server_that_stumbles_over_edns_is_asked_without() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [_, asked] = net.asked_both();
    let mut bare = asked.reply().rcode(1);
    bare.0.truncate(12);
    bare.0[5] = 0;
    net.answer(&asked, &bare);
    let again = net.asked_once();
    assert_eq!((again.server.as_str(), again.has_edns()), ("192.0.2.53", false));
    net.answer(&again, &again.reply().rcode(1));
    let next = net.asked_once();
    assert_eq!((next.server.as_str(), next.has_edns()), ("192.0.2.54", true));
}

#[test]
fn what_is_too_long_for_a_datagram_comes_over_a_connection_cut_anyhow() {
    for size in 1..40 {
        let mut net = net(TWO);
        net.lookup(1, "a.example");
        let [_, asked] = net.asked_both();
        net.answer(&asked, &asked.reply().flags(0x0200));
        let tcp = net.asked_once();
        assert_eq!((tcp.server.as_str(), tcp.transport), ("192.0.2.53", Transport::Tcp));
        assert_ne!(read_query(&tcp.sent).0, read_query(&asked.sent).0);
        let reply = framed(&tcp.reply().address("a.example", "192.0.2.1", 60));
        net.resolver.connected(tcp.socket);
        assert_eq!(net.resolver.poll_output(), None);
        for piece in reply.chunks(size) {
            assert_eq!(net.told_one(), [""; 0]);
            net.resolver.stream(tcp.socket, piece, 0);
        }
        assert_eq!(net.told_one(), ["4:192.0.2.1"]);
        net.resolver.stream(tcp.socket, &reply, 0);
        net.asked();
        assert!(!net.open.contains_key(&tcp.socket));
    }
}

#[test]
fn a_connection_that_says_something_else_is_of_no_use() {
    let mut turned_to = Vec::new();
    let ways: [fn(&Asked) -> Vec<u8>; 4] = [
        |_| vec![0, 0],
        |_| vec![0, 3, 1, 2, 3],
        |asked| framed(&asked.reply().flags(0x0200)),
        |asked| {
            let mut reply = asked.reply().address("a.example", "192.0.2.66", 60);
            reply.0[0] ^= 1;
            framed(&reply)
        },
    ];
    for way in ways {
        let mut net = net(TWO);
        net.lookup(1, "a.example");
        let [_, asked] = net.asked_both();
        net.answer(&asked, &asked.reply().flags(0x0200));
        let tcp = net.asked_once();
        net.resolver.stream(tcp.socket, &way(&tcp), 0);
        let next = net.asked_once();
        turned_to.push((next.server, next.transport));
    }
    assert!(turned_to.iter().all(|next| *next == ("192.0.2.54".to_owned(), Transport::Udp)));
}

#[test]
fn a_connection_that_ends_or_never_stands_is_given_up() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [v6, v4] = net.asked_both();
    net.answer(&v6, &v6.reply().flags(0x0200));
    let tcp = net.asked_once();
    net.resolver.stream(tcp.socket, &[1], 0);
    net.fail(&tcp);
    assert_eq!(net.asked_once().server, "192.0.2.54");
    net.now = 2 * SECOND;
    net.answer(&v4, &v4.reply().flags(0x0200));
    let Some(Output::Close { .. }) = net.resolver.poll_output() else { panic!() };
    let Some(Output::Open { socket, .. }) = net.resolver.poll_output() else { panic!() };
    // Nothing is believed before it was asked.
    net.resolver.stream(socket, &framed(&tcp.reply()), net.now);
    net.resolver.datagram(socket, &tcp.reply().0, net.now);
    assert_eq!((net.resolver.poll_output(), net.told_one()), (None, vec![]));
    net.resolver.handle_due(5 * SECOND);
    net.resolver.handle_due(7 * SECOND - 1);
    let closes = |net: &mut Net| {
        std::iter::from_fn(|| net.resolver.poll_output()).any(|output| output == Output::Close { socket })
    };
    assert!(!closes(&mut net));
    net.resolver.handle_due(7 * SECOND);
    assert!(closes(&mut net));
}

#[test]
fn somebody_who_guesses_is_ignored_and_at_last_avoided() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [_, asked] = net.asked_both();
    let mut guess = asked.reply().address("a.example", "192.0.2.66", 60);
    guess.0[1] ^= 1;
    for _ in 0..Limits::default().foreign {
        net.answer(&asked, &guess);
        assert_eq!(net.asked().len(), 0);
    }
    net.answer(&asked, &guess);
    let tcp = net.asked_once();
    assert_eq!((tcp.transport, tcp.server.as_str()), (Transport::Tcp, "192.0.2.53"));
    net.answer(&asked, &asked.reply().address("a.example", "192.0.2.66", 60));
    assert_eq!(net.told_one(), [""; 0]);
    net.answer(&tcp, &tcp.reply().address("a.example", "192.0.2.1", 60));
    assert_eq!(net.told_one(), ["4:192.0.2.1"]);
}

#[test]
fn guesses_do_not_keep_the_true_answer_away() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [_, asked] = net.asked_both();
    net.answer(
        &asked,
        &Reply::to(read_query(&asked.sent).0, "b.example", A).address("b.example", "192.0.2.66", 9),
    );
    net.answer(&asked, &asked.reply().address("a.example", "192.0.2.1", 60));
    assert_eq!(net.told_one(), ["4:192.0.2.1"]);
}

#[test]
fn aliases_are_followed_from_answer_to_answer_and_hold_as_long_as_the_shortest() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [_, asked] = net.asked_both();
    net.answer(&asked, &asked.reply().alias("a.example", "b.example", 7));
    let second = net.asked_once();
    assert_eq!(second.what(), ("b.example".to_owned(), A));
    net.answer(&second, &second.reply().alias("b.example", "c.example", 30));
    let third = net.asked_once();
    net.answer(&third, &third.reply().address("c.example", "192.0.2.1", 60));
    assert_eq!(net.told_one(), ["4:192.0.2.1"]);
    net.now = 7 * SECOND - 1;
    net.lookup(2, "a.example");
    assert_eq!(net.told(), [(2, "4:192.0.2.1".to_owned())]);
    net.now = 7 * SECOND;
    net.lookup(3, "a.example");
    assert_eq!(net.told(), []);
}

#[test]
fn aliases_end() {
    let mut net = net(TWO);
    net.lookup(1, "n0.example");
    let [_, mut asked] = net.asked_both();
    for n in 0..Limits::default().aliases {
        net.answer(&asked, &asked.reply().alias(&format!("n{n}.example"), &format!("n{}.example", n + 1), 9));
        asked = net.asked_once();
    }
    net.answer(&asked, &asked.reply().alias("n8.example", "n9.example", 9));
    assert_eq!(net.told_one(), ["4:Malformed"]);
    assert_eq!(net.asked().len(), 0);
}

#[test]
fn an_alias_of_a_name_that_is_set_apart_leads_no_further() {
    for (target, told) in [("localhost", "4:127.0.0.1"), ("a.onion", "4:NoSuchName")] {
        let mut net = net(TWO);
        net.lookup(1, "a.example");
        let [_, asked] = net.asked_both();
        net.answer(&asked, &asked.reply().alias("a.example", target, 30));
        assert_eq!(net.told_one(), [told]);
        assert_eq!(net.asked().len(), 0);
    }
}

#[test]
fn rotation_begins_with_another_server_each_time() {
    let mut net =
        net("nameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 192.0.2.55\noptions rotate\n");
    net.lookup(1, "a.example");
    net.lookup(2, "b.example");
    let servers: Vec<String> = net.asked().into_iter().map(|asked| asked.server).collect();
    assert_eq!(servers, ["192.0.2.53", "192.0.2.54", "192.0.2.55", "192.0.2.53"]);
}

#[test]
fn lookups_and_queries_are_bounded_and_room_comes_back() {
    let limits = Limits { lookups: 3, queries: 4, ..Limits::default() };
    let mut net = net_with(TWO, "", limits);
    net.lookup(1, "a.example");
    net.lookup(2, "b.example");
    net.lookup(3, "c.example");
    assert_eq!(net.told(), [(3, "6:TooMany".to_owned()), (3, "4:TooMany".to_owned())]);
    // What was told has room for another; what is told but not fetched has none.
    net.lookup(3, "192.0.2.1");
    assert_eq!(net.resolver.lookup(4, "192.0.2.2", 0), Err(Failure::TooMany));
    assert_eq!(net.told().len(), 2);
    net.lookup(4, "a.example");
    net.resolver.cancel(2);
    net.lookup(5, "d.example");
    assert_eq!((net.asked().len(), net.open.len(), net.told().len()), (4, 4, 0));
}

#[test]
fn without_servers_there_are_no_answers() {
    let mut net = net(TWO);
    net.resolver.set_servers(Vec::new());
    net.lookup(1, "a.example");
    assert_eq!(net.told_one(), ["6:ServerFailure", "4:ServerFailure"]);
    net.assert_idle();
}

#[test]
fn servers_may_change_under_way() {
    let mut net = net(TWO);
    net.lookup(1, "a.example");
    let [v6, v4] = net.asked_both();
    net.resolver.set_servers(vec!["192.0.2.60:53".parse().unwrap()]);
    net.answer(&v6, &v6.reply());
    net.fail(&v4);
    assert_eq!(net.told_one(), ["6:NoAddress", "4:ServerFailure"]);
    net.lookup(1, "b.example");
    assert_eq!(net.asked_both()[0].server, "192.0.2.60");
}
