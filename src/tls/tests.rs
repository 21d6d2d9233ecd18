use super::*;

struct Made {
    cert: Vec<u8>,
    key: Vec<u8>,
}

fn make(name: &str) -> Made {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Made { cert: made.cert.der().to_vec(), key: made.signing_key.serialize_der() }
}

fn client(made: &Made, clock: &TlsClock) -> ClientConfig {
    ClientConfig::new(&Trust::Stack(&[&made.cert]), None, &[b"http/1.1"], clock).unwrap()
}

fn server(made: &Made, clock: &TlsClock) -> ServerConfig {
    let identity = Identity::from_der(&[&made.cert], &made.key).unwrap();
    ServerConfig::new(identity, ClientAuth::Off, &[b"h2", b"http/1.1"], clock).unwrap()
}

/// A time within the validity of the certificates made here (1975 to 4096).
const NOW: u64 = 1_800_000_000;

/// Carries ciphertext to and fro, `step` bytes at a time, until both are silent.
fn shuttle(a: &mut Session, b: &mut Session, step: usize) -> Result<(), TlsError> {
    loop {
        let mut moved = false;
        for flip in [false, true] {
            let (from, to) = if flip { (&mut *b, &mut *a) } else { (&mut *a, &mut *b) };
            let mut bytes = Vec::new();
            moved |= from.poll_output(&mut bytes);
            for piece in bytes.chunks(step) {
                assert_eq!(to.read_tls(piece)?, piece.len());
            }
        }
        if !moved {
            return Ok(());
        }
    }
}

fn read_all(session: &mut Session) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    while let PlainRead::Data(len) = session.read_plain(&mut buffer) {
        all.extend_from_slice(&buffer[..len]);
    }
    all
}

#[test]
fn a_handshake_one_byte_at_a_time_agrees_on_the_protocol_and_carries_payload_both_ways() {
    let (made, clock) = (make("localhost"), TlsClock::new(NOW));
    let (client, server) = (client(&made, &clock), server(&made, &clock));
    let (mut a, mut b) = (client.session("localhost").unwrap(), server.session().unwrap());
    shuttle(&mut a, &mut b, 1).unwrap();
    assert!(!a.is_handshaking() && !b.is_handshaking());
    assert_eq!(a.alpn(), Some(&b"http/1.1"[..]));
    for (from, to) in [(0, 1), (1, 0)] {
        let pair = [&mut a, &mut b];
        let (mut cipher, payload) = (Vec::new(), vec![7; 5000]);
        assert_eq!(pair[from].write_plain(&payload, &mut cipher).unwrap(), 5000);
        assert_eq!(pair[to].read_tls(&cipher).unwrap(), cipher.len());
        assert!(pair[to].has_plain());
        assert_eq!(read_all(pair[to]), payload);
        assert_eq!(pair[to].read_plain(&mut [0; 10]), PlainRead::Empty);
    }
    let mut cipher = Vec::new();
    a.send_close_notify(&mut cipher);
    b.read_tls(&cipher).unwrap();
    assert_eq!(b.read_plain(&mut [0; 10]), PlainRead::CloseNotify);
}

#[test]
fn a_second_session_resumes_the_first() {
    let (made, clock) = (make("localhost"), TlsClock::new(NOW));
    let (client, server) = (client(&made, &clock), server(&made, &clock));
    for resumed in [false, true] {
        let (mut a, mut b) = (client.session("localhost").unwrap(), server.session().unwrap());
        shuttle(&mut a, &mut b, 1 << 14).unwrap();
        assert_eq!((a.is_resumed(), b.is_resumed()), (resumed, resumed));
    }
}

#[test]
fn each_way_to_distrust_a_server_has_its_error_and_the_server_hears_of_it() {
    let (made, other, clock) = (make("localhost"), make("localhost"), TlsClock::new(NOW));
    let attempt = |client: &ClientConfig, name: &str| {
        let server = server(&made, &clock);
        let (mut a, mut b) = (client.session(name).unwrap(), server.session().unwrap());
        let error = shuttle(&mut a, &mut b, 1 << 14).unwrap_err();
        let mut alert = Vec::new();
        assert!(a.poll_output(&mut alert));
        assert!(matches!(b.read_tls(&alert), Err(TlsError::PeerAlert(_))));
        error
    };
    assert_eq!(attempt(&client(&made, &clock), "elsewhere"), TlsError::NameMismatch);
    assert_eq!(attempt(&client(&other, &clock), "localhost"), TlsError::UntrustedIssuer);
    assert_eq!(attempt(&client(&made, &TlsClock::new(0)), "localhost"), TlsError::NotYetValid);
    assert_eq!(attempt(&client(&made, &TlsClock::new(90_000_000_000)), "localhost"), TlsError::Expired);
}

#[test]
fn an_authority_in_the_stack_is_trusted_as_the_server_that_it_is_and_under_no_other_name() {
    let make_authority = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Made { cert: params.self_signed(&key).unwrap().der().to_vec(), key: key.serialize_der() }
    };
    let (made, twin, clock) = (make_authority(), make_authority(), TlsClock::new(NOW));
    let attempt = |trusted: &Made, name: &str| {
        let (client, server) = (client(trusted, &clock), server(&made, &clock));
        let (mut a, mut b) = (client.session(name).unwrap(), server.session().unwrap());
        shuttle(&mut a, &mut b, 1 << 14)
    };
    assert_eq!(attempt(&made, "localhost"), Ok(()));
    assert_eq!(attempt(&made, "elsewhere"), Err(TlsError::NameMismatch));
    assert!(attempt(&twin, "localhost").is_err());
}

#[test]
fn what_is_not_tls_is_an_error_and_not_a_wait() {
    let (made, clock) = (make("localhost"), TlsClock::new(NOW));
    let mut session = server(&made, &clock).session().unwrap();
    assert!(session.read_tls(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_err());
}

#[test]
fn megabytes_pass_in_bounded_steps() {
    let (made, clock) = (make("localhost"), TlsClock::new(NOW));
    let (client, server) = (client(&made, &clock), server(&made, &clock));
    let (mut a, mut b) = (client.session("localhost").unwrap(), server.session().unwrap());
    shuttle(&mut a, &mut b, 1 << 14).unwrap();
    let payload: Vec<u8> = (0..10_000_000_u32).map(|n| n as u8).collect();
    let (mut left, mut got, mut cipher) = (&payload[..], Vec::new(), Vec::new());
    while !left.is_empty() {
        cipher.clear();
        let taken = a.write_plain(left, &mut cipher).unwrap();
        left = &left[taken..];
        assert!(taken > 0 && cipher.len() < 2 * BUFFERED);
        for piece in cipher.chunks(BUFFERED) {
            assert_eq!(b.read_tls(piece).unwrap(), piece.len());
            got.extend(read_all(&mut b));
        }
    }
    assert!(got == payload);
}

#[test]
fn identities_that_are_none_say_what_is_wrong_with_them() {
    let made = make("localhost");
    let words = |result: Result<Identity, TlsError>| result.unwrap_err().to_string();
    assert!(words(Identity::from_der(&[], &made.key)).contains("no certificate"));
    assert!(words(Identity::from_der(&[&made.cert], b"nonsense")).contains("PKCS#8"));
    assert!(words(Identity::from_pem(b"nothing", b"nothing")).contains("no certificate"));
    let missing = std::path::Path::new("/nonexistent/cert.pem");
    assert!(words(Identity::from_pem_files(missing, missing)).contains("/nonexistent/cert.pem"));
    let other = make("localhost");
    let mixed = Identity::from_der(&[&made.cert], &other.key).unwrap();
    assert!(ServerConfig::new(mixed, ClientAuth::Off, &[], &TlsClock::new(NOW)).is_err());
}

#[test]
fn a_server_of_two_names_becomes_the_one_that_the_hello_asks_for() {
    let clock = TlsClock::new(NOW);
    for name in ["cats.example", "dogs.example"] {
        let made = make(name);
        let (client, server) = (client(&made, &clock), server(&made, &clock));
        let (mut a, mut b) = (client.session(name).unwrap(), Session::undecided());
        let mut hello = Vec::new();
        a.poll_output(&mut hello);
        for byte in &hello {
            assert_eq!(b.asked(), None);
            assert!(b.is_handshaking());
            assert_eq!(b.read_tls(&[*byte]).unwrap(), 1);
        }
        assert_eq!(b.asked(), Some(Asked(Some(name.to_owned()))));
        b.choose(&server).unwrap();
        assert_eq!(b.asked(), None);
        shuttle(&mut a, &mut b, 7).unwrap();
        assert!(!a.is_handshaking() && !b.is_handshaking());
        assert_eq!(a.peer_certificate(), Some(&made.cert[..]));
        assert_eq!(b.peer_certificate(), None);
    }
}

#[test]
fn what_is_no_hello_is_answered_with_an_alert() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 4, 2, 0, 0, 0]] {
        let mut session = Session::undecided();
        assert!(session.read_tls(garbage).is_err());
        let mut out = Vec::new();
        session.poll_output(&mut out);
        assert_eq!(out.first(), Some(&21), "{out:?}");
    }
}

#[test]
fn ciphertext_beyond_what_the_library_holds_waits_and_is_not_lost() {
    let (made, clock) = (make("localhost"), TlsClock::new(NOW));
    let (client, server) = (client(&made, &clock), server(&made, &clock));
    let (mut a, mut b) = (client.session("localhost").unwrap(), server.session().unwrap());
    shuttle(&mut a, &mut b, 1 << 14).unwrap();
    let payload: Vec<u8> = (0..60_000_u32).map(|byte| byte as u8).collect();
    let mut cipher = Vec::new();
    for piece in payload.chunks(7000) {
        assert_eq!(a.write_plain(piece, &mut cipher).unwrap(), piece.len());
    }
    let (mut received, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
    for bytes in cipher.chunks(16 * 1024) {
        assert_eq!(b.read_tls(bytes).unwrap(), bytes.len());
        loop {
            received.extend(read_all(&mut b));
            let Some(len) = b.take_held(&mut buffer) else { break };
            assert_eq!(b.read_tls(&buffer[..len]).unwrap(), len);
        }
    }
    assert!(received == payload);
}
