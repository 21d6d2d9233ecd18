//! Bytes to frames, in pieces of any size. A frame's head is read with what has a fixed length behind it; data, header
//! blocks, settings and what is ignored pass through as they come.

use crate::frame::{FrameHead, HEAD, Kind, PREFACE, flag, id, put_go_away};
use crate::headers::OpenBlock;
use crate::settings::Peer;
use crate::stream::{Incoming, Past, Step};
use crate::{Code, Engine, Error, Event, StreamId};
use http::Head;

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// The first words of a client.
    Preface,
    /// A frame's head.
    Frame,
    /// Data of a stream.
    Data(Data),
    /// A part of a header block.
    Fragment(Fragment),
    /// Settings, six octets each: what the peer will have told with the last of them.
    Settings {
        left: u32,
        peer: Peer,
    },
    /// Nothing that matters.
    Skip {
        left: u32,
    },
    /// None yet: the end of a message is to be told. Padding follows.
    End {
        stream: u32,
        padding: u8,
    },
    Failed(Error),
}

/// Where a DATA frame is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    stream: u32,
    /// Of the whole frame, as windows count it.
    len: u32,
    /// Payload that is to come.
    left: u32,
    /// What is behind that.
    padding: u8,
    /// The message ends with it.
    ends: bool,
}

/// Where a HEADERS or CONTINUATION frame is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    left: u32,
    padding: u8,
    /// The header block ends with it.
    ends: bool,
}

/// Bytes that the memory for cut header blocks keeps between them.
const BLOCK_KEPT: usize = 1024;

/// How much was taken, and what it was.
type Taken = Result<(usize, Option<Event>), Error>;

impl Engine {
    /// Looks at `input`: how much of it is done with, and what it was. `(0, None)` asks for more; the next call begins
    /// with the same bytes, of which there are never more than 24. At most one event a call, because what it leads to may
    /// end the connection. `head` is filled when the event is a head, or the end of a message. `now` is in microseconds,
    /// from any beginning, and never goes back.
    ///
    /// # Errors
    /// The peer has broken a rule. The connection is of no use after that: the same error again and again. What tells
    /// the peer is in [`Self::poll_output`].
    pub fn input(
        &mut self,
        now: u64,
        input: &[u8],
        head: &mut Head,
    ) -> Result<(usize, Option<Event>), Error> {
        let result = self.next(now, input, head);
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    /// The peer has closed its side: all that it sent has been taken.
    ///
    /// # Errors
    /// [`Error::Truncated`]: it was in the middle of something.
    pub fn input_eof(&mut self) -> Result<(), Error> {
        match self.receiving {
            Receiving::Failed(error) => Err(error),
            Receiving::Preface => Ok(()),
            Receiving::Frame if self.open.is_none() && self.streams.is_empty() => Ok(()),
            _ => {
                self.receiving = Receiving::Failed(Error::Truncated);
                Err(Error::Truncated)
            }
        }
    }

    /// RFC 9113 5.4.1: an error of the connection is told before it is closed.
    fn fail(&mut self, error: Error) {
        if !matches!(self.receiving, Receiving::Failed(_)) {
            self.receiving = Receiving::Failed(error);
            let last = self.last_taken();
            put_go_away(&mut self.control, last, error.code());
        }
    }

    fn next(&mut self, now: u64, input: &[u8], head: &mut Head) -> Taken {
        if let Receiving::End { stream, padding } = self.receiving {
            self.receiving = skip(u32::from(padding));
            if let Some(event) = self.end(stream) {
                head.clear();
                return Ok((0, Some(event)));
            }
        }
        match self.receiving {
            Receiving::Failed(error) => Err(error),
            Receiving::Preface => self.preface(input),
            Receiving::Frame => self.frame_head(now, input, head),
            Receiving::Data(data) => Ok(self.data(input, data)),
            Receiving::Fragment(fragment) => self.fragment(now, input, fragment, head),
            Receiving::Settings { left, peer } => self.settings(input, left, peer),
            Receiving::Skip { left } => {
                let used = left.min(len_of(input));
                self.receiving = skip(left - used);
                Ok((used as usize, None))
            }
            Receiving::End { .. } => Ok((0, None)),
        }
    }

    fn preface(&mut self, input: &[u8]) -> Taken {
        if input.starts_with(PREFACE) {
            self.receiving = Receiving::Frame;
            Ok((PREFACE.len(), None))
        } else if PREFACE.starts_with(input) {
            Ok((0, None))
        } else {
            Err(Error::Preface)
        }
    }

    fn frame_head(&mut self, now: u64, input: &[u8], head: &mut Head) -> Taken {
        let Some(frame) = FrameHead::parse(input) else { return Ok((0, None)) };
        if !self.has_settings && (frame.kind != Kind::Settings || frame.has(flag::ACK)) {
            return Err(Error::FirstFrame);
        }
        // RFC 9113 6.2: nothing comes between the frames of a header block.
        let continues = self.open.is_some_and(|open| open.stream == frame.stream);
        if (self.open.is_some() || frame.kind == Kind::Continuation)
            && !(continues && frame.kind == Kind::Continuation)
        {
            return Err(Error::Continuation);
        }
        frame.check(self.limits.frame)?;
        let taken = HEAD + frame.fixed() as usize;
        let Some(fixed) = input.get(HEAD..taken) else { return Ok((0, None)) };
        let event = match frame.kind {
            Kind::Data => self.data_head(now, frame, fixed)?,
            Kind::Headers | Kind::Continuation => {
                self.fragment_head(frame, fixed)?;
                None
            }
            Kind::Settings => self.settings_head(now, frame)?,
            _ => self.control_frame(now, frame, fixed)?,
        };
        // An empty part may be the last: there are no bytes to wait for.
        match self.receiving {
            Receiving::Fragment(fragment) if fragment.left == 0 => {
                let (_, event) = self.fragment(now, &[], fragment, head)?;
                Ok((taken, event))
            }
            _ => Ok((taken, event)),
        }
    }

    /// RFC 9113 6.1: data counts against both windows before anything else is asked, padding included.
    fn data_head(&mut self, now: u64, frame: FrameHead, fixed: &[u8]) -> Result<Option<Event>, Error> {
        let (padding, content) = unpad(frame, fixed)?;
        let ends = frame.has(flag::END_STREAM);
        self.credit.receive(frame.len, 0)?;
        if content > 0 {
            self.frames.give(1);
        } else if !ends {
            self.charge(now)?;
        }
        if let Err(error) = self.admit(frame.stream, frame.len, content, ends) {
            return self.drop_data(now, frame, error);
        }
        self.data_left(Data { stream: frame.stream, len: frame.len, left: content, padding, ends });
        Ok(None)
    }

    /// Whether a stream takes data. `Ok` also where it is ours that it does not: what was on its way is dropped.
    fn admit(&mut self, stream: u32, len: u32, content: u32, ends: bool) -> Result<(), Error> {
        let pending = self.beginning.pending();
        let Some(row) = self.streams.get_mut(stream) else {
            return match self.streams.past(stream) {
                Past::Idle | Past::Skipped => Err(Error::IdleStream),
                Past::Closed => Err(Error::ClosedStream),
                Past::Reset => Ok(()),
            };
        };
        if !row.state.may_receive() {
            return Err(Error::ClosedStream);
        }
        let Incoming::Body { left } = &mut row.incoming else { return Err(Error::Malformed) };
        row.credit.receive(len, pending)?;
        if let Some(left) = left {
            *left = left.checked_sub(u64::from(content)).ok_or(Error::ContentLength)?;
            if ends && *left > 0 {
                return Err(Error::ContentLength);
            }
        }
        Ok(())
    }

    /// Data that breaks a rule: the connection's fault where the stream does not live (RFC 9113 5.1), else the stream's.
    fn drop_data(&mut self, now: u64, frame: FrameHead, error: Error) -> Result<Option<Event>, Error> {
        if self.streams.get(frame.stream).is_none() {
            return Err(error);
        }
        let event = self.stream_fault(now, frame.stream, error)?;
        self.pass(0, frame.len);
        self.receiving = skip(frame.len - frame.fixed());
        Ok(event)
    }

    fn data(&mut self, input: &[u8], data: Data) -> (usize, Option<Event>) {
        let used = data.left.min(len_of(input));
        if used == 0 {
            return (0, None);
        }
        let is_live = self.streams.get(data.stream).is_some();
        self.data_left(Data { left: data.left - used, ..data });
        let event = Event::Body { stream: StreamId(data.stream), range: 0..used as usize };
        (used as usize, is_live.then_some(event))
    }

    /// A frame counts as passed on when all of its payload is, so that windows do not depend on how it was cut. With the
    /// last of a message, its stream needs no more.
    fn data_left(&mut self, data: Data) {
        let Data { stream, len, left, padding, ends } = data;
        if left > 0 {
            self.receiving = Receiving::Data(data);
        } else if ends {
            self.pass(0, len);
            self.receiving = Receiving::End { stream, padding };
        } else {
            self.pass(stream, len);
            self.receiving = skip(u32::from(padding));
        }
    }

    /// What is to come on a stream of a frame that its window has been charged with.
    pub(crate) fn coming(&self, stream: u32) -> u32 {
        match self.receiving {
            Receiving::Data(data) if data.stream == stream => data.left,
            _ => 0,
        }
    }

    /// So much has been passed on, or dropped: the peer may send as much again. A stream that is gone needs no more.
    fn pass(&mut self, stream: u32, len: u32) {
        if let Some(grant) = self.credit.pass(len) {
            self.grant(0, grant);
        }
        let grant = self.streams.get_mut(stream).and_then(|row| row.credit.pass(len));
        if let Some(grant) = grant {
            self.grant(stream, grant);
        }
    }

    /// The peer's message is complete. Nothing to tell when the stream has gone in between.
    pub(crate) fn end(&mut self, stream: u32) -> Option<Event> {
        let state = self.streams.step(stream, Step::RecvEnd)?;
        self.note(state);
        Some(Event::End { stream: StreamId(stream) })
    }

    fn fragment_head(&mut self, frame: FrameHead, fixed: &[u8]) -> Result<(), Error> {
        let (padding, content) =
            if frame.kind == Kind::Headers { unpad(frame, fixed)? } else { (0, frame.len) };
        let ends_stream = frame.has(flag::END_STREAM);
        let open = match self.open {
            None => OpenBlock { stream: frame.stream, ends_stream, continuations: 0 },
            Some(open) => OpenBlock { continuations: open.continuations.saturating_add(1), ..open },
        };
        let len = content.saturating_add(len_of(&self.block));
        if open.continuations > self.limits.continuations || len > self.limits.header_block {
            return Err(Error::HeaderBlock);
        }
        self.open = Some(open);
        self.receiving =
            Receiving::Fragment(Fragment { left: content, padding, ends: frame.has(flag::END_HEADERS) });
        Ok(())
    }

    /// Collects a header block, unless all of it is there already.
    fn fragment(&mut self, now: u64, input: &[u8], fragment: Fragment, head: &mut Head) -> Taken {
        let Fragment { left, padding, ends } = fragment;
        let used = left.min(len_of(input));
        let piece = input.get(..used as usize).unwrap_or_default();
        if used < left || !ends {
            self.block.extend_from_slice(piece);
            self.receiving = match left - used {
                0 => skip(u32::from(padding)),
                left => Receiving::Fragment(Fragment { left, ..fragment }),
            };
            return Ok((used as usize, None));
        }
        self.receiving = skip(u32::from(padding));
        let Some(open) = self.open.take() else { return Err(Error::Continuation) };
        let told = if self.block.is_empty() {
            self.headers(now, open, piece, head)?
        } else {
            self.block.extend_from_slice(piece);
            let mut block = core::mem::take(&mut self.block);
            let told = self.headers(now, open, &block, head);
            // What most need is kept for the next.
            block.clear();
            block.shrink_to(BLOCK_KEPT);
            self.block = block;
            told?
        };
        if told.ends {
            self.receiving = Receiving::End { stream: open.stream, padding };
        }
        Ok((used as usize, told.event))
    }

    fn settings(&mut self, input: &[u8], left: u32, mut peer: Peer) -> Taken {
        let Some(entry) = input.first_chunk::<6>() else { return Ok((0, None)) };
        self.setting(&mut peer, *entry)?;
        match left.saturating_sub(6) {
            0 => {
                self.receiving = Receiving::Frame;
                Ok((6, Some(self.settings_done(peer)?)))
            }
            left => {
                self.receiving = Receiving::Settings { left, peer };
                Ok((6, None))
            }
        }
    }
}

fn len_of(input: &[u8]) -> u32 {
    u32::try_from(input.len()).unwrap_or(u32::MAX)
}

pub(crate) fn skip(left: u32) -> Receiving {
    if left == 0 { Receiving::Frame } else { Receiving::Skip { left } }
}

/// How much padding a frame has, and how much else behind what was read with its head (RFC 9113 6.1).
fn unpad(frame: FrameHead, fixed: &[u8]) -> Result<(u8, u32), Error> {
    let padding = if frame.has(flag::PADDED) { fixed.first().copied().unwrap_or(0) } else { 0 };
    let behind = frame.len.saturating_sub(frame.fixed());
    Ok((padding, behind.checked_sub(u32::from(padding)).ok_or(Error::Padding)?))
}

/// The first four octets as an identifier, and the next four as a code.
pub(crate) fn id_and_code(fixed: &[u8]) -> (u32, Code) {
    let four =
        |at: usize| fixed.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    (id(four(0)), Code(u32::from_be_bytes(four(4))))
}
