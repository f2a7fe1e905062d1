"""Drives niquests (qh3, a QUIC stack in Rust) against h3server on a port of this machine.

usage: niquests_client.py PORT CASE

It fails unless niquests saw the behaviour that the case tests. The last line of its output says what it saw.
"""

import hashlib
import sys

import niquests

PORT = int(sys.argv[1])
BASE = f"https://127.0.0.1:{PORT}"
# Each request says so: a session's own word gives way to REQUESTS_CA_BUNDLE.
ANY = {"verify": False, "timeout": 60}


def pattern(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


def session(**more):
    """Returns a session that speaks HTTP/3 from its first request on."""
    s = niquests.Session(disable_http1=True, disable_http2=True, **more)
    s.quic_cache_layer.add_domain("127.0.0.1", PORT, PORT)
    return s


def good(r):
    assert r.status_code == 200, f"status {r.status_code}"
    assert r.http_version == 30, f"version {r.http_version}"
    return r


def fetch(s, n):
    r = good(s.get(f"{BASE}/bytes/{n}", **ANY))
    assert r.content == pattern(n), f"{len(r.content)} bytes of {n}"
    return r


def transfers():
    with session() as s:
        fetch(s, 10_000_000)
        upload = pattern(5_000_000)
        r = good(s.post(f"{BASE}/sum", data=upload, **ANY))
        assert r.text.startswith(hashlib.sha256(upload).hexdigest()), r.text
    return "GET of 10 MB, POST of 5 MB"


def fields():
    """A request with 40 kB of fields, which come back, after which QPACK still agrees."""
    with session() as s:
        for _ in range(3):
            sent = {f"x-long-{i}": "v" * 1000 for i in range(40)}
            got = {k.lower() for k in good(s.get(f"{BASE}/headers", headers=sent, **ANY)).json()}
            assert set(sent) <= got, sorted(got)
    return "3 requests of 40 fields of 1 kB"


def together():
    """100 requests at once over one connection."""
    with session(multiplexed=True) as s:
        fetch(s, 1)
        sizes = range(1000, 1100)
        answers = [s.get(f"{BASE}/bytes/{n}", **ANY) for n in sizes]
        s.gather()
        for n, r in zip(sizes, answers):
            assert good(r).content == pattern(n), f"{len(r.content)} bytes of {n}"
    return f"{len(answers)} answers"


def again():
    """A session after another one."""
    for _ in range(3):
        with session() as s:
            fetch(s, 1000)
    return "3 connections"


CASES = {"transfers": transfers, "fields": fields, "together": together, "again": again}

print(CASES[sys.argv[2]]())
