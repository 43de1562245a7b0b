"""The web UI as a browser meets it: log in, look, start a run; and whoever is not allowed to."""

import asyncio
import base64
import hashlib
import logging
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from tests.support.browser import Browser, Shown
from tests.support.office import ADMIN, RING, Office

from headwater.app.clock import SystemClock
from headwater.control.ui.session import LASTS, new_session, seal
from headwater.model.run import RunState
from headwater.model.secret import Secret
from headwater.store import runs as store
from headwater.store import sessions
from headwater.store.keyring import Keyring
from headwater.store.runs import Outcome

TENANT = "/ui/tenants/default"
STREAM = f"{TENANT}/streams/shop/orders"
LOGIN = "/ui/login"


async def runs(office: Office) -> list[dict]:
    return (await office.get("/runs")).json["items"]


async def test_without_a_session_every_page_leads_to_the_login_and_back(office: Office) -> None:
    browser = Browser(office)

    asked = await browser.go(STREAM)
    assert (asked.path.partition("?")[0], asked.forms) == (LOGIN, ["login"])
    shown = await browser.submit(asked, "login", key=ADMIN)

    assert (shown.path, shown.status) == (STREAM, 200)


async def test_a_run_is_started_from_a_streams_page(office: Office, browser: Browser) -> None:
    streams = await browser.go((await browser.go("/ui/")).links["Streams"])
    stream = await browser.go(streams.links["orders"])

    shown = await browser.submit(stream, "start", mode="full", parameters='{"day": "2026-11-30", "n": 7}')

    (run,) = await runs(office)
    assert shown.path == f"{TENANT}/runs/{run['id']}?done=started"
    assert (run["trigger"], run["mode"], run["started_by"]) == ("ui", "full", "key admin")
    assert run["parameters"] == {"day": "2026-11-30", "n": 7}
    assert "queued" in shown.text
    assert run["id"] in shown.text


async def test_a_run_is_cancelled_after_a_second_thought_and_run_again(
    office: Office, browser: Browser
) -> None:
    shown = await browser.submit(await browser.go(STREAM), "start")
    assert (shown.refresh or "").startswith("5;url=/ui/")
    assert "cancel" not in shown.forms
    sure = await browser.go(shown.path.partition("?")[0] + shown.links["Cancel …"])
    assert sure.refresh is None

    cancelled = await browser.submit(sure, "cancel")
    again = await browser.submit(cancelled, "rerun")

    newest, oldest = sorted(await runs(office), key=lambda run: -run["generation"])
    assert (oldest["state"], oldest["ended_by"]) == ("cancelled", "key admin")
    assert (newest["generation"], newest["trigger"]) == (oldest["generation"] + 1, "ui")
    assert newest["id"] in again.path


async def test_a_run_that_has_ended_meanwhile_is_not_cancelled(office: Office, browser: Browser) -> None:
    shown = await browser.submit(await browser.go(STREAM), "start")
    sure = await browser.go(f"{shown.path.partition('?')[0]}?ask=cancel")
    async with office.worker.transaction() as connection:
        (run,) = await runs(office)
        await store.finish(connection, UUID(run["id"]), Outcome(RunState.SUCCEEDED))

    refused = await browser.submit(sure, "cancel")

    assert (refused.status, "ended already" in refused.text) == (409, True)
    assert "succeeded" in refused.text


async def test_a_form_that_is_sent_twice_starts_once(office: Office, browser: Browser) -> None:
    form = (await browser.go(STREAM)).form("start")

    answers = await asyncio.gather(*(browser.send(form) for _ in range(4)))

    assert {answer.status for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(await runs(office)) == 1
    other = await browser.send(form, mode="full")
    assert other.status == 422
    assert other.form("start").fields["once"] != form.fields["once"]
    assert len(await runs(office)) == 1


async def test_what_is_wrong_shows_at_its_field_with_what_was_given(office: Office, browser: Browser) -> None:
    stream = await browser.go(STREAM)
    given = {"no JSON": "{day", "no object": "[1]", "a reference": '{"a": "' + "x" * 70_000 + '"}'}

    for parameters in given.values():
        shown = await browser.submit(stream, "start", parameters=parameters, mode="full")
        assert shown.status == 422
        assert shown.faults
        assert shown.form("start").fields["parameters"] == parameters
        assert shown.form("start").fields["mode"] == "full"
    forced = await browser.submit(stream, "start", force="yes")

    assert forced.status == 422
    assert "set mode to full" in " ".join(forced.faults)
    assert forced.form("start").fields["force"] == "yes"
    assert await runs(office) == []


async def test_a_form_without_its_sessions_token_does_nothing(office: Office, browser: Browser) -> None:
    form = (await browser.go(STREAM)).form("start")
    other = Browser(office)
    await other.log_in()
    theirs = (await other.go(STREAM)).form("start").fields["token"]

    for token in (None, "", form.fields["token"][:-1], theirs, "é" * 43):
        assert (await browser.send(form, token=token)).status == 403

    assert await runs(office) == []
    assert (await browser.send(form)).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
async def test_a_form_of_another_site_does_nothing(
    office: Office, browser: Browser, headers: dict[str, str]
) -> None:
    form = (await browser.go(STREAM)).form("start")

    assert (await browser.ask("POST", form.action, form.fields, headers)).status == 403
    login = (await Browser(office).go(LOGIN)).form("login")
    assert (await browser.ask("POST", LOGIN, {**login.fields, "key": ADMIN}, headers)).status == 403

    assert await runs(office) == []
    own = {"Origin": office.address}
    assert (await browser.ask("POST", form.action, form.fields, own)).status == 303


async def test_a_key_sees_and_does_what_its_scopes_allow(office: Office, browser: Browser) -> None:
    form = (await browser.go(STREAM)).form("start")
    reader, runner = Browser(office), Browser(office)
    await reader.log_in((await office.key_of("default", "read")).key or "")
    shown = await reader.go(STREAM)
    assert "start" not in shown.forms

    posted = await reader.ask("POST", form.action, {**form.fields, "token": token_of(shown)})

    assert posted.status == 403
    assert await runs(office) == []
    refused = await runner.log_in((await office.key_of("default", "run")).key or "")
    assert (refused.status, "`read`" in refused.text) == (403, True)


def token_of(shown: Shown) -> str:
    return shown.form("logout").fields["token"]


async def test_an_address_that_ends_in_a_slash_is_the_one_without_it(browser: Browser) -> None:
    runs = await browser.go("/ui/tenants/default/runs/?state=failed")
    moved = await browser.ask("GET", "/ui/tenants/default/runs//?state=failed")

    assert (runs.status, runs.path) == (200, "/ui/tenants/default/runs?state=failed")
    assert moved.headers["Location"] == "/ui/tenants/default/runs?state=failed"
    assert (await browser.go("/ui/login/")).path == "/ui/login"
    for elsewhere in ("/ui/nowhere/", "/ui//evil.example/", "/ui/%0d%0aX:y/"):
        assert (await browser.go(elsewhere)).status == 404


async def test_a_tenants_key_meets_404_in_another_tenant(office: Office, browser: Browser) -> None:
    await office.post("/tenants", {"name": "acme"})
    started = await browser.submit(await browser.go(STREAM), "start")
    acme = Browser(office)
    home = await acme.log_in((await office.key_of("acme")).key or "")
    run = started.path.partition("?")[0]

    assert home.path == "/ui/tenants/acme"
    assert (await acme.go(run)).status == 404
    assert (await acme.go(run.replace("default", "acme"))).status == 404
    posted = await acme.ask("POST", f"{run}/cancel", {"token": token_of(home)})
    assert posted.status == 404
    assert (await runs(office))[0]["state"] == "queued"
    assert (await browser.go("/ui/tenants/nobody")).status == 404


async def test_a_key_of_no_tenant_chooses_one(office: Office, browser: Browser) -> None:
    assert (await browser.go("/ui/")).path == TENANT
    await office.post("/tenants", {"name": "acme"})

    chosen = await browser.go((await browser.go("/ui/")).links["acme"])

    assert chosen.path == "/ui/tenants/acme"
    assert "There is no source yet" in (await browser.go(chosen.links["Streams"])).text


async def test_a_revoked_key_ends_the_session_at_once(office: Office) -> None:
    key = await office.key_of("default", "admin")
    browser = Browser(office)
    form = (await browser.log_in(key.key or "", STREAM)).form("start")

    assert (await office.ask("DELETE", f"/keys/{(key.key or '').split('_')[1]}")).status == 204

    assert (await browser.go(STREAM)).path.startswith(LOGIN)
    assert (await browser.follow(await browser.send(form))).path.startswith(LOGIN)
    assert await runs(office) == []


async def test_an_expired_altered_or_foreign_cookie_leads_to_the_login(
    office: Office, browser: Browser
) -> None:
    ring, now = Keyring.of(RING), SystemClock().now()
    good = browser.cookies["headwater"]
    old = new_session(now - timedelta(hours=13), Secret.of(ADMIN))
    foreign = Keyring.of(Secret.of(base64.b64encode(b"y" * 32).decode()))
    moved = ring.seal("default", "web ui session", Secret.of(seal(ring, old)))
    raw = bytearray(base64.urlsafe_b64decode(good))
    raw[-1] ^= 1
    bad = [
        seal(ring, old),
        seal(foreign, new_session(now, Secret.of(ADMIN))),
        seal(ring, new_session(now)),
        base64.urlsafe_b64encode(moved).decode(),
        base64.urlsafe_b64encode(bytes(raw)).decode(),
        good[:-8],
        good[:20],
        "x",
        "x" * 5000,
    ]
    assert (await browser.go(STREAM)).path == STREAM

    for value in bad:
        browser.cookies["headwater"] = value
        assert (await browser.go(STREAM)).path.startswith(LOGIN)


async def test_the_cookie_is_sealed_and_for_this_site_alone(office: Office) -> None:
    browser = Browser(office)
    form = (await browser.go(LOGIN)).form("login")

    answer = await browser.send(form, key=ADMIN)

    cookie = next(line for line in answer.headers.getall("Set-Cookie") if line.startswith("headwater="))
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert ADMIN[9:] not in cookie
    assert b"aaaa" not in base64.urlsafe_b64decode(browser.cookies["headwater"])


async def test_logging_out_ends_the_session_of_every_copy_of_its_cookie(
    office: Office, browser: Browser
) -> None:
    copy, other = Browser(office), Browser(office)
    await other.log_in()
    copy.cookies = dict(browser.cookies)
    form = (await copy.go(STREAM)).form("start")

    await browser.submit(await browser.go(STREAM), "logout")

    assert (await copy.go(STREAM)).path.startswith(LOGIN)
    assert (await copy.follow(await copy.send(form))).path.startswith(LOGIN)
    assert await runs(office) == []
    assert (await other.go(STREAM)).path == STREAM
    await browser.log_in()
    assert (await browser.go(STREAM)).path == STREAM


async def test_ended_sessions_take_a_bounded_place_and_none_comes_back(
    office: Office, browser: Browser, database: str
) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)

    async with office.api.as_tenant(None) as connection:
        for number in range(250):
            at = begun + timedelta(seconds=number)
            await sessions.end(connection, "admin", f"token {number}", at, at + LASTS)
        over = [
            await sessions.has_ended(connection, "admin", f"token {number}", begun - timedelta(hours=1))
            for number in range(250)
        ]
        later = await sessions.has_ended(connection, "admin", "another", begun + timedelta(seconds=300))
    owner = await asyncpg.connect(database)
    kept = await owner.fetch("SELECT key_id, cardinality(digests) AS count FROM headwater.ended_session")
    await owner.close()

    assert [(row["key_id"], row["count"] <= 100) for row in kept] == [("admin", True)]
    assert all(over)
    assert not later
    assert (await browser.go(STREAM)).path == STREAM


async def test_logging_out_forgets_the_cookie(office: Office, browser: Browser) -> None:
    shown = await browser.go(STREAM)
    assert (await browser.send(shown.form("logout"), token="x")).status == 403

    assert (await browser.submit(shown, "logout")).path == LOGIN

    assert "headwater" not in browser.cookies
    assert (await browser.go(STREAM)).path.startswith(LOGIN)


async def test_a_wrong_key_is_refused_and_stands_in_no_log_and_no_answer(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = Browser(office)
    wrong = "hw_admin_" + "z" * 40

    for key in (wrong, "x", "", "hw_nobody_" + "z" * 40, "é" * 60):
        shown = await browser.submit(await browser.go(LOGIN), "login", key=key)
        assert shown.status == 401
        assert wrong not in shown.html
        assert "headwater" not in browser.cookies

    assert "z" * 40 not in caplog.text


async def test_a_login_that_was_filled_in_elsewhere_logs_nobody_in(office: Office) -> None:
    browser, other = Browser(office), Browser(office)
    form = (await browser.go(LOGIN)).form("login")
    theirs = (await other.go(LOGIN)).form("login").fields["token"]

    foreign = await browser.send(form, key=ADMIN, token=theirs)
    browser.cookies.clear()
    without = await browser.send(form, key=ADMIN)

    assert (foreign.status, without.status) == (403, 403)
    assert "keeps no cookies" in without.text
    assert browser.cookies.keys() == {"headwater-login"}


async def test_a_link_to_the_login_ends_no_session(office: Office, browser: Browser) -> None:
    await browser.go(LOGIN)

    assert (await browser.go(STREAM)).path == STREAM


async def test_the_login_goes_on_to_pages_of_ours_only(office: Office) -> None:
    for where in ("https://evil.example/", "//evil.example", "/\\evil.example", "/ui//evil.example", "/docs"):
        browser = Browser(office)
        form = (await browser.go(f"{LOGIN}?next={where}")).form("login")
        assert form.fields["next"] == ""
        answer = await browser.send(form, key=ADMIN, next=where)
        assert answer.headers["Location"] == "/ui/"


async def test_a_link_from_elsewhere_arrives_although_the_cookie_is_strict(
    office: Office, browser: Browser
) -> None:
    stranger = Browser(office)  # a browser keeps a strict cookie back on a link of another site

    shown = await stranger.go(STREAM, headers={"Sec-Fetch-Site": "cross-site"})

    assert (shown.status, shown.refresh) == (200, f"0;url={STREAM}")
    assert "Set-Cookie" not in shown.headers
    assert (await stranger.go(STREAM)).path.startswith(LOGIN)


async def test_every_page_has_the_strict_policy_and_no_script(office: Office, browser: Browser) -> None:
    for path in ("/ui/", STREAM, f"{TENANT}/runs", f"{TENANT}/nothing"):
        shown = await browser.go(path)
        style = re.findall(r"<style>(.*?)</style>", shown.html)
        digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
        forms = "'self'" if shown.forms else "'none'"
        assert shown.headers["Content-Security-Policy"] == (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action {forms}; "
            "frame-ancestors 'none'"
        )
        assert len(style) == 1
        assert "script" not in shown.tags
        assert not any(name.startswith("on") or name == "style" for name in shown.attributes)
        assert shown.headers["Cache-Control"] == "no-store"
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Referrer-Policy"] == "same-origin"
    assert "'none'" in (await browser.go(f"{TENANT}/nothing")).headers["Content-Security-Policy"]


async def test_a_form_that_is_too_large_or_none_is_refused_before_it_is_read(
    office: Office, browser: Browser
) -> None:
    form = (await browser.go(STREAM)).form("start")

    large = await browser.send(form, parameters="x" * 300_000)
    headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"headwater={browser.cookies['headwater']}"}
    url = office.address + form.action
    async with office.session.post(url, json=form.fields, headers=headers) as answer:
        other = answer.status
    async with office.session.post(url, data=b"token=%ff&" * 60, headers=headers) as answer:
        octets = answer.status
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    unreadable = []
    for data in (b"token=%ff", b"\xff=1", b"a=1&a=2", b"a=%00", b"&".join(b"a%d=1" % n for n in range(99))):
        async with office.session.post(url, data=data, headers=headers) as answer:
            unreadable.append(answer.status)

    assert (large.status, other, octets) == (413, 415, 415)
    assert unreadable == [400] * 5
    assert await runs(office) == []


async def test_the_front_page_leads_to_the_ui(office: Office) -> None:
    shown = await Browser(office).ask("GET", "/", headers={"Accept": "text/html"})

    assert shown.links["ui"] == "/ui/"
    assert (await office.with_key(None).get("/")).json["links"]["ui"] == "/ui/"


async def test_filters_of_the_list_of_runs_stay_from_page_to_page(office: Office, browser: Browser) -> None:
    for _ in range(51):
        await office.post("/runs", {"stream": "shop.orders"})
    await office.post("/runs", {"stream": "shop.refunds"})

    first = await browser.follow(
        await browser.send((await browser.go(f"{TENANT}/runs")).form("runs"), stream="shop.orders")
    )
    second = await browser.go(f"{TENANT}/runs{first.links['Next page']}")

    assert first.text.count("shop.orders") == 50
    assert "shop.refunds" not in first.text
    assert second.text.count("shop.orders") == 1
    wrong = await browser.go(f"{TENANT}/runs?state=lost")
    assert (wrong.status, "state" in wrong.text) == (422, True)
    assert (await browser.go(wrong.links["The page without these filters"])).status == 200
