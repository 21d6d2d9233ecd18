//! Causes: layers, words, bounds.

use super::*;

fn refused(port: u16) -> Failure {
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    Failure::new(Phase::Connecting, TcpFailure::from(io::ErrorKind::ConnectionRefused)).with(target)
}

#[test]
fn a_cause_costs_a_pointer_until_something_fails() {
    assert_eq!(size_of::<Cause>(), size_of::<usize>());
    let cause = Cause::default();
    assert!(cause.is_empty() && cause.last().is_none() && cause.layer().is_none());
    assert_eq!(cause.to_string(), "no failure");
}

#[test]
fn several_attempts_are_told_in_order_and_the_last_decides() {
    let mut cause = Cause::from(refused(81));
    cause.push(Failure::new(Phase::Securing, TlsFailure::from_words("unknown issuer")).with("example.com"));
    assert_eq!(
        cause.to_string(),
        "connecting to 127.0.0.1:81: connection refused; TLS with example.com: unknown issuer"
    );
    assert_eq!(cause.layer(), Some(Layer::Tls));
    assert_eq!((&cause).into_iter().map(Failure::layer).collect::<Vec<_>>(), [Layer::Tcp, Layer::Tls]);
    cause.clear();
    assert!(cause.is_empty());
}

#[test]
fn a_stream_that_fails_for_ever_keeps_a_bounded_cause() {
    let mut cause = Cause::default();
    for port in 1..=100 {
        cause.push(refused(port));
    }
    assert_eq!(cause.iter().len(), MAX_FAILURES);
    assert_eq!(cause.omitted(), 84);
    assert_eq!(cause.last(), Some(&refused(100)));
    assert!(cause.to_string().starts_with("84 earlier; connecting to 127.0.0.1:85: "));
}

#[test]
fn a_timeout_belongs_to_the_layer_that_kept_us_waiting() {
    for (phase, layer, words) in [
        (Phase::Preparing, Layer::Policy, "preparing a connection to h: took too long"),
        (Phase::Resolving, Layer::Dns, "resolving h: took too long"),
        (Phase::Connecting, Layer::Tcp, "connecting to h: took too long"),
        (Phase::Proxying, Layer::Proxy, "asking the proxy for h: took too long"),
        (Phase::Securing, Layer::Tls, "TLS with h: took too long"),
        (Phase::Answering, Layer::Protocol, "waiting for h: took too long"),
        (Phase::Established, Layer::Protocol, "connection with h: took too long"),
    ] {
        let failure = Failure::new(phase, Reason::TimedOut).with("h");
        assert_eq!((failure.layer(), failure.to_string().as_str()), (layer, words));
    }
}

#[test]
fn each_reason_has_its_layer_and_its_words() {
    for (reason, layer, words) in [
        (Reason::Dns(DnsFailure::NoSuchName), Layer::Dns, "no such name"),
        (Reason::Tcp(TcpFailureKind::Closed.into()), Layer::Tcp, "closed by the peer"),
        (Reason::Tcp(io::ErrorKind::InvalidInput.into()), Layer::Tcp, "invalid input parameter"),
        (Reason::Proxy("403".into()), Layer::Proxy, "403"),
        (Reason::Protocol("two Host headers".into()), Layer::Protocol, "two Host headers"),
        (Reason::HttpStatus(503), Layer::HttpStatus, "http status 503"),
        (Reason::Policy("unknown metadata \"x\"".into()), Layer::Policy, "unknown metadata \"x\""),
        (Reason::NotValid, Layer::Tcp, "no sign of life for too long"),
        (Reason::ClosedByUs, Layer::Local, "closed by this side"),
        (Reason::Local("too many connections".into()), Layer::Local, "too many connections"),
    ] {
        let failure = Failure::new(Phase::Answering, reason);
        assert_eq!((failure.layer(), failure.to_string().as_str()), (layer, words));
    }
}

#[test]
fn the_error_of_the_tls_library_can_be_had_back() {
    let failure = Failure::new(Phase::Securing, TlsFailure::from_error(io::Error::other("alert 42")));
    let cause = Cause::from(failure);
    assert_eq!(cause.to_string(), "alert 42");
    assert!(cause.source().is_some_and(|source| source.downcast_ref::<io::Error>().is_some()));
}

#[test]
fn a_peers_text_can_not_forge_a_line_or_fill_memory() {
    assert_eq!(&*Words::from("a\r\nERROR b\u{1b}[2J"), "a\u{fffd}\u{fffd}ERROR b\u{fffd}[2J");
    assert_eq!(Words::from("\u{e9}".repeat(1000).as_str()).chars().count(), MAX_WORDS + 3);
    assert_eq!(Words::from("x".repeat(MAX_WORDS).as_str()).len(), MAX_WORDS);
}
