//! The connections of quinn-proto and noq-proto, which are state machines that are told the time.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// One end of a flow. A client sends as much as it may over one stream, and a server reads that.
pub trait End {
    /// Takes a datagram.
    fn receive(&mut self, now: Instant, data: &[u8]);

    /// Does what is due, and appends the datagrams that are to be sent.
    fn work(&mut self, now: Instant, out: &mut Vec<Vec<u8>>);

    /// Returns when to work at the latest.
    fn timeout(&mut self) -> Option<Instant>;

    /// Returns how many bytes were read.
    fn read(&self) -> u64;

    /// Reports whether the connection has failed.
    fn failed(&self) -> bool;
}

/// A congestion controller of a library. make returns a client, which sends size bytes if that is
/// not 0, and a server.
pub struct Controller {
    pub name: &'static str,
    pub library: &'static str,
    #[allow(clippy::type_complexity)]
    pub make: Box<dyn Fn(Instant, u64) -> (Box<dyn End>, Box<dyn End>)>,
}

/// Returns what the lab compares.
pub fn controllers() -> Vec<Controller> {
    use noq_proto::congestion as noq;
    use quinn_proto::congestion as quinn;
    vec![
        Controller {
            name: "quinn CUBIC",
            library: "quinn",
            make: Box::new(|now, size| quinn_end::pair(Arc::new(quinn::CubicConfig::default()), now, size)),
        },
        Controller {
            name: "quinn BBR",
            library: "quinn",
            make: Box::new(|now, size| quinn_end::pair(Arc::new(quinn::BbrConfig::default()), now, size)),
        },
        Controller {
            name: "noq CUBIC",
            library: "noq",
            make: Box::new(|now, size| noq_end::pair(Arc::new(noq::CubicConfig::default()), now, size)),
        },
        Controller {
            name: "noq BBR3",
            library: "noq",
            make: Box::new(|now, size| noq_end::pair(Arc::new(noq::Bbr3Config::default()), now, size)),
        },
    ]
}

/// The certificate of all servers, and its key.
static CERTIFICATE: LazyLock<(CertificateDer<'static>, Vec<u8>)> = LazyLock::new(|| {
    let c = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).expect("a certificate");
    (c.cert.der().clone(), c.signing_key.serialize_der())
});

fn server_tls() -> rustls::ServerConfig {
    let (cert, key) = &*CERTIFICATE;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], PrivatePkcs8KeyDer::from(key.clone()).into())
        .expect("a certificate with its key");
    tls.alpn_protocols = vec![b"lab".to_vec()];
    tls
}

fn client_tls() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CERTIFICATE.0.clone()).expect("a root");
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"lab".to_vec()];
    tls
}

/// Windows that bound no flow of the lab.
const WINDOW: u32 = 64 << 20;

/// What the libraries call differently.
mod quinn_calls {
    pub use quinn_proto::*;

    pub const SEGMENTS: usize = 10;

    pub fn endpoint(server: Option<std::sync::Arc<ServerConfig>>) -> Endpoint {
        Endpoint::new(Default::default(), server, true, None)
    }

    pub fn receive(e: &mut Endpoint, now: std::time::Instant, from: std::net::SocketAddr, data: &[u8], buf: &mut Vec<u8>) -> Option<DatagramEvent> {
        e.handle(now, from, None, None, data.into(), buf)
    }
}

/// The same for noq.
mod noq_calls {
    pub use noq_proto::*;

    pub const SEGMENTS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(10).unwrap();

    pub fn endpoint(server: Option<std::sync::Arc<ServerConfig>>) -> Endpoint {
        Endpoint::new(Default::default(), server, true)
    }

    pub fn receive(e: &mut Endpoint, now: std::time::Instant, from: std::net::SocketAddr, data: &[u8], buf: &mut Vec<u8>) -> Option<DatagramEvent> {
        e.handle(now, FourTuple::new(from, None), None, data.into(), buf)
    }
}

/// Makes a module with the End of a library, for noq is a fork of quinn.
macro_rules! end {
    ($name:ident, $lib:ident) => {
        mod $name {
            use std::net::SocketAddr;
            use std::sync::Arc;
            use std::time::Instant;

            use super::$lib as lib;
            use lib::congestion::ControllerFactory;
            use lib::crypto::rustls::{QuicClientConfig, QuicServerConfig};
            use lib::{Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, StreamId, TransportConfig};

            type Factory = Arc<dyn ControllerFactory + Send + Sync>;

            struct One {
                endpoint: Endpoint,
                conn: Option<(ConnectionHandle, Connection)>,
                peer: SocketAddr,
                stream: Option<StreamId>,
                left: u64, // to send
                read: u64,
                failed: bool,
                buf: Vec<u8>,
            }

            pub fn pair(cc: Factory, now: Instant, size: u64) -> (Box<dyn super::End>, Box<dyn super::End>) {
                let mut transport = TransportConfig::default();
                transport
                    .stream_receive_window(super::WINDOW.into())
                    .receive_window(super::WINDOW.into())
                    .send_window(super::WINDOW.into())
                    .congestion_controller_factory(cc);
                let transport = Arc::new(transport);
                let crypto = QuicServerConfig::try_from(super::server_tls()).expect("TLS of a server");
                let mut sc = lib::ServerConfig::with_crypto(Arc::new(crypto));
                sc.transport_config(transport.clone());
                let crypto = QuicClientConfig::try_from(super::client_tls()).expect("TLS of a client");
                let mut cc = lib::ClientConfig::new(Arc::new(crypto));
                cc.transport_config(transport);

                let one = |server, peer| One {
                    endpoint: lib::endpoint(server),
                    conn: None,
                    peer,
                    stream: None,
                    left: 0,
                    read: 0,
                    failed: false,
                    buf: Vec::new(),
                };
                let address = |n| SocketAddr::from(([10, 0, 0, n], 443));
                let server = one(Some(Arc::new(sc)), address(2));
                let mut client = one(None, address(1));
                client.left = if size == 0 { u64::MAX } else { size };
                client.conn = Some(client.endpoint.connect(now, cc, address(1), "localhost").expect("a connection"));
                (Box::new(client), Box::new(server))
            }

            impl One {
                /// Writes and reads as much as goes.
                fn exchange(&mut self) {
                    let Some((_, conn)) = &mut self.conn else { return };
                    while let Some(event) = conn.poll() {
                        if let lib::Event::ConnectionLost { reason } = event {
                            eprintln!("a connection failed: {reason}");
                            self.failed = true;
                        }
                    }
                    if self.stream.is_none() {
                        self.stream = match self.left {
                            0 => conn.streams().accept(Dir::Uni),
                            _ if conn.is_handshaking() => None,
                            _ => conn.streams().open(Dir::Uni),
                        };
                    }
                    let Some(id) = self.stream else { return };
                    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
                    while self.left > 0 {
                        let n = self.left.min(ZEROS.len() as u64) as usize;
                        match conn.send_stream(id).write(&ZEROS[..n]) {
                            Ok(n) => self.left -= n as u64,
                            Err(_) => return, // blocked
                        }
                    }
                    if id.initiator() == conn.side() {
                        return;
                    }
                    if let Ok(mut chunks) = conn.recv_stream(id).read(true) {
                        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                            self.read += chunk.bytes.len() as u64;
                        }
                        let _ = chunks.finalize();
                    };
                }
            }

            impl super::End for One {
                fn receive(&mut self, now: Instant, data: &[u8]) {
                    match lib::receive(&mut self.endpoint, now, self.peer, data, &mut self.buf) {
                        Some(DatagramEvent::NewConnection(incoming)) => {
                            self.conn = self.endpoint.accept(incoming, now, &mut self.buf, None).ok();
                        }
                        Some(DatagramEvent::ConnectionEvent(_, event)) => {
                            if let Some((_, conn)) = &mut self.conn {
                                conn.handle_event(event);
                            }
                        }
                        _ => {}
                    }
                }

                fn work(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
                    if self.timeout().is_some_and(|t| t <= now) {
                        let Some((_, conn)) = &mut self.conn else { return };
                        conn.handle_timeout(now);
                    }
                    self.exchange();
                    let Some((handle, conn)) = &mut self.conn else { return };
                    while let Some(event) = conn.poll_endpoint_events() {
                        if let Some(event) = self.endpoint.handle_event(*handle, event) {
                            conn.handle_event(event);
                        }
                    }
                    self.buf.clear();
                    while let Some(t) = conn.poll_transmit(now, lib::SEGMENTS, &mut self.buf) {
                        for datagram in self.buf[..t.size].chunks(t.segment_size.unwrap_or(t.size)) {
                            out.push(datagram.to_vec());
                        }
                        self.buf.clear();
                    }
                }

                fn timeout(&mut self) -> Option<Instant> {
                    self.conn.as_mut()?.1.poll_timeout()
                }

                fn read(&self) -> u64 {
                    self.read
                }

                fn failed(&self) -> bool {
                    self.failed
                }
            }
        }
    };
}

end!(quinn_end, quinn_calls);
end!(noq_end, noq_calls);
