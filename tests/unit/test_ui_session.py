"""The session's cookie: sealed, for this use alone, and kept to https where browsers speak it."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from headwater.control.ui.session import Jar, new_session, seal, unseal
from headwater.model.secret import Secret
from headwater.store.keyring import Keyring

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RING = Keyring.of(Secret.of("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="))
KEY = Secret.of("hw_admin_" + "a" * 40)


def test_a_session_lasts_twelve_hours_and_one_before_the_login() -> None:
    known, unknown = new_session(NOW, KEY), new_session(NOW)

    for session, hours in ((known, 12), (unknown, 1)):
        sealed = seal(RING, session)
        end = NOW + timedelta(hours=hours)
        assert unseal(RING, sealed, end - timedelta(seconds=1)) == session
        assert unseal(RING, sealed, end) is None


def test_two_sessions_of_one_key_have_tokens_of_their_own() -> None:
    one, other = new_session(NOW, KEY), new_session(NOW, KEY)

    assert one.has_token(one.token)
    assert not one.has_token(other.token)
    assert not one.has_token("")


def test_a_key_that_left_the_ring_ends_its_sessions_and_one_that_is_kept_does_not() -> None:
    sealed = seal(RING, new_session(NOW, KEY))
    fresh = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg="

    assert unseal(Keyring.of(Secret.of(f"{fresh},MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")), sealed, NOW)
    assert unseal(Keyring.of(Secret.of(fresh)), sealed, NOW) is None


def request(host: str, origin: str | None = None, cookies: str = "") -> web.Request:
    headers = {"Host": host, "Cookie": cookies, **({} if origin is None else {"Origin": origin})}
    return make_mocked_request("POST", "/ui/login", headers=headers)


@pytest.mark.parametrize(
    ("host", "origin", "is_secure"),
    [
        ("ops.example", "https://ops.example", True),
        ("upstream:8080", "https://ops.example", True),  # behind a proxy that changes Host
        ("10.0.0.5:8080", "http://10.0.0.5:8080", False),  # the public address is the receiver's
        ("ops.example", None, True),
        ("10.0.0.5:8080", None, False),
        ("10.0.0.5:8080", "null", False),
    ],
)
def test_where_the_browser_speaks_https_the_cookie_goes_no_other_way(
    host: str, origin: str | None, is_secure: bool
) -> None:
    jar, response = Jar(RING, "https://ops.example"), web.Response()

    jar.put(request(host, origin), response, new_session(NOW, KEY), NOW)

    (cookie,) = response.cookies.values()
    assert cookie.key == ("__Host-headwater" if is_secure else "headwater")
    assert bool(cookie["secure"]) == is_secure
    assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Strict")
    assert cookie["httponly"]
    shown = request(host, origin, f"{cookie.key}={cookie.value}")
    assert jar.session(shown, NOW) is not None
    assert jar.session(shown, NOW, is_known=False) is None
