//! `docs/stream-states.md` is drawn from the transition table, so that the picture cannot differ from the code.

use std::fmt::Write as _;

use millstream::secure_stream::state::{StreamKind, StreamState, USER_BASE};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/stream-states.md");

const INTRODUCTION: &str = "\
# The states of a stream

Drawn from the table in `src/secure_stream/state.rs` by `tests/state_diagram.rs`; edit that, then run
`MILLSTREAM_BLESS=1 cargo test --test state_diagram`.

An arrow is a step that the table allows; a path through the picture is what a handler's `state` may hear. From every
state a stream may go to DESTROYING, which is drawn once, from CREATING. States that only tell of an event, while the
stream stays where it is, are listed under each picture.
";

fn heading(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Client => "Client",
        StreamKind::Server => "Server (the listening stream)",
        StreamKind::Accepted => "Accepted (one connection of a server)",
        StreamKind::Sink => "Sink",
    }
}

fn states_of(kind: StreamKind) -> impl Iterator<Item = StreamState> {
    StreamState::ALL
        .into_iter()
        .chain([StreamState::User(USER_BASE)])
        .filter(move |state| state.occurs_for(kind))
}

fn settled_states_of(kind: StreamKind) -> impl Iterator<Item = StreamState> {
    states_of(kind).filter(|state| !state.is_passing())
}

/// The arrows of one kind, in Mermaid's words.
fn diagram(kind: StreamKind) -> String {
    let mut drawn = format!("```mermaid\nstateDiagram-v2\n    [*] --> {}\n", StreamState::Creating);
    for previous in settled_states_of(kind) {
        for next in settled_states_of(kind).filter(|next| kind.permits(Some(previous), *next)) {
            if next != StreamState::Destroying || previous == StreamState::Creating {
                let _ = writeln!(drawn, "    {previous} --> {next}");
            }
        }
    }
    let _ = writeln!(drawn, "    {} --> [*]\n```", StreamState::Destroying);
    drawn
}

/// A line for each passing state: in which settled states it may come.
fn passing(kind: StreamKind) -> String {
    let mut listed = String::new();
    for event in states_of(kind).filter(|state| state.is_passing()) {
        let may_come = |state: &StreamState| kind.permits(Some(*state), event);
        let (yes, no): (Vec<_>, Vec<_>) = settled_states_of(kind).partition(may_come);
        let join =
            |states: &[StreamState]| states.iter().map(StreamState::to_string).collect::<Vec<_>>().join(", ");
        let when = if no.len() < yes.len() { format!("any state but {}", join(&no)) } else { join(&yes) };
        let _ = writeln!(listed, "- {}: in {when}", event.name());
    }
    if listed.is_empty() { listed } else { format!("\n{listed}") }
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for kind in StreamKind::ALL {
        let _ = write!(text, "\n## {}\n\n{}{}", heading(kind), diagram(kind), passing(kind));
    }
    text
}

#[test]
fn the_documents_diagrams_are_those_of_the_table() {
    let drawn = document();
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        std::fs::write(DOCUMENT, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    let differs = kept.lines().zip(drawn.lines()).position(|(kept, drawn)| kept != drawn);
    assert!(
        kept == drawn,
        "docs/stream-states.md is not what the table gives, from line {}; \
         draw it again with: MILLSTREAM_BLESS=1 cargo test --test state_diagram",
        differs.unwrap_or_else(|| kept.lines().count().min(drawn.lines().count())) + 1
    );
}
