//! What one caller waits for: the addresses of the first name of a search list that has any.

use crate::cache::Known;
use crate::{Failure, Family, Name};
use alloc::collections::VecDeque;

/// A lookup under way: until both families have been told.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Names still to be tried, when those before do not exist.
    candidates: VecDeque<Name>,
    /// The name that is being asked for is the right one: it has addresses, or nobody knows whether it has.
    is_settled: bool,
    v4: Progress,
    v6: Progress,
    /// Events that were not yet fetched; the lookup counts until they are.
    pub(super) untold: u8,
}

#[derive(Debug)]
enum Progress {
    /// Whoever answers first; this name is being asked for.
    Asking(Name),
    /// Nothing under this name. What is next depends on the other family.
    Nothing(Failure),
    Told,
}

/// What the answer for one family means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait for the other family.
    Wait,
    /// Tell the caller, and of the other family too when it has waited for this.
    Tell(Known, Option<Failure>),
    /// Neither family has anything: the next candidate is to be asked for.
    Next,
}

impl Lookup {
    pub(super) const fn new(candidates: VecDeque<Name>) -> Self {
        Self { candidates, is_settled: false, v4: Progress::Told, v6: Progress::Told, untold: 2 }
    }

    const fn progress(&mut self, family: Family) -> &mut Progress {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Goes to the next name, if there is one.
    pub(super) fn next(&mut self) -> Option<Name> {
        let name = self.candidates.pop_front()?;
        self.v4 = Progress::Asking(name.clone());
        self.v6 = Progress::Asking(name.clone());
        Some(name)
    }

    /// The name that is being asked for, if its family waits.
    pub(super) fn asked(&mut self, family: Family) -> Option<Name> {
        match self.progress(family) {
            Progress::Asking(name) => Some(name.clone()),
            Progress::Nothing(_) | Progress::Told => None,
        }
    }

    pub(super) fn answer(&mut self, family: Family, known: Known) -> Verdict {
        match known {
            Err(failure) if failure.is_absence() && !self.is_settled && !self.candidates.is_empty() => {
                *self.progress(family) = Progress::Nothing(failure);
                match self.progress(family.other()) {
                    Progress::Nothing(_) => Verdict::Next,
                    Progress::Asking(_) | Progress::Told => Verdict::Wait,
                }
            }
            known => {
                // A server that does not answer says nothing about the name: to take the next one instead would lead
                // to another host than the one that was meant.
                self.is_settled |= !known.as_ref().is_err_and(|failure| failure.is_absence());
                *self.progress(family) = Progress::Told;
                let waited = match self.progress(family.other()) {
                    Progress::Nothing(failure) => Some(*failure),
                    Progress::Asking(_) | Progress::Told => None,
                };
                Verdict::Tell(known, waited)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr};

    const NO_NAME: Known = Err(Failure::NoSuchName);
    const NO_ADDRESS: Known = Err(Failure::NoAddress);

    fn found() -> Vec<IpAddr> {
        vec![Ipv4Addr::new(192, 0, 2, 1).into()]
    }

    /// Of so many candidates, the first of which is being asked for.
    fn lookup(candidates: &[&str]) -> Lookup {
        let mut lookup = Lookup::new(candidates.iter().map(|text| Name::from_text(text).unwrap()).collect());
        lookup.next().unwrap();
        lookup
    }

    #[test]
    fn what_is_found_is_told_before_the_other_family_is_known() {
        let mut lookup = lookup(&["a", "b"]);
        assert_eq!(lookup.answer(Family::V6, Ok(found())), Verdict::Tell(Ok(found()), None));
        assert_eq!(lookup.answer(Family::V4, NO_ADDRESS), Verdict::Tell(NO_ADDRESS, None));
    }

    #[test]
    fn a_family_without_addresses_waits_for_the_other_while_there_are_more_names() {
        let mut lookup = lookup(&["a", "b"]);
        assert_eq!(lookup.answer(Family::V6, NO_ADDRESS), Verdict::Wait);
        assert_eq!(
            lookup.answer(Family::V4, Ok(found())),
            Verdict::Tell(Ok(found()), Some(Failure::NoAddress))
        );
    }

    #[test]
    fn the_last_name_tells_at_once() {
        let mut lookup = lookup(&["a", "b"]);
        assert_eq!(lookup.answer(Family::V6, NO_NAME), Verdict::Wait);
        assert_eq!(lookup.answer(Family::V4, NO_NAME), Verdict::Next);
        assert_eq!(lookup.next(), Name::from_text("b").ok());
        assert_eq!(lookup.asked(Family::V4), Name::from_text("b").ok());
        assert_eq!(lookup.answer(Family::V6, NO_NAME), Verdict::Tell(NO_NAME, None));
        assert_eq!(lookup.asked(Family::V6), None);
        assert_eq!(lookup.answer(Family::V4, Ok(found())), Verdict::Tell(Ok(found()), None));
    }

    #[test]
    fn a_server_that_fails_ends_the_search() {
        let mut lookup = lookup(&["a", "b"]);
        assert_eq!(lookup.answer(Family::V6, NO_NAME), Verdict::Wait);
        let timeout = Err(Failure::Timeout);
        assert_eq!(
            lookup.answer(Family::V4, timeout.clone()),
            Verdict::Tell(timeout, Some(Failure::NoSuchName))
        );
    }
}
