//! Topic aliases (MQTT 5, 3.3.2.3.4). They belong to one connection.

use crate::Error;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Those that the server defined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Theirs(Vec<Option<Box<str>>>);

impl Theirs {
    /// The topic of a message that came under `alias`, at most `most`: its own, if it has one, which the alias stands
    /// for from now on.
    pub(crate) fn resolve<'a>(&'a mut self, alias: u16, topic: &'a str, most: u16) -> Result<&'a str, Error> {
        if alias == 0 || alias > most {
            return Err(Error::TopicAlias);
        }
        let place = usize::from(alias).saturating_sub(1);
        if !topic.is_empty() && self.0.len() <= place {
            self.0.resize(place.saturating_add(1), None);
        }
        match self.0.get_mut(place) {
            Some(known) if !topic.is_empty() => {
                if known.as_deref() != Some(topic) {
                    *known = Some(topic.into());
                }
                Ok(topic)
            }
            Some(Some(known)) => Ok(known),
            _ => Err(Error::TopicAlias),
        }
    }
}

/// How a topic goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// No alias is free.
    Plain,
    /// With the alias that is to stand for it.
    Define(u16),
    /// As an alias alone.
    Known(u16),
}

/// Those that were defined towards the server: the first topics get them, and keep them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ours(Vec<Box<str>>);

impl Ours {
    pub(crate) fn find(&self, topic: &str, most: u16) -> Out {
        let next = u16::try_from(self.0.len().saturating_add(1)).unwrap_or(u16::MAX);
        match (1..).zip(&self.0).find(|(_, known)| ***known == *topic) {
            Some((alias, _)) => Out::Known(alias),
            None if next <= most => Out::Define(next),
            None => Out::Plain,
        }
    }

    /// A packet that defines the next alias was written.
    pub(crate) fn define(&mut self, topic: &str) {
        self.0.push(topic.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_stands_for_the_topic_that_came_with_it_last() {
        let mut aliases = Theirs::default();
        assert_eq!(aliases.resolve(2, "", 4), Err(Error::TopicAlias));
        assert_eq!(aliases.resolve(2, "a", 4), Ok("a"));
        assert_eq!(aliases.resolve(2, "", 4), Ok("a"));
        assert_eq!(aliases.resolve(1, "", 4), Err(Error::TopicAlias));
        assert_eq!(aliases.resolve(2, "b", 4), Ok("b"));
        assert_eq!(aliases.resolve(2, "", 4), Ok("b"));
        for alias in [0, 5, u16::MAX] {
            assert_eq!(aliases.resolve(alias, "a", 4), Err(Error::TopicAlias));
        }
        assert_eq!(aliases.resolve(u16::MAX, "a", u16::MAX), Ok("a"));
    }

    #[test]
    fn the_first_topics_get_what_aliases_there_are() {
        let mut aliases = Ours::default();
        assert_eq!(aliases.find("a", 0), Out::Plain);
        assert_eq!(aliases.find("a", 1), Out::Define(1));
        aliases.define("a");
        assert_eq!(aliases.find("a", 1), Out::Known(1));
        assert_eq!(aliases.find("b", 1), Out::Plain);
    }
}
