//! Cookies of client streams (`http_cookies`): into the context's jar from responses, and out of it into requests.

use crate::context::{Core, Cx};
use crate::http::Head;
use crate::secure_stream::StreamId;
use crate::secure_stream::cookies::RequestUri;
use crate::secure_stream::endpoint::Endpoint;
use std::rc::Rc;

/// Whom the last request of a stream went to, and for what: by then the metadata may say something else, and what a server
/// sets is its own. Kept from one transaction to the next for its memory.
#[derive(Debug)]
pub(crate) struct Asked {
    endpoint: Rc<Endpoint>,
    path: Vec<u8>,
}

impl Asked {
    fn uri(&self) -> RequestUri<'_> {
        uri(&self.endpoint, &self.path)
    }
}

fn uri<'a>(endpoint: &'a Endpoint, path: &'a [u8]) -> RequestUri<'a> {
    RequestUri { host: endpoint.host(), path, is_secure: endpoint.is_tls }
}

impl Core {
    /// Adds the Cookie header to the head of a request, if the jar has something for it. One that the application's metadata
    /// has put there is left alone: there may be no two (RFC 6265 5.4).
    pub(super) fn h1_push_cookies(&mut self, id: StreamId, head: &mut Head, endpoint: &Rc<Endpoint>) {
        let Ok(stream) = self.live_mut(id) else { return };
        let endpoint = Rc::clone(endpoint);
        match &mut stream.asked {
            Some(asked) => {
                asked.endpoint = endpoint;
                asked.path.clear();
                asked.path.extend_from_slice(head.path());
            }
            None => stream.asked = Some(Box::new(Asked { endpoint, path: head.path().to_vec() })),
        }
        if head.get("cookie").is_some() {
            return;
        }
        let Some(asked) = self.streams.get(id).and_then(|stream| stream.asked.as_deref()) else { return };
        if let Some(cookies) = self.cookies.matching(&asked.uri(), self.wall_secs) {
            head.push_with(b"cookie", |value| cookies.write(value));
        }
    }

    /// Keeps what the response to the stream's request sets.
    pub(in crate::secure_stream::transport) fn h1_keep_cookies(&mut self, id: StreamId, head: &Head) {
        let Some(stream) = self.streams.get(id).filter(|stream| stream.stream_type.http.cookies) else {
            return;
        };
        let Some(asked) = stream.asked.as_deref() else { return };
        for header in head.get_all("set-cookie") {
            self.cookies.set(&asked.uri(), header, self.wall_secs);
        }
    }
}

/// The cookies of streams with `http_cookies` in their policy, all in one jar of the context's.
impl Cx<'_> {
    /// Forgets every cookie.
    pub fn cookies_clear(&mut self) {
        self.core.cookies.clear();
    }

    /// The cookies in the format of Netscape's cookie files, with those that would end with the session, for
    /// [`Self::cookies_import`] in the next life of the application: where that is to be kept (`http_nsc_filepath` of lws) is
    /// the application's to know. They are as good as passwords.
    pub fn cookies_export(&self) -> Vec<u8> {
        self.core.cookies.export(self.core.wall_secs)
    }

    /// Adds cookies from text in the format of Netscape's cookie files; how many it had. Lines that are no cookie, or one that
    /// has expired, are passed over. The bounds of the jar are kept: 50 cookies of a domain, 3000 of all, 4096 bytes each.
    pub fn cookies_import(&mut self, text: &[u8]) -> usize {
        self.core.cookies.import(text, self.core.wall_secs)
    }
}
