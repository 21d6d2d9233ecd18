//! `hyper_server CERT KEY`: the same 20 bytes over HTTP/1.1 and HTTP/2 (by ALPN, or with prior knowledge), plain and TLS, on
//! one thread. Prints where it listens.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello from a policy\n")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + 'static, is_h2: bool) {
    let io = TokioIo::new(io);
    let service = service_fn(answer);
    // Whoever goes away in the middle of the measurement is not asked why.
    if is_h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) -> Result<(), Failure> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::task::spawn_local(async move {
            match tls {
                None => {
                    let mut first = [0; 3];
                    let is_h2 = socket.peek(&mut first).await.is_ok() && first == *b"PRI";
                    serve(socket, is_h2).await;
                }
                Some(tls) => {
                    if let Ok(io) = tls.accept(socket).await {
                        let is_h2 = io.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve(io, is_h2).await;
                    }
                }
            }
        });
    }
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (cert, key) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let plain = TcpListener::bind("127.0.0.1:0").await?;
        let tls = TcpListener::bind("127.0.0.1:0").await?;
        println!("plain {}", plain.local_addr()?);
        println!("tls {}", tls.local_addr()?);
        let tls = tokio::task::spawn_local(accept(tls, Some(TlsAcceptor::from(Arc::new(config)))));
        accept(plain, None).await?;
        tls.await?
    })
}
