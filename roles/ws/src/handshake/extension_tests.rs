use super::*;
use alloc::format;
use alloc::string::String;

const OPEN: Deflate = Deflate {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

fn choose(offers: &str, own: Deflate) -> Result<Option<(Deflate, String)>, HandshakeError> {
    let mut choice = Choice::default();
    choice.consider(offers.as_bytes(), Some(own))?;
    let response = String::from_utf8(choice.response).unwrap();
    Ok(choice.agreed.map(|agreed| (agreed, response)))
}

fn settled(response: &str, wish: Deflate) -> Option<Deflate> {
    let mut agreed = None;
    check(response.as_bytes(), Some(wish), &mut agreed).ok()?;
    agreed
}

#[test]
fn the_first_offer_that_makes_sense_is_taken() {
    let (agreed, response) = choose(
        "x-other; a=b, permessage-deflate; unknown, permessage-deflate; server_max_window_bits=07, \
         permessage-deflate; server_max_window_bits=10; client_max_window_bits, permessage-deflate",
        OPEN,
    )
    .unwrap()
    .unwrap();
    assert_eq!(agreed, Deflate { server_max_window_bits: 10, ..OPEN });
    assert_eq!(response, "permessage-deflate; server_max_window_bits=10");
}

#[test]
fn offers_with_parameters_that_rfc_7692_7_1_rules_out_are_passed_over() {
    for params in [
        "foo",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=8; server_max_window_bits=8",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=100",
        "client_max_window_bits=1",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=x",
    ] {
        let offer = format!("permessage-deflate; {params}");
        assert_eq!(choose(&offer, OPEN), Ok(None), "{params}");
        assert!(settled(&offer, OPEN).is_none(), "{params}");
    }
}

#[test]
fn what_follows_no_grammar_fails_the_handshake() {
    for bad in [
        "permessage-deflate;",
        "a b",
        "permessage-deflate; =1",
        "x; a=",
        "x; a=\"\"",
        "x; a=\"b c\"",
        "x; a=b=c",
        ";",
    ] {
        assert_eq!(choose(bad, OPEN), Err(HandshakeError::Extension), "{bad}");
        let mut agreed = None;
        assert_eq!(check(bad.as_bytes(), Some(OPEN), &mut agreed), Err(HandshakeError::Extension), "{bad}");
    }
    for empty in ["", " , ,"] {
        assert_eq!(choose(empty, OPEN), Ok(None));
    }
}

#[test]
fn quoted_values_and_any_case_are_understood() {
    let (agreed, _) =
        choose("Permessage-Deflate;CLIENT_MAX_WINDOW_BITS=\"9\" ; server_max_window_bits = 8", OPEN)
            .unwrap()
            .unwrap();
    assert_eq!((agreed.client_max_window_bits, agreed.server_max_window_bits), (9, 8));
}

#[test]
fn a_server_never_asks_a_client_for_a_small_window_that_did_not_say_that_it_can() {
    let own = Deflate { client_max_window_bits: 9, ..OPEN };
    let (agreed, response) = choose("permessage-deflate", own).unwrap().unwrap();
    assert_eq!((agreed.client_max_window_bits, response.as_str()), (15, "permessage-deflate"));
    let (agreed, response) = choose("permessage-deflate; client_max_window_bits", own).unwrap().unwrap();
    assert_eq!(agreed.client_max_window_bits, 9);
    assert_eq!(response, "permessage-deflate; client_max_window_bits=9");
}

#[test]
fn a_client_refuses_responses_that_go_beyond_its_offer() {
    let narrow = Deflate {
        server_no_context_takeover: true,
        server_max_window_bits: 10,
        client_max_window_bits: 10,
        ..OPEN
    };
    let good = "permessage-deflate; server_no_context_takeover; server_max_window_bits=10";
    assert_eq!(settled(good, narrow), Some(narrow));
    for bad in [
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
        "x-unknown",
    ] {
        assert_eq!(settled(bad, narrow), None, "{bad}");
        assert!(settled(&format!("{good}, {bad}"), narrow).is_none(), "twice: {bad}");
    }
    let mut agreed = None;
    assert_eq!(check(b"permessage-deflate", None, &mut agreed), Err(HandshakeError::Extension));
}

#[test]
fn whatever_both_sides_wish_they_agree_on_the_same() {
    let sides = |index: usize| Deflate {
        server_no_context_takeover: index & 1 != 0,
        client_no_context_takeover: index & 2 != 0,
        server_max_window_bits: 8 + (index >> 2 & 7) as u8,
        client_max_window_bits: 8 + (index >> 5 & 7) as u8,
    };
    for wish in (0..256).map(sides) {
        let text = String::from_utf8(offer(wish)).unwrap();
        for own in (0..256).map(sides) {
            let (granted, response) = choose(&text, own).unwrap().unwrap();
            let settled = settled(&response, wish).unwrap();
            assert_eq!(
                (settled.server_no_context_takeover, settled.client_no_context_takeover),
                (
                    wish.server_no_context_takeover || own.server_no_context_takeover,
                    wish.client_no_context_takeover || own.client_no_context_takeover
                )
            );
            assert_eq!(granted.client_max_window_bits, settled.client_max_window_bits);
            assert_eq!(
                settled.client_max_window_bits,
                wish.client_max_window_bits.min(own.client_max_window_bits)
            );
            assert!(granted.server_max_window_bits <= settled.server_max_window_bits);
            assert_eq!(
                granted.server_max_window_bits,
                wish.server_max_window_bits.min(own.server_max_window_bits)
            );
        }
    }
}
