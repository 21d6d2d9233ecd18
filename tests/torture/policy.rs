//! The policy of the torture: each client type in a plain and a TLS edition, and the servers that they meet.

use base64::Engine;
use std::fmt::Write as _;
use std::sync::OnceLock;

pub(crate) const HOST: &str = "10.0.0.1";
pub(crate) const NAME: &str = "server.test";

/// What a client type asks for, and so what becomes of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Gets 200 and a body in pieces.
    Get,
    /// Sends a body in pieces, gets 200 and a body in pieces.
    Post,
    /// Gets 404, which the policy maps to a state.
    Refused,
    /// Gets 401.
    Auth,
    /// Gets 503: a failed try.
    Busy,
    /// Nobody listens there.
    Nowhere,
    /// Sends bytes, gets bytes, and is hung up on.
    Raw,
    /// Sends a message in fragments, gets one, and is hung up on.
    Ws,
    /// The same over HTTP/2, where the sibling shares the connection; what the first gets, it grants by hand.
    H2Get,
    H2Post,
    H2Refused,
    H2Busy,
    /// A websocket there.
    H2Ws,
    /// Joins a sink.
    Sink,
}

impl Shape {
    pub(crate) const ALL: [Self; 14] = [
        Self::Get,
        Self::Post,
        Self::Refused,
        Self::Auth,
        Self::Busy,
        Self::Nowhere,
        Self::Raw,
        Self::Ws,
        Self::H2Get,
        Self::H2Post,
        Self::H2Refused,
        Self::H2Busy,
        Self::H2Ws,
        Self::Sink,
    ];

    pub(crate) fn is_h2(self) -> bool {
        matches!(self, Self::H2Get | Self::H2Post | Self::H2Refused | Self::H2Busy | Self::H2Ws)
    }

    /// What it is without regard to the version of HTTP.
    pub(crate) fn exchange(self) -> Self {
        match self {
            Self::H2Get => Self::Get,
            Self::H2Post => Self::Post,
            Self::H2Refused => Self::Refused,
            Self::H2Busy => Self::Busy,
            Self::H2Ws => Self::Ws,
            other => other,
        }
    }

    pub(crate) fn streamtype(self, tls: bool) -> String {
        let suffix = if tls { "_tls" } else { "" };
        format!("{self:?}{suffix}").to_ascii_lowercase()
    }

    fn keys(self) -> &'static str {
        match self.exchange() {
            Self::Get => r#""http_method": "GET", "http_url": "/ok", "opportunistic": true"#,
            Self::Post => r#""http_method": "POST", "http_url": "/ok", "opportunistic": true"#,
            Self::Refused => {
                r#""http_method": "GET", "http_url": "/refuse", "http_resp_map": [ { "404": 1404 } ]"#
            }
            Self::Auth => {
                r#""http_method": "GET", "http_url": "/auth", "http_auth_header": "authorization:""#
            }
            Self::Busy => r#""http_method": "GET", "http_url": "/busy""#,
            Self::Nowhere => r#""http_method": "GET", "http_url": "/""#,
            Self::Raw => r#""opportunistic": true"#,
            Self::Ws if self.is_h2() => {
                r#""http_url": "/ok", "opportunistic": true, "ws_subprotocol": "torture", "ws_over_h2": true"#
            }
            Self::Ws => r#""http_url": "/ok", "opportunistic": true, "ws_subprotocol": "torture""#,
            Self::Sink => r#""opportunistic": true, "local_sink": true"#,
            Self::H2Get | Self::H2Post | Self::H2Refused | Self::H2Busy | Self::H2Ws => "",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Ws | Self::H2Ws => "ws",
            shape if shape.is_h2() => "h2",
            _ => "h1",
        }
    }

    /// The type of the server that it meets.
    pub(crate) fn server_type(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Raw, false) => "raw_server",
            (Self::Raw, true) => "raw_server_tls",
            (shape, false) if shape.is_h2() => "h2_server",
            (shape, true) if shape.is_h2() => "h2_server_tls",
            (_, false) => "server",
            (_, true) => "server_tls",
        }
    }

    fn port(self, tls: bool) -> u16 {
        match (self, tls) {
            (Self::Nowhere, _) => 9,
            (Self::Raw, false) => 7,
            (Self::Raw, true) => 77,
            (shape, false) if shape.is_h2() => 82,
            (shape, true) if shape.is_h2() => 8443,
            (_, false) => 80,
            (_, true) => 443,
        }
    }
}

/// The certificate of the servers and its key.
pub(crate) fn identity() -> &'static (Vec<u8>, Vec<u8>) {
    static IDENTITY: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    })
}

/// The policy, with a certificate that was made for this run.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(make)
}

fn make() -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(&identity().0), base64.encode(&identity().1));
    let mut types = String::new();
    for tls in [false, true] {
        let identity = if tls { r#""tls": true, "server_cert": "cert", "server_key": "key","# } else { "" };
        for shape in [Shape::Get, Shape::Raw, Shape::H2Get] {
            let (name, protocol) = (shape.server_type(tls), shape.protocol());
            for (name, port) in [(name.to_owned(), shape.port(tls)), (format!("other_{name}"), 0)] {
                write!(
                    types,
                    r#"{{ "{name}": {{ "server": true, "endpoint": "{HOST}", "port": {port}, "protocol": "{protocol}",
                      "ws_subprotocol": "torture", {identity} "metadata": [ {{ "path": "" }}, {{ "method": "" }} ] }} }},"#
                )
                .unwrap();
            }
        }
        let trust = if tls { r#""tls": true, "tls_trust_store": "ours","# } else { "" };
        for shape in Shape::ALL {
            let (name, keys) = (shape.streamtype(tls), shape.keys());
            let (port, protocol) = (shape.port(tls), shape.protocol());
            write!(
                types,
                r#"{{ "{name}": {{ "endpoint": "{NAME}", "port": {port}, "protocol": "{protocol}", {trust} "retry": "few",
                  {keys} }} }},"#
            )
            .unwrap();
        }
    }
    let types = types.trim_end_matches(',');
    format!(
        r#"{{ "release": "1", "product": "torture", "schema-version": 1,
          "retry": [ {{ "few": {{ "backoff": [3], "conceal": 1, "jitterpc": 20 }} }} ],
          "certs": [ {{ "cert": "{cert}" }}, {{ "key": "{key}" }} ],
          "trust_stores": [ {{ "name": "ours", "stack": ["cert"] }} ],
          "s": [ {types} ] }}"#
    )
}
