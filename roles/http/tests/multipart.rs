//! Multipart bodies (RFC 2046 5.1, RFC 7578), whole and cut at every byte.

extern crate millstream_http as http;

mod common;

use common::{Told, feed, text};
use http::multipart::{DEFAULT_HEAD_LIMIT, Error, Event, Form, Parser};

fn tell(pieces: &[&[u8]]) -> Vec<Told> {
    feed(Parser::of_content_type(b"multipart/mixed; boundary=xy", 64).unwrap().unwrap(), pieces)
}

/// What a body tells however it is cut: whole, in two at every byte, and byte by byte.
fn tell_anyhow(body: &[u8]) -> Vec<Told> {
    let whole = tell(&[body]);
    for cut in 0..=body.len() {
        assert_eq!(tell(&[&body[..cut], &body[cut..]]), whole, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(tell(&bytes), whole);
    whole
}

fn part(fields: &[(&str, &str)]) -> Told {
    Told::Part(fields.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect())
}

fn content(bytes: &[u8]) -> Told {
    Told::Content(bytes.to_vec())
}

#[test]
fn parts_are_told_without_what_stands_before_between_and_behind_them() {
    let body = b"preamble\r\n--xy  \r\nA: 1\r\nB:2 \r\n\r\nfirst\r\n--xy\r\n\r\nsecond\r\n\r\n--xy--\r\nepilogue\r\n--xy\r\n";
    let second = [part(&[]), content(b"second\r\n"), Told::PartEnd];
    let first = [part(&[("A", "1"), ("B", "2")]), content(b"first"), Told::PartEnd];
    assert_eq!(tell_anyhow(body), [first, second].concat());
}

#[test]
fn a_part_may_be_empty_and_the_first_delimiter_may_stand_at_the_beginning() {
    let empty = [part(&[]), Told::PartEnd];
    assert_eq!(tell_anyhow(b"--xy\r\n\r\n\r\n--xy--"), empty);
    assert_eq!(tell_anyhow(b"--xy\r\n\r\n--xy--"), empty);
    assert_eq!(tell_anyhow(b"--xy--\r\n"), []);
}

#[test]
fn what_only_looks_like_a_delimiter_is_content() {
    for lookalike in [
        &b"\r\n--xyz"[..],
        b"\r\n--x",
        b"\r\n--xy-x",
        b"\r\r\n-\r\n--xY--",
        b"--xy\r\n",
        b"\n--xy--",
        b"\r\n--\r\n",
        b"\r\n--xy\n",
        b"\r",
    ] {
        let body = [b"--xy\r\n\r\n", lookalike, b"\r\n--xy--"].concat();
        let wanted = if lookalike.starts_with(b"--xy\r\n") {
            // Behind the empty line it is one.
            vec![part(&[]), Told::PartEnd, part(&[]), Told::PartEnd]
        } else {
            vec![part(&[]), content(lookalike), Told::PartEnd]
        };
        let told = tell_anyhow(&body);
        assert_eq!(told, wanted, "{:?}", text(lookalike));
    }
}

#[test]
fn a_field_may_go_on_on_the_next_line() {
    let body = b"--xy\r\nType: a;\r\n\tb=c\r\n\r\n\r\n--xy--";
    assert_eq!(tell_anyhow(body), [part(&[("Type", "a;  \tb=c")]), Told::PartEnd]);
}

#[test]
fn a_body_that_is_none_is_an_error() {
    let last = |body: &[u8]| tell_anyhow(body).last().cloned();
    for (body, error) in [
        (&b""[..], Error::Truncated),
        (b"no delimiter at all", Error::Truncated),
        (b"--xy\r\n\r\nhalf", Error::Truncated),
        (b"--xy\r\n\r\nall but the last\r\n--xy", Error::Truncated),
        (b"--xy\r\n\r\nall but the last\r\n--xy-", Error::Truncated),
        (b"--xy x\r\n\r\n\r\n--xy--", Error::Delimiter),
        (b"--xy\r\r\n\r\n\r\n--xy--", Error::Delimiter),
        (b"--xy\r\nno colon\r\n\r\n\r\n--xy--", Error::Field),
        (b"--xy\r\na b: c\r\n\r\n\r\n--xy--", Error::Field),
        (b"--xy\r\na: b\rc\r\n\r\n\r\n--xy--", Error::Field),
        (b"--xy\r\n: b\r\n\r\n\r\n--xy--", Error::Field),
        (b"--xy\r\n--xy--\r\n\r\n", Error::Field),
    ] {
        assert_eq!(last(body), Some(Told::Error(error)), "{:?}", text(body));
    }
}

#[test]
fn header_fields_have_a_bound_that_is_the_same_however_they_come() {
    let with = |len: usize| [b"--xy\r\na: ", &vec![b'v'; len][..], b"\r\n\r\n\r\n--xy--"].concat();
    // "a: ", CRLF and the empty line are seven bytes of the 64.
    assert!(matches!(&tell_anyhow(&with(57))[..], [Told::Part(_), Told::PartEnd]));
    assert_eq!(tell_anyhow(&with(58)), [Told::Error(Error::HeadTooLong)]);
    assert_eq!(
        tell_anyhow(&[b"--xy\r\n", &b"a:\r\n".repeat(100)[..]].concat()),
        [Told::Error(Error::HeadTooLong)]
    );
}

#[test]
fn the_boundary_is_read_from_the_content_type() {
    // Whether what is read delimits with this boundary, and with no other.
    let is = |value: &str, boundary: &str| {
        let parser = Parser::of_content_type(value.as_bytes(), 64).unwrap().unwrap();
        let told = feed(parser, &[format!("--{boundary}\r\n\r\n\r\n--{boundary}--").as_bytes()]);
        told == [part(&[]), Told::PartEnd]
    };
    let kind = |value: &str| Parser::of_content_type(value.as_bytes(), 64).map(|parser| parser.is_some());
    assert!(is("multipart/form-data; boundary=abc", "abc"));
    assert!(
        !is("multipart/form-data; boundary=abc", "ab") && !is("multipart/form-data; boundary=abc", "abcd")
    );
    assert!(is(" Multipart/Mixed ;x=\"; boundary=no\\\"\" ; BOUNDARY=\"a b:c\"; y", "a b:c"));
    assert!(is("multipart/mixed; flag; boundary=a;b=c", "a"));
    assert_eq!(kind("text/plain; boundary=abc"), Ok(false));
    assert_eq!(kind("multipart"), Ok(false));
    let longest = "b".repeat(70);
    assert!(is(&format!("multipart/mixed; boundary={longest}"), &longest));
    let too_long = format!("multipart/mixed; boundary={longest}b");
    for bad in [
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary=\"a",
        "multipart/mixed; boundary=\"a \"",
        "multipart/mixed; boundary=\"a\u{e9}\"",
        "multipart/mixed; xboundary=a",
        &too_long,
    ] {
        assert_eq!(kind(bad), Err(Error::Boundary), "{bad}");
    }
}

#[test]
fn what_a_form_frames_a_parser_takes_apart_again() {
    let form = Form::new([u64::MAX, 7], b"n\"\r\nX: y", Some(b"f"), Some(b"text/plain"));
    let kind = [b"multipart/form-data; boundary=", form.boundary()].concat();
    let mut parser = Parser::of_content_type(&kind, DEFAULT_HEAD_LIMIT).unwrap().unwrap();
    let body = [form.front(), b"payload", form.back()].concat();
    assert_eq!(body.len() as u64, form.overhead() + 7);
    let (used, event) = parser.input(&body).unwrap();
    assert_eq!(event, Some(Event::Part));
    let fields: Vec<_> = parser.head().iter().map(|(name, value)| (text(name), text(value))).collect();
    let disposition = "form-data; name=\"n%22%0D%0AX: y\"; filename=\"f\"";
    assert_eq!(fields.len(), 2);
    assert_eq!(fields[0], (String::from("Content-Disposition"), String::from(disposition)));
    assert_eq!(fields[1], (String::from("Content-Type"), String::from("text/plain")));
    let (more, event) = parser.input(&body[used..]).unwrap();
    assert_eq!(parser.content(&event.unwrap(), &body[used..used + more]), b"payload");
    let (_, event) = parser.input(&body[used + more..]).unwrap();
    assert_eq!(event, Some(Event::PartEnd));
    let back = form.back();
    assert!(parser.input(&back[back.len() - 2..]).is_ok() && parser.finish().is_ok());
    // A Content-Type that would add a line is none.
    assert!(!Form::new([0, 0], b"n", None, Some(b"a\r\nb: c")).front().windows(4).any(|at| at == b"b: c"));
}
