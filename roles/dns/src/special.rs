//! Names that no server is asked for: addresses, and those that RFC 6761 sets apart.

use crate::{Failure, Name};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is known of a name without asking.
pub(crate) enum Known {
    /// This is where it is.
    Here([IpAddr; 2]),
    /// Nowhere, and no server may hear of it.
    Nowhere(Failure),
}

/// A name whose last label sets it apart.
pub(crate) fn find(name: &Name) -> Option<Known> {
    match name.labels().last()? {
        // RFC 6761 6.3: always this machine, whatever a server would say.
        b"localhost" => Some(Known::Here([Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])),
        // RFC 6761 6.4, RFC 7686 2.
        b"invalid" | b"onion" => Some(Known::Nowhere(Failure::NoSuchName)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_here(text: &str) -> Option<bool> {
        find(&Name::from_text(text).unwrap()).map(|known| matches!(known, Known::Here(_)))
    }

    #[test]
    fn the_last_label_sets_a_name_apart() {
        for (name, expected) in [
            ("localhost", Some(true)),
            ("LOCALHOST.", Some(true)),
            ("a.localhost", Some(true)),
            ("localhost.example", None),
            ("notlocalhost", None),
            ("a.invalid", Some(false)),
            ("x.onion", Some(false)),
            ("onion.example", None),
        ] {
            assert_eq!(is_here(name), expected, "{name}");
        }
    }
}
