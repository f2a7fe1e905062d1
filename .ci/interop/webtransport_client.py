"""Drives aioquic as a WebTransport client against examples/webtransport on a port of this
machine.

usage: webtransport_client.py PORT
"""

import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DatagramReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived, StreamReset

BUFFERED_STREAM_REJECTED = 0x3994BD84
DATAGRAMS = 50


class Client(QuicConnectionProtocol):
    """One connection with one session."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic, enable_webtransport=True)
        self.session = None
        self.status = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()  # the server has closed the session's stream
        self.own = {}  # bidirectional streams by ID: (bytes so far, future)
        self.streams = {}  # of the server, by ID: bytes so far
        self.datagrams = asyncio.Queue()
        self.uni = asyncio.Queue()  # of whole streams that the server opened
        self.resets = {}

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
        if isinstance(event, StreamDataReceived) and event.stream_id in self.own:
            # H3Connection expects HTTP on the streams that it opened itself.
            data, done = self.own[event.stream_id]
            data.extend(event.data)
            if event.end_stream:
                done.set_result(bytes(data))
            return
        for h in self.http.handle_event(event):
            if getattr(h, "stream_ended", False) and h.stream_id == self.session:
                self.ended.set()
            if isinstance(h, HeadersReceived) and h.stream_id == self.session:
                self.status.set_result(dict(h.headers))
            elif isinstance(h, DatagramReceived):
                self.datagrams.put_nowait(h.data)
            elif isinstance(h, WebTransportStreamDataReceived):
                assert h.session_id == self.session, f"session {h.session_id}"
                data = self.streams.setdefault(h.stream_id, bytearray())
                data.extend(h.data)
                if h.stream_ended:
                    self.uni.put_nowait(bytes(data))

    async def open_session(self):
        self.session = self._quic.get_next_available_stream_id()
        self.http.send_headers(
            self.session,
            [
                (b":method", b"CONNECT"),
                (b":scheme", b"https"),
                (b":authority", b"localhost"),
                (b":path", b"/echo"),
                (b":protocol", b"webtransport"),
                (b"sec-webtransport-http3-draft02", b"1"),
            ],
        )
        self.transmit()
        headers = await asyncio.wait_for(self.status, 60)
        assert headers[b":status"] == b"200", headers
        assert headers[b"sec-webtransport-http3-draft"] == b"draft02", headers

    async def echo(self, data):
        stream = self.http.create_webtransport_stream(self.session)
        done = asyncio.get_running_loop().create_future()
        self.own[stream] = (bytearray(), done)
        self._quic.send_stream_data(stream, data, end_stream=True)
        self.transmit()
        assert await asyncio.wait_for(done, 60) == data, f"{len(data)} bytes changed"

    async def echo_uni(self, data):
        stream = self.http.create_webtransport_stream(self.session, is_unidirectional=True)
        self._quic.send_stream_data(stream, data, end_stream=True)
        self.transmit()
        assert await asyncio.wait_for(self.uni.get(), 60) == data, "a unidirectional stream changed"

    async def echo_datagrams(self):
        for i in range(DATAGRAMS):
            self.http.send_datagram(self.session, b"datagram %d" % i)
            self.transmit()
            assert await asyncio.wait_for(self.datagrams.get(), 60) == b"datagram %d" % i

    async def reject(self):
        """Opens more streams than the server keeps for a session that never begins."""
        streams = [self.http.create_webtransport_stream(1 << 20) for _ in range(40)]
        for stream in streams:
            self._quic.send_stream_data(stream, b"x")
        self.transmit()
        for _ in range(1200):
            if len(self.resets) >= 24:
                break
            await asyncio.sleep(0.05)
        assert set(self.resets.values()) == {BUFFERED_STREAM_REJECTED}, self.resets
        assert 0 < len(self.resets) < 40, len(self.resets)

    def close_session(self, code, reason):
        value = code.to_bytes(4, "big") + reason
        self.http.send_data(self.session, b"\x68\x43" + bytes([len(value)]) + value, end_stream=True)
        self.transmit()


async def main():
    config = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        max_datagram_frame_size=65536,
    )
    async with connect("127.0.0.1", int(sys.argv[1]), configuration=config, create_protocol=Client) as client:
        await client.open_session()
        for size in (0, 1, 100_000, 3_000_000):
            await client.echo(bytes(range(256)) * (size // 256) + b"." * (size % 256))
        await asyncio.gather(*(client.echo(b"%d" % i * 1000) for i in range(100)))
        await client.echo_uni(b"there and back again")
        await client.echo_datagrams()
        await client.reject()
        client.close_session(42, b"bye")
        await asyncio.wait_for(client.ended.wait(), 60)
    print("aioquic's WebTransport client: streams, datagrams, streams of no session, close")


asyncio.run(main())
