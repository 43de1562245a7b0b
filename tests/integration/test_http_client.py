"""The client against servers that lie, stall, swell, break off and lead astray."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.raw_server import RawServer, answer
from tests.support.walk_driver import LOOPBACK, SettableClock

from headwater.http.client import HttpClient, HttpLimits
from headwater.model.errors import SourceError
from headwater.model.http import Credentials, HttpRequest, origin_of
from headwater.model.secret import Secret

KEY = "key-that-must-not-leave"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    limits = HttpLimits(body_bytes=4 * 1024 * 1024)
    async with HttpClient(SettableClock(), limits) as made:
        yield made


def _get(url: str, credentials: bool = False, **fields: object) -> HttpRequest:
    bound = Credentials(
        origin_of(url),
        headers=(("X-API-Key", Secret.of(KEY)), ("Authorization", Secret.of(f"Bearer {KEY}"))),
        query=(("api_key", Secret.of(KEY)),),
        cookies=(("session", Secret.of(KEY)),),
    )
    return HttpRequest("GET", url, credentials=bound if credentials else Credentials(), **fields)


async def _fault(client: HttpClient, request: HttpRequest, **options: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await client.send(request, **({"allow": LOOPBACK, "timeout_s": 5} | options))
    assert KEY not in str(caught.value)
    return caught.value


# -- answers as they are


async def test_an_answer_comes_whole_with_status_headers_and_body(client: HttpClient) -> None:
    async with RawServer(answer(b"body", "X-One: a", "X-One: b", status="404 Not Found")) as server:
        got = await client.send(_get(f"{server.url}/x?a=%2B"), allow=LOOPBACK)

    assert (got.status, got.body, got.request_count, got.wire_bytes) == (404, b"body", 1, 4)
    assert got.header_values("x-one") == ("a", "b")
    assert got.url == f"{server.url}/x?a=%2B"
    assert server.heads[0].startswith(b"GET /x?a=%2B HTTP/1.1\r\n")
    assert b"accept-encoding: gzip, deflate, br, zstd\r\n" in server.heads[0].lower()


async def test_credentials_go_to_their_origin_and_show_in_no_url(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        got = await client.send(_get(f"{server.url}/x?a=1", credentials=True), allow=LOOPBACK)

    head = server.heads[0].decode()
    assert f"/x?a=1&api_key={KEY} " in head
    assert f"X-API-Key: {KEY}" in head
    assert f"Cookie: session={KEY}" in head
    assert KEY not in got.url


async def test_credentials_bound_elsewhere_are_not_sent(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        request = HttpRequest("GET", server.url, credentials=_get("http://other.example", True).credentials)
        await client.send(request, allow=LOOPBACK)

    assert KEY.encode() not in server.heads[0]


async def test_cookies_that_a_server_sets_are_not_kept(client: HttpClient) -> None:
    async with RawServer(answer(b"{}", "Set-Cookie: track=1; Path=/")) as server:
        await client.send(_get(server.url), allow=LOOPBACK)
        await client.send(_get(server.url), allow=LOOPBACK)

    assert all(b"track" not in head for head in server.heads)


async def test_a_kept_connection_serves_the_next_request(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        for _ in range(3):
            await client.send(_get(server.url), allow=LOOPBACK)

    assert server.connection_count == 1


async def test_a_secret_with_a_line_end_is_refused_before_it_is_sent(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        bound = Credentials(origin_of(server.url), headers=(("X-Key", Secret.of("abc\r\nX-Evil: 1")),))
        fault = await _fault(client, HttpRequest("GET", server.url, credentials=bound))

    assert fault.kind == "bad_secret"
    assert server.heads == []


# -- private addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ],
)
async def test_a_private_address_is_refused_however_it_is_written(client: HttpClient, host: str) -> None:
    async with RawServer(answer(b"{}")) as server:
        fault = await _fault(client, _get(f"http://{host}:{server.port}/"), allow=())

    assert fault.kind in {"refused_address", "bad_url"}
    assert not fault.retryable
    assert server.connection_count == 0


async def test_a_redirect_to_a_private_address_is_refused(client: HttpClient) -> None:
    async with RawServer(answer(b"", "Location: http://127.0.0.2:9/", status="302 Found")) as server:
        fault = await _fault(client, _get(server.url), allow=("127.0.0.1/32",))

    assert fault.kind == "refused_address"


async def test_a_connection_that_one_source_may_use_is_not_found_by_another(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        await client.send(_get(server.url), allow=LOOPBACK)
        fault = await _fault(client, _get(server.url), allow=())

    assert fault.kind == "refused_address"
    assert server.connection_count == 1


async def test_many_allow_lists_do_not_keep_connections_for_ever(client: HttpClient) -> None:
    async with RawServer(answer(b"{}")) as server:
        for number in range(70):
            await client.send(_get(server.url), allow=("127.0.0.0/8", f"10.0.{number}.0/24"))

        assert len(client._pools) <= 64


# -- redirects


async def test_a_redirect_within_the_origin_keeps_credentials(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, head: bytes) -> None:
        moved = answer(b"", "Location: /b?z=1", status="301 Moved Permanently")
        writer.write(moved if head.startswith(b"GET /a") else answer(b"here"))

    async with RawServer(talk) as server:
        got = await client.send(_get(f"{server.url}/a", credentials=True), allow=LOOPBACK)

    assert (got.body, got.request_count, got.url) == (b"here", 2, f"{server.url}/b?z=1")
    assert f"X-API-Key: {KEY}".encode() in server.heads[1]
    assert server.heads[1].count(f"api_key={KEY}".encode()) == 1


async def test_a_redirect_to_another_origin_steals_nothing(client: HttpClient) -> None:
    async with RawServer(answer(b"thief")) as thief:
        location = f"Location: {thief.url}/steal?api_key={KEY}&a=1"
        async with RawServer(answer(b"", location, status="307 Temporary Redirect")) as server:
            request = _get(
                f"{server.url}/a", credentials=True, headers=(("X-Own", "mine"), ("Accept", "text/csv"))
            )
            got = await client.send(request, allow=LOOPBACK)

    assert got.body == b"thief"
    assert KEY.encode() not in thief.heads[0]
    assert b"mine" not in thief.heads[0]
    assert b"text/csv" in thief.heads[0]
    assert thief.heads[0].startswith(b"GET /steal?a=1 ")


async def test_a_way_back_from_another_origin_brings_no_credentials_back(client: HttpClient) -> None:
    async with RawServer(answer(b"")) as home:

        async def lead_back(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
            writer.write(answer(b"", f"Location: {home.url}/delete-all", status="302 Found"))

        async with RawServer(lead_back) as other:

            async def lead_away(_: object, writer: asyncio.StreamWriter, head: bytes) -> None:
                away = answer(b"", f"Location: {other.url}/", status="302 Found")
                writer.write(away if b"/a?" in head else answer(b"end"))

            home._talk = lead_away
            await client.send(_get(f"{home.url}/a", credentials=True), allow=LOOPBACK)

    assert KEY.encode() in home.heads[0]
    assert home.heads[1].startswith(b"GET /delete-all ")
    assert KEY.encode() not in home.heads[1]


async def test_a_body_is_not_carried_to_another_origin(client: HttpClient) -> None:
    async with (
        RawServer(answer(b"")) as thief,
        RawServer(answer(b"", f"Location: {thief.url}/", status="308 Permanent Redirect")) as server,
    ):
        fault = await _fault(client, HttpRequest("POST", server.url, body=b'{"query": 1}'))

    assert fault.kind == "redirect"
    assert thief.heads == []


async def test_a_post_becomes_a_get_where_the_redirect_says_so(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(
            answer(b"", "Location: /b", status="303 See Other") if head.startswith(b"POST") else answer(b"ok")
        )

    async with RawServer(talk) as server:
        await client.send(HttpRequest("POST", server.url, body=b"{}"), allow=LOOPBACK)

    assert server.heads[1].startswith(b"GET /b ")
    assert server.bodies == [b"{}", b""]


async def test_a_circle_of_redirects_ends(client: HttpClient) -> None:
    async with RawServer(answer(b"", "Location: /again", status="302 Found")) as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "redirect"
    assert len(server.heads) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://h/x", "http://user:pw@127.0.0.1/", "http://"]
)
async def test_a_redirect_to_what_is_no_web_address_is_refused(client: HttpClient, location: str) -> None:
    async with RawServer(answer(b"", f"Location: {location}", status="302 Found")) as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "redirect"


async def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    served, trusted = _tls(tmp_path)
    async with (
        RawServer(answer(b"plain")) as plain,
        RawServer(answer(b"", f"Location: {plain.url}/", status="302 Found"), tls=served) as server,
        HttpClient(SettableClock(), tls=trusted) as client,
    ):
        fault = await _fault(client, _get(server.url, credentials=True))

    assert fault.kind == "redirect"
    assert plain.heads == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(client: HttpClient, tmp_path: Path) -> None:
    served, trusted = _tls(tmp_path)
    async with RawServer(answer(b"{}"), tls=served) as server:
        fault = await _fault(client, _get(server.url, credentials=True))
        async with HttpClient(SettableClock(), tls=trusted) as trusting:
            got = await trusting.send(_get(server.url), allow=LOOPBACK)

    assert fault.kind == "tls"
    assert got.body == b"{}"
    assert len(server.heads) == 1


def _tls(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server with a fresh certificate for 127.0.0.1 and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem)
    return served, ssl.create_default_context(
        cadata=certificate.public_bytes(serialization.Encoding.PEM).decode()
    )


# -- sizes


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_body_is_decompressed(client: HttpClient, encoding: str) -> None:
    packed = gzip.compress(b"[1]") if encoding == "gzip" else zlib.compress(b"[1]")
    async with RawServer(answer(packed, f"Content-Encoding: {encoding}")) as server:
        got = await client.send(_get(server.url), allow=LOOPBACK)

    assert (got.body, got.wire_bytes) == (b"[1]", len(packed))


async def test_a_bomb_is_refused_before_it_fills_memory(client: HttpClient) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    async with RawServer(answer(bomb, "Content-Encoding: gzip")) as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "too_large"


async def test_a_body_within_the_cap_but_beyond_the_ratio_is_refused() -> None:
    body = gzip.compress(bytes(9 * 1024 * 1024))
    async with RawServer(answer(body, "Content-Encoding: gzip")) as server:
        async with HttpClient(SettableClock(), HttpLimits(ratio=200)) as strict:
            fault = await _fault(strict, _get(server.url))
        async with HttpClient(SettableClock(), HttpLimits(ratio=2000)) as lax:
            got = await lax.send(_get(server.url), allow=LOOPBACK)

    assert fault.kind == "too_large"
    assert len(got.body) == 9 * 1024 * 1024


async def test_a_claimed_length_beyond_the_cap_is_refused_unread(client: HttpClient) -> None:
    async with RawServer(answer(b"x", length=10**12)) as server:
        fault = await _fault(client, _get(server.url))

    assert (fault.kind, fault.retryable) == ("too_large", False)


async def test_an_endless_body_is_refused_at_the_cap(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()

    async with RawServer(talk) as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "too_large"


async def test_too_large_headers_are_refused(client: HttpClient) -> None:
    async with RawServer(answer(b"{}", "X-Big: " + "a" * 40_000)) as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "bad_http"


@pytest.mark.parametrize(
    ("body", "encoding", "kind", "retryable"),
    [
        (gzip.compress(b"[1, 2, 3]" * 100, mtime=0)[:-12], "gzip", "cut_body", True),
        (b"\x1f\x8b" + b"no gzip at all", "gzip", "bad_encoding", False),
        (b"no brotli", "br", "bad_encoding", False),
        (b"[1]", "compress", "bad_encoding", False),
        (b"[1]", "gzip, gzip, gzip", "bad_encoding", False),
    ],
)
async def test_a_damaged_or_unknown_compression_is_an_error(
    client: HttpClient, body: bytes, encoding: str, kind: str, retryable: bool
) -> None:
    async with RawServer(answer(body, f"Content-Encoding: {encoding}")) as server:
        fault = await _fault(client, _get(server.url))

    assert (fault.kind, fault.retryable) == (kind, retryable)


# -- time and breaks


async def test_a_server_that_says_nothing_is_left_after_the_time_out(client: HttpClient) -> None:
    async def talk(*_: object) -> None:
        await asyncio.sleep(60)

    async with RawServer(talk) as server:
        fault = await _fault(client, _get(server.url), timeout_s=0.3)

    assert (fault.kind, fault.retryable) == ("timeout", True)


async def test_a_body_that_drips_is_left_when_the_whole_takes_too_long(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with RawServer(talk) as server:
        fault = await _fault(client, _get(server.url), timeout_s=0.4, read_timeout_s=0.2)

    assert (fault.kind, fault.retryable) == ("timeout", True)


async def test_a_silence_in_mid_body_is_left_after_the_read_time_out(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")
        await asyncio.sleep(60)

    async with RawServer(talk) as server:
        fault = await _fault(client, _get(server.url), timeout_s=30, read_timeout_s=0.2)

    assert fault.kind == "timeout"


async def test_a_body_that_ends_early_may_be_asked_for_again(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(answer(b"[1", length=100))
        await writer.drain()
        writer.close()

    async with RawServer(talk) as server:
        fault = await _fault(client, _get(server.url))

    assert (fault.kind, fault.retryable) == ("cut_body", True)


async def test_nothing_is_sent_twice_when_a_kept_connection_is_lost(client: HttpClient) -> None:
    async def talk(_: object, writer: asyncio.StreamWriter, __: bytes) -> None:
        if len(server.heads) == 1:
            writer.write(answer(b"{}"))
        else:
            writer.transport.abort()

    async with RawServer(talk) as server:
        await client.send(_get(server.url), allow=LOOPBACK)
        fault = await _fault(client, _get(server.url))

    assert (fault.kind, fault.retryable) == ("network", True)
    assert len(server.heads) == 2


async def test_what_is_no_http_is_said_to_be_none(client: HttpClient) -> None:
    async with RawServer(b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        fault = await _fault(client, _get(server.url))

    assert fault.kind == "bad_http"


async def test_a_port_where_nobody_listens_may_be_tried_again(client: HttpClient) -> None:
    async with RawServer(b"") as server:
        url = server.url

    fault = await _fault(client, _get(url))

    assert (fault.kind, fault.retryable) == ("network", True)


async def test_a_name_that_does_not_resolve_may_be_tried_again(client: HttpClient) -> None:
    fault = await _fault(client, _get("http://nowhere.invalid/"))

    assert (fault.kind, fault.retryable) == ("network", True)


async def test_cancellation_passes_through_and_frees_the_slot() -> None:
    async def talk(*_: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    asked = asyncio.Event()
    async with RawServer(talk) as server, HttpClient(SettableClock(), HttpLimits(connections=1)) as client:
        task = asyncio.create_task(client.send(_get(server.url), allow=LOOPBACK))
        await asyncio.wait_for(asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server._talk = answer(b"{}")
        got = await asyncio.wait_for(client.send(_get(server.url), allow=LOOPBACK), 5)

    assert got.status == 200
