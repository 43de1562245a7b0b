"""The API that walks are measured on: pages rendered ahead, so that it is never what is waited for.

`python -m tests.bench.paged_api --records N [--size 100]` says its port. `GET /records?cursor=C&delay_ms=D` answers
page C after D ms as {"items": […], "next": C+1 or null, "total": N}; `GET /records?page=P` page P, counted from 1.
"""

import argparse
import asyncio
import json
import re
from typing import cast

import orjson
import uvloop

RECORD_BYTES = 1024
_QUERY = re.compile(rb"^GET /records\?(\S*) ")
_CURSOR = re.compile(rb"(?:^|&)cursor=c(\d+)")
_PAGE = re.compile(rb"(?:^|&)page=(\d+)")
_DELAY = re.compile(rb"(?:^|&)delay_ms=(\d+)")


def record(number: int) -> dict[str, object]:
    """Record `number`: typed fields, and a note that fills it up to 1 KiB of JSON."""
    made = {
        "id": number,
        "name": f"record {number}",
        "email": f"person{number}@example.com",
        "country": ("NZ", "DE", "BR", "KE")[number % 4],
        "amount": number / 8,
        "quantity": number % 50,
        "active": number % 3 == 0,
        "created_at": f"2026-0{1 + number % 9}-{1 + number % 28:02}T10:{number % 60:02}:00Z",
        "updated_at": f"2026-0{1 + number % 9}-{1 + number % 28:02}T11:{number % 60:02}:00Z",
        "note": "",
    }
    made["note"] = "x" * (RECORD_BYTES - len(orjson.dumps(made)))
    return made


def pages(records: int, size: int) -> list[bytes]:
    """The answers, whole: head and body. The last one is that past the end."""
    made = []
    for start in range(0, records, size):
        stop = min(start + size, records)
        following = f"c{start // size + 1}" if stop < records else None
        body = orjson.dumps(
            {"items": [record(number) for number in range(start, stop)], "next": following, "total": records}
        )
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    body = orjson.dumps({"items": [], "next": None, "total": records})
    made.append(
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return made


class Api(asyncio.Protocol):
    """One connection; requests come one after the other, without bodies."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._held = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head, self._held = self._held[:end], self._held[end + 4 :]
            query = _QUERY.match(head)
            asked = query[1] if query else b""
            cursor, page, delay = _CURSOR.search(asked), _PAGE.search(asked), _DELAY.search(asked)
            place = int(cursor[1]) if cursor else int(page[1]) - 1 if page else 0
            answer = self._answers[min(place, len(self._answers) - 1)]
            if delay and int(delay[1]):
                self._loop.call_later(int(delay[1]) / 1000, self._transport.write, answer)
            else:
                self._transport.write(answer)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--size", type=int, default=100)
    chosen = parser.parse_args()
    answers = pages(chosen.records, chosen.size)
    server = await asyncio.get_running_loop().create_server(lambda: Api(answers), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
