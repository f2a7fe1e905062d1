"""Serves HTTP/3 with aioquic on a port of this machine, which it prints.

GET /bytes/N   N bytes
POST /echo     the body
PUT /tell      the method, the body and the header field x-name
"""

import argparse
import asyncio

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.requests = {}  # by stream: (headers, body so far)

    def quic_event_received(self, event):
        for h in self.http.handle_event(event):
            if isinstance(h, HeadersReceived) and h.stream_id not in self.requests:
                self.requests[h.stream_id] = (dict(h.headers), bytearray())
            elif isinstance(h, DataReceived):
                self.requests[h.stream_id][1].extend(h.data)
            if getattr(h, "stream_ended", False):
                self.answer(h.stream_id, *self.requests.pop(h.stream_id))

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


async def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--cert", required=True)
    flags.add_argument("--key", required=True)
    flags.add_argument("--retry", action="store_true")
    args = flags.parse_args()
    config = QuicConfiguration(
        alpn_protocols=H3_ALPN, is_client=False, max_data=16 << 20, max_stream_data=16 << 20
    )
    config.load_cert_chain(args.cert, args.key)
    server = await serve("127.0.0.1", 0, configuration=config, create_protocol=Server, retry=args.retry)
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
