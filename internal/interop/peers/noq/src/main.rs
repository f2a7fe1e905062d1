//! A peer of noq with multipath, for the tests of package interop.
//!
//! `server LISTEN` answers streams: `get N` with N bytes, `keys` by a key update, `abandon N` by
//! closing the path N, and anything else with its length.
//! `client CONNECT LOCAL BYTES` downloads and uploads over two paths, the second of them from the
//! address LOCAL, updates its keys, closes the first path, and downloads again.
use noq::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use noq::{
    ClientConfig, Endpoint, FourTuple, PathId, PathStatus, ServerConfig, TransportConfig, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn transport() -> Arc<TransportConfig> {
    let mut t = TransportConfig::default();
    t.max_concurrent_multipath_paths(4);
    t.max_idle_timeout(Some(VarInt::from_u32(30_000).into()));
    Arc::new(t)
}

async fn answer(conn: noq::Connection) -> Res<()> {
    loop {
        let (mut send, mut recv) = match conn.accept_bi().await {
            Ok(s) => s,
            Err(e) => {
                println!("closed: {e}");
                return Ok(());
            }
        };
        let conn = conn.clone();
        tokio::spawn(async move {
            let req = recv.read_to_end(64 << 20).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&req[..req.len().min(100)]).to_string();
            let mut words = text.split_whitespace();
            match (words.next(), words.next()) {
                (Some("get"), Some(n)) => {
                    let n: usize = n.parse().unwrap_or(0);
                    let chunk = vec![b'x'; 1 << 16];
                    let mut left = n;
                    while left > 0 {
                        let k = left.min(chunk.len());
                        if send.write_all(&chunk[..k]).await.is_err() {
                            return;
                        }
                        left -= k;
                    }
                }
                (Some("keys"), _) => {
                    conn.force_key_update();
                    let _ = send.write_all(b"ok").await;
                }
                (Some("abandon"), Some(n)) => {
                    let id = PathId::from(n.parse::<u8>().unwrap_or(0));
                    let r = conn.path(id).map(|p| p.close());
                    let _ = send.write_all(format!("{r:?}").as_bytes()).await;
                }
                _ => {
                    let _ = send.write_all(req.len().to_string().as_bytes()).await;
                }
            }
            let _ = send.finish();
        });
    }
}

async fn server(listen: SocketAddr) -> Res<()> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let cert = CertificateDer::from(key.cert);
    let pk = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert], pk.into())?;
    tls.alpn_protocols = vec![b"mp".to_vec()];
    let mut cfg = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    cfg.transport_config(transport());
    let ep = Endpoint::server(cfg, listen)?;
    println!("ready {}", ep.local_addr()?);
    while let Some(inc) = ep.accept().await {
        let conn = match inc.await {
            Ok(c) => c,
            Err(e) => {
                println!("refused: {e}");
                continue;
            }
        };
        println!("accepted, multipath {}", conn.is_multipath_enabled());
        tokio::spawn(answer(conn));
    }
    Ok(())
}

async fn ask(conn: &noq::Connection, req: &str, limit: usize) -> Res<Vec<u8>> {
    let (mut send, mut recv) = conn.open_bi().await?;
    send.write_all(req.as_bytes()).await?;
    send.finish()?;
    Ok(recv.read_to_end(limit).await?)
}

fn show(conn: &noq::Connection) {
    for i in 0..8u8 {
        if let Some(s) = conn.path_stats(PathId::from(i)) {
            println!("path {i} tx {} rx {}", s.udp_tx.bytes, s.udp_rx.bytes);
        }
    }
}

async fn client(to: SocketAddr, second: IpAddr, n: usize) -> Res<()> {
    let mut tls = rustls::ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Skip(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"mp".to_vec()];
    let mut cfg = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    cfg.transport_config(transport());
    let ep = Endpoint::client("0.0.0.0:0".parse()?)?;
    ep.set_default_client_config(cfg);
    let conn = ep.connect(to, "localhost")?.await?;
    conn.handshake_confirmed().await?;
    println!("multipath {}", conn.is_multipath_enabled());
    let path = loop {
        match conn
            .open_path(FourTuple::new(to, Some(second)), PathStatus::Available)
            .await
        {
            Ok(p) => break p,
            Err(e) => {
                println!("open: {e}");
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        }
    };
    println!("opened {:?}", path.id());
    let got = ask(&conn, &format!("get {n}\n"), n + 1).await?;
    println!("got {}", got.len());
    let up = "y".repeat(n);
    println!(
        "echoed {}",
        String::from_utf8_lossy(&ask(&conn, &up, 100).await?)
    );
    conn.force_key_update();
    println!(
        "echoed {}",
        String::from_utf8_lossy(&ask(&conn, "again", 100).await?)
    );
    let got = ask(&conn, &format!("get {n}\n"), n + 1).await?;
    println!("got {}", got.len());
    println!("close {:?}", conn.path(PathId::ZERO).map(|p| p.close()));
    let got = ask(&conn, &format!("get {n}\n"), n + 1).await?;
    println!("got {}", got.len());
    show(&conn);
    conn.close(VarInt::from_u32(0), b"done");
    ep.wait_all_draining().await;
    println!("done");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Res<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();

    let a: Vec<String> = std::env::args().collect();
    match a.get(1).map(|s| s.as_str()) {
        Some("server") => server(a[2].parse()?).await,
        Some("client") => client(a[2].parse()?, a[3].parse()?, a[4].parse()?).await,
        _ => Err("usage: noq-peer server LISTEN | client CONNECT LOCAL2 BYTES".into()),
    }
}

#[derive(Debug)]
struct Skip(Arc<rustls::crypto::CryptoProvider>);
impl rustls::client::danger::ServerCertVerifier for Skip {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
