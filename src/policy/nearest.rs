//! What somebody may have meant who wrote something unknown.

/// The one of `known` that is nearest to `name`, if it is near enough to be a slip.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    // Longer names are never near one that is known, and the distance takes quadratic time.
    const LONGEST: usize = 64;
    // Nobody reads the names of a hostile text with thousands of them.
    const CANDIDATES: usize = 1000;
    if name.len() > LONGEST {
        return None;
    }
    let near_enough = 1 + name.chars().count() / 4;
    known
        .take(CANDIDATES)
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (distance(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= near_enough)
        .map(|(_, candidate)| candidate.to_owned())
}

/// Edits (insert, remove, replace a character) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (n, a) in from.chars().enumerate() {
        // `above` and `corner` are of the row before, `left` is of this one.
        let mut corner = n;
        let mut left = n.saturating_add(1);
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (b, cell) in to.chars().zip(cells) {
            let above = *cell;
            let replaced = corner.saturating_add(usize::from(a != b));
            left = replaced.min(above.saturating_add(1)).min(left.saturating_add(1));
            *cell = left;
            corner = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_is_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3), ("a", "a", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_a_slip_is_corrected() {
        let known = ["default", "port", "endpoint"];
        assert_eq!(nearest("defalt", known.into_iter()).as_deref(), Some("default"));
        assert_eq!(nearest("Port", known.into_iter()).as_deref(), Some("port"));
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }
}
