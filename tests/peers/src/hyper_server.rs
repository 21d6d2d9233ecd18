//! hyper as the server: each path is a way to answer.

use crate::certificates::Certificates;
use crate::{Digest, pattern};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Error>;

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub requests: AtomicUsize,
}

pub struct HyperServer {
    pub port: u16,
    pub seen: Arc<Seen>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl HyperServer {
    pub fn start(tls: Option<&Certificates>) -> Self {
        let seen = Arc::new(Seen::default());
        let acceptor = tls.map(|certificates| certificates.acceptor(&["h2", "http/1.1"]));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell_port, port) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    tell_port.send(listener.local_addr().unwrap().port()).unwrap();
                    tokio::select! {
                        () = accept(listener, acceptor, seen) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { port: port.recv().unwrap(), seen, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for HyperServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn accept(listener: TcpListener, acceptor: Option<tokio_rustls::TlsAcceptor>, seen: Arc<Seen>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            match acceptor {
                None => serve(socket, seen).await,
                Some(acceptor) => {
                    if let Ok(io) = acceptor.accept(socket).await {
                        serve(io, seen).await;
                    }
                }
            }
        });
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + 'static, seen: Arc<Seen>) {
    let service = service_fn(|request| {
        let nth = seen.requests.fetch_add(1, Ordering::Relaxed);
        answer(request, nth)
    });
    // HTTP/1.1 or HTTP/2, as the client begins. Connections that a test breaks off on purpose end in an error here.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn frames(frames: Vec<Result<Frame<Bytes>, Error>>) -> Body {
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

fn large(len: u64) -> Body {
    let pieces = (0..len).step_by(10_000).map(move |from| {
        let piece: Vec<u8> = (from..len.min(from + 10_000)).map(pattern).collect();
        Ok(Frame::data(Bytes::from(piece)))
    });
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces)))
}

async fn digest(request: Request<Incoming>) -> String {
    let mut digest = Digest::default();
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            digest.add(data);
        }
    }
    format!("{:x} {}", digest.0, digest.1)
}

/// A line for each part: its name, its file's name, its type, and what it has.
async fn form(request: Request<Incoming>) -> multer::Result<String> {
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind)?;
    let mut parts = multer::Multipart::new(request.into_body().into_data_stream(), boundary);
    let mut told = String::new();
    while let Some(mut part) = parts.next_field().await? {
        let mut digest = Digest::default();
        while let Some(chunk) = part.chunk().await? {
            digest.add(&chunk);
        }
        let kind = part.content_type().map_or("-", |kind| kind.as_ref());
        let (name, file) = (part.name().unwrap_or("-"), part.file_name().unwrap_or("-"));
        told += &format!("{name} {file} {kind} {:x} {}\n", digest.0, digest.1);
    }
    Ok(told)
}

async fn answer(request: Request<Incoming>, nth: usize) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let status = |code: u16| Response::builder().status(code);
    let data = |text: &'static str| Ok(Frame::data(Bytes::from(text)));
    let (kind, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let response = match kind {
        // hyper's HTTP/2 would send the body all the same.
        "known" if request.method() == Method::HEAD => {
            status(200).header("content-length", 16).body(full(""))
        }
        "known" => status(200).header("content-type", "text/plain").body(full("hello from hyper")),
        "chunked" => status(200).body(frames(vec![data("one,"), data("two,"), data("three")])),
        "trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "17".parse().unwrap());
            let body = frames(vec![data("with a tail"), Ok(Frame::trailers(trailers))]);
            status(200).header("trailer", "x-sum").body(body)
        }
        "status" => status(argument.parse().unwrap()).body(full("")),
        "redirect" => match argument.parse().unwrap() {
            0 => status(200).body(full("at last")),
            left => status(302).header("location", format!("/redirect/{}", left - 1)).body(full("not here")),
        },
        "busy" if nth == 0 => status(503).header("retry-after", "0").body(full("busy")),
        "busy" => status(200).body(full("now")),
        "large" => status(200).header("content-length", argument).body(large(argument.parse().unwrap())),
        "method" => status(200).header("x-method", request.method().as_str()).body(full("")),
        "fields" => {
            let up = request.headers().get("x-up").cloned();
            let agent = request.headers().get("user-agent").cloned();
            let response = status(200).header("x-down", up.unwrap_or("nothing".parse().unwrap()));
            response.header("x-agent", agent.unwrap_or("nobody".parse().unwrap())).body(full("see the head"))
        }
        "digest" => {
            let framing = if request.headers().contains_key("content-length") { "known" } else { "chunked" };
            status(200).header("x-framing", framing).body(full(digest(request).await))
        }
        "form" => match form(request).await {
            Ok(told) => status(200).body(full(told)),
            Err(error) => status(400).body(full(error.to_string())),
        },
        "refuse" if request.method() == Method::POST => status(403).body(full("no")),
        "close" => {
            let body = frames(vec![data("up to "), data("the end")]);
            status(200).version(hyper::Version::HTTP_10).body(body)
        }
        "die" => {
            let piece = || Ok(Frame::data(Bytes::from(vec![b'x'; 50_000])));
            let mut body: Vec<_> = std::iter::repeat_with(piece).take(10).collect();
            body.push(Err(Error::new(ErrorKind::BrokenPipe, "as the test wants it")));
            let known = argument == "known";
            status(200)
                .header(if known { "content-length" } else { "x-length" }, "1000000")
                .body(frames(body))
        }
        _ => status(404).body(full("")),
    };
    Ok(response.unwrap())
}
