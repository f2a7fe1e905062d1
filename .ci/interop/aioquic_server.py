"""Serves HTTP/3 with aioquic on a port of this machine, and prints the port. At the end of each connection
it prints what it saw.

GET /bytes/N   N bytes
POST /echo     the body
PUT /tell      the method, the body and the header field x-name
"""

import argparse
import asyncio
import random

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite, Epoch


class Server(QuicConnectionProtocol):
    loss = 0  # probability, for received datagrams
    key_update = 0  # seconds from one to the next

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.requests = {}  # by stream: (headers, body so far)
        self.handshake = None
        self.phases = []
        self.addresses = []  # the validated ones

    def datagram_received(self, data, addr):
        if random.random() < self.loss:
            return
        super().datagram_received(data, addr)
        if self.handshake is None:
            return
        phase = self._quic._cryptos[Epoch.ONE_RTT].key_phase
        if self.phases[-1:] != [phase]:
            self.phases.append(phase)
        path = self._quic._network_paths[0]
        if path.is_validated and self.addresses[-1:] != [path.addr]:
            self.addresses.append(path.addr)

    async def update_keys(self):
        updated = 0  # the first packet with the present keys
        while True:
            await asyncio.sleep(self.key_update)
            # The client must have acknowledged a packet with them (RFC 9001, Section 6.1). aioquic does
            # not wait for that.
            if self._quic._spaces[Epoch.ONE_RTT].largest_acked_packet >= updated:
                updated = self._quic._packet_number
                self._quic.request_key_update()
                self.transmit()

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.handshake = event
            if self.key_update:
                self.updating = asyncio.ensure_future(self.update_keys())
        elif isinstance(event, ConnectionTerminated):
            self.tell()
        for h in self.http.handle_event(event):
            if isinstance(h, HeadersReceived) and h.stream_id not in self.requests:
                self.requests[h.stream_id] = (dict(h.headers), bytearray())
            elif isinstance(h, DataReceived):
                self.requests[h.stream_id][1].extend(h.data)
            if getattr(h, "stream_ended", False):
                self.answer(h.stream_id, *self.requests.pop(h.stream_id))

    def tell(self):
        if self.key_update and self.handshake:
            self.updating.cancel()
        h = self.handshake
        print(
            f"ended: version {self._quic._version:#x}, resumed {h and h.session_resumed}, early data {h and h.early_data_accepted},"
            f" key phases {self.phases}, {len(self.addresses)} addresses",
            flush=True,
        )

    def answer(self, stream, headers, body):
        method, path = headers[b":method"].decode(), headers[b":path"].decode()
        status, content = 404, b"not found\n"
        if method == "GET" and path.startswith("/bytes/"):
            n = int(path.removeprefix("/bytes/"))
            status, content = 200, (bytes(range(256)) * (n // 256 + 1))[:n]
        elif method == "POST" and path == "/echo":
            status, content = 200, bytes(body)
        elif method == "PUT" and path == "/tell":
            status, content = 200, b" ".join([method.encode(), body, headers[b"x-name"]])
        reply = [
            (b":status", str(status).encode()),
            (b"content-length", str(len(content)).encode()),
            (b"server", b"aioquic"),
        ]
        self.http.send_headers(stream, reply)
        self.http.send_data(stream, content, end_stream=True)
        self.transmit()


VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "2": QuicProtocolVersion.VERSION_2}


async def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--cert", required=True)
    flags.add_argument("--key", required=True)
    flags.add_argument("--retry", action="store_true")
    flags.add_argument("--versions", default="1,2", help="the preferred first")
    flags.add_argument("--cipher", help="the only one")
    flags.add_argument("--key-update", type=float, default=0)
    flags.add_argument("--loss", type=float, default=0)
    args = flags.parse_args()
    config = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        is_client=False,
        max_data=16 << 20,
        max_stream_data=16 << 20,
        supported_versions=[VERSIONS[v] for v in args.versions.split(",")],
        cipher_suites=[CipherSuite[args.cipher]] if args.cipher else None,
    )
    config.load_cert_chain(args.cert, args.key)
    Server.loss, Server.key_update = args.loss, args.key_update
    random.seed(1)
    tickets = {}
    server = await serve(
        "127.0.0.1",
        0,
        configuration=config,
        create_protocol=Server,
        retry=args.retry,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}),
    )
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
