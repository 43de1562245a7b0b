"""The receiver's small parts: buckets, breaker, keys, senders, certificates, ledger."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from tests.support.virtual_time import VirtualTime
from tests.support.webhook_signer import ec_jwk

from headwater.contracts.signatures import SchemeDefinition
from headwater.model.errors import ConfigError, SourceError, Unavailable
from headwater.model.networks import is_within, networks
from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_definition, compile_scheme
from headwater.plugins.signatures.presets import preset
from headwater.plugins.signatures.scheme import Scheme
from headwater.receiver.breaker import Breaker
from headwater.receiver.bucket import Bucket
from headwater.receiver.certificates import FETCHES_PER_MINUTE, RENEWED_S, Certificates
from headwater.receiver.keys import Keys, NamedSecret
from headwater.receiver.ledger import SAMPLES_PER_MINUTE, Tally
from headwater.receiver.senders import Senders


def test_a_bucket_lets_its_burst_pass_and_then_its_rate() -> None:
    bucket = Bucket(10, 1.0, 3)

    first = [bucket.take(100.0) for _ in range(4)]
    later = [bucket.take(100.1), bucket.take(100.1)]

    assert first[:3] == [0.0, 0.0, 0.0]
    assert first[3] == pytest.approx(0.1)
    assert later[0] == 0.0
    assert later[1] == pytest.approx(0.1)


def test_a_bucket_never_gives_more_than_its_rate_over_time() -> None:
    bucket = Bucket(5, 1.0, None)

    passed = sum(bucket.take(step / 100) == 0.0 for step in range(1000))

    assert passed == 5 + 49  # the burst, and 5 a second for the 9.99 s behind it


def test_a_breaker_opens_after_three_time_outs_and_probes_once_a_second() -> None:
    breaker = Breaker()
    for moment in (0.0, 4.0, 8.0):
        assert breaker.may_try(moment)
        breaker.failed(moment)

    tried = [breaker.may_try(8.5), breaker.may_try(9.1), breaker.may_try(9.2), breaker.may_try(10.2)]
    breaker.succeeded()

    assert tried == [False, True, False, True]
    assert breaker.may_try(10.3)


def test_time_outs_far_apart_do_not_open_it() -> None:
    breaker = Breaker()
    for moment in (0.0, 8.0, 16.0, 24.0):
        breaker.failed(moment)

    assert not breaker.is_open


def test_keys_change_at_the_edges_of_their_windows_and_only_there() -> None:
    keys = Keys(
        preset("github"),
        [
            NamedSecret("old", Secret.of("a"), None, 200.0),
            NamedSecret("new", Secret.of("b"), 100.0, None),
        ],
    )

    def names(at_s: float) -> list[str | None]:
        return [each.name for each in keys.at(at_s).secrets]

    assert names(50.0) == ["old"]
    assert names(100.0) == ["old", "new"]
    assert keys.at(150.0) is keys.at(199.9)
    assert names(200.0) == ["new"]
    assert keys.at(250.0).indexes == (1,)
    assert names(99.9) == ["old"], "a clock that goes back finds its keys"
    newest = keys.at(150.0).newest
    assert newest is not None
    assert newest.text() == "b"


def asked(peer: str | None, **headers: str) -> Any:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    request = make_mocked_request("POST", "/in/default/e?a=1", headers=told)
    return request.clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("198.51.100.1", {"X_Forwarded_For": "6.6.6.6"}, "198.51.100.1"),
        ("10.0.0.1", {"X_Forwarded_For": "6.6.6.6, 198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"X_Forwarded_For": "198.51.100.9, 10.0.0.2, 10.0.0.3"}, "198.51.100.9"),
        ("10.0.0.1", {"X_Forwarded_For": "198.51.100.9:4711"}, "198.51.100.9"),
        ("10.0.0.1", {"X_Forwarded_For": "[2001:db8::1]:4711"}, "2001:db8::1"),
        ("10.0.0.1", {"X_Forwarded_For": "::ffff:198.51.100.9"}, "198.51.100.9"),
        ("::ffff:10.0.0.1", {"X_Forwarded_For": "198.51.100.9"}, "198.51.100.9"),
        ("10.0.0.1", {"X_Forwarded_For": "evil<script>"}, "10.0.0.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"Forwarded": 'for=6.6.6.6, for="[2001:db8::7]:1";proto=https'}, "2001:db8::7"),
        ("10.0.0.1", {"Forwarded": 'By="_a;b"; For = x, for=198.51.100.9 ;proto=https,'}, "10.0.0.1"),
        ("10.0.0.1", {"Forwarded": "for=6.6.6.6, , for=198.51.100.9 ;proto=https,"}, "198.51.100.9"),
        ("10.0.0.1", {"Forwarded": 'for=198.51.100.9;host="x, for=6.6.6.6"'}, "198.51.100.9"),
        ("10.0.0.1", {"Forwarded": 'for=198.51.100.9;host="\\", for=6.6.6.6"'}, "198.51.100.9"),
        ("10.0.0.1", {"Forwarded": 'for=6.6.6.6;x=", for="[2001:db8::7]"'}, "10.0.0.1"),
        ("10.0.0.1", {"Forwarded": 'for=6.6.6.6;x=", for=198.51.100.9'}, "10.0.0.1"),
        ("10.0.0.1", {"X_Forwarded_For": ",".join(["6.6.6.6"] * 500)}, "6.6.6.6"),
    ],
)
def test_the_sender_is_the_last_one_before_the_proxies_that_are_trusted(
    peer: str, headers: dict[str, str], address: str
) -> None:
    senders = Senders("http://127.0.0.1:8080", None, ["10.0.0.0/8"])

    assert senders.address(asked(peer, **headers)) == address


FORWARDED = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "hooks.example"}


@pytest.mark.parametrize(
    ("public", "peer", "headers", "base", "url"),
    [
        (None, "198.51.100.1", FORWARDED, None, "http://127.0.0.1:8080/in/default/e?a=1"),
        (None, "10.0.0.1", FORWARDED, None, "https://hooks.example/in/default/e?a=1"),
        ("https://set.example/", "10.0.0.1", FORWARDED, None, "https://set.example/in/default/e?a=1"),
        (
            "https://set.example",
            "10.0.0.1",
            FORWARDED,
            "https://own.example",
            "https://own.example/in/default/e?a=1",
        ),
        (
            None,
            "10.0.0.1",
            {
                "Forwarded": 'for=6.6.6.6;host="hooks.example:8443";proto=https, for=10.0.0.2;host=inner;proto=http'
            },
            None,
            "https://hooks.example:8443/in/default/e?a=1",
        ),
        (
            None,
            "198.51.100.1",
            {"Forwarded": "host=hooks.example;proto=https"},
            None,
            "http://127.0.0.1:8080/in/default/e?a=1",
        ),
        (
            None,
            "10.0.0.1",
            {**FORWARDED, "X_Forwarded_Host": "a b/../"},
            None,
            "http://127.0.0.1:8080/in/default/e?a=1",
        ),
        (
            None,
            "10.0.0.1",
            {**FORWARDED, "X_Forwarded_Proto": "gopher"},
            None,
            "http://127.0.0.1:8080/in/default/e?a=1",
        ),
    ],
)
def test_the_url_that_is_signed_comes_from_the_setting_or_a_trusted_proxy(
    public: str | None, peer: str, headers: dict[str, str], base: str | None, url: str
) -> None:
    senders = Senders("http://127.0.0.1:8080", public, ["10.0.0.0/8"])

    assert senders.url(asked(peer, **headers), base) == url


@pytest.mark.parametrize("text", ["::ffff:198.51.100.0/120", "198.51.100.0/24", "::ffff:198.51.100.9"])
@pytest.mark.parametrize("sender", ["198.51.100.9", "::ffff:198.51.100.9"])
def test_a_range_counts_however_its_addresses_are_written(text: str, sender: str) -> None:
    assert is_within(sender, networks([text], "allow"))
    assert not is_within("198.51.101.9", networks([text], "allow"))


def test_proxies_that_are_none_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="HEADWATER_TRUSTED_PROXIES"):
        Senders("http://x", None, ["10.0.0.0/33"])


BY_CERTIFICATE = compile_definition(
    SchemeDefinition.model_validate(
        {
            "kind": "rsa-pkcs1v15",
            "key": {
                "encoding": "pem",
                "certificate_from": "header:X-Cert",
                "certificate_hosts": ["certs.example"],
            },
            "signature": {"header": "X-Sig", "encoding": "base64"},
        }
    )
)


def pem() -> bytes:
    from tests.support.webhook_signer import _certificate

    return _certificate("one")


async def test_a_certificate_is_fetched_once_for_all_who_ask() -> None:
    urls: list[str] = []

    async def fetch(url: str) -> bytes:
        urls.append(url)
        await asyncio.sleep(0)
        return pem()

    certificates = Certificates(fetch, VirtualTime())
    url = "https://certs.example/a.pem"

    found = await asyncio.gather(*(certificates.verifier(BY_CERTIFICATE, url) for _ in range(5)))
    await certificates.verifier(BY_CERTIFICATE, url)

    assert urls == [url]
    assert len(set(map(id, found))) == 1


def by_keys(audience: str) -> Scheme:
    signature = {"header": "Authorization", "prefix": "Bearer ", "format": "jwt", "aud": audience}
    key = {"keys_url": "https://keys.example/set"}
    return compile_scheme({"kind": "jwt-es256", "signature": signature, "key": key})


def key_set(*names: str) -> bytes:
    return json.dumps({"keys": [ec_jwk(name) for name in names]}).encode()


async def test_schemes_that_share_an_address_of_keys_keep_what_else_they_want() -> None:
    async def fetch(_: str) -> bytes:
        return key_set("one")

    certificates = Certificates(fetch, VirtualTime())
    url = "https://keys.example/set"

    found = [await certificates.verifier(by_keys(name), url) for name in ("a", "b", "a")]

    assert [each.scheme.definition.signature.aud for each in found] == ["a", "b", "a"]
    assert found[0] is found[2]


async def test_keys_are_looked_up_anew_when_they_may_have_changed_and_known_ones_count_on() -> None:
    clock, published = VirtualTime(), [key_set("one"), b"no keys", key_set("one", "two")]
    urls: list[str] = []

    async def fetch(url: str) -> bytes:
        urls.append(url)
        return published[len(urls) - 1]

    certificates = Certificates(fetch, clock)
    scheme, url = by_keys("a"), "https://keys.example/set"
    first = await certificates.verifier(scheme, url)

    at_once = await certificates.renewed(scheme, url)
    clock.advance(RENEWED_S)
    broken = await certificates.renewed(scheme, url)
    meanwhile = await certificates.verifier(scheme, url)
    soon = await certificates.renewed(scheme, url)
    clock.advance(RENEWED_S)
    renewed = await certificates.renewed(scheme, url)

    assert (at_once, broken, soon) == (None, None, None)
    assert meanwhile is first
    assert renewed is not None
    assert (len(first.keys), len(renewed.keys)) == (1, 2)
    assert await certificates.verifier(scheme, url) is renewed
    assert len(urls) == 3


async def test_a_certificate_that_is_not_to_be_had_is_not_asked_for_again_at_once() -> None:
    count = 0

    async def fetch(_: str) -> bytes:
        nonlocal count
        count += 1
        raise SourceError("http_500", "no")

    certificates = Certificates(fetch, VirtualTime())
    for _ in range(3):
        with pytest.raises(Unavailable):
            await certificates.verifier(BY_CERTIFICATE, "https://certs.example/a.pem")

    assert count == 1


async def test_a_certificate_that_is_late_is_there_for_who_sends_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headwater.receiver.certificates.WAIT_S", 0.02)
    urls: list[str] = []
    is_there = asyncio.Event()

    async def fetch(url: str) -> bytes:
        urls.append(url)
        await is_there.wait()
        return pem()

    certificates = Certificates(fetch, VirtualTime())
    url = "https://certs.example/a.pem"

    for _ in range(2):
        with pytest.raises(Unavailable, match="on its way"):
            await certificates.verifier(BY_CERTIFICATE, url)
    is_there.set()
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(Unavailable):
                await certificates.verifier(BY_CERTIFICATE, url)
                break

    assert urls == [url]


async def test_strangers_cannot_make_the_receiver_fetch_without_end() -> None:
    count = 0

    async def fetch(_: str) -> bytes:
        nonlocal count
        count += 1
        return b"no certificate"

    certificates = Certificates(fetch, VirtualTime())
    for number in range(200):
        with pytest.raises(Unavailable):
            await certificates.verifier(BY_CERTIFICATE, f"https://certs.example/{number}.pem")

    assert count == FETCHES_PER_MINUTE


def test_a_tally_counts_by_slot_and_samples_the_first_of_a_minute_and_reason() -> None:
    tally = Tally("default", "e")
    for step in range(100):
        tally.accept(1000.0 + step, "a")
    tally.note("refused:mismatch", 1000.0)
    sampled = [tally.may_sample("mismatch", 1020.0 + step / 100) for step in range(100)]
    other, later = tally.may_sample("method", 1021.5), tally.may_sample("mismatch", 1080.0)

    counts, uses = tally.take()

    assert {(count.outcome, count.request_count) for count in counts} == {
        ("accepted", 100),
        ("refused:mismatch", 1),
    }
    assert [(use[2], use[4]) for use in uses] == [("a", 100)]
    assert (sum(sampled), other, later) == (SAMPLES_PER_MINUTE, True, True)
    assert tally.take() == ([], [])
