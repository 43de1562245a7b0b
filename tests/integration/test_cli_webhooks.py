"""The commands about webhooks, asked over a real database: what they print, how they end, what they forward."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from tests.support.front import Front, open_front
from tests.support.office import ADMIN, RING
from tests.support.raw_server import RawServer, answer
from tests.support.receiving import SECRET

from headwater.cli.exits import Exit
from headwater.cli.faults import exit_code_of
from headwater.cli.forwarding import request_bytes, target_of
from headwater.cli.listening import listen
from headwater.cli.main import parser
from headwater.cli.webhooks import execute_webhooks
from headwater.model.errors import ConfigError, HeadwaterError
from headwater.settings import read_settings


@pytest.fixture
async def front(database: str) -> AsyncIterator[Front]:
    async with open_front(database) as opened:
        yield opened


class Terminal:
    """Types commands and reads what they print."""

    def __init__(self, front: Front, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.environment = {
            "HEADWATER_DATABASE_URL": front.spine.url,
            "HEADWATER_SECRET_KEY": RING.text(),
            "HEADWATER_ADMIN_KEY": ADMIN,
            "HEADWATER_DATA_DIR": str(folder),
        }
        self._capsys = capsys

    async def type(self, *words: str) -> tuple[int, str]:
        """Exit code, and what stands on standard output (or why it failed)."""
        chosen, settings = parser().parse_args(words), read_settings(self.environment)
        run = listen if chosen.command == "listen" else execute_webhooks
        try:
            code = await run(chosen, settings)
        except HeadwaterError as error:
            return exit_code_of(error), str(error)
        return code, self._capsys.readouterr().out

    async def read(self, *words: str) -> Any:
        code, text = await self.type(*words, "--json")
        assert code == Exit.OK, text
        return json.loads(text)


@pytest.fixture
def terminal(front: Front, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(front, tmp_path, capsys)


async def test_commands_show_what_the_api_shows_and_end_with_their_codes(
    front: Front, terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "orders.yml"
    file.write_text("name: orders\nscheme: github\nsecrets: [it is a secret]\ndestination: {table: orders}\n")
    assert (await terminal.type("endpoints", "put", str(file)))[0] == Exit.OK
    await front.door.receiver._endpoints.load()
    await front.door.send("/in/default/orders", {"n": 1})
    await front.door.send("/in/default/orders", {"n": 2}, secret="wrong")
    await front.settled(1)
    await front.books()

    (delivery,) = await terminal.read("deliveries", "list", "--payload", "n=1", "--since", "1h")
    shown = await terminal.read("deliveries", "show", delivery["id"])
    code, table = await terminal.type("refusals", "list")
    replayed = await terminal.read("deliveries", "replay", delivery["id"], "--wait")
    counted = await terminal.read("deliveries", "replay", "--all", "--dry-run")
    tested = await terminal.read("endpoints", "test", "orders", "--delivery", delivery["id"])
    listed = yaml.safe_load((await terminal.type("endpoints", "list", "-o", "yaml"))[1])

    assert delivery == (await front.office.get("/deliveries")).json["items"][0] | {
        name: delivery[name] for name in ("replays", "replayed_at", "settled_at")
    }
    assert shown["body_text"] == '{"n": 1}'
    assert (code, "mismatch" in table, "ID " in table) == (Exit.OK, True, True)
    assert (replayed["state"], replayed["counts"], counted["count"]) == ("finished", {"done": 1}, 1)
    assert (tested["status"], tested["state"]) == (202, "done")
    assert [each["name"] for each in listed] == ["orders"]
    for words, wanted in (
        (("deliveries", "show", "nonsense"), Exit.USAGE), (("deliveries", "replay"), Exit.USAGE),
        (("deliveries", "replay", "01a22de7-0000-8000-8000-000000000000"), Exit.NOT_FOUND),
        (("deliveries", "list", "--limit", "0"), Exit.USAGE), (("deliveries", "list", "--since", "soon"), Exit.USAGE),
        (("endpoints", "show", "none"), Exit.NOT_FOUND), (("endpoints", "list", "--tenant", "none"), Exit.NOT_FOUND),
        (("secrets", "retire", "orders", "0"), Exit.CONFLICT), (("presets", "show", "none"), Exit.NOT_FOUND),
    ):  # fmt: skip
        assert (await terminal.type(*words))[0] == wanted, words


async def test_secrets_are_set_rotated_and_retired_and_no_value_is_printed(
    front: Front, terminal: Terminal, tmp_path: Path
) -> None:
    value = tmp_path / "value"
    value.write_text(SECRET + "\n")
    set_code, set_text = await terminal.type("secrets", "set", "shop", "--file", str(value))
    await front.apply(secrets=["${secret:shop}"])

    rotated = await terminal.read("secrets", "rotate", "orders", "--overlap", "60")
    states = await terminal.read("secrets", "status", "orders")
    code, _ = await terminal.type("secrets", "retire", "orders", "shop", "--force")
    await front.door.receiver._endpoints.load()
    answers = [
        (await front.door.send("/in/default/orders", secret=each))[0] for each in (SECRET, rotated["secret"])
    ]

    assert (set_code, code, answers) == (Exit.OK, Exit.OK, [401, 202])
    assert SECRET not in set_text
    assert [each["name"] for each in states][1] == "shop"
    (key,) = await terminal.read("secrets", "status")
    assert key["is_active"] is True
    assert (await terminal.type("secrets", "remove", "shop"))[0] == Exit.OK


async def test_listen_forwards_bytes_and_headers_in_order_and_goes_on_where_it_stopped(
    front: Front, terminal: Terminal
) -> None:
    await front.apply()
    api = ("--api", front.office.address, "--json")
    body = bytes(range(256))
    answers = iter([answer(b"", status="500 no"), answer(b"")])

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(next(answers, answer(b"")))
        await writer.drain()

    async with RawServer(talk) as server:
        url = f"{server.url}/hook"
        await front.door.send("/in/default/orders?a=1", body, headers={"X-B": "2", "X-A": "1"})
        await front.settled(1)
        code, first = await terminal.type(
            "listen", "orders", url, "--from", "beginning", "--count", "1", *api
        )
        await front.door.send("/in/default/orders", b"next")
        _, second = await terminal.type("listen", "orders", url, "--count", "1", *api)

    assert code == Exit.OK
    assert [(json.loads(line)["status"], json.loads(line)["again"]) for line in first.splitlines()] == [
        (500, True), (200, False),
    ]  # fmt: skip
    assert server.bodies == [body, body, b"next"]
    head = server.heads[0].decode()
    assert head.startswith(f"POST /hook?a=1 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n")
    assert head.index("X-B: 2") < head.index("X-A: 1")
    assert len(second.splitlines()) == 1


async def test_listen_needs_no_key_where_it_may_ask_the_database_and_goes_on_when_that_comes_back(
    front: Front, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await front.apply()
    for name in ("HEADWATER_ADMIN_KEY", "HEADWATER_API_KEY", "HEADWATER_URL"):
        terminal.environment.pop(name, None)
        monkeypatch.delenv(name, raising=False)

    bodies = iter([b"second", b"third"])
    ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        cut = f"SELECT pg_terminate_backend(pid) FROM ({ours}) found WHERE NOT pid = ANY($1)"
        await owner.execute(cut, others)  # as by a restart of the database
        if (body := next(bodies, None)) is not None:
            await front.door.send("/in/default/orders", body)
        writer.write(answer(b""))
        await writer.drain()

    owner = await asyncpg.connect(front.spine.url)
    async with RawServer(talk) as server:
        await front.door.send("/in/default/orders", b"first")
        others = [row["pid"] for row in await owner.fetch(ours)]
        words = ("listen", "orders", f"{server.url}/hook", "--json", "--count")
        code, told = await terminal.type(*words, "2", "--from", "beginning")
        again, _ = await terminal.type(*words, "1")
        missing, _ = await terminal.type("listen", "none", server.url)
    await owner.close()

    assert (code, again, missing) == (Exit.OK, Exit.OK, Exit.NOT_FOUND)
    assert [json.loads(line)["status"] for line in told.splitlines()] == [200, 200]
    assert server.bodies == [b"first", b"second", b"third"]


@pytest.mark.parametrize("signals", [1, 2])
async def test_listen_ends_with_the_answer_to_what_is_under_way_and_at_once_when_asked_twice(
    front: Front, terminal: Terminal, signals: int
) -> None:
    await front.apply()
    api = ("--api", front.office.address, "--json")
    ways = iter([signals])

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        for _ in range(next(ways, 0)):
            signal.raise_signal(signal.SIGTERM)
            for _ in range(5):  # turns in which the loop takes the signal from its pipe and calls the handler
                await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            writer.write(answer(b""))
            await writer.drain()

    async with RawServer(talk) as server:
        for body in (b"first", b"second"):
            await front.door.send("/in/default/orders", body)
        await front.settled(2)
        url = f"{server.url}/hook"
        code, told = await terminal.type("listen", "orders", url, "--from", "beginning", *api)
        left = 1 if signals == 1 else 2
        await terminal.type("listen", "orders", url, "--count", str(left), *api)

    assert code == Exit.OK
    assert len(told.splitlines()) == (1 if signals == 1 else 0)
    again = [] if signals == 1 else [b"first"]
    assert server.bodies == [b"first", *again, b"second"]


async def test_listen_says_what_is_missing_and_promises_nothing(front: Front, terminal: Terminal) -> None:
    api = ("--api", front.office.address)

    assert (await terminal.type("listen", "none", "http://127.0.0.1:1/", *api))[0] == Exit.NOT_FOUND
    for words in (
        ("orders", "ftp://x/"), ("orders", "http://127.0.0.1:1", "--api", "nonsense"),
        ("orders", "http://127.0.0.1:1", "--key-file", "/nowhere"),
    ):  # fmt: skip
        assert (await terminal.type("listen", *words))[0] == Exit.USAGE, words


def test_a_forwarded_request_is_written_byte_for_byte_without_what_belongs_to_the_connection() -> None:
    headers = [
        ["hOST", "a"],
        ["X-L", "\xe9"],
        ["Transfer-Encoding", "chunked"],
        ["Authorization", "***"],
        ["x-b", "1"],
    ]

    written = request_bytes(target_of("http://[::1]:80/p q?x=1"), "PUT", "y=2", headers, b"\0\xff", "id-1")

    head, _, body = written.partition(b"\r\n\r\n")
    assert body == b"\0\xff"
    assert head.split(b"\r\n") == [
        b"PUT /p%20q?x=1 HTTP/1.1", b"Host: [::1]", b"X-L: \xe9", b"x-b: 1", b"Content-Length: 2",
        b"X-Headwater-Delivery: id-1", b"Connection: close",
    ]  # fmt: skip
    with pytest.raises(ConfigError):
        target_of("http://h\u00e9/")


def test_a_token_of_the_query_that_was_not_kept_is_not_forwarded_as_stars() -> None:
    written = request_bytes(target_of("http://127.0.0.1:80/p"), "POST", "a=1&token=***&b=", [], b"", "id-1")

    assert written.startswith(b"POST /p?a=1&b= HTTP/1.1\r\n")
