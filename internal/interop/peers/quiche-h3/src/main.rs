//! A server of HTTP/3 for `perf compare`, of quiche and tokio-quiche: `quiche-h3 server --listen
//! ADDR`. It answers GET /N with N bytes and takes what POST / sends. It says "ready" on its standard
//! error. At SIGTERM it prints a line of JSON with the CPU seconds it has used.

mod certificate;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use quiche::h3::{Header, NameValue};
use tokio::signal::unix::{SignalKind, signal};
use tokio_quiche::http3::driver::{H3Event, InboundFrame, IncomingH3Headers, OutboundFrame, ServerH3Event};
use tokio_quiche::http3::settings::Http3Settings;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths};
use tokio_quiche::socket::QuicListener;
use tokio_quiche::{ConnectionParams, InitialQuicConnection, ServerH3Driver};

type Error = Box<dyn std::error::Error + Send + Sync>;

static ZEROS: [u8; 1 << 14] = [0; 1 << 14];

/// The receive windows of the other contenders.
const STREAM_WINDOW: u64 = 16 << 20;
const CONNECTION_WINDOW: u64 = 32 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", "--listen", addr] => run_server(addr.parse()?).await,
        _ => Err("usage: quiche-h3 server --listen ADDR".into()),
    }
}

async fn run_server(listen: SocketAddr) -> Result<(), Error> {
    let files = certificate::write()?;
    let paths = TlsCertificatePaths { cert: &files.cert, private_key: &files.key, kind: CertificateKind::X509 };
    let params = ConnectionParams::new_server(settings(), paths, Hooks::default());
    let mut listener = QuicListener::try_from(tokio::net::UdpSocket::bind(listen).await?)?;
    listener.apply_max_capabilities();
    let addr = listener.socket.local_addr()?;
    let mut accept = tokio_quiche::listen_with_capabilities([listener], params, DefaultMetrics)?.remove(0);
    eprintln!("ready {addr} pid {}", std::process::id());
    let mut end = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = end.recv() => break,
            conn = accept.next() => match conn {
                Some(Ok(conn)) => serve(conn),
                Some(Err(_)) => {}
                None => break,
            },
        }
    }
    println!("{{\"impl\":\"quiche\",\"role\":\"server\",\"cpu\":{:.6}}}", cpu_seconds());
    Ok(())
}

fn settings() -> QuicSettings {
    let mut s = QuicSettings::default();
    s.alpn = vec![b"h3".to_vec()];
    s.initial_max_data = CONNECTION_WINDOW;
    s.max_connection_window = CONNECTION_WINDOW;
    s.initial_max_stream_data_bidi_local = STREAM_WINDOW;
    s.initial_max_stream_data_bidi_remote = STREAM_WINDOW;
    s.initial_max_stream_data_uni = STREAM_WINDOW;
    s.max_stream_window = STREAM_WINDOW;
    s.initial_max_streams_bidi = 128;
    s.max_idle_timeout = Some(Duration::from_secs(60));
    s.disable_client_ip_validation = true; // the others send no Retry either
    s
}

type Incoming = InitialQuicConnection<tokio::net::UdpSocket, DefaultMetrics>;

/// Serves a connection to its end. Errors are the client's matter.
fn serve(conn: Incoming) {
    let (driver, mut controller) = ServerH3Driver::new(Http3Settings::default());
    conn.start(driver);
    tokio::spawn(async move {
        while let Some(event) = controller.event_receiver_mut().recv().await {
            match event {
                ServerH3Event::Headers { incoming_headers, .. } => {
                    tokio::spawn(answer(incoming_headers));
                }
                ServerH3Event::Core(H3Event::ConnectionShutdown(_)) => break,
                ServerH3Event::Core(_) => {}
            }
        }
    });
}

/// Answers a request. If the stream ends before that, nobody waits for the answer.
async fn answer(request: IncomingH3Headers) -> Option<()> {
    let IncomingH3Headers { headers, mut send, mut recv, read_fin, .. } = request;
    let value = |name: &[u8]| {
        let field = headers.iter().find(|h| h.name() == name)?;
        std::str::from_utf8(field.value()).ok()
    };
    let mut over = read_fin;
    while !over {
        if let InboundFrame::Body(_, fin) = recv.recv().await? {
            over = fin;
        }
    }
    let left = match value(b":method")? {
        "POST" => Some(0),
        _ => value(b":path")?[1..].parse::<usize>().ok(),
    };
    let status: &[u8] = if left.is_some() { b"200" } else { b"404" };
    let mut left = left.unwrap_or(0);
    let head = vec![
        Header::new(b":status", status),
        Header::new(b"content-length", left.to_string().as_bytes()),
        Header::new(b"content-type", b"application/octet-stream"),
    ];
    send.send(OutboundFrame::Headers(head, None)).await.ok()?;
    loop {
        let n = left.min(ZEROS.len());
        left -= n;
        let body = Bytes::from_static(&ZEROS[..n]).into();
        send.send(OutboundFrame::Body(body, left == 0)).await.ok()?;
        if left == 0 {
            return Some(());
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
