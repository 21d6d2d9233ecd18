//! What messages say, and what is not believed.

mod common;

use common::*;
use millstream_dns::message::{Answer, AnswerError};
use millstream_dns::{Family, Limits};

fn addresses(list: &[&str], ttl: u32) -> Answer {
    Answer::Addresses { addresses: list.iter().map(|text| ip(text)).collect(), ttl }
}

#[test]
fn a_query_asks_one_question_and_says_how_long_an_answer_may_be() {
    let mut out = Vec::new();
    question("WWW.example", Family::V6).encode(true, &mut out);
    assert_eq!(
        out,
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03www\x07example\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"
    );
    out.clear();
    question("a", Family::V4).encode(false, &mut out);
    assert_eq!(out, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
}

#[test]
fn addresses_come_with_the_smallest_ttl_and_once_each() {
    let answer = reply()
        .address("A.Example", "192.0.2.1", 300)
        .address("a.example", "192.0.2.2", 60)
        .address("a.example", "192.0.2.1", 10)
        .address("b.example", "192.0.2.9", 1)
        .opt(0);
    assert_eq!(parse(&answer), Ok(addresses(&["192.0.2.1", "192.0.2.2"], 10)));
    let answer = Reply::to(0x1234, "a.example", AAAA).address("a.example", "2001:db8::1", 5);
    let parsed = question("a.example", Family::V6).parse_answer(&answer.0, &Limits::default());
    assert_eq!(parsed, Ok(addresses(&["2001:db8::1"], 5)));
}

#[test]
fn addresses_of_the_other_family_or_class_are_none() {
    let answer = reply().address("a.example", "2001:db8::1", 5);
    assert_eq!(parse(&answer), Ok(Answer::NoAddress { ttl: 0 }));
    let mut chaos = reply().address("a.example", "192.0.2.1", 5);
    let class = chaos.0.len() - 11;
    chaos.0[class] = 3;
    assert_eq!(parse(&chaos), Ok(Answer::NoAddress { ttl: 0 }));
}

#[test]
fn aliases_are_followed_in_any_order() {
    let forward = reply().alias("a.example", "b.example", 30).alias("b.example", "c.test", 20).address(
        "c.test",
        "192.0.2.3",
        40,
    );
    assert_eq!(parse(&forward), Ok(addresses(&["192.0.2.3"], 20)));
    let backward = reply().address("c.test", "192.0.2.3", 40).alias("b.example", "c.test", 20).alias(
        "a.example",
        "b.example",
        30,
    );
    assert_eq!(parse(&backward), Ok(addresses(&["192.0.2.3"], 20)));
}

#[test]
fn aliases_that_lead_out_of_the_answer_say_whom_to_ask_next() {
    let answer = reply().alias("a.example", "b.example", 30).alias("b.example", "c.test", 20);
    assert_eq!(parse(&answer), Ok(Answer::Alias { name: name("c.test"), aliases: 2, ttl: 20 }));
}

#[test]
fn aliases_that_go_round_or_on_and_on_are_refused() {
    let round = reply().alias("a.example", "b.example", 30).alias("b.example", "a.example", 20);
    assert_eq!(parse(&round), Err(AnswerError::Aliases));
    let own = reply().alias("a.example", "a.example", 30);
    assert_eq!(parse(&own), Err(AnswerError::Aliases));
    let chain = |count: u8| {
        let mut answer = reply().alias("a.example", "n1.test", 9);
        for n in 1..count {
            answer = answer.alias(&format!("n{n}.test"), &format!("n{}.test", n + 1), 9);
        }
        parse(&answer.address(&format!("n{count}.test"), "192.0.2.1", 9))
    };
    assert_eq!(chain(Limits::default().aliases), Ok(addresses(&["192.0.2.1"], 9)));
    assert_eq!(chain(Limits::default().aliases + 1), Err(AnswerError::Aliases));
}

#[test]
fn that_there_is_nothing_holds_as_long_as_the_zone_says() {
    // RFC 2308 5: the smaller of the SOA's TTL and its last field.
    for (ttl, minimum, held) in
        [(300, 60, 60), (60, 300, 60), (9_000_000, 8_000_000, 900), (0x8000_0000, 9, 0)]
    {
        let answer = reply().soa("example", ttl, minimum);
        assert_eq!(parse(&answer), Ok(Answer::NoAddress { ttl: held }));
        assert_eq!(parse(&answer.rcode(3)), Ok(Answer::NoSuchName { ttl: held }));
    }
    assert_eq!(parse(&reply().rcode(3)), Ok(Answer::NoSuchName { ttl: 0 }));
    assert_eq!(parse(&reply()), Ok(Answer::NoAddress { ttl: 0 }));
    // A zone that the name is not in has nothing to say of it.
    assert_eq!(parse(&reply().soa("other", 300, 60).rcode(3)), Ok(Answer::NoSuchName { ttl: 0 }));
}

#[test]
fn the_end_of_aliases_may_be_nothing() {
    let answer = reply().alias("a.example", "c.test", 20);
    let nothing = answer.clone().soa("test", 300, 60);
    assert_eq!(parse(&nothing), Ok(Answer::NoAddress { ttl: 20 }));
    assert_eq!(parse(&nothing.rcode(3)), Ok(Answer::NoSuchName { ttl: 20 }));
    let soa_of_the_alias = answer.soa("example", 300, 60);
    assert_eq!(parse(&soa_of_the_alias), Ok(Answer::Alias { name: name("c.test"), aliases: 1, ttl: 20 }));
}

#[test]
fn a_name_that_does_not_exist_has_no_addresses() {
    let answer = reply().address("a.example", "192.0.2.1", 5).rcode(3);
    assert_eq!(parse(&answer), Ok(Answer::NoSuchName { ttl: 0 }));
}

#[test]
fn servers_that_do_not_answer_say_so_in_several_ways() {
    for rcode in [2, 5, 9, 11] {
        assert_eq!(parse(&reply().rcode(rcode)), Ok(Answer::Failed(rcode.into())));
    }
    for rcode in [1, 4] {
        assert_eq!(parse(&reply().rcode(rcode)), Ok(Answer::NotUnderstood));
    }
    // BADVERS, whose lower bits say that all is well (RFC 6891 6.1.3).
    assert_eq!(parse(&reply().opt(1)), Ok(Answer::Failed(16)));
    let referral = reply().record(Authority, &wire("example"), NS, 60, &wire("ns.example"));
    assert_eq!(parse(&referral), Ok(Answer::Failed(0)));
    assert_eq!(parse(&referral.flags(0x0400)), Ok(Answer::NoAddress { ttl: 0 }));
}

#[test]
fn a_truncated_answer_is_not_read_further() {
    let mut answer = reply().flags(0x0200);
    answer.0[7] = 99;
    assert_eq!(parse(&answer), Ok(Answer::Truncated));
}

#[test]
fn what_is_not_an_answer_to_the_question_is_foreign() {
    let good = reply().address("a.example", "192.0.2.1", 5);
    let mut cases = Vec::new();
    let mut case = |story: &str, change: fn(&mut Vec<u8>)| {
        let mut bytes = good.0.clone();
        change(&mut bytes);
        cases.push((story.to_owned(), bytes));
    };
    case("another id", |bytes| bytes[0] ^= 1);
    case("a query", |bytes| bytes[2] &= 0x7f);
    case("another operation", |bytes| bytes[2] |= 0x10);
    case("no question", |bytes| bytes[5] = 0);
    case("two questions", |bytes| bytes[5] = 2);
    case("another name", |bytes| bytes[13] = b'b');
    case("another case", |bytes| bytes[13] = b'A');
    case("another type", |bytes| bytes[24] = 28);
    case("another class", |bytes| bytes[26] = 3);
    case("a pointer for a name", |bytes| bytes[12] = 0xc0);
    case("a header alone", |bytes| bytes.truncate(12));
    case("less than a header", |bytes| bytes.truncate(11));
    case("nothing", |bytes| bytes.clear());
    for (story, bytes) in cases {
        assert_eq!(parse(&Reply(bytes)), Err(AnswerError::Foreign), "{story}");
    }
    // Who could not read the question cannot repeat it; that is all that may be said without it.
    let mut without = reply().0;
    without.truncate(12);
    without[5] = 0;
    for (rcode, parsed) in [
        (1, Ok(Answer::NotUnderstood)),
        (4, Ok(Answer::NotUnderstood)),
        (0, Err(AnswerError::Foreign)),
        (2, Err(AnswerError::Foreign)),
        (3, Err(AnswerError::Foreign)),
    ] {
        assert_eq!(parse(&Reply(without.clone()).rcode(rcode)), parsed);
    }
}

#[test]
fn every_end_of_an_answer_is_noticed() {
    let whole = reply()
        .alias("a.example", "c.test", 20)
        .address("c.test", "192.0.2.1", 5)
        .soa("test", 300, 60)
        .opt(0);
    assert!(parse(&whole).is_ok());
    for end in 0..whole.0.len() {
        let error = if end < 27 { AnswerError::Foreign } else { AnswerError::Malformed };
        assert_eq!(parse(&Reply(whole.0[..end].to_vec())), Err(error), "cut at {end}");
    }
    // Bytes behind the last record are nobody's.
    let mut longer = whole.clone();
    longer.0.extend_from_slice(b"padding");
    assert_eq!(parse(&longer), parse(&whole));
}

#[test]
fn more_records_than_fit_or_than_the_limit_are_refused_before_they_are_read() {
    let mut answer = reply().address("a.example", "192.0.2.1", 5);
    answer.0[6] = 0xff;
    assert_eq!(parse(&answer), Err(AnswerError::Malformed));
    let limits = Limits { records: 3, addresses: 2, ..Limits::default() };
    let mut answer = reply();
    for last in 1..=3 {
        answer = answer.address("a.example", &format!("192.0.2.{last}"), 5);
    }
    let asked = question("a.example", Family::V4);
    assert_eq!(asked.parse_answer(&answer.0, &limits), Ok(addresses(&["192.0.2.1", "192.0.2.2"], 5)));
    assert_eq!(asked.parse_answer(&answer.opt(0).0, &limits), Err(AnswerError::Malformed));
}

#[test]
fn ttls_are_capped_and_never_negative() {
    for (ttl, held) in [(100_000, 86_400), (0x7fff_ffff, 86_400), (0x8000_0000, 0), (u32::MAX, 0), (0, 0)] {
        assert_eq!(
            parse(&reply().address("a.example", "192.0.2.1", ttl)),
            Ok(addresses(&["192.0.2.1"], held))
        );
    }
}

#[test]
fn data_of_the_wrong_length_is_refused_wherever_it_stands() {
    let owner = wire("a.example");
    for section in [InAnswer, Authority, Additional] {
        for (record_type, data) in [
            (A, &[1, 2, 3][..]),
            (A, &[1, 2, 3, 4, 5]),
            (A, &[]),
            (AAAA, &[0; 4]),
            (AAAA, &[0; 17]),
            (CNAME, &[]),
            (CNAME, b"\x01a"),
            (CNAME, b"\x01a\0\0"),
            (SOA, b"\0\0"),
            (SOA, &[0; 23]),
        ] {
            let answer = reply().record(section, &owner, record_type, 5, data);
            assert_eq!(parse(&answer), Err(AnswerError::Malformed), "type {record_type}, {data:?}");
        }
        let text = reply().record(section, &owner, 16, 5, b"\x05hello");
        assert!(parse(&text).is_ok());
    }
}

#[test]
fn edns_is_said_once_by_the_root_and_in_its_place() {
    assert!(parse(&reply().opt(0)).is_ok());
    for answer in [
        reply().opt(0).opt(0),
        reply().record(InAnswer, &[0], OPT, 0, &[]),
        reply().record(Authority, &[0], OPT, 0, &[]),
        reply().record(Additional, &wire("a"), OPT, 0, &[]),
    ] {
        assert_eq!(parse(&answer), Err(AnswerError::Malformed));
    }
}

#[test]
fn pointers_go_back_and_nowhere_else() {
    // The question's name is at 12, "example" in it at 14, the first record's owner at 27.
    let own = |owner: &[u8]| parse(&reply().record(InAnswer, owner, A, 5, &[192, 0, 2, 1]));
    assert_eq!(own(b"\xc0\x0c"), Ok(addresses(&["192.0.2.1"], 5)));
    assert_eq!(own(b"\x01A\xc0\x0e"), Ok(addresses(&["192.0.2.1"], 5)));
    for (story, owner) in [
        ("to itself", &b"\xc0\x1b"[..]),
        ("to the name that it ends", b"\x01a\xc0\x1b"),
        ("forward", b"\xc0\x30"),
        ("past the end", b"\xff\xff"),
        ("into the header", b"\xc0\x00"),
        ("of a reserved kind", b"\x41\0"),
        ("of another reserved kind", b"\x80\x0c"),
    ] {
        assert_eq!(own(owner), Err(AnswerError::Malformed), "{story}");
    }
}

#[test]
fn pointers_through_pointers_have_a_bound_and_names_a_length() {
    let chain = |links: usize| {
        let mut answer = reply();
        // Each owner is a pointer to the owner before it.
        let mut at = 12;
        for _ in 0..links {
            let owner = [0xc0 | (at >> 8) as u8, at as u8];
            at = answer.0.len();
            answer = answer.record(Additional, &owner, 16, 5, &[]);
        }
        parse(&answer)
    };
    assert_eq!(chain(127), Ok(Answer::NoAddress { ttl: 0 }));
    assert_eq!(chain(128), Err(AnswerError::Malformed));

    let long = |last: usize| {
        let labels = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(last)].join(".");
        parse(&reply().record(Additional, &wire(&labels), 16, 5, &[]))
    };
    assert_eq!(long(61), Ok(Answer::NoAddress { ttl: 0 }));
    assert_eq!(long(62), Err(AnswerError::Malformed));
}

#[test]
fn an_alias_may_be_to_a_name_that_is_no_host_name() {
    let answer = reply().record(InAnswer, &wire("a.example"), CNAME, 7, b"\x04a b.\x01\xff\0");
    let Ok(Answer::Alias { name, .. }) = parse(&answer) else { panic!("{:?}", parse(&answer)) };
    assert_eq!(name.to_string(), "a\\032b\\..\\255");
}
