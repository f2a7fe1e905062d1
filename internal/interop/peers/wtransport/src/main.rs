//! A peer of wtransport, which is WebTransport in Rust, for the tests of package interop.
//!
//! `server ADDR` sends back what comes: on a bidirectional stream, on a unidirectional stream of its own,
//! and in datagrams. It resets a bidirectional stream that says `reset` with the code 7, and one that the
//! client has reset with the same code. It says "ready" and its address on its standard error.
//! `client URL` has a session with a server that does the same. Each thing that it has done is a line
//! on its standard output. It fails at the first that goes wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wtransport::endpoint::IncomingSession;
use wtransport::error::StreamReadError;
use wtransport::{ClientConfig, Connection, Endpoint, Identity, RecvStream, SendStream, ServerConfig, VarInt};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many bytes go each way.
const SIZE: usize = 3_000_000;

/// How many streams there are at once.
const AT_ONCE: usize = 30;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", addr] => serve(addr.parse()?).await,
        ["client", url] => visit(url).await,
        _ => Err("usage: server ADDR, or client URL".into()),
    }
}

/// Returns what stands in a frame for an error code of an application: this version of wtransport
/// leaves that to the application (draft-ietf-webtrans-http3, Section 4.4).
fn code(n: u32) -> VarInt {
    let code = FIRST_CODE + u64::from(n) + u64::from(n) / 0x1e;
    VarInt::try_from_u64(code).expect("it is small")
}

const FIRST_CODE: u64 = 0x52e4_a40f_a8db;

async fn serve(addr: SocketAddr) -> Result<(), Error> {
    let identity = Identity::self_signed(["localhost", "127.0.0.1"])?;
    let config = ServerConfig::builder().with_bind_address(addr).with_identity(identity).build();
    let endpoint = Endpoint::server(config)?;
    eprintln!("ready {}", endpoint.local_addr()?);
    loop {
        let incoming = endpoint.accept().await;
        tokio::spawn(async move {
            let _ = answer(incoming).await; // errors are the client's matter
        });
    }
}

/// Serves a session to its end.
async fn answer(incoming: IncomingSession) -> Result<(), Error> {
    let session = Arc::new(incoming.await?.accept().await?);
    loop {
        tokio::select! {
            stream = session.accept_bi() => {
                let (send, recv) = stream?;
                tokio::spawn(async move { let _ = echo(send, recv).await; });
            }
            stream = session.accept_uni() => {
                let (mut recv, session) = (stream?, session.clone());
                tokio::spawn(async move { let _ = give_back(&session, &mut recv).await; });
            }
            datagram = session.receive_datagram() => session.send_datagram(datagram?.payload())?,
        }
    }
}

async fn echo(mut send: SendStream, mut recv: RecvStream) -> Result<(), Error> {
    let mut b = vec![0; 1 << 14];
    loop {
        match recv.read(&mut b).await {
            Ok(Some(n)) if &b[..n] == b"reset" => return Ok(send.reset(code(7))?),
            Ok(Some(n)) => send.write_all(&b[..n]).await?,
            Ok(None) => return Ok(send.finish().await?),
            Err(StreamReadError::Reset(code)) => return Ok(send.reset(code)?),
            Err(e) => return Err(e.into()),
        }
    }
}

async fn give_back(session: &Connection, recv: &mut RecvStream) -> Result<(), Error> {
    let got = read(recv).await?;
    let mut send = session.open_uni().await?.await?;
    send.write_all(&got).await?;
    Ok(send.finish().await?)
}

async fn read(recv: &mut RecvStream) -> Result<Vec<u8>, StreamReadError> {
    let mut got = Vec::new();
    let mut b = vec![0; 1 << 14];
    while let Some(n) = recv.read(&mut b).await? {
        got.extend_from_slice(&b[..n]);
    }
    Ok(got)
}

async fn visit(url: &str) -> Result<(), Error> {
    let config = ClientConfig::builder().with_bind_address("127.0.0.1:0".parse()?).with_no_cert_validation().build();
    let endpoint = Endpoint::client(config)?;
    let session = Arc::new(endpoint.connect(url).await?);
    exchange(&session, SIZE).await?;
    println!("stream");

    let mut all = Vec::new();
    for i in 0..AT_ONCE {
        let session = session.clone();
        all.push(tokio::spawn(async move { exchange(&session, 1000 * i).await }));
    }
    for one in all {
        one.await??;
    }
    println!("many at once");

    let mut send = session.open_uni().await?.await?;
    send.write_all(b"hello").await?;
    send.finish().await?;
    if read(&mut session.accept_uni().await?).await? != b"hello" {
        return Err("another stream came back".into());
    }
    println!("unidirectional streams");
    datagram(&session).await?;
    reset(&session).await?;
    session.close(VarInt::from_u32(0x100), b"");
    tokio::time::timeout(Duration::from_secs(30), endpoint.wait_idle()).await?;
    Ok(())
}

/// Sends n bytes on a stream, and reads them back meanwhile.
async fn exchange(session: &Connection, n: usize) -> Result<(), Error> {
    let (mut send, mut recv) = session.open_bi().await?.await?;
    let sent: Vec<u8> = (0..n).map(|i| i as u8).collect();
    let write = async {
        send.write_all(&sent).await?;
        send.finish().await
    };
    let (wrote, got) = tokio::join!(write, read(&mut recv));
    wrote?;
    if got? != sent {
        return Err(format!("other bytes than the {n} come back").into());
    }
    Ok(())
}

/// Sends datagrams until one comes back.
async fn datagram(session: &Connection) -> Result<(), Error> {
    for i in 0..100u8 {
        session.send_datagram([i; 100])?;
        let wait = tokio::time::timeout(Duration::from_secs(1), session.receive_datagram());
        if let Ok(got) = wait.await {
            let got = got?.payload();
            if got.len() != 100 || got.iter().any(|&b| b > i || b != got[0]) {
                return Err("another datagram came back".into());
            }
            println!("datagram");
            return Ok(());
        }
    }
    Err("no datagram came back".into())
}

/// Asks for a stream that the server resets, and resets one. The session goes on.
async fn reset(session: &Connection) -> Result<(), Error> {
    let (mut send, mut recv) = session.open_bi().await?.await?;
    send.write_all(b"reset").await?;
    match read(&mut recv).await {
        Err(StreamReadError::Reset(got)) if got == code(7) => {}
        end => return Err(format!("a stream was reset: {end:?}").into()),
    }
    let (mut send, mut recv) = session.open_bi().await?.await?;
    send.write_all(b"begin").await?;
    let mut b = [0; 5];
    recv.read_exact(&mut b).await?;
    send.reset(code(8))?;
    match read(&mut recv).await {
        Err(StreamReadError::Reset(got)) if got == code(8) => {}
        end => return Err(format!("the server passes the reset on: {end:?}").into()),
    }
    exchange(session, 1000).await?;
    println!("resets");
    Ok(())
}
