//! Header blocks: which stream each is for, and what it does to it (RFC 9113 8.1). Every block is decoded, wanted or
//! not: the peer's table goes on with it.

use crate::flow::{Credit, Window};
use crate::message::{Facts, Fields, Kind};
use crate::stream::{Incoming, Outgoing, Past, State, Step, Stream};
use crate::{Code, Engine, Error, Event, StreamId};
use core::ops::ControlFlow;
use http::{Head, Method, Status};

/// Interim responses before the one that counts.
const INTERIM: u8 = 16;

/// A header block that has begun to arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenBlock {
    pub(crate) stream: u32,
    pub(crate) ends_stream: bool,
    pub(crate) continuations: u16,
}

/// What a header block came to.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) event: Option<Event>,
    /// The message ends here as well: that is the next event.
    pub(crate) ends: bool,
}

impl From<Option<Event>> for Told {
    fn from(event: Option<Event>) -> Self {
        Self { event, ends: false }
    }
}

/// What a header block is.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Request,
    /// A request for which there is no place.
    Excess,
    Response,
    Trailers,
    /// For a stream that we have reset.
    Late,
    /// Something that must not come.
    Fault(Error),
}

impl Engine {
    /// Takes a whole header block.
    pub(crate) fn headers(
        &mut self,
        now: u64,
        open: OpenBlock,
        block: &[u8],
        head: &mut Head,
    ) -> Result<Told, Error> {
        let stream = open.stream;
        let kind = match self.meaning(stream)? {
            Meaning::Request => Kind::Request,
            Meaning::Response => Kind::Response,
            Meaning::Trailers => Kind::Trailers,
            Meaning::Excess => {
                self.ignore(block)?;
                self.streams.begin(stream);
                self.refuse(now, stream, Code::REFUSED_STREAM)?;
                return Ok(Told::default());
            }
            Meaning::Late => {
                self.charge(now)?;
                self.ignore(block)?;
                return Ok(Told::default());
            }
            Meaning::Fault(error) => {
                self.ignore(block)?;
                return Ok(self.stream_fault(now, stream, error)?.into());
            }
        };
        match (kind, self.read(kind, block, head)?) {
            (Kind::Request, Ok(facts)) => self.request(now, open, facts, head),
            (Kind::Request, Err(error)) => self.bad_request(now, open, error),
            (Kind::Response, Ok(facts)) => self.response(now, open, facts, head),
            (Kind::Trailers, Ok(_)) => self.trailers(now, open),
            (_, Err(error)) => Ok(self.stream_fault(now, stream, error)?.into()),
        }
    }

    fn meaning(&self, stream: u32) -> Result<Meaning, Error> {
        if let Some(row) = self.streams.get(stream) {
            return Ok(match row.incoming {
                _ if !row.state.may_receive() => Meaning::Fault(Error::ClosedStream),
                Incoming::Head { .. } => Meaning::Response,
                Incoming::Body { .. } => Meaning::Trailers,
            });
        }
        match self.streams.past(stream) {
            Past::Idle if !self.is_server => Err(Error::IdleStream),
            // RFC 9113 5.1.1: even numbers are the server's.
            Past::Idle if stream.is_multiple_of(2) => Err(Error::StreamId),
            Past::Idle if self.is_full() => Ok(Meaning::Excess),
            Past::Idle => Ok(Meaning::Request),
            Past::Skipped => Err(Error::StreamId),
            Past::Reset => Ok(Meaning::Late),
            Past::Closed => Err(Error::ClosedStream),
        }
    }

    fn read(&mut self, kind: Kind, block: &[u8], head: &mut Head) -> Result<Result<Facts, Error>, Error> {
        let mut fields = Fields::new(kind, &self.limits, head, &mut self.scratch);
        let mut fault = None;
        let result = self.decoder.decode(block, |name, value| {
            if fault.is_none() {
                fault = fields.push(name, value).err();
            }
            ControlFlow::Continue(())
        });
        result.map_err(Error::Compression)?;
        Ok(match fault {
            Some(error) => Err(error),
            None => fields.finish(),
        })
    }

    fn ignore(&mut self, block: &[u8]) -> Result<(), Error> {
        self.decoder.decode(block, |_, _| ControlFlow::Continue(())).map_err(Error::Compression)
    }

    fn request(&mut self, now: u64, open: OpenBlock, facts: Facts, head: &Head) -> Result<Told, Error> {
        let length = facts.content_length.filter(|_| !facts.is_tunnel);
        if open.ends_stream && length.is_some_and(|length| length > 0) {
            return self.bad_request(now, open, Error::ContentLength);
        }
        let id = open.stream;
        self.streams.begin(id);
        let stream = Stream {
            incoming: Incoming::Body { left: length },
            is_head: head.method() == Some(Method::Head),
            is_tunnel: facts.is_tunnel,
            expects_continue: facts.expects_continue && !open.ends_stream,
            ..self.new_stream(id)
        };
        self.streams.insert(stream);
        if self.limits.by_hand {
            self.hold_credit(StreamId(id));
        } else if !open.ends_stream {
            let more = self.limits.window.saturating_sub(self.limits.initial_window);
            self.grant_new(id, more);
        }
        Ok(Told { event: Some(Event::Request { stream: StreamId(id) }), ends: open.ends_stream })
    }

    /// A stream that has just begun, with the windows that all have then.
    pub(crate) fn new_stream(&self, id: u32) -> Stream {
        Stream {
            id,
            state: State::Idle.after(Step::Begin).unwrap_or(State::Closed),
            incoming: Incoming::Head { interim: 0 },
            outgoing: Outgoing::Head,
            window: Window::new(self.peer.window),
            credit: Credit::new(self.beginning.told(), self.limits.window.max(self.limits.initial_window)),
            is_head: false,
            is_tunnel: false,
            expects_continue: false,
        }
    }

    /// A request that cannot be one. Where it is not malformed but too much, the client is told in its own language (RFC
    /// 9113 10.5.1).
    fn bad_request(&mut self, now: u64, open: OpenBlock, error: Error) -> Result<Told, Error> {
        let stream = open.stream;
        self.streams.begin(stream);
        let status = match error {
            Error::HeaderList => Status::HEADER_FIELDS_TOO_LARGE,
            Error::Method => Status::NOT_IMPLEMENTED,
            _ => {
                self.refuse(now, stream, error.code())?;
                return Ok(Told::default());
            }
        };
        if !self.resets.take(now) {
            return Err(Error::Resets);
        }
        self.answer(stream, status);
        if !open.ends_stream {
            self.put_reset(stream, Code::NO_ERROR);
        }
        self.check_output()?;
        Ok(Told::default())
    }

    fn response(&mut self, now: u64, open: OpenBlock, facts: Facts, head: &Head) -> Result<Told, Error> {
        let (id, ends) = (open.stream, open.ends_stream);
        let (Some(status), Some(row)) = (head.status(), self.streams.get_mut(id)) else {
            return Err(Error::Malformed);
        };
        let stream = StreamId(id);
        let Incoming::Head { interim } = row.incoming else { return Err(Error::Malformed) };
        let fault = if status.is_informational() {
            row.incoming = Incoming::Head { interim: interim.saturating_add(1) };
            match (ends, interim < INTERIM) {
                (false, true) => return Ok(Some(Event::Informational { stream }).into()),
                (false, false) => Error::Interim,
                (true, _) => Error::Malformed,
            }
        } else {
            let left = match facts.content_length {
                _ if row.is_head || status.is_bodiless() => Some(0),
                _ if row.is_tunnel && status.is_success() => None,
                length => length,
            };
            row.incoming = Incoming::Body { left };
            row.is_tunnel &= status.is_success();
            if !ends || left.is_none_or(|left| left == 0) {
                return Ok(Told { event: Some(Event::Response { stream }), ends });
            }
            Error::ContentLength
        };
        Ok(self.stream_fault(now, id, fault)?.into())
    }

    /// RFC 9113 8.1: trailers end their message. A tunnel has none (RFC 9113 8.5).
    fn trailers(&mut self, now: u64, open: OpenBlock) -> Result<Told, Error> {
        let fault = match self.streams.get(open.stream).map(|row| (row.is_tunnel, row.incoming)) {
            Some((true, _)) => Error::Malformed,
            _ if !open.ends_stream => Error::Malformed,
            Some((_, Incoming::Body { left: Some(1..) })) => Error::ContentLength,
            _ => return Ok(self.end(open.stream).into()),
        };
        Ok(self.stream_fault(now, open.stream, fault)?.into())
    }
}
