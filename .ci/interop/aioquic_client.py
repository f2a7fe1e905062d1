"""Drives aioquic as an HTTP/3 client against h3server on a port of this machine.

usage: aioquic_client.py PORT CASE

It fails unless aioquic saw the behaviour that the case tests. The last line of its output says what it saw.
"""

import asyncio
import hashlib
import os
import random
import socket
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived, StreamReset
from aioquic.quic.logger import QuicFileLogger
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite, Epoch

PORT = int(sys.argv[1])
V1, V2 = QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2


class Client(QuicConnectionProtocol):
    """One connection, on which any number of requests may be in progress."""

    loss = 0  # probability, in both directions

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.requests = {}  # by stream: (status, body so far, future)
        self.handshake = None  # the event
        self.dropped = 0
        self.sources = set()  # where datagrams came from

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.handshake = event
        elif isinstance(event, StreamReset) and event.stream_id in self.requests:
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

    def datagram_received(self, data, addr):
        if random.random() < self.loss:
            self.dropped += 1
            return
        self.sources.add(addr[1])
        super().datagram_received(data, addr)

    def connection_made(self, transport):
        super().connection_made(Lossy(transport, self) if self.loss else transport)

    def fail(self, stream, why):
        self.requests.pop(stream)[2].set_exception(ConnectionError(f"stream {stream} {why}"))

    async def request(self, method, path, body=b""):
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
        ]
        self.http.send_headers(stream, headers, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        done = asyncio.get_running_loop().create_future()
        self.requests[stream] = [None, bytearray(), done]
        self.transmit()
        return await asyncio.wait_for(done, 120)

    async def expect(self, method, path, want, body=b""):
        status, got = await self.request(method, path, body)
        assert status == 200, f"{method} {path}: status {status}"
        assert len(got) == len(want), f"{method} {path}: {len(got)} bytes, want {len(want)}"
        assert hashlib.sha256(got).digest() == hashlib.sha256(want).digest(), f"{method} {path}: wrong bytes"

    async def fetch(self, n):
        await self.expect("GET", f"/bytes/{n}", pattern(n))

    async def completed(self):
        """Waits for the end of the handshake and returns its event. The answer to early data may come before it."""
        await arrives(lambda: self.handshake, "the handshake")
        return self.handshake

    async def change_port(self):
        """Goes on from another port without telling the connection, as behind a NAT."""
        old = self._transport
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        inner = Forward(self)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: inner, sock=sock)
        old.close()
        return sock.getsockname()[1]

    def key_phase(self):
        return self._quic._cryptos[Epoch.ONE_RTT].key_phase


class Forward(asyncio.DatagramProtocol):
    """Gives the datagrams of another socket to the client."""

    def __init__(self, client):
        self.client = client

    def datagram_received(self, data, addr):
        self.client.datagram_received(data, addr)


class Lossy:
    """A transport that loses some of the client's datagrams."""

    def __init__(self, transport, client):
        self.transport, self.client = transport, client

    def sendto(self, data, addr):
        if random.random() < self.client.loss:
            self.client.dropped += 1
        else:
            self.transport.sendto(data, addr)

    def __getattr__(self, name):
        return getattr(self.transport, name)


class LossyClient(Client):
    loss = 0.02


class Delayed:
    """A transport that delays the client's datagrams."""

    def __init__(self, transport, client):
        self.transport, self.client = transport, client

    def sendto(self, data, addr):
        if random.random() < self.client.loss:
            self.client.dropped += 1
        else:
            asyncio.get_running_loop().call_later(self.client.delay, self.transport.sendto, data, addr)

    def __getattr__(self, name):
        return getattr(self.transport, name)


class FarClient(Client):
    """A client 50 ms from the server, which notes when pieces of a response come."""

    delay = 0.025  # in each direction

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.longest = 0.0  # the longest time in which an answer stood still
        self.last = {}  # by stream: when data last came

    def connection_made(self, transport):
        super().connection_made(Delayed(transport, self))

    def datagram_received(self, data, addr):
        asyncio.get_running_loop().call_later(self.delay, super().datagram_received, data, addr)

    def quic_event_received(self, event):
        super().quic_event_received(event)
        if isinstance(event, StreamDataReceived):
            now = asyncio.get_running_loop().time()
            self.longest = max(self.longest, now - self.last.get(event.stream_id, now))
            self.last[event.stream_id] = now


async def arrives(what, name):
    """Waits until the server has sent something that the connection itself does not wait for."""
    for _ in range(6000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(name)


def pattern(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


def dial(protocol=Client, handlers={}, **options):
    config = QuicConfiguration(
        alpn_protocols=H3_ALPN,
        verify_mode=ssl.CERT_NONE,
        server_name="localhost",
        max_data=16 << 20,
        max_stream_data=16 << 20,
        quic_logger=QuicFileLogger(os.environ["QLOGDIR"]) if "QLOGDIR" in os.environ else None,
        **options,
    )
    return connect("127.0.0.1", PORT, configuration=config, create_protocol=protocol, **handlers)


async def transfers():
    async with dial() as client:
        assert client._quic._retry_count == 0, "a Retry packet"
        status, page = await client.request("GET", "/")
        assert status == 200 and b"HTTP/3" in page, f"GET /: {status} {page[:200]}"
        await client.fetch(10_000_000)
        upload = pattern(5_000_000)
        await client.expect("POST", "/echo", upload, upload)
        status, _ = await client.request("GET", "/nothing")
        assert status == 404, f"GET /nothing: {status}"
    return "GET /, GET of 10 MB, POST of 5 MB"


async def concurrent():
    async with dial() as client:
        await asyncio.gather(*(client.fetch(n * 100) for n in range(100)))
        posts = (client.expect("POST", "/echo", pattern(n * 100), pattern(n * 100)) for n in range(1, 100))
        await asyncio.gather(*posts)
    return "100 GETs and POSTs at once"


async def cipher(suite):
    async with dial(cipher_suites=[suite]) as client:
        await client.fetch(100_000)
        assert client._quic.tls.key_schedule.cipher_suite == suite
    return suite.name


async def retry():
    async with dial() as client:
        assert client._quic._retry_count == 1, "number of Retry packets"
        await client.fetch(100_000)
    return "1 Retry packet"


async def new_token():
    """A token of the first connection makes a Retry for the second one unnecessary."""
    tokens = []
    async with dial(handlers={"token_handler": tokens.append}) as client:
        assert client._quic._retry_count == 1, "number of Retry packets"
        await client.fetch(1000)
        await arrives(lambda: tokens, "a NEW_TOKEN frame")
    async with dial(token=tokens[0]) as client:
        assert client._quic._retry_count == 0, "Retry in spite of the token"
        await client.fetch(1000)
    return "a Retry packet, then none"


async def ticket_of(versions=(V1, V2)):
    tickets = []
    async with dial(handlers={"session_ticket_handler": tickets.append}, supported_versions=list(versions)) as client:
        await client.fetch(1000)
        assert not client.handshake.session_resumed
        await arrives(lambda: tickets, "a session ticket")
    return tickets[0]


async def resumption():
    ticket = await ticket_of()
    async with dial(session_ticket=ticket) as client:
        await client.fetch(1000)
        event = client.handshake
        assert event.session_resumed and not event.early_data_accepted, event
    return "session_resumed"


async def early_data():
    ticket = await ticket_of()
    assert ticket.max_early_data_size == 0xFFFFFFFF
    async with dial(session_ticket=ticket, handlers={"wait_connected": False}) as client:
        await client.fetch(1000)
        event = await client.completed()
        assert event.session_resumed and event.early_data_accepted, event
    # A ticket allows early data once. On the second connection it is refused, and aioquic does not
    # send it again.
    async with dial(session_ticket=ticket) as client:
        await client.fetch(1000)
        event = client.handshake
        assert event.session_resumed and not event.early_data_accepted, event
    return "early_data_accepted, and not a second time"


async def key_updates_by_client():
    async with dial() as client:
        for n in range(4):
            await client.fetch(300_000)
            client.request_key_update()
            await client.fetch(300_000)
            assert client.key_phase() == (n + 1) % 2, f"key phase {client.key_phase()} after {n + 1}"
            await asyncio.sleep(0.2)  # the server keeps old keys for three PTOs
            client.change_connection_id()
    return "4 key updates and changes of connection IDs"


async def key_updates_by_server():
    phases = []
    async with dial() as client:
        download = asyncio.ensure_future(client.fetch(10_000_000))
        while not download.done():
            if not phases or client.key_phase() != phases[-1]:
                phases.append(client.key_phase())
            await asyncio.sleep(0.001)
        await download
    assert len(phases) > 2, f"key phases {phases}"
    return f"key phases {phases}"


async def rebinding():
    async with dial() as client:
        download = asyncio.ensure_future(client.fetch(10_000_000))
        while sum(len(r[1]) for r in client.requests.values()) < 100_000:
            await asyncio.sleep(0.001)
        port = await client.change_port()
        client._quic.send_ping(1)
        client.transmit()
        await download
        upload = pattern(100_000)
        await client.expect("POST", "/echo", upload, upload)
    return f"from {port} in the end"


async def migration():
    async with dial() as client:
        await client.fetch(1000)
        before = client._quic._peer_cid.cid
        for n in range(3):
            client.change_connection_id()
            port = await client.change_port()
            await client.fetch(1_000_000)
        assert client._quic._peer_cid.cid != before
    return f"from {port} in the end"


async def preferred_address():
    async with dial() as client:
        await client.fetch(3_000_000)
        path = client._quic._network_paths[0]
        assert path.is_validated and path.addr[1] != PORT, f"at {path.addr}"
        assert len(client.sources) == 2, client.sources
        await client.fetch(100_000)
    return f"from port {PORT} to {path.addr[1]}"


async def version(first, want, speaks=(V1, V2), negotiations=0):
    async with dial(original_version=first, supported_versions=list(speaks)) as client:
        await client.fetch(100_000)
        quic = client._quic
        assert quic._version == want and client._quic._cryptos[Epoch.ONE_RTT].send.version == want, hex(quic._version)
        assert bool(quic._version_negotiated_incompatible) == bool(negotiations), "Version Negotiation packet"
    return f"version {want:#x}"


async def early_data_in_version_2():
    ticket = await ticket_of(versions=[V2])
    async with dial(session_ticket=ticket, supported_versions=[V2], handlers={"wait_connected": False}) as client:
        await client.fetch(1000)
        event = await client.completed()
        assert event.early_data_accepted and client._quic._version == V2, event
    # The ticket is of no use with version 1 (RFC 9369, Section 5).
    async with dial(session_ticket=ticket, supported_versions=[V1]) as client:
        await client.fetch(1000)
        assert not client.handshake.session_resumed
    return "early_data_accepted, and not in version 1"


async def losses():
    random.seed(1)
    async with dial(protocol=LossyClient) as client:
        await client.fetch(3_000_000)
        upload = pattern(1_000_000)
        await client.expect("POST", "/echo", upload, upload)
        assert client.dropped > 50, client.dropped
    return f"{client.dropped} datagrams dropped"


async def sharing(loss):
    """149 small answers come while another never ends, and none of 8 downloads waits for the end of another."""
    random.seed(1)
    protocol = type("", (FarClient,), {"loss": loss})
    async with dial(protocol=protocol) as client:
        endless = asyncio.ensure_future(client.request("GET", f"/bytes/{1 << 50}"))
        await asyncio.sleep(0.5)

        async def small():
            began = asyncio.get_running_loop().time()
            await client.fetch(1000)
            return asyncio.get_running_loop().time() - began

        tasks = []
        for _ in range(149):
            tasks.append(asyncio.ensure_future(small()))
            await asyncio.sleep(0.01)
        took = sorted(await asyncio.gather(*tasks))
        assert not endless.done()
        client.requests.clear()
        client.loss = 0  # the server is to learn that the connection ends
    async with dial(protocol=protocol) as client:
        downloads = [asyncio.ensure_future(client.fetch(300_000)) for _ in range(8)]
        await asyncio.wait(downloads, return_when=asyncio.FIRST_COMPLETED)
        begun = sum(stream % 4 == 0 for stream in client.last)  # without those of the server
        assert begun == 8, f"{begun} downloads had begun when the first had ended"
        await asyncio.gather(*downloads)
        client.loss = 0
    return f"p50 {took[74] * 1000:.0f} ms, p99 {took[147] * 1000:.0f} ms, 8 at once: longest stall {client.longest * 1000:.0f} ms"


CASES = {
    "transfers": transfers,
    "concurrent": concurrent,
    "aes128": lambda: cipher(CipherSuite.AES_128_GCM_SHA256),
    "aes256": lambda: cipher(CipherSuite.AES_256_GCM_SHA384),
    "chacha20": lambda: cipher(CipherSuite.CHACHA20_POLY1305_SHA256),
    "retry": retry,
    "new-token": new_token,
    "resumption": resumption,
    "early-data": early_data,
    "key-updates-by-client": key_updates_by_client,
    "key-updates-by-server": key_updates_by_server,
    "rebinding": rebinding,
    "migration": migration,
    "preferred-address": preferred_address,
    "version-2": lambda: version(V2, V2, speaks=[V2]),
    "compatible-2": lambda: version(V1, V2),
    "negotiated-1": lambda: version(V2, V1, negotiations=1),
    "negotiated-2": lambda: version(V1, V2, negotiations=1),
    "early-data-in-version-2": early_data_in_version_2,
    "losses": losses,
    "sharing": lambda: sharing(0),
    "sharing-with-losses": lambda: sharing(0.02),
}


print(asyncio.run(CASES[sys.argv[2]]()))
