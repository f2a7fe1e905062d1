"""A peer of picoquic with multipath, for the tests of package interop.

It needs aiopquic of PyPI. The Python API of aiopquic opens no paths, so this program calls the
functions of picoquic in the library that comes with aiopquic.

`server LISTEN CERT KEY` answers streams: `get N` with N bytes, `keys` by a key update, `backup N`
and `available N` by the status of the path N, `abandon N` by ending it, and anything else with its
length.
`client CONNECT LOCAL BYTES` downloads and uploads over two paths, the second of them from the
address LOCAL, updates its keys, makes each path the backup in turn, ends the first path, opens and
ends others, and downloads again.
"""

import ctypes as c
import importlib.util
import select
import socket
import struct
import sys

pico = c.CDLL(importlib.util.find_spec("aiopquic._binding._transport").origin)

# The events of picoquic_call_back_event_t that matter here.
STREAM_DATA, STREAM_FIN, RESET, STOP_SENDING, STATELESS_RESET, CLOSE, APPLICATION_CLOSE = range(7)
READY, PATH_AVAILABLE, PATH_DELETED = 10, 20, 22

INITIAL_MAX_PATH_ID = 0x3E
LONGEST = 65536  # bytes of a datagram

Callback = c.CFUNCTYPE(
    c.c_int, c.c_void_p, c.c_uint64, c.c_void_p, c.c_size_t, c.c_int, c.c_void_p, c.c_void_p
)


def function(name, result, *args):
    f = pico[name]
    f.restype, f.argtypes = result, args
    return f


ptr, u64, text = c.c_void_p, c.c_uint64, c.c_char_p
create = function(
    "picoquic_create", ptr, c.c_uint32, text, text, text, text, Callback, ptr, ptr, ptr, ptr, u64, ptr, text, ptr, c.c_size_t
)
now = function("picoquic_current_time", u64)
set_multipath = function("picoquic_set_default_multipath_option", None, ptr, c.c_int)
set_parameter = function("picoquic_set_default_tp_value", c.c_int, ptr, u64, u64)
set_no_verifier = function("picoquic_set_null_verifier", None, ptr)
set_path_callbacks = function("picoquic_enable_path_callbacks_default", None, ptr, c.c_int)
set_callback = function("picoquic_set_callback", None, ptr, Callback, ptr)
connect = function("picoquic_create_client_cnx", ptr, ptr, ptr, u64, c.c_uint32, text, text, Callback, ptr)
incoming = function("picoquic_incoming_packet", c.c_int, ptr, ptr, c.c_size_t, ptr, ptr, c.c_int, c.c_ubyte, u64)
prepare = function("picoquic_prepare_next_packet", c.c_int, ptr, u64, ptr, c.c_size_t, ptr, ptr, ptr, ptr, ptr, ptr)
wake_delay = function("picoquic_get_next_wake_delay", c.c_int64, ptr, u64, c.c_int64)
write = function("picoquic_add_to_stream", c.c_int, ptr, u64, c.c_char_p, c.c_size_t, c.c_int)
next_stream = function("picoquic_get_next_local_stream_id", u64, ptr, c.c_int)
probe_path = function("picoquic_probe_new_path", c.c_int, ptr, ptr, ptr, u64)
abandon_path = function("picoquic_abandon_path", c.c_int, ptr, u64, u64, u64)
set_status = function("picoquic_set_path_status", c.c_int, ptr, u64, c.c_int)
update_keys = function("picoquic_start_key_rotation", c.c_int, ptr)
close = function("picoquic_close", c.c_int, ptr, u64)
path_quality = function("picoquic_get_path_quality", c.c_int, ptr, u64, ptr)


def sockaddr(address):
    """A sockaddr_in of an IPv4 address and a port, with room for a sockaddr_storage."""
    host, port = address
    raw = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host)
    return c.create_string_buffer(raw, 128)


def address(sockaddr):
    """The reverse of sockaddr; None if there is none."""
    (family,) = struct.unpack_from("=H", sockaddr)
    if family != socket.AF_INET:
        return None
    (port,) = struct.unpack_from("!H", sockaddr, 2)
    return socket.inet_ntoa(sockaddr[4:8]), port


def parse(hostport):
    host, port = hostport.rsplit(":", 1)
    return host, int(port)


class Peer:
    """An endpoint of picoquic, and the sockets that it sends from."""

    def __init__(self, cert=None, key=None):
        self.sockets, self.first = {}, None
        self.received, self.ended = {}, set()  # of each connection and stream: data; with FIN
        self.ready, self.closed, self.paths = set(), set(), {}
        self.callback = Callback(self.event)  # picoquic keeps it
        self.quic = create(
            8, cert, key, None, b"mp", self.callback, None, None, None, None, now(), None, None, None, 0
        )
        if not self.quic:
            sys.exit("picoquic_create failed")
        set_multipath(self.quic, 1)
        set_parameter(self.quic, INITIAL_MAX_PATH_ID, 3)
        set_path_callbacks(self.quic, 1)
        set_no_verifier(self.quic)

    def bind(self, at):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.setblocking(False)
        s.bind(at)
        at = s.getsockname()
        self.sockets[at] = s
        self.first = self.first or at
        return at

    def event(self, cnx, stream, data, length, event, _, __):
        if event in (STREAM_DATA, STREAM_FIN):
            key = cnx, stream
            self.received.setdefault(key, bytearray()).extend(c.string_at(data, length) if length else b"")
            if event == STREAM_FIN and key not in self.ended:
                self.ended.add(key)
                self.request(cnx, stream)
        elif event in (STATELESS_RESET, CLOSE, APPLICATION_CLOSE):
            self.closed.add(cnx)
        elif event == READY:
            self.ready.add(cnx)
        elif event == PATH_AVAILABLE:
            self.paths.setdefault(cnx, set()).add(stream)
        elif event == PATH_DELETED:
            self.paths.setdefault(cnx, set()).discard(stream)
        return 0

    def request(self, cnx, stream):
        """A stream has ended. A server overrides this."""

    def turn(self):
        """Waits until something is due, and does it.

        What has come is read first: if this program was late, nothing is lost because of that.
        """
        wait = wake_delay(self.quic, now(), 1_000_000) / 1e6
        readable, _, _ = select.select(list(self.sockets.values()), [], [], max(wait, 0))
        for s in readable:
            to = sockaddr(s.getsockname())
            for _ in range(64):
                try:
                    data, source = s.recvfrom(LONGEST)
                except BlockingIOError:
                    break
                incoming(self.quic, c.create_string_buffer(data, len(data)), len(data), sockaddr(source), to, 0, 0, now())
        self.send()

    def send(self):
        buf = c.create_string_buffer(2048)
        length, index, last = c.c_size_t(), c.c_int(), ptr()
        to, source, cid = (c.create_string_buffer(n) for n in (128, 128, 32))
        for _ in range(256):
            length.value = 0
            c.memset(source, 0, 128)
            ret = prepare(
                self.quic, now(), buf, 1536, c.byref(length), to, source, c.byref(index), cid, c.byref(last)
            )
            if ret != 0 or length.value == 0:
                return
            s = self.sockets.get(address(source.raw)) or self.sockets[self.first]
            try:
                s.sendto(buf.raw[: length.value], address(to.raw))
            except BlockingIOError:
                pass  # it is lost


class Server(Peer):
    def request(self, cnx, stream):
        if stream % 4 != 0:
            return
        request = bytes(self.received.pop((cnx, stream)))
        words = request[:100].decode().split()
        answer = str(len(request))
        if len(words) == 1 and words[0] == "keys":
            answer = str(update_keys(cnx))
        elif len(words) == 2 and words[0] == "get":
            answer = "x" * int(words[1])
        elif len(words) == 2 and words[0] in ("backup", "available"):
            answer = str(set_status(cnx, int(words[1]), words[0] == "backup"))
        elif len(words) == 2 and words[0] == "abandon":
            answer = str(abandon_path(cnx, int(words[1]), 0, now()))
        write(cnx, stream, answer.encode(), len(answer), 1)


class Client(Peer):
    def __init__(self, to, local):
        super().__init__()
        self.to, self.local = to, local
        self.bind(("127.0.0.1", 0))
        self.cnx = connect(
            self.quic, sockaddr(to), now(), 1, b"localhost", b"mp", self.callback, None
        )
        self.until(lambda: self.cnx in self.ready)

    def until(self, done):
        while not done():
            if self.cnx in self.closed:
                sys.exit("the connection was closed")
            self.turn()

    def ask(self, request):
        stream = next_stream(self.cnx, 0)
        write(self.cnx, stream, request, len(request), 1)
        self.until(lambda: (self.cnx, stream) in self.ended)
        return bytes(self.received.pop((self.cnx, stream)))

    def open(self, host):
        """Opens a path from an address, and returns its ID."""
        before = set(self.paths.get(self.cnx, ()))
        at = self.bind((host, 0))
        self.until(lambda: probe_path(self.cnx, sockaddr(self.to), sockaddr(at), now()) == 0)
        self.until(lambda: self.paths.get(self.cnx, set()) - before)
        (path,) = self.paths[self.cnx] - before
        return path

    def sent(self, path):
        """How many bytes were sent on a path."""
        quality = (u64 * 64)()
        path_quality(self.cnx, path, quality)
        return quality[16]

    def transfer(self, size):
        got = self.ask(b"get %d" % size)
        print("got", len(got), flush=True)
        print("echoed", self.ask(b"y" * size).decode(), flush=True)

    def run(self, size):
        second = self.open(self.local)
        print("opened", second, flush=True)
        self.transfer(size)
        print("keys", update_keys(self.cnx), flush=True)
        self.transfer(size)
        for use, spare in ((second, 0), (0, second)):
            # picoquic uses a backup where the other path seems to be dead, and goes on with both.
            carried = 0
            while carried < size:
                print("backup", set_status(self.cnx, spare, 1), set_status(self.cnx, use, 0), flush=True)
                before = self.sent(use)
                self.transfer(size)
                carried = self.sent(use) - before
            print("carried", use, flush=True)
        set_status(self.cnx, second, 0)
        print("abandon", abandon_path(self.cnx, 0, 0, now()), flush=True)
        self.transfer(size)
        for _ in range(4):  # more than may be open at once
            path = self.open(self.local)
            self.transfer(size // 8)
            print("abandon", abandon_path(self.cnx, path, 0, now()), flush=True)
        self.transfer(size)
        close(self.cnx, 0)
        self.until_closed()
        print("done", flush=True)

    def until_closed(self):
        for _ in range(100):
            if self.cnx in self.closed:
                return
            self.turn()


def main(argv):
    if argv[1:2] == ["server"] and len(argv) == 5:
        server = Server(argv[3].encode(), argv[4].encode())
        host, port = server.bind(parse(argv[2]))
        print(f"ready {host}:{port}", flush=True)
        while True:
            server.turn()
    elif argv[1:2] == ["client"] and len(argv) == 5:
        Client(parse(argv[2]), argv[3]).run(int(argv[4]))
    else:
        sys.exit("usage: peer.py server LISTEN CERT KEY | client CONNECT LOCAL BYTES")


main(sys.argv)
