"""Drives aioquic as an HTTP/3 client against h3server on a port of this machine.

usage: aioquic_client.py PORT [-retry]
"""

import asyncio
import hashlib
import json
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from aioquic.tls import CipherSuite

CONCURRENT = 100


class Client(QuicConnectionProtocol):
    """One connection, on which any number of requests may be in progress."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.requests = {}  # by stream: (status, body so far, future)

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.requests:
            self.fail(event.stream_id, f"reset with {event.error_code:#x}")
        elif isinstance(event, ConnectionTerminated):
            for stream in list(self.requests):
                self.fail(stream, f"closed with {event.error_code:#x} {event.reason_phrase}")
        for h in self.http.handle_event(event):
            request = self.requests.get(getattr(h, "stream_id", None))
            if request is None:
                continue
            if isinstance(h, HeadersReceived):
                request[0] = request[0] or dict(h.headers)[b":status"]
            elif isinstance(h, DataReceived):
                request[1] += h.data
            if h.stream_ended:
                del self.requests[h.stream_id]
                request[2].set_result((int(request[0]), bytes(request[1])))

    def fail(self, stream, why):
        self.requests.pop(stream)[2].set_exception(ConnectionError(f"stream {stream} {why}"))

    async def request(self, method, path, body=b"", fields=()):
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
            *fields,
        ]
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        done = asyncio.get_running_loop().create_future()
        self.requests[stream] = [None, bytearray(), done]
        self.transmit()
        return await asyncio.wait_for(done, 60)

    async def expect(self, method, path, want, body=b""):
        status, got = await self.request(method, path, body)
        assert status == 200, f"{method} {path}: status {status}"
        assert len(got) == len(want), f"{method} {path}: {len(got)} bytes, want {len(want)}"
        assert hashlib.sha256(got).digest() == hashlib.sha256(want).digest(), f"{method} {path}: wrong bytes"


def pattern(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


def dial(port, **options):
    config = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        max_data=16 << 20,
        max_stream_data=16 << 20,
        **options,
    )
    return connect("127.0.0.1", port, configuration=config, create_protocol=Client)


async def transfers(port, retry):
    async with dial(port) as client:
        assert client._quic._retry_count == (1 if retry else 0), "number of Retry packets"
        status, page = await client.request("GET", "/")
        assert status == 200 and b"HTTP/3" in page, f"GET /: {status} {page[:200]}"
        await client.expect("GET", "/bytes/10000000", pattern(10_000_000))
        upload = pattern(5_000_000)
        await client.expect("POST", "/echo", upload, upload)
        status, _ = await client.request("GET", "/nothing")
        assert status == 404, f"GET /nothing: {status}"
    print("GET /, GET of 10 MB, POST of 5 MB")


async def concurrent(port):
    async with dial(port) as client:
        await asyncio.gather(*(client.expect("GET", f"/bytes/{n * 100}", pattern(n * 100)) for n in range(CONCURRENT)))
        posts = (client.expect("POST", "/echo", pattern(n * 100), pattern(n * 100)) for n in range(1, CONCURRENT))
        await asyncio.gather(*posts)
    print(f"{CONCURRENT} GETs and POSTs at once")


async def fields(port):
    """The same fields again and again, and more of them at a time than a packet holds."""
    many = [(f"x-field-{n}".encode(), f"value {n},".encode() * 10) for n in range(50)]
    async with dial(port) as client:
        answers = await asyncio.gather(*(client.request("GET", "/headers", fields=many) for _ in range(20)))
    for status, body in answers:
        got = json.loads(body)
        assert status == 200 and all(got[k.decode().title()] == [v.decode()] for k, v in many), f"GET /headers: {got}"
    print("50 fields in each of 20 requests")


async def kinds(port):
    """A response that comes bit by bit, and requests that are given up."""
    async with dial(port) as client:
        status, events = await client.request("GET", "/events?n=3")
        assert status == 200 and events.count(b"data: ") == 3, f"GET /events: {events}"
        for _ in range(150):  # more than there are streams
            given_up = asyncio.ensure_future(client.request("GET", "/bytes/100000000"))
            await asyncio.sleep(0.002)
            stream = max(client.requests)
            client._quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
            client.fail(stream, "given up")
            assert isinstance((await asyncio.gather(given_up, return_exceptions=True))[0], ConnectionError)
        await client.expect("GET", "/bytes/1000", pattern(1000))
    print("events, 150 requests given up")


async def ciphers(port):
    for suite in (
        CipherSuite.AES_128_GCM_SHA256,
        CipherSuite.AES_256_GCM_SHA384,
        CipherSuite.CHACHA20_POLY1305_SHA256,
    ):
        async with dial(port, cipher_suites=[suite]) as client:
            await client.expect("GET", "/bytes/100000", pattern(100_000))
        print(suite.name)


async def changes(port):
    """Keys and connection IDs change in the middle of a connection."""
    async with dial(port) as client:
        for _ in range(5):
            await client.expect("GET", "/bytes/300000", pattern(300_000))
            client.request_key_update()
            await client.expect("GET", "/bytes/300000", pattern(300_000))
            client.change_connection_id()
    print("5 key updates and changes of connection IDs")


async def main():
    port, retry = int(sys.argv[1]), "-retry" in sys.argv[2:]
    print("aioquic's client with h3server", *sys.argv[2:])
    await transfers(port, retry)
    await concurrent(port)
    await fields(port)
    await kinds(port)
    await ciphers(port)
    await changes(port)


asyncio.run(main())
