//! A server of HTTP/3 for `perf compare`, of quinn and h3-quinn: `quinn-h3 server --listen ADDR`.
//! It answers GET /N with N bytes and takes what POST / sends. It says "ready" on its standard error.
//! At SIGTERM it prints a line of JSON with the CPU seconds it has used.
//!
//! For the tests of package interop it breaks off the answer to GET /broken, takes early data with
//! `server --listen ADDR --early`, and is a client: `quinn-h3 client ADDR CERTIFICATE`.

mod client;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::{Connection, RequestResolver, RequestStream};
use http::{Method, Response, StatusCode};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::signal::unix::{SignalKind, signal};

pub type Error = Box<dyn std::error::Error + Send + Sync>;

pub static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// The receive windows of the other contenders.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// The size of the socket's buffers, which the kernel bounds.
static SOCKET_BUFFER: libc::c_int = 4 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", "--listen", addr] => run_server(addr.parse()?, false).await,
        ["server", "--listen", addr, "--early"] => run_server(addr.parse()?, true).await,
        ["client", addr, certificate] => client::run(addr.parse()?, certificate).await,
        _ => Err("usage: quinn-h3 server --listen ADDR [--early], or quinn-h3 client ADDR CERTIFICATE".into()),
    }
}

async fn run_server(listen: SocketAddr, early: bool) -> Result<(), Error> {
    let socket = std::net::UdpSocket::bind(listen)?;
    set_buffers(&socket);
    let endpoint = Endpoint::new(EndpointConfig::default(), Some(config(early)?), socket, Arc::new(TokioRuntime))?;
    eprintln!("ready {} pid {}", endpoint.local_addr()?, std::process::id());
    let mut end = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = end.recv() => break,
            incoming = endpoint.accept() => match incoming {
                Some(i) => { tokio::spawn(serve(i)); }
                None => break,
            },
        }
    }
    println!("{{\"impl\":\"quinn\",\"role\":\"server\",\"cpu\":{:.6}}}", cpu_seconds());
    Ok(())
}

/// Offers AES-128-GCM first and X25519 alone, as all contenders do.
fn config(early: bool) -> Result<ServerConfig, Error> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|s| s.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups.retain(|g| g.name() == rustls::NamedGroup::X25519);
    let cert = rcgen::generate_simple_self_signed(vec!["localhost".to_string()])?;
    let key = PrivatePkcs8KeyDer::from(cert.signing_key.serialize_der());
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![cert.cert.der().clone()], key.into())?;
    tls.alpn_protocols = vec![b"h3".to_vec()];
    if early {
        tls.max_early_data_size = u32::MAX; // RFC 9001, Section 4.6.1
    }
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(CONNECTION_WINDOW.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(128))
        .max_idle_timeout(Some(Duration::from_secs(60).try_into()?));
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Serves a connection to its end. Errors are the client's matter.
async fn serve(incoming: Incoming) {
    let Ok(quic) = incoming.await else { return };
    let Ok(mut conn) = Connection::new(h3_quinn::Connection::new(quic)).await else { return };
    while let Ok(Some(request)) = conn.accept().await {
        tokio::spawn(async move {
            let _ = answer(request).await;
        });
    }
}

type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

async fn answer(request: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<(), Error> {
    let (request, mut stream): (_, Stream) = request.resolve_request().await?;
    if request.method() == Method::POST {
        while let Some(mut chunk) = stream.recv_data().await? {
            chunk.advance(chunk.remaining());
        }
        stream.send_response(Response::builder().header("content-length", "0").body(())?).await?;
        return Ok(stream.finish().await?);
    }
    if request.uri().path() == "/broken" {
        stream.send_response(Response::builder().body(())?).await?;
        stream.send_data(Bytes::from_static(&ZEROS[..1000])).await?;
        stream.stop_stream(Code::H3_INTERNAL_ERROR);
        return Ok(());
    }
    let Ok(mut left) = request.uri().path()[1..].parse::<usize>() else {
        stream.send_response(Response::builder().status(StatusCode::NOT_FOUND).body(())?).await?;
        return Ok(stream.finish().await?);
    };
    let head = Response::builder()
        .header("content-length", left.to_string())
        .header("content-type", "application/octet-stream")
        .body(())?;
    stream.send_response(head).await?;
    while left > 0 {
        let n = left.min(ZEROS.len());
        stream.send_data(Bytes::from_static(&ZEROS[..n])).await?;
        left -= n;
    }
    Ok(stream.finish().await?)
}

fn set_buffers(socket: &std::net::UdpSocket) {
    use std::os::fd::AsRawFd;
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        // SAFETY: the value is a c_int that outlives the call.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const SOCKET_BUFFER).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
    }
}

fn cpu_seconds() -> f64 {
    // SAFETY: all zeros is a valid rusage, and getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
