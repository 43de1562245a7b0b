"""The session's cookie: sealed, for this use alone, and kept to https where that is the address."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

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


def test_where_the_address_is_https_the_cookie_goes_no_other_way() -> None:
    response = web.Response()

    Jar(RING, is_secure=True).put(response, new_session(NOW, KEY), NOW)
    Jar(RING, is_secure=False).put(response, new_session(NOW), NOW)

    secure, plain = response.cookies["__Host-headwater"], response.cookies["headwater-login"]
    assert (secure["secure"], secure["path"], secure["domain"]) == (True, "/", "")
    assert not plain["secure"]
    assert all(each["httponly"] and each["samesite"] == "Strict" for each in (secure, plain))
