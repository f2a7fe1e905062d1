"""Drives curl (ngtcp2, nghttp3) by curl_cffi against h3server on a port of this machine.

usage: curl_client.py PORT CASE

It fails unless curl saw the behaviour that the case tests. The last line of its output says what it saw.
"""

import asyncio
import sys
import time

from curl_cffi import CurlHttpVersion, CurlOpt
from curl_cffi.requests import AsyncSession

BASE = f"https://127.0.0.1:{sys.argv[1]}"


def pattern(n):
    return (bytes(range(256)) * (n // 256 + 1))[:n]


def session():
    return AsyncSession(
        verify=False,
        http_version=CurlHttpVersion.V3ONLY,
        max_clients=300,
        # With PIPEWAIT requests wait for the open connection, and open no other.
        curl_options={CurlOpt.PIPEWAIT: 1},
    )


async def fetch(s, n):
    began = time.monotonic()
    r = await s.get(f"{BASE}/bytes/{n}", timeout=60)
    assert r.status_code == 200 and r.content == pattern(n), f"status {r.status_code}, {len(r.content)} bytes of {n}"
    assert r.http_version == CurlHttpVersion.V3, f"version {r.http_version}"
    return time.monotonic() - began, r.local_port


async def transfers():
    async with session() as s:
        await fetch(s, 10_000_000)
        upload = pattern(5_000_000)
        r = await s.post(f"{BASE}/echo", data=upload, timeout=60)
        assert r.content == upload, f"{len(r.content)} bytes come back"
    return "GET of 10 MB, POST of 5 MB"


async def sharing():
    """149 small answers come while another never ends, all over one connection."""
    async with session() as s:
        _, port = await fetch(s, 1000)
        got = 0

        def take(piece):
            nonlocal got
            got += len(piece)

        endless = asyncio.ensure_future(s.get(f"{BASE}/bytes/{1 << 50}", content_callback=take, timeout=100))
        while got < 1_000_000:
            await asyncio.sleep(0.01)
        tasks = []
        for _ in range(149):
            tasks.append(asyncio.ensure_future(fetch(s, 1000)))
            await asyncio.sleep(0.005)
        results = await asyncio.gather(*tasks)
        assert {p for _, p in results} == {port}, "there is more than one connection"
        assert not endless.done()
        before = got
        while got == before:
            await asyncio.sleep(0.01)
        endless.cancel()
        took = sorted(t for t, _ in results)
    return f"p50 {took[74] * 1000:.0f} ms, p99 {took[147] * 1000:.0f} ms"


async def together():
    """None of 8 downloads over one connection waits for the end of another."""
    async with session() as s:
        await fetch(s, 1000)
        events = []  # the order in which pieces came

        async def download(i):
            r = await s.get(f"{BASE}/bytes/3000000", content_callback=lambda piece: events.append(i), timeout=60)
            assert r.status_code == 200, r.status_code

        await asyncio.gather(*(download(i) for i in range(8)))
    first_end = min(len(events) - events[::-1].index(i) for i in range(8))
    for i in range(8):
        assert events.index(i) < first_end, f"download {i} began when another had ended"
    return f"all 8 had begun after {max(events.index(i) for i in range(8))} of {len(events)} pieces, the first ended after {first_end}"


CASES = {"transfers": transfers, "sharing": sharing, "together": together}

print(asyncio.run(CASES[sys.argv[2]]()))
