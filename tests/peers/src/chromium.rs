//! A browser to be told what to do, by the Chrome `DevTools` protocol over two pipes.

use crate::WATCHDOG;
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Ends when it is dropped, when its pipes close, or when a test takes too long.
pub struct Chromium {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    profile: PathBuf,
    asked: u64,
    /// The pages that are there, by their loaders.
    loaded: Vec<Value>,
}

/// A tab, by its session.
#[derive(Clone)]
pub struct Tab(String);

impl Chromium {
    /// `spki` is the SHA-256 of a public key: a certificate that has it is believed, whoever signed it.
    pub fn start(spki: &[u8]) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(spki);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let profile = std::env::temp_dir().join(format!("millstream-chromium-{}-{now}", std::process::id()));
        std::fs::create_dir(&profile).unwrap();
        // The browser talks on descriptors 3 and 4. It must not talk to its makers: the network may be closed.
        let script = r#"exec timeout -k 5 "$1" chromium --remote-debugging-pipe --headless --no-sandbox --disable-gpu --disable-quic \
            --no-first-run --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage \
            --host-resolver-rules="MAP * ~NOTFOUND, EXCLUDE localhost" --ignore-certificate-errors-spki-list="$2" \
            --user-data-dir="$3" about:blank 3<&0 4>&1 </dev/null >/dev/null 2>"$3/log""#;
        let seconds = WATCHDOG.as_secs().to_string();
        let mut process = Command::new("sh")
            .args(["-c", script, "chromium", &seconds, &encoded])
            .arg(&profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, to, from, profile, asked: 0, loaded: Vec::new() }
    }

    /// The next thing that it has to say.
    fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        let Some((0, message)) = message.split_last() else {
            let log = std::fs::read_to_string(self.profile.join("log")).unwrap_or_default();
            panic!("the browser is gone\n{log}");
        };
        let message: Value = serde_json::from_slice(message).unwrap();
        if message["params"]["name"] == "load" {
            self.loaded.push(message["params"]["loaderId"].clone());
        }
        message
    }

    /// The answer to one request.
    fn ask(&mut self, tab: Option<&Tab>, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut request = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(Tab(session)) = tab {
            request["sessionId"] = json!(session);
        }
        // Where nobody reads, the end of what it says tells.
        let _ = write!(self.to.as_ref().unwrap(), "{request}\0");
        loop {
            let mut message = self.hear();
            if message["id"] == self.asked {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    /// A new tab, with this page, loaded.
    pub fn open(&mut self, url: &str) -> Tab {
        let made = self.ask(None, "Target.createTarget", &json!({ "url": "about:blank" }));
        let target = &made["targetId"];
        let session =
            self.ask(None, "Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        let tab = Tab(session["sessionId"].as_str().unwrap().to_owned());
        self.ask(Some(&tab), "Page.enable", &json!({}));
        self.ask(Some(&tab), "Page.setLifecycleEventsEnabled", &json!({ "enabled": true }));
        let begun = self.ask(Some(&tab), "Page.navigate", &json!({ "url": url }));
        assert!(begun.get("errorText").is_none(), "{url}: {begun}");
        while !self.loaded.contains(&begun["loaderId"]) {
            self.hear();
        }
        tab
    }

    /// What `expression` comes to in the page; a promise is waited for.
    pub fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let request = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.ask(Some(tab), "Runtime.evaluate", &request);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Types a line where the cursor is.
    pub fn say(&mut self, tab: &Tab, text: &str) {
        self.ask(Some(tab), "Page.bringToFront", &json!({}));
        self.ask(Some(tab), "Input.insertText", &json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
            self.ask(Some(tab), "Input.dispatchKeyEvent", &key);
        }
    }

    /// A picture of the page.
    pub fn screenshot(&mut self, tab: &Tab, file: &Path) {
        let made = self.ask(Some(tab), "Page.captureScreenshot", &json!({ "format": "png" }));
        let png = base64::engine::general_purpose::STANDARD.decode(made["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It ends with its pipe.
        self.to = None;
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
