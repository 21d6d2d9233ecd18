//! Messages as another implementation reads and writes them, names compressed.

mod common;

use common::{ip, name, question};
use millstream_dns::message::Answer;
use millstream_dns::{Family, Limits};
use simple_dns::rdata::{A, AAAA, CNAME, OPT, RData, SOA};
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE, ResourceRecord};

fn owner(text: &str) -> Name<'_> {
    Name::new(text).unwrap()
}

fn record<'a>(of: &'a str, ttl: u32, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(owner(of), CLASS::IN, ttl, data)
}

/// What an answer to "www.a.example" with these sections means.
fn answer(family: Family, fill: impl FnOnce(&mut Packet<'_>)) -> Answer {
    let question = question("www.a.example", family);
    let mut query = Vec::new();
    question.encode(true, &mut query);
    let query = Packet::parse(&query).unwrap();
    let mut reply = Packet::new_reply(query.id());
    reply.questions.clone_from(&query.questions);
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    fill(&mut reply);
    question.parse_answer(&reply.build_bytes_vec_compressed().unwrap(), &Limits::default()).unwrap()
}

#[test]
fn a_query_is_what_it_is_meant_to_be() {
    for (family, asked) in [(Family::V4, simple_dns::TYPE::A), (Family::V6, simple_dns::TYPE::AAAA)] {
        let mut bytes = Vec::new();
        question("www.a.example", family).encode(true, &mut bytes);
        let query = Packet::parse(&bytes).unwrap();
        assert_eq!((query.id(), query.questions.len()), (0x1234, 1));
        assert!(query.has_flags(PacketFlag::RECURSION_DESIRED) && !query.has_flags(PacketFlag::RESPONSE));
        assert_eq!(query.questions[0].qname.to_string(), "www.a.example");
        assert_eq!(query.questions[0].qtype, asked.into());
        assert_eq!(query.opt().map(|opt| (opt.udp_packet_size, opt.version)), Some((1232, 0)));
    }
}

#[test]
fn addresses_behind_aliases_are_found() {
    let addresses = vec![ip("192.0.2.1"), ip("192.0.2.2")];
    let found = answer(Family::V4, |reply| {
        reply.answers = vec![
            record("www.a.example", 300, RData::CNAME(CNAME(owner("cdn.a.example")))),
            record("cdn.a.example", 200, RData::CNAME(CNAME(owner("edge.cdn.a.example")))),
            record("edge.cdn.a.example", 60, RData::A(A { address: 0xc000_0201 })),
            record("edge.cdn.a.example", 90, RData::A(A { address: 0xc000_0202 })),
        ];
        *reply.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1232, version: 0 });
    });
    assert_eq!(found, Answer::Addresses { addresses, ttl: 60 });
    let found = answer(Family::V6, |reply| {
        let address = 0x2001_0db8 << 96 | 1;
        reply.answers = vec![record("www.a.example", 30, RData::AAAA(AAAA { address }))];
    });
    assert_eq!(found, Answer::Addresses { addresses: vec![ip("2001:db8::1")], ttl: 30 });
    let found = answer(Family::V6, |reply| {
        reply.answers = vec![record("www.a.example", 30, RData::CNAME(CNAME(owner("b.example"))))];
    });
    assert_eq!(found, Answer::Alias { name: name("b.example"), aliases: 1, ttl: 30 });
}

#[test]
fn absence_is_understood() {
    let soa = SOA {
        mname: owner("ns.a.example"),
        rname: owner("mail.a.example"),
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 50,
    };
    let absent = |rcode: RCODE| {
        answer(Family::V4, |reply| {
            *reply.rcode_mut() = rcode;
            reply.name_servers = vec![record("a.example", 300, RData::SOA(soa.clone()))];
        })
    };
    assert_eq!(absent(RCODE::NoError), Answer::NoAddress { ttl: 50 });
    assert_eq!(absent(RCODE::NameError), Answer::NoSuchName { ttl: 50 });
    assert_eq!(absent(RCODE::ServerFailure), Answer::Failed(2));
}
