//! A peer of s2n-quic, for the tests of package interop.
//!
//! `server ADDR CERTIFICATE KEY` answers streams: `get N` with N bytes, `reset` by resetting the stream
//! with the code 7, and anything else with its length. It says "ready" and its address on its standard error.
//! `client ADDR CERTIFICATE` asks a server that does the same. Each thing that it has done is a line
//! on its standard output. It fails at the first that goes wrong.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use s2n_quic::client::Connect;
use s2n_quic::connection::Handle;
use s2n_quic::provider::tls;
use s2n_quic::stream::{self, BidirectionalStream};
use s2n_quic::{Client, Connection, Server};

type Error = Box<dyn std::error::Error + Send + Sync>;

static ZEROS: [u8; 1 << 14] = [0; 1 << 14];

/// The protocol of the tests.
const PROTOCOLS: [&str; 1] = ["interop"];

/// How many bytes go each way.
const SIZE: usize = 4_000_000;

/// How many streams there are at once.
const AT_ONCE: usize = 50;

/// The code of a server that resets a stream, and that of a client that wants no more.
const RESET: u32 = 7;
const STOP: u32 = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", addr, certificate, key] => serve(addr.parse()?, certificate, key).await,
        ["client", addr, certificate] => ask_all(addr.parse()?, certificate).await,
        _ => Err("usage: server ADDR CERTIFICATE KEY, or client ADDR CERTIFICATE".into()),
    }
}

async fn serve(addr: SocketAddr, certificate: &str, key: &str) -> Result<(), Error> {
    let tls = tls::default::Server::builder()
        .with_application_protocols(PROTOCOLS.iter())?
        .with_certificate(Path::new(certificate), Path::new(key))?
        .build()?;
    let mut server = Server::builder().with_tls(tls)?.with_io(addr)?.start()?;
    eprintln!("ready {}", server.local_addr()?);
    while let Some(connection) = server.accept().await {
        tokio::spawn(answer_all(connection));
    }
    Ok(())
}

async fn answer_all(mut connection: Connection) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        tokio::spawn(async move {
            let _ = answer(stream).await; // errors are the client's matter
        });
    }
}

async fn answer(mut stream: BidirectionalStream) -> Result<(), Error> {
    let mut request = Vec::new();
    while let Some(chunk) = stream.receive().await? {
        request.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&request[..request.len().min(100)]).into_owned();
    if text == "reset" {
        stream.send(Bytes::from_static(b"begin")).await?;
        stream.reset(RESET.into())?;
        return Ok(());
    }
    if let Some(n) = text.strip_prefix("get ") {
        send(&mut stream, n.parse()?).await?;
    } else {
        stream.send(request.len().to_string().into()).await?;
    }
    Ok(stream.close().await?)
}

/// Sends n zeros.
async fn send(stream: &mut BidirectionalStream, mut n: usize) -> Result<(), Error> {
    while n > 0 {
        let k = n.min(ZEROS.len());
        stream.send(Bytes::from_static(&ZEROS[..k])).await?;
        n -= k;
    }
    Ok(())
}

async fn ask_all(server: SocketAddr, certificate: &str) -> Result<(), Error> {
    let tls = tls::default::Client::builder()
        .with_application_protocols(PROTOCOLS.iter())?
        .with_certificate(Path::new(certificate))?
        .build()?;
    let mut client = Client::builder().with_tls(tls)?.with_io("127.0.0.1:0")?.start()?;
    let connection = client.connect(Connect::new(server).with_server_name("localhost")).await?;
    let (mut handle, _acceptor) = connection.split();

    let got = ask(&mut handle, &format!("get {SIZE}")).await?;
    if got.len() != SIZE || got.iter().any(|&b| b != 0) {
        return Err(format!("{} bytes came", got.len()).into());
    }
    println!("download");
    let mut stream = handle.open_bidirectional_stream().await?;
    send(&mut stream, SIZE).await?;
    stream.finish()?;
    if receive(&mut stream).await? != SIZE.to_string().as_bytes() {
        return Err("the server did not take all".into());
    }
    println!("upload");
    many(&handle).await?;
    reset(&mut handle).await?;
    stop(&mut handle).await?;
    handle.close(0u32.into());
    client.wait_idle().await?;
    Ok(())
}

/// Sends a request on a stream of its own, and returns the answer.
async fn ask(handle: &mut Handle, request: &str) -> Result<Vec<u8>, Error> {
    let mut stream = handle.open_bidirectional_stream().await?;
    stream.send(request.to_owned().into()).await?;
    stream.finish()?;
    Ok(receive(&mut stream).await?)
}

async fn receive(stream: &mut BidirectionalStream) -> stream::Result<Vec<u8>> {
    let mut got = Vec::new();
    while let Some(chunk) = stream.receive().await? {
        got.extend_from_slice(&chunk);
    }
    Ok(got)
}

async fn many(handle: &Handle) -> Result<(), Error> {
    let mut all = Vec::new();
    for i in 0..AT_ONCE {
        let mut handle = handle.clone();
        all.push(tokio::spawn(async move { ask(&mut handle, &format!("get {}", 1000 + i)).await }));
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

/// Asks for a stream that the server resets.
async fn reset(handle: &mut Handle) -> Result<(), Error> {
    let mut stream = handle.open_bidirectional_stream().await?;
    stream.send(Bytes::from_static(b"reset")).await?;
    stream.finish()?;
    match receive(&mut stream).await {
        Err(stream::Error::StreamReset { error, .. }) if error == RESET.into() => {}
        end => return Err(format!("a stream was reset: {end:?}").into()),
    }
    println!("reset");
    Ok(())
}

/// Gives up a download that has begun. The connection goes on.
async fn stop(handle: &mut Handle) -> Result<(), Error> {
    let mut stream = handle.open_bidirectional_stream().await?;
    stream.send(Bytes::from_static(b"get 1000000000")).await?;
    stream.finish()?;
    if stream.receive().await?.is_none() {
        return Err("the download ends at once".into());
    }
    stream.stop_sending(STOP.into())?;
    drop(stream);
    if ask(handle, "get 1000").await?.len() != 1000 {
        return Err("the connection does not go on".into());
    }
    println!("stop");
    Ok(())
}
