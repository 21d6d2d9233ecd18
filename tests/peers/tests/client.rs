//! Client streams against hyper's server, HTTP/1.1 and HTTP/2, plain and TLS.

use millstream::StreamState;
use millstream_peers::Digest;
use millstream_peers::certificates::Certificates;
use millstream_peers::client_stream::{Heard, Task, run};
use millstream_peers::hyper_server::HyperServer;
use std::sync::atomic::Ordering;

const LARGE: u64 = 10_000_000;

/// A server, and how to reach it.
struct World {
    certificates: Option<Certificates>,
    server: HyperServer,
    protocol: &'static str,
}

impl World {
    fn new(protocol: &'static str, is_tls: bool) -> Self {
        let certificates = is_tls.then(Certificates::default);
        let server = HyperServer::start(certificates.as_ref());
        Self { certificates, server, protocol }
    }

    /// Either version, plain and over TLS.
    fn all() -> [Self; 4] {
        [("h1", false), ("h1", true), ("h2", false), ("h2", true)]
            .map(|(version, tls)| Self::new(version, tls))
    }

    fn policy(&self, keys: &str) -> String {
        let (certificates, tls) = match &self.certificates {
            Some(certificates) => (certificates.policy() + ",", r#""tls": true, "tls_trust_store": "ours","#),
            None => (String::new(), ""),
        };
        format!(
            r#"{{{certificates} "retry": [{{"once": {{"backoff": [10], "conceal": 0}}}}, {{"more": {{"backoff": [10], "conceal": 3}}}}],
            "s": [{{"it": {{"endpoint": "localhost", "port": {}, "protocol": "{}", "opportunistic": true, {tls}
                "metadata": [{{"mime": "content-type:"}}, {{"up": "x-up:"}}, {{"down": "x-down:"}}, {{"agent": "x-agent:"}},
                    {{"sum": "x-sum:"}}, {{"method": "x-method:"}}, {{"te": "te:"}}, {{"framing": "x-framing:"}}, {{"path": ""}}],
                {keys} }}}}]}}"#,
            self.server.port, self.protocol
        )
    }

    fn get(&self, path: &str) -> Heard {
        self.does("GET", path, "", Task::default())
    }

    fn does(&self, method: &str, path: &str, keys: &str, task: Task) -> Heard {
        let retry = if keys.contains("\"retry\"") { "" } else { r#""retry": "once","# };
        let keys = format!(r#"{keys}{retry} "http_method": "{method}", "http_url": "{path}""#);
        run(&self.policy(&keys), "it", task)
    }
}

fn is_success(heard: &Heard) {
    use StreamState as S;
    let states: Vec<_> = heard.states.iter().copied().filter(|state| *state != S::Poll).collect();
    assert_eq!(
        states,
        [S::Creating, S::Connecting, S::Connected, S::QosAckRemote, S::Disconnected, S::Destroying],
        "{:?}",
        heard.cause
    );
    assert_eq!(heard.messages, 1);
}

#[test]
fn bodies_arrive_whole_by_length_in_chunks_and_up_to_the_end_of_the_connection() {
    for world in World::all() {
        let heard = world.get("known");
        is_success(&heard);
        assert_eq!(heard.text(), "hello from hyper");
        assert_eq!(heard.metadata["mime"], "text/plain");
        let heard = world.get("chunked");
        is_success(&heard);
        assert_eq!(heard.text(), "one,two,three");
        let heard = world.get("close");
        is_success(&heard);
        assert_eq!(heard.text(), "up to the end");
    }
}

#[test]
fn ten_megabytes_arrive_and_leave_unchanged() {
    for world in World::all() {
        let heard = world.get(&format!("large/{LARGE}"));
        is_success(&heard);
        assert_eq!(heard.digest, Digest::of_pattern(LARGE));
        let wanted = Digest::of_pattern(LARGE);
        for (declared, framing) in [(true, "known"), (false, "chunked")] {
            let heard =
                world.does("POST", "digest", "", Task { upload: Some((LARGE, declared)), ..Task::default() });
            is_success(&heard);
            assert_eq!(heard.text(), format!("{:x} {}", wanted.0, wanted.1));
            assert_eq!(heard.metadata["framing"], framing);
        }
    }
}

#[test]
fn responses_without_a_body_are_empty_messages() {
    for world in World::all() {
        for (method, path) in [("HEAD", "known"), ("GET", "status/204"), ("GET", "status/200")] {
            let heard = world.does(method, path, "", Task::default());
            is_success(&heard);
            assert_eq!(heard.text(), "", "{method} {path}");
        }
        let heard = world.does("GET", "status/304", r#""http_expect": 304,"#, Task::default());
        is_success(&heard);
    }
}

#[test]
fn every_method_arrives_as_itself() {
    for world in World::all() {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let upload = matches!(method, "PUT" | "PATCH").then_some((5, true));
            let heard = world.does(method, "method", "", Task { upload, ..Task::default() });
            is_success(&heard);
            assert_eq!(heard.metadata["method"], method);
        }
    }
}

#[test]
fn metadata_goes_out_and_comes_back_as_headers() {
    for world in World::all() {
        let task = Task { metadata: vec![("up", "to the server".to_owned())], ..Task::default() };
        let heard = world.does("GET", "fields", "", task);
        is_success(&heard);
        assert_eq!(heard.metadata["down"], "to the server");
        let task = Task { metadata: vec![("path", "status/204".to_owned())], ..Task::default() };
        is_success(&world.does("GET", "${path}", "", task));
    }
}

#[test]
fn trailers_end_a_body_and_are_no_headers() {
    for world in World::all() {
        let task = Task { metadata: vec![("te", "trailers".to_owned())], ..Task::default() };
        let heard = world.does("GET", "trailers", "", task);
        is_success(&heard);
        assert_eq!(heard.text(), "with a tail");
        assert!(!heard.metadata.contains_key("sum"));
    }
}

#[test]
fn redirects_are_followed_as_far_as_the_policy_lets_them() {
    for world in World::all() {
        let follow = r#""allow_redirects": true,"#;
        let heard = world.does("GET", "redirect/2", follow, Task::default());
        is_success(&heard);
        assert_eq!(heard.text(), "at last");
        let before = world.server.seen.requests.load(Ordering::Relaxed);
        let heard = world.does("GET", "redirect/50", follow, Task::default());
        assert_eq!(heard.count(StreamState::AllRetriesFailed), 1, "{:?}", heard.states);
        let asked = world.server.seen.requests.load(Ordering::Relaxed) - before;
        assert!((2..50).contains(&asked), "asked {asked} times");
        let heard = world.does("GET", "redirect/1", r#""http_fail_redirect": true,"#, Task::default());
        assert_eq!(heard.count(StreamState::AllRetriesFailed), 1, "{:?}", heard.states);
        assert!(heard.cause.as_ref().unwrap().contains("302"), "{:?}", heard.cause);
    }
}

#[test]
fn a_hundred_transactions_take_one_connection() {
    for world in World::all() {
        let heard = world.does("GET", "known", "", Task { times: 100, ..Task::default() });
        assert_eq!(heard.messages, 100);
        let heard_of = |what: &std::sync::atomic::AtomicUsize| what.load(Ordering::Relaxed);
        assert_eq!(heard_of(&world.server.seen.requests), 100);
        assert_eq!(heard_of(&world.server.seen.connections), 1);
        let heard = world.does(
            "POST",
            "digest",
            "",
            Task { times: 50, upload: Some((100, true)), ..Task::default() },
        );
        assert_eq!(heard.messages, 50);
        assert_eq!(heard_of(&world.server.seen.connections), 2);
    }
}

#[test]
fn a_busy_server_is_asked_again() {
    for world in World::all() {
        let heard = world.does("GET", "busy", r#""retry": "more","#, Task::default());
        assert_eq!(heard.count(StreamState::Unreachable), 1, "{:?}", heard.states);
        assert_eq!(heard.text(), "now");
    }
}

#[test]
fn a_refusal_is_a_nack_and_a_mapped_status_is_the_state_of_the_user() {
    for world in World::all() {
        let heard = world.get("status/404");
        assert_eq!(heard.count(StreamState::QosNackRemote), 1, "{:?}", heard.states);
        let heard = world.does("POST", "refuse", "", Task { upload: Some((10, true)), ..Task::default() });
        assert_eq!(heard.count(StreamState::QosNackRemote), 1, "{:?}", heard.states);
        let heard = world.does("GET", "status/530", r#""http_resp_map": [{"530": 1530}],"#, Task::default());
        assert_eq!(heard.count(StreamState::User(1530)), 1, "{:?}", heard.states);
    }
}

#[test]
fn a_body_that_breaks_off_is_no_end_of_message() {
    for world in World::all() {
        for how in ["die/known", "die/chunked"] {
            let heard = world.get(how);
            assert_eq!(heard.messages, 0, "{heard:?}");
            assert!(heard.states.contains(&StreamState::Connected), "{heard:?}");
            assert!(heard.digest.1 > 0 && heard.digest.1 < 1_000_000, "{heard:?}");
            assert_eq!(heard.count(StreamState::QosAckRemote), 0);
            assert!(heard.cause.is_some());
        }
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_not_spoken_to() {
    let world = World::new("h1", true);
    for (endpoint, store, why) in
        [("localhost", "others", "signed by nobody"), ("127.0.0.1", "ours", "another name")]
    {
        let policy = world.policy(r#""retry": "once", "http_method": "GET", "http_url": "known""#);
        let policy =
            policy.replace(r#""tls_trust_store": "ours""#, &format!(r#""tls_trust_store": "{store}""#));
        let policy = policy.replace(r#""endpoint": "localhost""#, &format!(r#""endpoint": "{endpoint}""#));
        let others = Certificates::default().policy();
        let (cert, _) = others.split_once("}, ").unwrap();
        let cert = cert.replace("\"ca\"", "\"other_ca\"") + "}, {\"ca\"";
        let policy = policy.replacen("\"certs\": [{\"ca\"", &cert, 1).replacen(
            "\"trust_stores\": [",
            r#""trust_stores": [{"name": "others", "stack": ["other_ca"]}, "#,
            1,
        );
        let heard = run(&policy, "it", Task::default());
        assert_eq!(heard.count(StreamState::AllRetriesFailed), 1, "{:?}", heard.states);
        assert!(heard.cause.as_ref().unwrap().contains(why), "{why}: {:?}", heard.cause);
        assert_eq!(world.server.seen.requests.load(Ordering::Relaxed), 0);
    }
}
