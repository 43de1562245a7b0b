"""What walks are compared with: one aiohttp loop that gets a page, parses it and copies its rows, then the next.

`python -m tests.bench.plain_loop --api URL --database URL` says that it is ready; each line `<delay_ms> <pages>` on
its input walks once, into a table made anew, and answers the seconds.
"""

import argparse
import json
import sys
import time
from datetime import datetime

import aiohttp
import asyncpg
import orjson
import uvloop

COLUMNS = {
    "id": "bigint PRIMARY KEY",
    "name": "text",
    "email": "text",
    "country": "text",
    "amount": "double precision",
    "quantity": "bigint",
    "active": "boolean",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "note": "text",
}
_INSTANTS = [place for place, name in enumerate(COLUMNS) if name.endswith("_at")]


def row_of(item: dict[str, object]) -> tuple[object, ...]:
    values = [item[name] for name in COLUMNS]
    for place in _INSTANTS:
        values[place] = datetime.fromisoformat(str(values[place]))
    return tuple(values)


async def walk(api: str, database: str, delay_ms: int, pages: int) -> dict[str, float]:
    connection = await asyncpg.connect(database)
    await connection.execute("DROP TABLE IF EXISTS public.plain")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    await connection.execute(f"CREATE TABLE public.plain ({columns})")
    count = 0
    async with aiohttp.ClientSession() as session:
        began, spent = time.perf_counter(), time.process_time()
        cursor: str | None = "c0"
        for _ in range(pages):
            async with session.get(api, params={"cursor": cursor, "delay_ms": str(delay_ms)}) as response:
                page = orjson.loads(await response.read())
            rows = [row_of(item) for item in page["items"]]
            await connection.copy_records_to_table("plain", schema_name="public", records=rows)
            count += len(rows)
            cursor = page["next"]
            if cursor is None:
                break
        elapsed, spent = time.perf_counter() - began, time.process_time() - spent
    await connection.close()
    return {"seconds": elapsed, "records": count, "cpu_s": spent}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--database", required=True)
    chosen = parser.parse_args()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        delay_ms, pages = map(int, line.split())
        print(json.dumps(uvloop.run(walk(chosen.api, chosen.database, delay_ms, pages))), flush=True)


if __name__ == "__main__":
    main()
