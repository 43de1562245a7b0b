"""The load generator: keep-alive connections that post signed webhooks. The same for every server under test.

`python -m tests.bench.load --port P --bytes 1024` says that it is ready. Each line on its input starts a round, whose
counts it answers: `<connections> <seconds>` posts as fast as answers come (closed loop), with `<rate>` behind it so many
a second whatever the answers do (open loop: a request's time runs from when it was due).
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
from itertools import cycle
from typing import cast

import uvloop

SECRET = "benchmark-secret"  # noqa: S105
PATH = "/in/default/hooks"
VARIETY = 1000
TICK_S = 0.001  # of an open loop: the loop's clock counts milliseconds, and turns without a pause for anything shorter
PATIENCE_S = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


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


class Answers(asyncio.Protocol):
    """Puts the answers of a connection together."""

    _held = b""
    took: list[float]
    faults: list[str]
    began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        end = held.find(b"\r\n\r\n")
        if end >= 0:
            length = _LENGTH.search(held, 0, end + 2)
            if len(held) >= end + 4 + (int(length[1]) if length else 0):
                self._held = b""
                self.took.append(time.perf_counter() - self.began)
                if not held.startswith(b"HTTP/1.1 202"):
                    self.faults.append(held[:200].decode("latin-1"))
                self.answered()
                return
        self._held = held

    def answered(self) -> None:
        raise NotImplementedError


class Paced(Answers):
    """A connection of an open loop: idle until it is given a request."""

    def __init__(self, pace: "Pace") -> None:
        self._pace = pace
        self.took, self.faults = pace.took, pace.faults

    def answered(self) -> None:
        self._pace.answered(self)


class Pace:
    """Hands requests to idle connections when they are due; with none idle they wait, and their time runs."""

    def __init__(self, requests: "cycle[bytes]", rate: float, seconds: float) -> None:
        self._requests = requests
        self._step_s = 1 / rate
        self._total = int(rate * seconds)
        self._given = 0
        self.took: list[float] = []
        self.faults: list[str] = []
        self.idle: list[Paced] = []
        self.done = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        self._began = time.perf_counter()
        self._tick()

    def _tick(self) -> None:
        self._give()
        if self._given < self._total:
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _give(self) -> None:
        now = time.perf_counter()
        while self.idle and self._given < self._total:
            due = self._began + self._given * self._step_s
            if due > now:
                return
            connection = self.idle.pop()
            connection.began = due
            connection.transport.write(next(self._requests))
            self._given += 1

    def answered(self, connection: Paced) -> None:
        self.idle.append(connection)
        self._give()
        if len(self.took) == self._total:
            self.done.set_result(None)


class Connection(Answers):
    """Sends a request, waits for its answer, and so on until `until`."""

    def __init__(self, requests: "cycle[bytes]", until: float, took: list[float], faults: list[str]) -> None:
        self._requests = requests
        self._until = until
        self.took = took
        self.faults = faults
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.answered()

    def answered(self) -> None:
        self.began = time.perf_counter()
        if self.began >= self._until:
            self.transport.close()
            return
        self.transport.write(next(self._requests))

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
    return counts_of(took, faults, time.perf_counter() - began)


async def paced_round_of(
    port: int, requests: "cycle[bytes]", connections: int, seconds: float, rate: float
) -> dict[str, float]:
    pace = Pace(requests, rate, seconds)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Paced(pace), "127.0.0.1", port) for _ in range(connections)]
    pace.idle = [protocol for _, protocol in made]
    began = time.perf_counter()
    pace.begin()
    async with asyncio.timeout(seconds + PATIENCE_S):
        await pace.done
    elapsed = time.perf_counter() - began
    for transport, _ in made:
        transport.close()
    return counts_of(pace.took, pace.faults, elapsed)


def counts_of(took: list[float], faults: list[str], elapsed: float) -> dict[str, float]:
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
        connections, seconds, *rate = line.split()
        given = chosen.port, requests, int(connections), float(seconds)
        answer = uvloop.run(paced_round_of(*given, float(rate[0])) if rate else round_of(*given))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
