//! Which of the vhosts of one port a client means, by the name that it asks for: in TLS (SNI, RFC 6066 3) or in the Host
//! header. The rules are those of lws (README.coding.md, "How lws matches hostname or SNI to a vhost").

use super::{Vhost, VhostId};
use crate::context::Core;

/// How well a vhost fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// It is there for whoever means nobody else.
    First,
    /// Its name is a domain that the name asked for lies in; the longer of two is the nearer one.
    Wildcard(usize),
    Exact,
}

/// `asked` without its port.
fn without_port(asked: &str) -> &str {
    match asked.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => asked,
    }
}

fn fits(name: &str, asked: &str) -> Option<Match> {
    if name.eq_ignore_ascii_case(asked) {
        return Some(Match::Exact);
    }
    let at = asked.len().checked_sub(name.len())?;
    let (before, end) = asked.split_at_checked(at)?;
    (before.ends_with('.') && end.eq_ignore_ascii_case(name)).then_some(Match::Wildcard(name.len()))
}

/// The best of `names`, which come in the order in which their vhosts were made.
fn select<'a, T>(
    names: impl Iterator<Item = (T, Option<&'a str>)>,
    asked: Option<&str>,
) -> Option<(T, Match)> {
    let asked = asked.map(|asked| without_port(asked).trim_end_matches('.'));
    let mut best: Option<(T, Match)> = None;
    for (vhost, name) in names {
        let found = name.zip(asked).and_then(|(name, asked)| fits(name, asked));
        match (&best, found) {
            (None, found) => best = Some((vhost, found.unwrap_or(Match::First))),
            (Some((_, old)), Some(new)) if new > *old => best = Some((vhost, new)),
            _ => {}
        }
    }
    best
}

impl Core {
    /// Whom a client means that asks for `asked`, and has come for `present`.
    pub(crate) fn select_vhost(&self, present: VhostId, asked: Option<&str>) -> Option<(VhostId, Match)> {
        let vhosts = self.vhosts_in_reach(present);
        select(vhosts.map(|(id, vhost)| (id, vhost.name.as_deref())), asked)
    }

    /// Whom a connection may be for that has come for `present`: who listens where it came in, and `present` itself, which is
    /// heard still while it is leaving, though it listens no more.
    pub(super) fn vhosts_in_reach(&self, present: VhostId) -> impl Iterator<Item = (VhostId, &Vhost)> {
        let row = self.vhosts.get(present);
        let leaving = row.filter(|vhost| vhost.is_leaving).map(|_| present);
        let listed = row.and_then(|vhost| self.vhosts_of(vhost.listener)).unwrap_or_default();
        let ids = leaving.into_iter().chain(listed.iter().copied());
        ids.filter_map(|id| Some((id, self.vhosts.get(id)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_domain_and_a_domain_before_the_first() {
        let names =
            [("first", Some("other.org")), ("domain", Some("abc.com")), ("exact", Some("Cats.abc.com"))];
        let selected = |asked| select(names.into_iter(), asked).map(|(vhost, _)| vhost);
        assert_eq!(selected(Some("cats.abc.com")), Some("exact"));
        assert_eq!(selected(Some("CATS.abc.COM:1234")), Some("exact"));
        assert_eq!(selected(Some("cats.abc.com.")), Some("exact"));
        assert_eq!(selected(Some("dogs.abc.com")), Some("domain"));
        assert_eq!(selected(Some("big.cats.abc.com")), Some("exact"));
        assert_eq!(selected(Some("abc.com")), Some("domain"));
        assert_eq!(selected(Some("xabc.com")), Some("first"));
        assert_eq!(selected(Some("com")), Some("first"));
        assert_eq!(selected(Some("")), Some("first"));
        assert_eq!(selected(Some("[::1]:80")), Some("first"));
        assert_eq!(selected(None), Some("first"));
    }

    #[test]
    fn a_vhost_without_a_name_is_only_ever_the_first() {
        let names = [("a", Some("a.org")), ("nameless", None)];
        let selected = |asked| select(names.into_iter(), asked);
        assert_eq!(selected(Some("b.org")), Some(("a", Match::First)));
        assert_eq!(selected(Some("a.org")), Some(("a", Match::Exact)));
        assert_eq!(select(std::iter::empty::<((), _)>(), Some("a.org")), None);
    }
}
