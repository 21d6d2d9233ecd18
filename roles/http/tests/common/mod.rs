//! What a multipart body tells, however it is cut.

use http::multipart::{Error, Event, Parser};

/// What a body tells, neighbouring content put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Part(Vec<(String, String)>),
    Content(Vec<u8>),
    PartEnd,
    Error(Error),
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Feeds a body in pieces, to its end or to an error.
pub(crate) fn feed(mut parser: Parser, pieces: &[&[u8]]) -> Vec<Told> {
    let mut told = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (used, event) = match parser.input(rest) {
                Ok(step) => step,
                Err(error) => {
                    told.push(Told::Error(error));
                    return told;
                }
            };
            let Some(event) = event else {
                assert_eq!(used, rest.len());
                break;
            };
            tell(&parser, &event, &rest[..used], &mut told);
            rest = &rest[used..];
        }
    }
    told.extend(parser.finish().err().map(Told::Error));
    told
}

fn tell(parser: &Parser, event: &Event, consumed: &[u8], told: &mut Vec<Told>) {
    let content = parser.content(event, consumed);
    match (event, told.last_mut()) {
        (Event::Part, _) => {
            let fields = parser.head().iter().map(|(name, value)| (text(name), text(value)));
            told.push(Told::Part(fields.collect()));
        }
        (Event::PartEnd, _) => told.push(Told::PartEnd),
        (_, Some(Told::Content(last))) => last.extend_from_slice(content),
        _ => told.push(Told::Content(content.to_vec())),
    }
}
