//! Forms: what curl posts to a server stream that takes them apart, and what a client stream posts to hyper, where multer does.

use millstream::{Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use millstream_peers::client_stream::{Task, run};
use millstream_peers::hyper_server::HyperServer;
use millstream_peers::server_stream::StreamServer;
use millstream_peers::{Digest, pattern};
use std::fmt::Write;
use std::process::Command;

const LARGE: u64 = 300_000;

/// Answers with a line for each part: what it is, its type, what it has.
#[derive(Default)]
struct Parts {
    told: String,
    digest: Digest,
}

impl StreamHandler for Parts {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        if flags.is_som() {
            self.digest = Digest::default();
            let disposition = cx.metadata(me, "disposition").unwrap_or_default();
            let kind = cx.metadata(me, "type").unwrap_or(b"-");
            let (disposition, kind) = (String::from_utf8_lossy(disposition), String::from_utf8_lossy(kind));
            write!(self.told, "{disposition} {kind} ").unwrap();
        }
        self.digest.add(payload);
        if flags.is_eom() {
            writeln!(self.told, "{:x} {}", self.digest.0, self.digest.1).unwrap();
        }
        if flags.is_related_end() {
            cx.request_tx_len(me, self.told.len() as u64).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(self.told.as_bytes());
        TxFlow::Send
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut digest = Digest::default();
    digest.add(bytes);
    format!("{:x} {}", digest.0, digest.1)
}

fn large() -> Vec<u8> {
    (0..LARGE).map(pattern).collect()
}

#[test]
fn each_part_of_a_form_that_curl_sends_is_told_in_either_version() {
    let policy = r#"{"s": [{"server": {"server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h2",
        "http_multipart_ss_in": true,
        "metadata": [{"disposition": "content-disposition:"}, {"type": "content-type:"}]}}]}"#;
    let server = StreamServer::serve(policy.to_owned(), Parts::default());
    let file = std::env::temp_dir().join(format!("millstream-multipart-{}", std::process::id()));
    std::fs::write(&file, large()).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let out = Command::new("curl")
            .args(["-sS", "--max-time", "20", version, "-F", "a=hello", "-F"])
            .arg(format!("b=@{};filename=big;type=x/y", file.display()))
            .args(["-F", "c=", &format!("http://127.0.0.1:{}/", server.port)])
            .output()
            .expect("curl is installed");
        let parts = [
            format!("form-data; name=\"a\" - {}\n", digest(b"hello")),
            format!("form-data; name=\"b\"; filename=\"big\" x/y {}\n", digest(&large())),
            format!("form-data; name=\"c\" - {}\n", digest(b"")),
        ];
        let told = String::from_utf8(out.stdout).unwrap();
        assert_eq!(told, parts.concat(), "{version}: {}", String::from_utf8_lossy(&out.stderr));
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_message_that_goes_out_within_a_form_is_the_form_that_multer_finds() {
    let server = HyperServer::start(None);
    for protocol in ["h1", "h2"] {
        for (keys, told) in [
            (r#""http_multipart_name": "log""#, "log - -"),
            (
                r#""http_multipart_name": "log", "http_multipart_filename": "a b.txt", "http_multipart_content_type": "text/csv""#,
                "log a b.txt text/csv",
            ),
        ] {
            // With its length said beforehand and without.
            for is_known in [true, false] {
                for len in [0, 1, LARGE] {
                    let policy = format!(
                        r#"{{"retry": [{{"once": {{"backoff": [10], "conceal": 0}}}}], "s": [{{"it": {{
                            "endpoint": "127.0.0.1", "port": {}, "protocol": "{protocol}", "opportunistic": true, "retry": "once",
                            "http_method": "POST", "http_url": "form", {keys}}}}}]}}"#,
                        server.port
                    );
                    let heard = run(&policy, "it", Task { upload: Some((len, is_known)), ..Task::default() });
                    let sent: Vec<u8> = (0..len).map(pattern).collect();
                    assert_eq!(
                        heard.text(),
                        format!("{told} {}\n", digest(&sent)),
                        "{protocol} {len} {heard:?}"
                    );
                    assert_eq!(heard.count(StreamState::QosAckRemote), 1);
                }
            }
        }
    }
}
