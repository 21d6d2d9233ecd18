//! Topics, topic filters, and which goes with which (MQTT 5, 4.7).

/// A name that a message can have: not empty, no wildcard, no U+0000, at most 65,535 bytes ([MQTT-3.3.2-2],
/// [MQTT-4.7.3-1] to [MQTT-4.7.3-3]).
pub fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= 65_535 && !topic.contains(['+', '#', '\0'])
}

/// A filter that a subscription can have: wildcards fill a level of their own, `#` the last ([MQTT-4.7.1-1],
/// [MQTT-4.7.1-2]); a shared one names its group ([MQTT-4.8.2-1], [MQTT-4.8.2-2]).
pub fn is_filter(filter: &str) -> bool {
    if filter.len() > 65_535 || filter.contains('\0') {
        return false;
    }
    let filter = match filter.strip_prefix("$share/").map(|shared| shared.split_once('/')) {
        Some(Some((group, _))) if group.is_empty() || group.contains(['+', '#']) => return false,
        Some(Some((_, filter))) => filter,
        Some(None) => return false,
        None => filter,
    };
    if filter.is_empty() {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let valid = match level {
            "+" => true,
            "#" => is_last,
            _ => !level.contains(['+', '#']),
        };
        if !valid {
            return false;
        }
    }
    true
}

/// The filter is that of a shared subscription (MQTT 5, 4.8.2).
pub(crate) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// The filter has a wildcard.
pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a message under this topic belongs to a subscription with this filter: which of those that share a
/// connection are to get it. Both are taken to be valid.
///
/// ```
/// use millstream_mqtt::matches;
///
/// assert!(matches("house/+/temperature", "house/attic/temperature"));
/// assert!(matches("house/#", "house"));
/// assert!(!matches("#", "$SYS/uptime"));
/// assert!(matches("$share/readers/house/#", "house/attic"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter =
        filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/')).map_or(filter, |(_, f)| f);
    // [MQTT-4.7.2-1]: what begins with $ is the server's own, and not for wildcards.
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_4_7_1_wildcards_fill_a_level_of_their_own() {
        for good in [
            "a",
            "/",
            "//",
            "+",
            "#",
            "+/+",
            "a/+/b",
            "a/#",
            "+/#",
            "/+",
            " ",
            "$SYS/#",
            "$share/g/#",
            "$shared",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+",
            "+a",
            "a/+b",
            "a\0",
            "##",
            "++",
            "$share/",
            "$share/g",
            "$share//a",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
        for bad in ["$share/g/", "$share/+/a", "$share/#/a", "$share/\0/a"] {
            assert!(!is_filter(bad), "{bad}");
        }
        let longest = ["$share/g/", &"a".repeat(65_526)].concat();
        assert!(is_filter(&longest) && !is_filter(&[&longest, "a"].concat()));
    }

    #[test]
    fn mqtt_4_7_3_1_topics_have_a_character_and_no_wildcard() {
        for good in ["a", "/", " ", "a/b", "/a/", "$SYS"] {
            assert!(is_topic(good), "{good}");
        }
        for bad in ["", "+", "a/#", "a+", "a\0b"] {
            assert!(!is_topic(bad), "{bad}");
        }
        assert!(!is_topic(&"a".repeat(65_536)));
    }

    #[test]
    fn the_examples_of_mqtt_4_7_match_as_they_say() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b/c"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/monitor/Clients"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("$share/consumer/sport/+", "sport/tennis"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/monitor/Clients"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("ACCOUNTS", "Accounts"),
            ("/A", "A"),
            ("a/b", "a/b/c"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }
}
