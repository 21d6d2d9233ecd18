//! The transition table against a literal matrix, against that of lws, and against the sequences that streams make.

use std::collections::HashSet;

use super::*;

/// Rows: the settled state before. Columns: the next state, by number, then a user state. `x`: legal.
const MATRIX: &str = "
       1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 1000
none   x . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
1      . . . . . x x x . .  .  .  .  x  .  .  x  x  x  .  .
2      . . . . . x x x x .  .  .  .  x  .  .  x  x  .  .  .
3      . . . . . x x x x .  .  .  .  x  .  .  x  x  .  .  .
4      . . . . . x x x x .  .  .  .  x  .  .  x  x  .  .  .
5      . x . . . . x . . x  x  x  x  x  x  x  x  .  .  .  x
6      . . x x x x x x . .  .  .  .  x  .  .  x  x  .  .  x
7      . . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
8      . . . . . x x . . .  .  .  .  x  .  .  x  x  .  .  .
9      . . . . . x x x . .  .  .  .  x  .  .  x  x  .  .  .
10     . x . . . . x . . x  x  .  .  x  .  .  x  .  .  .  .
11     . x . . . . x . . x  x  .  .  x  .  .  x  .  .  .  .
12     . x . . . . x . . .  .  .  .  x  .  .  x  .  .  .  .
13     . x . . . . x . . .  .  .  .  x  .  .  x  .  .  .  .
14     . . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
15     . x . . . . x . . .  .  .  .  x  x  x  x  .  .  .  .
16     . x . . . . x . . .  .  .  .  x  .  .  x  .  .  .  .
17     . . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
18     . . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
19     . . . . . . x . . .  .  .  .  x  .  .  x  .  x  x  .
20     . . . . . . x . . .  .  .  .  x  .  .  x  .  x  x  .
1000   . . . . . . . . . .  .  .  .  .  .  .  .  .  .  .  .
";

/// What lws' newest table accepts between two settled states of its clients and accepted streams.
const LWS: &[(u32, &[u32])] = &[
    (1, &[6, 7, 8, 16]),
    (2, &[3, 5, 6, 7, 8]),
    (3, &[3, 5, 6, 7, 8, 9]),
    (4, &[6, 7, 9]),
    (5, &[2, 4, 6, 7, 8, 10, 11, 12, 13, 15, 16]),
    (6, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (7, &[]),
    (8, &[6, 7, 9]),
    (9, &[3, 6, 7, 8]),
    (10, &[2, 6, 7, 10, 11]),
    (11, &[2, 7, 10, 11]),
    (12, &[2, 7]),
    (13, &[7]),
    (15, &[2, 7, 15]),
    (16, &[2, 7, 15, 16]),
];

/// What only lws accepts, by the sentence of the module's documentation that forbids it.
const LWS_ONLY: &[(u32, u32)] = &[
    (2, 3), // 1: a failure without an attempt
    (3, 3),
    (9, 3),
    (6, 9), // 1: all retries failed without a failure
    (8, 9),
    (2, 5), // 2: CONNECTED out of nothing
    (3, 5),
    (6, 2), // 3: DISCONNECTED without CONNECTED, or CONNECTED without DISCONNECTED
    (5, 4),
    (5, 6),
    (5, 8),
    (10, 6),
    (6, 10), // 4: an answer without a connection
    (6, 11),
    (1, 16), // 5: upgraded before it was connected, or again
    (16, 15),
    (16, 16),
];

/// What only ours accepts, and what brings it about.
const OURS_ONLY: &[(u32, u32)] = &[
    (2, 9),   // 503 as often as the policy conceals, or a nailed-up stream that conceals nothing
    (4, 8),   // request_tx, or a retry, after refused credentials
    (13, 2),  // as after 12
    (15, 16), // a kept h1 connection that is upgraded after a transaction
];

fn state(number: &str) -> Option<StreamState> {
    number.parse().ok().and_then(StreamState::from_number)
}

fn settled_states() -> impl Iterator<Item = StreamState> {
    StreamState::ALL.into_iter().filter(|state| !state.is_passing())
}

#[test]
fn the_table_is_the_matrix_cell_by_cell() {
    let mut lines = MATRIX.trim().lines().map(str::split_whitespace);
    let columns: Vec<StreamState> = lines.next().unwrap().map(|number| state(number).unwrap()).collect();
    assert_eq!(columns.len(), StreamState::ALL.len() + 1);
    let mut rows = 0;
    for mut row in lines {
        let previous = state(row.next().unwrap());
        rows += 1;
        for next in &columns {
            let legal = row.next() == Some("x");
            assert_eq!(next.may_follow(previous), legal, "{previous:?} -> {next}");
        }
        assert_eq!(row.next(), None, "{previous:?}");
    }
    assert_eq!(rows, columns.len() + 1);
}

#[test]
fn the_table_differs_from_that_of_lws_where_it_is_said_and_nowhere_else() {
    for previous in settled_states().filter(|state| state.number() < 17) {
        let lws = LWS.iter().find(|(number, _)| *number == previous.number()).unwrap().1;
        for next in settled_states().filter(|state| state.number() < 17) {
            let pair = (previous.number(), next.number());
            let in_lws = lws.contains(&next.number());
            let expected = (in_lws && !LWS_ONLY.contains(&pair)) || OURS_ONLY.contains(&pair);
            assert_eq!(next.may_follow(Some(previous)), expected, "{previous} -> {next}");
            assert!(in_lws || !LWS_ONLY.contains(&pair), "{pair:?} is not in lws' table");
            assert!(!in_lws || !OURS_ONLY.contains(&pair), "{pair:?} is in lws' table");
        }
    }
}

/// The kinds' sequences by number, `14`, `17`, `18` and user states passing through.
const LEGAL: &[(StreamKind, &[u32])] = &[
    (StreamKind::Client, &[1, 7]),
    (StreamKind::Client, &[1, 6, 5, 10, 2, 7]),
    (StreamKind::Client, &[1, 6, 5, 11, 2, 8, 6, 5, 11, 2, 9, 8, 6, 5, 10, 2, 7]),
    (StreamKind::Client, &[1, 8, 6, 3, 8, 6, 3, 8, 6, 3, 9, 6, 3, 8, 6, 5, 2, 7]),
    (StreamKind::Client, &[1, 6, 1530, 5, 11, 2, 7]),
    (StreamKind::Client, &[1, 6, 5, 1530, 10, 2, 7]),
    (StreamKind::Client, &[1, 14, 6, 14, 5, 14, 2, 14, 9, 14, 7]),
    (StreamKind::Client, &[1, 18, 18, 6, 17, 5, 17, 2, 18, 6, 4, 8, 6, 4, 9, 7]),
    (StreamKind::Client, &[1, 6, 6, 5, 10, 10, 11, 10, 2, 7]),
    (StreamKind::Client, &[1, 6, 5, 7]),
    (StreamKind::Server, &[1, 14, 7]),
    (StreamKind::Accepted, &[1, 6, 5, 15, 15, 14, 15, 2, 7]),
    (StreamKind::Accepted, &[1, 6, 5, 16, 2, 7]),
    (StreamKind::Accepted, &[1, 6, 5, 15, 16, 14, 2, 7]),
    (StreamKind::Sink, &[1, 19, 20, 7]),
    (StreamKind::Sink, &[1, 19, 19, 20, 20, 19, 7]),
];

const ILLEGAL: &[(StreamKind, &[u32])] = &[
    (StreamKind::Client, &[6]),
    (StreamKind::Client, &[7]),
    (StreamKind::Client, &[14]),
    (StreamKind::Client, &[1, 1]),
    (StreamKind::Client, &[1, 5]),
    (StreamKind::Client, &[1, 6, 2]),
    (StreamKind::Client, &[1, 6, 5, 6]),
    (StreamKind::Client, &[1, 6, 3, 3]),
    (StreamKind::Client, &[1, 6, 14, 2]),
    (StreamKind::Client, &[1, 7, 7]),
    (StreamKind::Client, &[1, 7, 14]),
    (StreamKind::Client, &[1, 6, 5, 15]),
    (StreamKind::Client, &[1, 1530]),
    (StreamKind::Client, &[1, 6, 5, 18]),
    (StreamKind::Server, &[1, 6]),
    (StreamKind::Accepted, &[1, 8]),
    (StreamKind::Accepted, &[1, 6, 3]),
    (StreamKind::Accepted, &[1, 6, 6]),
    (StreamKind::Accepted, &[1, 6, 5, 2, 6]),
    (StreamKind::Accepted, &[1, 6, 5, 15, 10]),
    (StreamKind::Accepted, &[1, 6, 5, 16, 15]),
    (StreamKind::Sink, &[1, 20]),
    (StreamKind::Sink, &[1, 6]),
];

/// Follows the sequence for as long as it is legal; says how many of its states were.
fn follow(kind: StreamKind, numbers: &[u32]) -> usize {
    let mut settled = None;
    for (done, &number) in numbers.iter().enumerate() {
        let next = StreamState::from_number(number).unwrap();
        if !kind.permits(settled, next) {
            return done;
        }
        settled = next.settled(settled);
    }
    numbers.len()
}

#[test]
fn what_streams_go_through_is_legal_and_the_known_mistakes_are_not() {
    for (kind, numbers) in LEGAL {
        assert_eq!(follow(*kind, numbers), numbers.len(), "{kind}: {numbers:?}");
    }
    for (kind, numbers) in ILLEGAL {
        assert_eq!(follow(*kind, numbers), numbers.len() - 1, "{kind}: {numbers:?}");
    }
}

#[test]
fn every_state_of_a_kind_is_reached_and_every_one_can_be_destroyed() {
    for kind in StreamKind::ALL {
        let mut reached = HashSet::new();
        let mut open = vec![None];
        while let Some(previous) = open.pop() {
            let next_states = StreamState::ALL.into_iter().chain([StreamState::User(USER_BASE)]);
            for next in next_states.filter(|next| kind.permits(previous, *next)) {
                if reached.insert(next) {
                    open.push(next.settled(previous));
                }
            }
        }
        for state in StreamState::ALL {
            assert_eq!(reached.contains(&state), state.occurs_for(kind), "{kind}: {state}");
        }
        for state in reached.iter().filter(|s| !s.is_passing() && **s != StreamState::Destroying) {
            assert!(kind.permits(Some(*state), StreamState::Destroying), "{kind}: {state}");
        }
    }
}

#[test]
fn disconnected_comes_from_exactly_the_states_with_a_connection() {
    for state in settled_states() {
        assert_eq!(StreamState::Disconnected.may_follow(Some(state)), state.is_connected(), "{state}");
    }
}

#[test]
fn numbers_are_those_of_lws_and_come_back() {
    for (number, state) in (1..).zip(StreamState::ALL) {
        assert_eq!(state.number(), number);
        assert_eq!(StreamState::from_number(number), Some(state));
    }
    for absent in [0, 21, 999] {
        assert_eq!(StreamState::from_number(absent), None);
    }
    assert_eq!(StreamState::from_number(1530), Some(StreamState::User(1530)));
    assert_eq!(StreamState::from_number(u32::MAX).map(StreamState::number), Some(u32::MAX));
    assert_eq!(
        format!("{:>12}|{}", StreamState::Connected, StreamState::User(1530)),
        "   CONNECTED|USER_1530"
    );
}
