//! mosquitto as a broker and as clients, in a directory of its own.

use crate::WATCHDOG;
use crate::certificates::Certificates;
use crate::mqtt::Side;
use base64::Engine;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// How often a broker is started that does not run.
const ATTEMPTS: usize = 10;

/// What MQTT is spoken on. TLS goes with a client's certificate, but not below websockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Way {
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];
}

/// A broker that runs as long as this lives, with a port for each [`Way`].
pub struct Mosquitto {
    broker: Child,
    directory: PathBuf,
    pub port: u16,
    ports: [u16; Way::ALL.len()],
    pub certificates: Certificates,
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// None of them the same as another that this process was ever given: a broker that is away comes back to its own.
fn free_ports<const N: usize>() -> [u16; N] {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    [(); N].map(|()| {
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if given.insert(port) {
                return port;
            }
        }
    })
}

fn log(directory: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(directory.join("log")).unwrap_or_default()).into_owned()
}

pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}

impl Mosquitto {
    /// None, and a word about it, where mosquitto is not installed.
    pub fn start(name: &str) -> Option<Self> {
        Self::with(name, |_| "allow_anonymous true\n".to_owned())
    }

    /// One that writes its sessions down when it ends.
    pub fn persistent(name: &str) -> Option<Self> {
        Self::with(name, |directory| {
            let at = directory.display();
            format!("allow_anonymous true\npersistence true\npersistence_location {at}/\n")
        })
    }

    /// One that asks for a user name and a password.
    pub fn with_password(name: &str, user: &str, password: &[u8]) -> Option<Self> {
        Self::with(name, |directory| {
            let file = directory.join("passwords");
            let made = command("mosquitto_passwd")
                .args(["-c", "-b"])
                .args([file.as_os_str(), user.as_ref(), OsStr::from_bytes(password)])
                .output();
            assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
            format!("allow_anonymous false\npassword_file {}\n", file.display())
        })
    }

    /// One that lets nobody say anything on this topic, and everybody anything else.
    pub fn that_denies(name: &str, topic: &str) -> Option<Self> {
        Self::with(name, |directory| {
            let file = directory.join("acl");
            std::fs::write(&file, format!("topic readwrite #\ntopic deny {topic}\n")).unwrap();
            format!("allow_anonymous true\nacl_file {}\n", file.display())
        })
    }

    fn with(name: &str, more: impl FnOnce(&Path) -> String) -> Option<Self> {
        if command("mosquitto").arg("-h").output().is_err() {
            println!("skipped: mosquitto is not installed");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let certificates = Certificates::default();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("ca.pem", &pem("CERTIFICATE", &certificates.authority));
        write("cert.pem", &pem("CERTIFICATE", &certificates.server));
        write("key.pem", &pem("PRIVATE KEY", &certificates.key));
        let (at, more) = (directory.display(), more(&directory));
        let identity = format!("cafile {at}/ca.pem\ncertfile {at}/cert.pem\nkeyfile {at}/key.pem\n");
        for _ in 0..ATTEMPTS {
            let ports @ [port, tls_port, ws_port, wss_port] = free_ports();
            write(
                "conf",
                &format!(
                    "user root\nlog_type all\nlog_dest stderr\nper_listener_settings false\n{more}\
                     listener {port} 127.0.0.1\nlistener {ws_port} 127.0.0.1\nprotocol websockets\n\
                     listener {wss_port} 127.0.0.1\nprotocol websockets\n{identity}\
                     listener {tls_port} 127.0.0.1\n{identity}require_certificate true\n"
                ),
            );
            if let Some(broker) = Self::run(&directory) {
                return Some(Self { broker, directory, port, ports, certificates });
            }
        }
        panic!("mosquitto does not run: {}", log(&directory));
    }

    /// None if it ends at once, as where another process has got a port of its.
    fn run(directory: &Path) -> Option<Child> {
        let times_run = || log(directory).lines().filter(|line| line.ends_with(" running")).count();
        let before = times_run();
        let output = File::options().create(true).append(true).open(directory.join("log")).unwrap();
        let mut broker = command("mosquitto");
        broker.arg("-c").arg(directory.join("conf")).stdout(Stdio::null()).stderr(output);
        let mut broker = broker.spawn().unwrap();
        while times_run() == before {
            if broker.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        Some(broker)
    }

    pub fn port(&self, way: Way) -> u16 {
        self.ports[way as usize]
    }

    /// Streams with these keys, this way.
    pub fn side(&self, way: Way, keys: &str) -> Side {
        let trust = r#""tls": true, "tls_trust_store": "ours","#;
        let ws = r#""ws_subprotocol": "mqtt", "http_url": "/mqtt","#;
        let below = match way {
            Way::Tcp => String::new(),
            Way::Tls => format!(r#"{trust} "client_cert": 0,"#),
            Way::Ws => ws.to_owned(),
            Way::Wss => format!("{trust} {ws}"),
        };
        let mut side = Side::with(&self.certificates, self.port(way), &below, keys);
        if way == Way::Tls {
            side.certify(&self.certificates);
        }
        side
    }

    /// How often clients have subscribed to this filter.
    pub fn asked_for(&self, filter: &str) -> usize {
        let asked = format!("\t{filter} (QoS ");
        log(&self.directory).lines().filter(|line| line.contains(&asked)).count()
    }

    /// Ends the broker, which may write down what it knows.
    pub fn stop(&mut self) {
        let ended = Command::new("kill").args(["-TERM", &self.broker.id().to_string()]).status();
        assert!(ended.unwrap().success());
        self.broker.wait().unwrap();
    }

    /// Has it run again, at the same ports.
    pub fn resume(&mut self) {
        let run = (0..ATTEMPTS).find_map(|_| Self::run(&self.directory));
        self.broker = run.unwrap_or_else(|| panic!("mosquitto does not run: {}", log(&self.directory)));
    }

    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }

    /// `mosquitto_pub` or `mosquitto_sub` at the plain port.
    pub fn client(&self, program: &str, args: &[&str]) -> Child {
        client(self.port, program, args)
    }

    /// Publishes one message, and has its acknowledgement.
    pub fn publish(&self, topic: &str, qos: u8, payload: &str, more: &[&str]) {
        publish(self.port, topic, qos, payload, more);
    }
}

/// `mosquitto_sub` that prints messages.
pub struct Listener {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// One that is subscribed by now, and ends after `count` messages on the topic.
    pub fn start(port: u16, topic: &str, count: usize, more: &[&str]) -> Self {
        publish(port, "ready", 1, "ready", &["-r"]);
        let count = (count + 1).to_string();
        let args = [&["-t", topic, "-t", "ready", "-C", &count], more].concat();
        let mut child = client(port, "mosquitto_sub", &args);
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        // What was retained comes first.
        assert!(printed.next().is_some(), "{:?}", child.wait_with_output());
        Self { child, printed }
    }

    /// What it has printed at its end.
    pub fn printed(mut self) -> Vec<String> {
        let lines: Vec<String> = self.printed.map(Result::unwrap).collect();
        assert!(self.child.wait().unwrap().success(), "stuck after {lines:?}");
        lines
    }
}

/// `mosquitto_pub` or `mosquitto_sub` at the port of a broker, whoever's. The latter gives up after [`WATCHDOG`].
pub fn client(port: u16, program: &str, args: &[&str]) -> Child {
    let mut command = command(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args);
    if program == "mosquitto_sub" {
        command.args(["-W", &WATCHDOG.as_secs().to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `mosquitto_pub` publishes one message, and has its acknowledgement.
pub fn publish(port: u16, topic: &str, qos: u8, payload: &str, more: &[&str]) {
    let qos = qos.to_string();
    let args = [&["-t", topic, "-q", &qos, "-m", payload], more].concat();
    let output = client(port, "mosquitto_pub", &args).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What a client has printed, line by line.
pub fn lines(output: Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
