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


async def until(ready, endless):
    """Waits for something that happens while transfers go on that never end."""
    while not ready():
        for transfer in endless:
            assert not transfer.done(), f"it has ended: {transfer.exception()}"
        await asyncio.sleep(0.01)


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

        endless = asyncio.ensure_future(s.get(f"{BASE}/bytes/{1 << 50}", content_callback=take, timeout=150))
        await until(lambda: got >= 1_000_000, [endless])
        # curl opens another connection when one has 100 requests, as it may when the machine is slow.
        few = asyncio.Semaphore(50)

        async def small():
            async with few:
                return await fetch(s, 1000)

        tasks = []
        for _ in range(149):
            tasks.append(asyncio.ensure_future(small()))
            await asyncio.sleep(0.005)
        results = await asyncio.gather(*tasks)
        assert {p for _, p in results} == {port}, "there is more than one connection"
        before = got
        await until(lambda: got > before, [endless])
        endless.cancel()
        took = sorted(t for t, _ in results)
    return f"p50 {took[74] * 1000:.0f} ms, p99 {took[147] * 1000:.0f} ms"


async def together():
    """Each of 8 endless downloads over one connection begins, and goes on after all have begun."""
    async with session() as s:
        await fetch(s, 1000)
        got = [0] * 8

        async def download(i):
            def take(piece):
                got[i] += len(piece)

            await s.get(f"{BASE}/bytes/{1 << 50}", content_callback=take, timeout=150)

        downloads = [asyncio.ensure_future(download(i)) for i in range(8)]
        await until(lambda: all(got), downloads)
        begun = list(got)
        await until(lambda: all(now > then for now, then in zip(got, begun)), downloads)
        for d in downloads:
            d.cancel()
    return f"all 8 had begun after {sum(begun)} bytes"


CASES = {"transfers": transfers, "sharing": sharing, "together": together}

print(asyncio.run(CASES[sys.argv[2]]()))
