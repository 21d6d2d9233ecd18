//! Client streams against the server of the `h2` crate, which does what other servers do not.

use h2::server::Builder;
use millstream::StreamState;
use millstream_peers::Digest;
use millstream_peers::client_stream::{Heard, Task, run, run_all};
use millstream_peers::h2_server::H2Server;
use std::sync::atomic::Ordering;

/// Around the sizes of frames and windows, and beyond all of them.
const SIZES: [u64; 8] = [0, 1, 16_383, 16_384, 16_385, 65_535, 1 << 20, 20 << 20];

fn policy(server: &H2Server, method: &str) -> String {
    format!(
        r#"{{"retry": [{{"more": {{"backoff": [10], "conceal": 3}}}}], "s": [{{"it": {{"endpoint": "127.0.0.1", "port": {},
        "protocol": "h2", "http_method": "{method}", "http_url": "${{path}}", "opportunistic": true, "retry": "more",
        "metadata": [{{"path": ""}}, {{"nth": "x-nth:"}}]}}}}]}}"#,
        server.port
    )
}

fn task(path: &str) -> Task {
    Task { metadata: vec![("path", path.to_owned())], ..Task::default() }
}

fn get(server: &H2Server, path: &str) -> Heard {
    run(&policy(server, "GET"), "it", task(path))
}

fn post(server: &H2Server, path: &str, len: u64, is_declared: bool) -> Heard {
    run(&policy(server, "POST"), "it", Task { upload: Some((len, is_declared)), ..task(path) })
}

#[track_caller]
fn is_success(heard: &Heard) {
    let failures = heard.count(StreamState::Unreachable);
    let ends = (heard.messages, heard.count(StreamState::QosAckRemote), failures);
    assert_eq!(ends, (1, 1, 0), "{:?} {:?}", heard.states, heard.cause);
}

fn told(len: u64) -> String {
    let digest = Digest::of_pattern(len);
    format!("{:x} {}", digest.0, digest.1)
}

#[test]
fn bodies_of_sizes_around_those_of_frames_and_windows() {
    let server = H2Server::start(Builder::new());
    for len in SIZES {
        let heard = get(&server, &format!("bytes/{len}"));
        is_success(&heard);
        assert_eq!(heard.digest, Digest::of_pattern(len));
        let heard = post(&server, "digest", len, len % 2 == 1);
        is_success(&heard);
        assert_eq!(heard.text(), told(len));
    }
}

#[test]
fn windows_of_any_size_and_tables_of_none() {
    for (window, table, len) in
        [(1, 0, 300), (100, 0, 20_000), (16_383, 64, 200_000), (1 << 20, 100_000, 5 << 20)]
    {
        let mut builder = Builder::new();
        builder.initial_window_size(window).header_table_size(table).max_frame_size(1 << 20);
        let server = H2Server::start(builder);
        for is_declared in [true, false] {
            let heard = post(&server, "digest", len, is_declared);
            is_success(&heard);
            assert_eq!(heard.text(), told(len));
        }
    }
}

#[test]
fn a_window_made_smaller_than_what_is_on_its_way() {
    let server = H2Server::start(Builder::new());
    let heard = post(&server, "hoard", 100_000, false);
    is_success(&heard);
    assert_eq!(heard.text(), told(100_000));
}

#[test]
fn two_hundred_streams_five_at_a_time_on_one_connection() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(5);
    let server = H2Server::start(builder);
    let tasks = (0..200).map(|nth| Task { upload: Some((5000 + nth, true)), ..task("digest") }).collect();
    for (nth, heard) in run_all(&policy(&server, "POST"), "it", tasks).iter().enumerate() {
        is_success(heard);
        assert_eq!(heard.text(), told(5000 + nth as u64));
    }
    assert_eq!(server.seen.requests.load(Ordering::Relaxed), 200);
    assert_eq!(server.seen.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn interim_responses_and_long_heads_come_before_the_body() {
    let server = H2Server::start(Builder::new());
    let heard = get(&server, "interim");
    is_success(&heard);
    assert_eq!(heard.text(), "after all");
    for len in [1000, 12_000, 16_000] {
        let heard = get(&server, &format!("head/{len}"));
        is_success(&heard);
        assert_eq!(heard.text(), "behind a head");
    }
    let heard = get(&server, "head/20000");
    assert_eq!(heard.count(StreamState::AllRetriesFailed), 1, "{:?}", heard.states);
    assert!(heard.cause.as_ref().unwrap().contains("header list"), "{:?}", heard.cause);
}

#[test]
fn an_answer_that_comes_before_the_end_of_its_request_is_an_answer() {
    let server = H2Server::start(Builder::new());
    let heard = post(&server, "early", 5 << 20, false);
    assert_eq!((heard.text(), heard.messages), ("enough", 1), "{:?} {:?}", heard.states, heard.cause);
}

#[test]
fn what_was_refused_is_asked_for_on_another_connection() {
    let server = H2Server::start(Builder::new());
    let heard = get(&server, "refuse");
    assert_eq!((heard.text(), &heard.metadata["nth"][..]), ("hello", "1"), "{:?}", heard.states);
    assert_eq!(heard.count(StreamState::QosAckRemote), 1);
}

#[test]
fn a_stream_that_is_reset_has_failed_whatever_the_code() {
    let server = H2Server::start(Builder::new());
    for code in [0, 1, 2, 5, 8, 11, 13, 99] {
        let heard = get(&server, &format!("reset/{code}"));
        assert_eq!(heard.count(StreamState::AllRetriesFailed), 1, "{code}: {:?}", heard.states);
        assert_eq!(heard.messages, 0);
        assert!(heard.cause.is_some());
    }
}

#[test]
fn a_server_that_leaves_after_each_request_gets_each_of_them() {
    let server = H2Server::start(Builder::new());
    let heard = run(&policy(&server, "GET"), "it", Task { times: 10, ..task("leave/100000") });
    assert_eq!((heard.messages, heard.count(StreamState::Unreachable)), (10, 0), "{:?}", heard.states);
    assert_eq!(heard.digest, Digest::of_pattern(100_000));
    assert_eq!(server.seen.requests.load(Ordering::Relaxed), 10);
}

#[test]
fn streams_beside_one_that_makes_the_server_leave_are_all_answered() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(3);
    let server = H2Server::start(builder);
    let paths = (0..40).map(|nth| if nth % 5 == 2 { "leave/50000" } else { "bytes/50000" });
    for heard in run_all(&policy(&server, "GET"), "it", paths.map(task).collect()) {
        // Some have to move on more than once, and the second time is told.
        assert_eq!((heard.messages, heard.count(StreamState::QosAckRemote)), (1, 1), "{:?}", heard.states);
        assert_eq!(heard.digest, Digest::of_pattern(50_000));
    }
    assert_eq!(server.seen.requests.load(Ordering::Relaxed), 40, "none is asked for twice");
}

#[test]
fn a_server_that_breaks_off_in_the_middle_is_a_cause() {
    let server = H2Server::start(Builder::new());
    let heard = get(&server, "break");
    assert_eq!((heard.messages, heard.count(StreamState::QosAckRemote)), (0, 0), "{:?}", heard.states);
    assert!(heard.cause.as_ref().unwrap().contains("INTERNAL_ERROR"), "{:?}", heard.cause);
    let heard = get(&server, "anything");
    is_success(&heard);
}
