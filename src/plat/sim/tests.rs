use super::*;
use std::io::ErrorKind;

fn ms(ms: u64) -> Us {
    Us::from_us(ms * 1000)
}

/// Two hosts, a listener, and a connection that is up: 1 ms a way, so up at 2 ms.
fn connected(link: Link) -> (Network, Host, Host, RawSocket, RawSocket) {
    let network = Network::new(7);
    network.set_default_link(link);
    let (a, b) = (network.host("10.0.0.1"), network.host("10.0.0.2"));
    let listener = network.listen(&b, 80).unwrap();
    let near = network.connect(&a, "10.0.0.2:80").unwrap();
    network.advance_to(ms(10));
    assert!(near.is_connected());
    let far = listener.accept().unwrap();
    (network, a, b, near, far)
}

#[test]
fn who_leaves_before_it_is_connected_is_no_longer_waited_for() {
    let network = Network::new(7);
    let listener = network.listen(&network.host("10.0.0.2"), 80).unwrap();
    // Its request is on the way, or has arrived.
    for after in [0, 1000] {
        let near = network.connect(&network.host("10.0.0.1"), "10.0.0.2:80").unwrap();
        network.advance_to(Us::from_us(network.now().as_us() + after));
        drop(near);
        network.advance_to(Us::from_us(network.now().as_us() + 5000));
        let mut far = listener.accept().unwrap();
        assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn bytes_arrive_after_the_latency_and_not_before() {
    let (network, _, _, mut near, mut far) = connected(Link::default());
    near.write(b"hello").unwrap();
    network.advance_to(Us::from_us(10_999));
    assert_eq!(far.read(), b"");
    network.advance_to(ms(11));
    assert_eq!(far.read(), b"hello");
}

#[test]
fn a_bandwidth_spreads_bytes_over_time_and_segments_split_them() {
    let link = Link { bandwidth: 1000, segment: 1, ..Link::default() };
    let (network, _, _, mut near, mut far) = connected(link);
    near.write(b"abc").unwrap();
    for (at, byte) in [(12, b"a"), (13, b"b"), (14, b"c")] {
        network.advance_to(ms(at));
        assert_eq!(far.read(), byte, "at {at} ms");
    }
}

#[test]
fn a_reader_that_stalls_fills_the_window_and_holds_up_the_writer() {
    let (network, _, _, mut near, mut far) = connected(Link { window: 100, ..Link::default() });
    assert_eq!(near.write(&[1; 70]).unwrap(), 70);
    assert_eq!(near.write(&[2; 70]).unwrap(), 30);
    network.advance_to(ms(20));
    assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(far.read().len(), 100);
    assert_eq!(near.write(b"x").unwrap(), 1);
}

#[test]
fn what_a_dead_link_loses_arrives_when_it_is_up_again() {
    let (network, a, b, mut near, mut far) = connected(Link::default());
    network.link_down(&a, &b);
    near.write(b"late").unwrap();
    network.advance_to(ms(1000));
    assert_eq!(far.read(), b"");
    network.link_up(&a, &b);
    network.advance_to(ms(1001));
    assert_eq!(far.read(), b"late");
}

#[test]
fn nobody_there_nobody_listening_and_a_crashed_host_are_three_different_things() {
    let network = Network::new(7);
    let (a, b) = (network.host("10.0.0.1"), network.host("10.0.0.2"));
    let nobody = network.connect(&a, "10.9.9.9:80").unwrap();
    let refused = network.connect(&a, "10.0.0.2:80").unwrap();
    network.advance_to(ms(10));
    assert_eq!((nobody.error(), nobody.is_connected()), (None, false));
    assert_eq!(refused.error(), Some(ErrorKind::ConnectionRefused));
    let listener = network.listen(&b, 81).unwrap();
    let mut near = network.connect(&a, "10.0.0.2:81").unwrap();
    network.advance_to(ms(20));
    let far = listener.accept().unwrap();
    network.crash(&b);
    near.write(b"anybody there?").unwrap();
    network.advance_to(ms(1000));
    assert!(near.is_connected() && !near.is_eof());
    drop(far);
}

#[test]
fn an_end_is_heard_after_the_last_byte_and_a_reset_at_once() {
    let (network, _, _, mut near, mut far) = connected(Link::default());
    near.write(b"bye").unwrap();
    drop(near);
    network.advance_to(ms(12));
    assert!(!far.is_eof());
    assert_eq!(far.read(), b"bye");
    assert!(far.is_eof());

    let (network, _, _, near, mut far) = connected(Link::default());
    near.reset();
    network.advance_to(ms(12));
    assert_eq!(far.error(), Some(ErrorKind::ConnectionReset));
    assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn closing_with_unread_bytes_resets_the_peer() {
    let (network, _, _, mut near, far) = connected(Link::default());
    near.write(b"never read").unwrap();
    network.advance_to(ms(12));
    drop(far);
    network.advance_to(ms(14));
    assert_eq!(near.error(), Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_port_is_taken_once_and_free_again_when_its_listener_is_gone() {
    let network = Network::new(7);
    let host = network.host("10.0.0.1");
    let first = network.listen(&host, 80).unwrap();
    assert_eq!(network.listen(&host, 80).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_ne!(network.listen(&host, 0).unwrap().port(), 0);
    drop(first);
    assert!(network.listen(&host, 80).is_ok());
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    let run = |seed| {
        let network = Network::new(seed);
        network.start_log();
        network.set_default_link(Link { jitter: Duration::from_millis(5), segment: 3, ..Link::default() });
        let (a, b) = (network.host("10.0.0.1"), network.host("10.0.0.2"));
        let listener = network.listen(&b, 80).unwrap();
        let mut near = network.connect(&a, "10.0.0.2:80").unwrap();
        network.advance_to(ms(30));
        near.write(b"some bytes in segments").unwrap();
        network.advance_to(ms(60));
        drop((near, listener.accept()));
        network.log()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).contains("gets"));
}
