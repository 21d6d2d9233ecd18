//! mosquitto as a broker and as clients, in a directory of its own.

use crate::certificates::Certificates;
use base64::Engine;
use std::ffi::OsStr;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A broker that runs as long as this lives. One port is plain; the other is TLS, and asks for a certificate.
pub struct Mosquitto {
    broker: Child,
    directory: PathBuf,
    pub port: u16,
    pub tls_port: u16,
    pub certificates: Certificates,
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
        let (port, tls_port) = (free_port(), free_port());
        let (at, more) = (directory.display(), more(&directory));
        write(
            "conf",
            &format!(
                "user root\nlog_type all\nlog_dest stderr\nper_listener_settings false\n{more}listener {port} 127.0.0.1\n\
                 listener {tls_port} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/cert.pem\nkeyfile {at}/key.pem\n\
                 require_certificate true\n"
            ),
        );
        let broker = Self::run(&directory);
        let mut this = Self { broker, directory, port, tls_port, certificates };
        this.await_ports();
        Some(this)
    }

    fn run(directory: &Path) -> Child {
        let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
        let mut broker = command("mosquitto");
        broker.arg("-c").arg(directory.join("conf")).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn await_ports(&mut self) {
        for port in [self.port, self.tls_port] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(self.broker.try_wait().unwrap().is_none(), "mosquitto ended: {}", self.log());
                std::thread::yield_now();
            }
        }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
    }

    /// How often clients have subscribed to this filter.
    pub fn asked_for(&self, filter: &str) -> usize {
        let asked = format!("\t{filter} (QoS ");
        self.log().lines().filter(|line| line.contains(&asked)).count()
    }

    /// Ends the broker, which may write down what it knows.
    pub fn stop(&mut self) {
        let ended = Command::new("kill").args(["-TERM", &self.broker.id().to_string()]).status();
        assert!(ended.unwrap().success());
        self.broker.wait().unwrap();
    }

    /// Has it run again, at the same ports.
    pub fn resume(&mut self) {
        self.broker = Self::run(&self.directory);
        self.await_ports();
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

/// `mosquitto_pub` or `mosquitto_sub` at the port of a broker, whoever's.
pub fn client(port: u16, program: &str, args: &[&str]) -> Child {
    let mut command = command(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args);
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
