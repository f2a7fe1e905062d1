//! The client: it asks a server of HTTP/3 for what the tests of package interop want to see. Each
//! thing that it has done is a line on its standard output. It fails at the first that goes wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3::error::{Code, StreamError};
use http::{Request, StatusCode};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::Error;

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

/// How many bytes go each way.
const SIZE: usize = 4_000_000;

/// How many requests there are at once.
const AT_ONCE: usize = 100;

pub async fn run(server: SocketAddr, certificate: &str) -> Result<(), Error> {
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
    endpoint.set_default_client_config(config(certificate)?);
    let quic = endpoint.connect(server, "localhost")?.await?;
    let mut send = http3(quic.clone()).await?;
    download(&mut send).await?;
    upload(&mut send).await?;
    many(&send).await?;
    cancel(&mut send).await?;
    broken(&mut send).await?;
    close(quic, send).await;

    let connecting = endpoint.connect(server, "localhost")?;
    let (quic, accepted) = connecting.into_0rtt().map_err(|_| "there is no session for 0-RTT")?;
    let mut send = http3(quic.clone()).await?;
    let body = get(&mut send, "/early").await?;
    if body != b"early" || !accepted.await {
        return Err(format!("0-RTT: {}", String::from_utf8_lossy(&body)).into());
    }
    println!("0-RTT");
    close(quic, send).await;
    tokio::time::timeout(Duration::from_secs(30), endpoint.wait_idle()).await?;
    Ok(())
}

/// Trusts one certificate, and may send early data.
fn config(certificate: &str) -> Result<ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}

/// Begins HTTP/3 on a connection.
async fn http3(quic: Connection) -> Result<Sender, Error> {
    let (mut driver, send) = h3::client::new(h3_quinn::Connection::new(quic)).await?;
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    Ok(send)
}

async fn close(quic: Connection, send: Sender) {
    quic.close(quinn::VarInt::from_u32(0x100), b"");
    drop(send);
}

/// Returns the body of a response that must be good.
async fn get(send: &mut Sender, path: &str) -> Result<Vec<u8>, Error> {
    exchange(send, Request::get(format!("https://localhost{path}")).body(())?, 0).await
}

/// Sends a request with a body of n bytes.
async fn exchange(send: &mut Sender, request: Request<()>, mut n: usize) -> Result<Vec<u8>, Error> {
    let mut stream = send.send_request(request).await?;
    while n > 0 {
        let k = n.min(crate::ZEROS.len());
        stream.send_data(Bytes::from_static(&crate::ZEROS[..k])).await?;
        n -= k;
    }
    stream.finish().await?;
    let response = stream.recv_response().await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{}", response.status()).into());
    }
    let mut body = Vec::new();
    while let Some(mut chunk) = stream.recv_data().await? {
        body.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Ok(body)
}

async fn download(send: &mut Sender) -> Result<(), Error> {
    let body = get(send, &format!("/{SIZE}")).await?;
    if body.len() != SIZE || body.iter().any(|&b| b != 0) {
        return Err(format!("{} bytes came", body.len()).into());
    }
    println!("download");
    Ok(())
}

async fn upload(send: &mut Sender) -> Result<(), Error> {
    let answer = exchange(send, Request::post("https://localhost/").body(())?, SIZE).await?;
    if answer != SIZE.to_string().as_bytes() {
        return Err(format!("the server took {}", String::from_utf8_lossy(&answer)).into());
    }
    println!("upload");
    Ok(())
}

async fn many(send: &Sender) -> Result<(), Error> {
    let mut all = Vec::new();
    for i in 0..AT_ONCE {
        let mut send = send.clone();
        all.push(tokio::spawn(async move { get(&mut send, &format!("/{}", 1000 + i)).await }));
    }
    for (i, one) in all.into_iter().enumerate() {
        let n = one.await??.len();
        if n != 1000 + i {
            return Err(format!("{n} bytes came of {}", 1000 + i).into());
        }
    }
    println!("many at once");
    Ok(())
}

/// Gives up a download that has begun. The connection goes on.
async fn cancel(send: &mut Sender) -> Result<(), Error> {
    let request = Request::get("https://localhost/1000000000").body(())?;
    let mut stream = send.send_request(request).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    if stream.recv_data().await?.is_none() {
        return Err("the download ends at once".into());
    }
    stream.stop_sending(Code::H3_REQUEST_CANCELLED);
    drop(stream);
    get(send, "/1000").await?;
    println!("cancel");
    Ok(())
}

/// Asks for a response that the server breaks off. The connection goes on.
async fn broken(send: &mut Sender) -> Result<(), Error> {
    let request = Request::get("https://localhost/broken").body(())?;
    let mut stream = send.send_request(request).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    let end = loop {
        match stream.recv_data().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err("a response that was broken off looks whole".into()),
            Err(e) => break e,
        }
    };
    match end {
        StreamError::RemoteTerminate { code, .. } if code == Code::H3_INTERNAL_ERROR => {}
        e => return Err(format!("a response was broken off: {e}").into()),
    }
    get(send, "/1000").await?;
    println!("broken off");
    Ok(())
}
