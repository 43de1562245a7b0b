"""Hostile HTTP on raw sockets: each is answered or cut within limits, nothing is queued, one log line, no trace."""

import asyncio
import logging
import socket
import time

import pytest
from tests.support.metrics import counted
from tests.support.receiving import manifest, queued, receiving, signature
from tests.support.spine import open_spine

from headwater.receiver.reading import Patience
from headwater.receiver.service import Place

HEAD = b"POST /in/default/orders HTTP/1.1\r\nHost: x\r\n"
QUICK = Place("http://127.0.0.1", patience=Patience(read_s=0.3, body_s=1.0))
GOOD = HEAD + b"Content-Length: 2\r\nX-Hub-Signature-256: " + signature(b"{}").encode() + b"\r\n\r\n{}"

# what is sent -> the beginnings of the answers that may come (b"": the connection ends without one)
CASES = {
    "not HTTP at all": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
        (b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
    "a request line without a version": (b"GET\r\n\r\n", (b"HTTP/1.1 400", b"HTTP/1.0 400")),
    "a header without a colon": (HEAD + b"nonsense\r\n\r\n", (b"HTTP/1.1 400", b"HTTP/1.0 400")),
    "a header with a NUL": (HEAD + b"X-A: b\x00c\r\n\r\n", (b"HTTP/1.1 400", b"HTTP/1.0 400")),
    "two lengths": (
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        (b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
    "a length and chunks": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        (b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", (b"HTTP/1.1 400", b"HTTP/1.0 400")),
    "a length of other digits": (
        HEAD + "Content-Length: ٢\r\n\r\n{}".encode(),
        (b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
    "a length of forty digits": (
        HEAD + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
        (b"HTTP/1.1 4", b"HTTP/1.0 400"),
    ),
    "a huge length": (HEAD + b"Content-Length: 99999999999\r\n\r\n", (b"HTTP/1.1 413",)),
    "a transfer coding that nobody takes off": (
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        (b"HTTP/1.1 501",),
    ),
    "a broken chunk": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        (b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
    "a flood of headers": (
        HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        (b"HTTP/1.1 431", b"HTTP/1.0 431"),
    ),
    "an address that is too long": (
        b"POST /in/default/orders?" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        (b"HTTP/1.1 431", b"HTTP/1.0 431"),
    ),
    "a header that is too long": (
        HEAD + b"X-A: " + b"y" * 17_000 + b"\r\n\r\n",
        (b"HTTP/1.1 431", b"HTTP/1.0 431"),
    ),
    "a header without an end": (
        HEAD + b"X-A: " + b"y" * 200_000 + b"\r\n\r\n",
        (b"HTTP/1.1 4", b"HTTP/1.0 4", b""),
    ),
    "headers that no message can carry": (
        HEAD
        + b"".join(b"X-%d: %s\r\n" % (n, b"z" * 1000) for n in range(60))
        + b"Content-Length: 2\r\n\r\n{}",
        (b"HTTP/1.1 431", b"HTTP/1.0 431"),
    ),
    "a body that stalls": (HEAD + b"Content-Length: 10\r\n\r\n{", (b"HTTP/1.1 408",)),
    "an unsigned upgrade": (
        HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
        (b"HTTP/1.1 4",),
    ),
    "an expectation nobody knows": (
        HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}",
        (b"HTTP/1.1 417",),
    ),
    "a version of HTTP that nobody speaks here": (
        GOOD.replace(b"HTTP/1.1", b"HTTP/2.0"),
        (b"HTTP/2.0 505", b"HTTP/1.1 505"),
    ),
    "a path of two thousand parts": (
        b"POST /" + b"a/" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        (b"HTTP/1.1 404",),
    ),
    "a path that climbs": (b"POST /in/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", (b"HTTP/1.1 404",)),
    "a path of no text": (
        b"POST /in/default/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        (b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.0 400"),
    ),
}


async def talk(port: int, raw: bytes, timeout_s: float = 8.0) -> bytes:
    """Everything that comes back until the other side ends the connection, or an answer is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(timeout_s):
            try:
                writer.write(raw)
                await writer.drain()
                return await reader.read(64 * 1024)
            except ConnectionError:
                return b""
    finally:
        writer.close()


async def test_every_hostile_request_is_answered_or_cut_and_leaves_nothing(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "headwater")
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine, QUICK, head_s=0.5) as door:
            for name, (raw, beginnings) in CASES.items():
                began = time.monotonic()
                answer = await talk(door.port, raw)
                took = time.monotonic() - began
                assert answer.startswith(beginnings), f"{name}: {answer[:200]!r}"
                assert took < 4, f"{name}: {took:.1f} s"
                assert b"Traceback" not in answer
            good = await talk(door.port, GOOD)

        assert good.startswith(b"HTTP/1.1 202"), good
        assert await queued(spine) == 1
    for record in caplog.records:
        assert record.exc_info is None, record.getMessage()
        assert "\n" not in record.getMessage()
        for piece in ("nonsense", "miracles", "passwd", "hello", "yyyy"):
            assert piece not in record.getMessage()


@pytest.mark.parametrize("method", ["FOO", "post", "PROPFIND", "M-SEARCH", "X" * 64])
async def test_a_method_that_nobody_knows_is_told_what_is_accepted(database: str, method: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(methods=["POST", "PUT"]))

        async with receiving(spine) as door:
            here = await talk(door.port, GOOD.replace(b"POST", method.encode(), 1))
            nowhere = await talk(door.port, method.encode() + b" /in/default/no HTTP/1.1\r\nHost: x\r\n\r\n")
            garbage = await talk(door.port, b"{oo /in/default/orders HTTP/1.1\r\nHost: x\r\n\r\n")
            good = await talk(door.port, GOOD)

        assert b" 405 " in here.partition(b"\r\n")[0], here
        assert b"\r\nAllow: POST, PUT\r\n" in here
        assert b" 404 " in nowhere.partition(b"\r\n")[0], nowhere
        assert b" 400 " in garbage.partition(b"\r\n")[0], garbage
        assert good.startswith(b"HTTP/1.1 202")
        assert counted(spine.metrics, "headwater_webhooks_refused_total", reason="method") == 1
        assert await queued(spine) == 1


async def test_a_head_that_never_ends_is_cut(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine, head_s=0.4) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(HEAD)
            began = time.monotonic()
            async with asyncio.timeout(10):
                drip = asyncio.create_task(drip_headers(writer))
                try:
                    answer = await reader.read(1000)
                except ConnectionResetError:  # cut while bytes of ours were on their way
                    answer = b""
            took = time.monotonic() - began
            drip.cancel()
            writer.close()

        assert answer == b""
        assert took < 5
        assert "slow_head" in spine.metrics.render().decode()


@pytest.mark.parametrize("sent", [HEAD, b"POST /in/default/orders HTT", b"", b"FOO"])
async def test_a_connection_that_falls_silent_before_a_request_is_there_is_cut(
    database: str, sent: bytes
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine, head_s=0.2) as door:
            with socket.create_connection(("127.0.0.1", door.port)) as client:
                client.sendall(sent)  # there before the server looks at the connection for the first time
                client.setblocking(False)
                async with asyncio.timeout(10):
                    answer = await asyncio.get_running_loop().sock_recv(client, 1000)

        assert answer == b"" or b" 400 " in answer


@pytest.mark.parametrize("raw", [GOOD, GOOD.replace(b"Host", b"Expect: 100-continue\r\nHost"), GOOD * 3])
async def test_a_sender_that_ends_its_side_behind_its_request_still_gets_the_answer(
    database: str, raw: bytes
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(raw)
            writer.write_eof()
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            cut, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(raw[:-1])
            writer.write_eof()
            async with asyncio.timeout(3):
                await cut.read()
            writer.close()

        assert answer.count(b" 202 Accepted\r\n") == raw.count(b"POST")


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    """One header line after the other, for as long as the other side reads."""
    while not writer.is_closing():
        writer.write(b"X-A: b\r\n")
        await asyncio.sleep(0.05)


async def test_a_body_that_drips_is_cut_after_its_time(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine, QUICK) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(HEAD + b"Content-Length: 10000\r\n\r\n")

            async def drip() -> None:
                while not writer.is_closing():
                    writer.write(b"x")
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            async with asyncio.timeout(10):
                answer = await reader.read(1000)
            dripping.cancel()
            writer.close()

        assert answer.startswith(b"HTTP/1.1 408")
        assert await queued(spine) == 0


async def test_requests_sent_in_one_go_are_answered_one_after_the_other(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(GOOD * 50)
            received = b""
            async with asyncio.timeout(20):
                while received.count(b"HTTP/1.1 202") < 50:
                    received += await reader.read(64 * 1024)
            writer.close()

        assert await queued(spine) == 50


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", door.port)
                writer.write(HEAD + b"Content-Length: 100\r\n\r\n{")
                await writer.drain()
                writer.transport.abort()
            status, _, _ = await door.send("/in/default/orders")

        assert status == 202
        assert await queued(spine) == 1


async def test_memory_for_bodies_is_bounded_over_all_requests(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(limits={"body_bytes": 25 * 1024 * 1024}))

        async with receiving(spine) as door:
            started = HEAD + b"Content-Length: 24000001\r\n\r\n" + b"x" * 24_000_000
            holding = [asyncio.create_task(talk(door.port, started, 30)) for _ in range(4)]
            done, waiting = await asyncio.wait(holding, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done]
            small, _, _ = await door.send("/in/default/orders")
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503"]
        assert small == 202


@pytest.mark.parametrize(
    ("place", "length", "answer"),
    [
        ("/in/default/nothing", 7, b"HTTP/1.1 404"),
        ("/nowhere", 11_000_000, b"HTTP/1.1 404"),
        ("/in/default/orders", 11_000_000, b"HTTP/1.1 413"),
        ("/in/elsewhere/orders", 11_000_000, b"HTTP/1.1 404"),
    ],
)
async def test_a_sender_that_asks_first_is_told_what_is_wrong_before_it_sends(
    database: str, place: str, length: int, answer: bytes
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door:
            got = await talk(door.port, asking(place, length))

    assert got.startswith(answer), got
    assert b"\r\nConnection: close\r\n" in got
    assert b"100 Continue" not in got


async def test_a_sender_that_asks_first_is_told_to_go_on_and_answered(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())

        async with receiving(spine) as door, asyncio.timeout(8):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            for _ in range(2):  # the connection stays
                writer.write(asking("/in/default/orders", 2))
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"{}")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 202"), head
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            writer.close()

        assert await queued(spine) == 2


def asking(place: str, length: int) -> bytes:
    signed = signature(b"{}")
    return (
        f"POST {place} HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {signed}\r\nExpect: 100-continue\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
