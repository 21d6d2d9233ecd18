//! Payload on its way in.

use crate::inflate::{Inflater, Then};
use crate::{Engine, Error, Event, Payload, Place, Receiving, Scratch, mask};

/// Compressed bytes that are unmasked at a time; those that find no room to inflate to are masked again.
const CHUNK: usize = 4096;

/// What ends with a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ends {
    #[default]
    Nothing,
    Frame,
    Message,
}

/// A piece of payload, before it is told.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    /// Where the input has been used to.
    used: usize,
    /// Bytes that are good.
    len: usize,
    ends: Ends,
    /// What is wrong behind them.
    fault: Option<Error>,
}

impl Engine {
    /// Payload of the frame at hand, which begins at `at` of the input.
    pub(crate) fn payload(
        &mut self,
        input: &mut [u8],
        at: usize,
        scratch: &mut Scratch,
    ) -> Result<(usize, Option<Event>), Error> {
        match (self.receiving, self.message) {
            (Receiving::Payload { is_final }, Some(message)) if !message.is_deflated => {
                self.plain(input, at, is_final)
            }
            _ => self.inflated(input, at, scratch),
        }
    }

    fn plain(
        &mut self,
        input: &mut [u8],
        at: usize,
        is_final: bool,
    ) -> Result<(usize, Option<Event>), Error> {
        let available = input.get_mut(at..).unwrap_or_default();
        let len = available.len().min(usize::try_from(self.frame_left).unwrap_or(usize::MAX));
        if len == 0 && self.frame_left > 0 {
            return Ok((at, None));
        }
        let piece = available.get_mut(..len).unwrap_or_default();
        if self.is_server {
            mask::apply(self.mask, piece);
            self.mask = mask::advance(self.mask, len);
        }
        self.frame_left = self.frame_left.saturating_sub(len as u64);
        let ends = match (self.frame_left, is_final) {
            (1.., _) => Ends::Nothing,
            (0, false) => Ends::Frame,
            (0, true) => Ends::Message,
        };
        let made = self.check_text(piece, Made { used: 0, len, ends, fault: None });
        let end = at.saturating_add(made.len);
        let event = self.tell(Place::Input(at..end), made)?;
        Ok((end, event))
    }

    /// What of `made`, whose bytes are `piece`, is good if it has to be UTF-8.
    fn check_text(&mut self, piece: &[u8], made: Made) -> Made {
        if self.message.is_none_or(|message| message.is_binary) {
            return made;
        }
        match self.rx_text.check(piece) {
            Err(good) => Made { len: good, fault: Some(Error::Utf8), ..made },
            Ok(()) if made.ends == Ends::Message && !self.rx_text.is_complete() => {
                Made { fault: made.fault.or(Some(Error::Utf8)), ..made }
            }
            Ok(()) => made,
        }
    }

    /// Makes an event of a piece, and goes on to what follows it. What is good is told before what is wrong, so that it
    /// does not matter how the bytes were cut.
    fn tell(&mut self, place: Place, made: Made) -> Result<Option<Event>, Error> {
        let ends = if made.fault.is_some() { Ends::Nothing } else { made.ends };
        match made.fault {
            Some(error) if made.len == 0 => return Err(error),
            Some(error) => self.fail(error),
            None if made.len == 0 && ends == Ends::Nothing => return Ok(None),
            None => {}
        }
        let Some(message) = &mut self.message else { return Ok(None) };
        let is_first = core::mem::replace(&mut message.is_first, false);
        let is_binary = message.is_binary;
        let is_last = ends == Ends::Message;
        if is_last {
            self.message = None;
        }
        let ends_frame = ends != Ends::Nothing;
        if ends_frame {
            self.receiving = Receiving::Header;
        }
        Ok(Some(Event::Payload(Payload { place, is_binary, is_first, is_last, ends_frame })))
    }

    fn inflated(
        &mut self,
        input: &mut [u8],
        at: usize,
        scratch: &mut Scratch,
    ) -> Result<(usize, Option<Event>), Error> {
        let Some(mut inflater) = self.held.as_mut().and_then(|held| held.inflater.take()) else {
            // Whoever set this state has lent one.
            return Err(Error::Deflate);
        };
        let made = self.inflate(&mut inflater, input, at, scratch.buffer());
        scratch.lend_held(&mut self.held).inflater = Some(inflater);
        let made = self.check_text(scratch.get(0..made.len), made);
        self.message_len = self.message_len.saturating_add(made.len as u64);
        let keeps = self.deflate.is_some_and(|deflate| deflate.sent_by(!self.is_server).keeps);
        if made.ends == Ends::Message && !keeps {
            scratch.return_inflater(&mut self.held);
        }
        let event = self.tell(Place::Scratch(0..made.len), made)?;
        Ok((made.used, event))
    }

    /// Inflates into `out` until that is full, the frame is over, or the input is used up.
    fn inflate(&mut self, inflater: &mut Inflater, input: &mut [u8], at: usize, out: &mut [u8]) -> Made {
        let mut made = Made { used: at, ..Made::default() };
        let budget = inflater.budget(self.ratio);
        let allowed = budget.min(self.message_limit).saturating_sub(self.message_len);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        // One byte more than is allowed shows that there is more.
        let room = out.len().min(allowed.saturating_add(1));
        let out = out.get_mut(..room).unwrap_or_default();
        loop {
            let room = out.get_mut(made.len..).unwrap_or_default();
            let (len, then) = match self.receiving {
                Receiving::Tail(given) => self.inflate_tail(inflater, given, room),
                _ => self.inflate_chunk(inflater, input, &mut made.used, room),
            };
            made.len = made.len.saturating_add(len);
            if made.len > allowed {
                let error = if budget < self.message_limit { Error::Bomb } else { Error::MessageTooLong };
                return Made { len: allowed, fault: Some(error), ..made };
            }
            match (then, self.receiving) {
                (Then::Failed, _) => return Made { fault: Some(Error::Deflate), ..made },
                (Then::Full, _) => return made,
                (Then::Drained, Receiving::Payload { is_final: false }) if self.frame_left == 0 => {
                    return Made { ends: Ends::Frame, ..made };
                }
                (Then::Drained, Receiving::Payload { is_final: true }) if self.frame_left == 0 => {
                    self.receiving = Receiving::Tail(0);
                }
                (Then::Drained, Receiving::Tail(_)) => {
                    return Made { ends: Ends::Message, fault: inflater.end().err(), ..made };
                }
                (Then::Drained, _) if made.used == input.len() => return made,
                (Then::Drained, _) => {}
            }
        }
    }

    fn inflate_chunk(
        &mut self,
        inflater: &mut Inflater,
        input: &mut [u8],
        used: &mut usize,
        out: &mut [u8],
    ) -> (usize, Then) {
        let rest = input.get_mut(*used..).unwrap_or_default();
        let len = rest.len().min(CHUNK).min(usize::try_from(self.frame_left).unwrap_or(usize::MAX));
        let chunk = rest.get_mut(..len).unwrap_or_default();
        mask::apply(self.mask, chunk);
        let step = inflater.step(chunk, out);
        self.mask = mask::advance(self.mask, step.used);
        mask::apply(self.mask, chunk.get_mut(step.used..).unwrap_or_default());
        self.frame_left = self.frame_left.saturating_sub(step.used as u64);
        *used = used.saturating_add(step.used);
        (step.made, step.then)
    }

    fn inflate_tail(&mut self, inflater: &mut Inflater, given: u8, out: &mut [u8]) -> (usize, Then) {
        // Once some of the tail has been given, all of it is.
        let tail = if given == 0 { inflater.tail() } else { &crate::inflate::TAIL };
        let step = inflater.step(tail.get(usize::from(given)..).unwrap_or_default(), out);
        self.receiving = Receiving::Tail(given.saturating_add(step.used as u8));
        (step.made, step.then)
    }
}
