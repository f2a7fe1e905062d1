"""Serves WebTransport with aioquic on a port of this machine, and prints the port. It echoes
streams and datagrams of sessions at /echo, and prints how sessions are closed.
"""

import argparse
import asyncio

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, DatagramReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.capsules = bytearray()
        self.uni = {}  # by the client's stream: the server's stream

    def quic_event_received(self, event):
        for h in self.http.handle_event(event):
            if isinstance(h, HeadersReceived):
                self.answer(h.stream_id, dict(h.headers))
            elif isinstance(h, DatagramReceived):
                self.http.send_datagram(h.stream_id, h.data)
            elif isinstance(h, WebTransportStreamDataReceived):
                self.echo(h)
            elif isinstance(h, DataReceived):
                self.capsules.extend(h.data)
                if h.stream_ended:
                    print("capsules", self.capsules.hex(), flush=True)
                    self.http.send_data(h.stream_id, b"", end_stream=True)
        self.transmit()

    def answer(self, stream, headers):
        wanted = {b":method": b"CONNECT", b":protocol": b"webtransport", b":path": b"/echo"}
        if wanted.items() <= headers.items():
            self.http.send_headers(stream, [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")])
        else:
            self.http.send_headers(stream, [(b":status", b"404")], end_stream=True)

    def echo(self, h):
        out = h.stream_id
        if out & 2:  # unidirectional
            if out not in self.uni:
                self.uni[out] = self.http.create_webtransport_stream(h.session_id, is_unidirectional=True)
            out = self.uni[out]
        self._quic.send_stream_data(out, h.data, end_stream=h.stream_ended)


async def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--cert", required=True)
    flags.add_argument("--key", required=True)
    args = flags.parse_args()
    config = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False, max_datagram_frame_size=65536)
    config.load_cert_chain(args.cert, args.key)
    server = await serve("127.0.0.1", 0, configuration=config, create_protocol=Server)
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
