"""The load generator: keep-alive connections that post signed webhooks, as fast as they are answered.

`python -m tests.bench.load --port P --bytes 1024` says that it is ready; each line `<connections> <seconds>` on
its input starts a round, whose counts it answers. The same for every server under test.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
import time
from itertools import cycle
from typing import cast

import uvloop

SECRET = "benchmark-secret"  # noqa: S105
PATH = "/in/default/hooks"
VARIETY = 1000


def body_of(number: int, size: int) -> bytes:
    """A JSON body of exactly `size` bytes."""
    record = {
        "id": number,
        "type": "order.paid",
        "amount": number / 4,
        "created_at": f"2026-03-{1 + number % 28:02}T10:00:00Z",
        "customer": f"customer {number % 977}",
        "note": "",
    }
    missing = size - len(json.dumps(record))
    return json.dumps({**record, "note": "x" * missing}).encode()


def signed_headers(number: int, body: bytes) -> dict[str, str]:
    """As GitHub sends them."""
    signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    return {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/bench",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": f"00000000-0000-0000-0000-{number:012}",
        "X-Hub-Signature-256": f"sha256={signature}",
    }


def request_of(number: int, size: int) -> bytes:
    body = body_of(number, size)
    headers = {"Host": "127.0.0.1", **signed_headers(number, body), "Content-Length": str(len(body))}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, and so on until `until`."""

    def __init__(self, requests: "cycle[bytes]", until: float, took: list[float], faults: list[str]) -> None:
        self._requests = requests
        self._until = until
        self._took = took
        self._faults = faults
        self._began = 0.0
        self._held = b""
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._next()

    def _next(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._until:
            self._transport.close()
            return
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        if end >= 0:
            at = held.find(b"Content-Length: ")
            length = int(held[at + 16 : held.find(b"\r", at)]) if 0 <= at < end else 0
            if len(held) >= end + 4 + length:
                self._held = b""
                self._took.append(time.perf_counter() - self._began)
                if not held.startswith(b"HTTP/1.1 202"):
                    self._faults.append(held[:200].decode("latin-1"))
                self._next()
                return
        self._held = held

    def connection_lost(self, _: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def round_of(port: int, requests: "cycle[bytes]", connections: int, seconds: float) -> dict[str, float]:
    took: list[float] = []
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Connection(requests, began + seconds, took, faults), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.ended for _, protocol in made))
    elapsed = time.perf_counter() - began
    if faults:
        raise SystemExit(f"{len(faults)} of {len(took)} answers were not 202, the first: {faults[0]}")
    took.sort()
    return {
        "count": len(took),
        "per_s": len(took) / elapsed,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[int(len(took) * 0.99)] * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bytes", type=int, default=1024)
    chosen = parser.parse_args()
    requests = cycle([request_of(number, chosen.bytes) for number in range(VARIETY)])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        connections, seconds = line.split()
        answer = uvloop.run(round_of(chosen.port, requests, int(connections), float(seconds)))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
