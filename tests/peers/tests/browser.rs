//! Chromium against servers of the library's, and the example with a page. `MILLSTREAM_SCREENSHOTS=DIR` keeps pictures.

use millstream_peers::certificates::Certificates;
use millstream_peers::chromium::Chromium;
use millstream_peers::server_stream::{Server, StreamServer};
use serde_json::json;
use std::path::Path;

#[path = "../../../examples/ws_broadcast.rs"]
mod ws_broadcast;

const COMMON: &str = r#""server": true, "endpoint": "127.0.0.1", "port": 0, "ws_subprotocol": "echo",
    "metadata": [{"mime": "content-type:"}, {"method": ""}, {"path": ""}, {"up": "x-up:"}, {"down": "x-down:"}]"#;

fn browser(certificates: &Certificates) -> Chromium {
    Chromium::start(ring::digest::digest(&ring::digest::SHA256, &certificates.spki).as_ref())
}

#[test]
fn a_page_fetches_over_h2_and_speaks_to_a_websocket_of_the_same_port() {
    let certificates = Certificates::default();
    let tls = StreamServer::serve(
        format!(
            r#"{{{}, "s": [{{"server": {{{COMMON}, "protocol": "h2", "tls": true, "server_cert": "cert", "server_key": "key"}}}}]}}"#,
            certificates.policy()
        ),
        Server,
    );
    let plain =
        StreamServer::serve(format!(r#"{{"s": [{{"server": {{{COMMON}, "protocol": "h1"}}}}]}}"#), Server);
    let mut browser = browser(&certificates);
    for (url, version) in [
        (format!("https://localhost:{}/page", tls.port), "h2"),
        (format!("http://localhost:{}/page", plain.port), "http/1.1"),
    ] {
        let tab = browser.open(&url);
        let report = browser.evaluate(&tab, "report");
        // The page, 1 + 30 + 1 + 1 fetches; both sides said goodbye, with their codes.
        assert_eq!(report["fetched"], json!(vec![version; 34]), "{url}: {report}");
        assert_eq!(
            report["spoken"],
            json!(["echo", "permessage-deflate", 4000, true, 1000, true]),
            "{url}: {report}"
        );
    }
}

#[test]
fn two_browser_tabs_see_what_is_typed_into_one() {
    let chat = StreamServer::run(|| ws_broadcast::serve(0).unwrap());
    let mut browser = browser(&Certificates::default());
    let url = format!("http://localhost:{}/", chat.port);
    let tabs = [browser.open(&url), browser.open(&url)];
    // Waits until the page shows something.
    let shows = |text: &str| {
        let text = json!(text);
        format!(
            "new Promise(done => {{ const look = () => document.body.innerText.includes({text}) ? done(true) : \
            setTimeout(look, 10); look(); }})"
        )
    };
    for tab in &tabs {
        assert_eq!(browser.evaluate(tab, &shows("connected")), true);
    }
    for (nth, line) in ["<b>Who</b> is there?", "The other one. \u{1f44b}"].into_iter().enumerate() {
        browser.say(&tabs[nth], line);
        for tab in &tabs {
            assert_eq!(browser.evaluate(tab, &shows(line)), true);
        }
    }
    if let Some(dir) = std::env::var_os("MILLSTREAM_SCREENSHOTS") {
        browser.screenshot(&tabs[0], &Path::new(&dir).join("ws_broadcast.png"));
    }
    // An outage of the server is told to whoever looks.
    drop(chat);
    assert_eq!(browser.evaluate(&tabs[1], &shows("trying again")), true);
}
