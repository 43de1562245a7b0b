"""The pages of the web UI over what is really there: schedules, endpoints, deliveries, dead letters and the rest."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

from tests.integration.test_control_deliveries import give_up, letters, receipt, store
from tests.integration.test_control_notifications import planned
from tests.support.browser import Browser, Shown
from tests.support.office import Office

from headwater.bus.port import Message
from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunRequest
from headwater.model.ids import derive_id
from headwater.model.run import RunState
from headwater.store import refusals, runs
from headwater.store.refusals import Refusal
from headwater.store.runs import Outcome
from headwater.timer.endings import follow_ends

TENANT = "/ui/tenants/default"
NIGHTLY = f"{TENANT}/schedules/nightly"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e"
LISTS = (
    "", "/streams", "/runs", "/schedules", "/endpoints", "/deliveries", "/refusals", "/dead-letters", "/notifications",
    "/secrets", "/audit", "/replays", "/backfills", "/destinations", "/calendars",
)  # fmt: skip


async def refuse(office: Office, detail: str) -> UUID:
    now = datetime.now(UTC)
    identifier = derive_id(now, "refusal", detail)
    refused = Refusal(
        identifier, "default", "hooks", now, 401, "mismatch", detail, 12.5, "POST", "/in/default/hooks", "192.0.2.7",
        [("X-A", 3)], 10, b"\x01" * 32,
    )  # fmt: skip
    async with office.worker.transaction() as connection:
        await refusals.insert(connection, [refused])
    return identifier


async def give_up_a_request(office: Office, stream: str, reason: str) -> str:
    message = Message(RunRequest.type, "wanted-1", dumps({"stream": stream}), user_id="headwater.default")
    await give_up(office, message, "headwater.in", reason)
    return (await letters(office))[0]["id"]


def is_clean(shown: Shown) -> bool:
    """No element or attribute that nobody of us wrote, and no text that turns the others around."""
    strange = shown.tags & {"script", "img", "iframe", "object", "svg"}
    return (
        not strange
        and not any(name.startswith("on") for name in shown.attributes)
        and "\u202e" not in shown.text
    )


async def test_an_empty_tenant_has_all_pages_and_they_say_what_to_do(
    office: Office, browser: Browser
) -> None:
    await office.post("/tenants", {"name": "acme"})

    for path in LISTS:
        shown = await browser.go(f"/ui/tenants/acme{path}")
        assert shown.status == 200, path
        assert is_clean(shown)
    for path in ("/streams", "/schedules", "/endpoints", "/notifications", "/destinations", "/calendars"):
        assert "headwater apply FILE" in (await browser.go(f"/ui/tenants/acme{path}")).text
    assert "headwater runs start" in (await browser.go("/ui/tenants/acme/runs")).text


async def test_a_schedule_shows_its_times_and_its_runs(office: Office, browser: Browser) -> None:
    await office.post("/schedules/nightly/run", {})

    shown = await browser.go((await browser.go(f"{TENANT}/schedules")).links["nightly"])

    assert shown.path == NIGHTLY
    assert shown.text.count("T02:00:00+0") == 10
    assert "queued" in shown.text
    assert "shop.orders" in shown.links
    assert shown.forms == ["logout", "run", "pause", "disable"]


async def test_a_schedule_is_run_now_as_it_says_or_otherwise(office: Office, browser: Browser) -> None:
    schedule = await browser.go(NIGHTLY)

    one = await browser.submit(schedule, "run", parameters='{"a": 1}', mode="full", force="yes")
    twice = await browser.submit(schedule, "run", parameters='{"a": 1}', mode="full", force="yes")
    refused = await browser.submit(await browser.go(NIGHTLY), "run", force="yes")

    (run,) = (await office.get("/schedules/nightly/history")).json["items"]
    assert one.path == twice.path == f"{TENANT}/runs/{run['id']}?done=started"
    assert (run["trigger"], run["mode"], run["force"], run["parameters"]) == ("ui", "full", True, {"a": 1})
    assert (refused.status, "set mode to full" in " ".join(refused.faults)) == (422, True)


async def test_a_schedule_of_several_streams_tells_that_it_started_each(
    office: Office, browser: Browser
) -> None:
    await office.ask("PATCH", "/schedules/nightly", json={"streams": ["shop.orders", "shop.refunds"]})

    shown = await browser.submit(await browser.go(NIGHTLY), "run")

    assert (shown.path, "one run for each stream" in shown.text) == (f"{NIGHTLY}?done=started-many", True)
    assert len((await office.get("/runs")).json["items"]) == 2


async def test_a_schedule_is_paused_with_a_note_and_a_time_and_resumed(
    office: Office, browser: Browser
) -> None:
    until = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=1)

    paused = await browser.submit(
        await browser.go(NIGHTLY), "pause", note=HOSTILE, until=until.strftime("%Y-%m-%dT%H:%M")
    )
    state = (await office.get("/schedules/nightly")).json
    resumed = await browser.submit(paused, "resume")

    assert (state["state"], state["state_reason"], state["paused_by"]) == ("paused", HOSTILE, "key admin")
    assert datetime.fromisoformat(state["paused_until"]) == until
    assert "<script>alert(1)</script>" in paused.text
    assert is_clean(paused)
    assert "active" in resumed.text
    assert "resume" not in resumed.forms


async def test_a_pause_until_a_past_time_is_refused_at_its_field(office: Office, browser: Browser) -> None:
    shown = await browser.submit(await browser.go(NIGHTLY), "pause", note="why", until="2001-01-01T00:00")

    assert shown.status == 422
    assert "is past: give a time to come" in shown.faults
    assert shown.form("pause").fields["note"] == "why"
    assert (await office.get("/schedules/nightly")).json["state"] == "active"


async def test_a_schedule_is_disabled_and_enabled_and_its_failures_are_reset(
    office: Office, browser: Browser
) -> None:
    disabled = await browser.submit(await browser.go(NIGHTLY), "disable", note="not now")
    assert "not now" in disabled.text
    enabled = await browser.submit(disabled, "enable")
    assert (await office.get("/schedules/nightly")).json["state"] == "active"
    assert "reset-failures" not in enabled.forms
    for _ in range(5):
        started = (await office.post("/schedules/nightly/run", {})).json["id"]
        async with office.worker.transaction() as connection:
            failed = Outcome(RunState.FAILED, "error", (), "http_500", HOSTILE)
            await runs.finish(connection, UUID(started), failed)
    async with office.worker.transaction() as connection:
        await follow_ends(connection)
    stopped = await browser.go(NIGHTLY)
    assert "5 failures in a row" in stopped.text
    assert is_clean(stopped)
    assert stopped.forms == ["logout", "run", "enable", "disable", "reset-failures"]

    shown = await browser.submit(stopped, "reset-failures")

    assert "reset-failures" not in shown.forms
    assert (await office.get("/schedules/nightly")).json["state"] == "active"


async def test_a_past_window_is_counted_then_run_again_once_and_cancelled(
    office: Office, browser: Browser
) -> None:
    page = await browser.go((await browser.go(NIGHTLY)).links["Backfill …"])
    assert page.deeds == ["logout"]

    counted = await browser.submit(page, "backfill", **{"from": "2026-03-01T00:00", "to": "2026-03-08T00:00"})
    wrong = await browser.submit(counted, "backfill", parallel="many")
    made = await browser.submit(wrong, "backfill", parallel="2", rate="30/m")
    again = await browser.submit(counted, "backfill", parallel="2", rate="30/m")

    assert "Make 7 runs" in counted.text
    assert (wrong.status, bool(wrong.faults), "Make 7 runs" in wrong.text) == (422, True, True)
    (backfill,) = (await office.get("/backfills")).json["items"]
    assert made.path == again.path == f"{TENANT}/backfills/{backfill['id']}?done=backfill"
    assert (backfill["parallel"], backfill["rate"], backfill["created_by"]) == (2, 30.0, "key admin")
    assert backfill["from"].startswith("2026-03-01T00:00:00")
    assert (made.refresh or "").startswith("5;url=")
    listed = await browser.go(f"{TENANT}/backfills?schedule=nightly")
    assert listed.item == f"{TENANT}/backfills/{backfill['id']}"
    sure = await browser.go(made.path.partition("?")[0] + made.links["Cancel …"])
    cancelled = await browser.submit(sure, "cancel")
    assert "cancelled" in cancelled.text
    assert (await office.get(f"/backfills/{backfill['id']}")).json["state"] == "cancelled"


async def test_a_window_that_cannot_be_says_why(office: Office, browser: Browser) -> None:
    path = f"{NIGHTLY}/backfill"

    for query in ("from=2026-03-08T00:00&to=2026-03-01T00:00", "from=x&to=y"):
        shown = await browser.go(f"{path}?{query}")
        assert shown.status == 200
        assert shown.deeds == ["logout"]
        assert "note bad" in shown.html
    assert (await office.get("/backfills")).json["items"] == []


async def test_the_overview_leads_to_what_is_wrong(office: Office, browser: Browser) -> None:
    await browser.submit(await browser.go(NIGHTLY), "pause", note="why")
    started = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    async with office.worker.transaction() as connection:
        failed = Outcome(RunState.FAILED, "error", (), "http_500", "no")
        await runs.finish(connection, UUID(started), failed)
    await give_up_a_request(office, "shop.orders", "bad")

    shown = await browser.go(TENANT)

    assert shown.links["nightly"] == NIGHTLY
    assert shown.links["shop.orders"] == f"{TENANT}/streams/shop/orders"
    assert (await browser.go(shown.links["dead letters"])).text.count("run.request") == 1
    assert "problems" in shown.text


async def test_a_failed_run_shows_why_as_text(office: Office, browser: Browser) -> None:
    started = (await office.post("/runs", {"stream": "shop.orders", "parameters": {"x": HOSTILE}})).json["id"]
    async with office.worker.transaction() as connection:
        await runs.finish(
            connection,
            UUID(started),
            Outcome(RunState.FAILED, "error", ("limit_reached",), "http_500", HOSTILE),
        )

    shown = await browser.go(f"{TENANT}/runs/{started}")
    overview = await browser.go(TENANT)

    assert "http_500 <script>alert(1)</script>" in shown.text
    assert "limit_reached" in shown.text
    assert shown.refresh is None
    assert is_clean(shown)
    assert "1 runs failed" in overview.text
    assert is_clean(overview)


async def test_a_delivery_is_text_whatever_it_holds(office: Office, browser: Browser) -> None:
    body = HOSTILE.encode()
    headers = [[HOSTILE, HOSTILE.encode().decode("latin-1")]]
    await store(office, receipt(1, body, key="k", type=HOSTILE)._replace(headers=headers))

    listed = await browser.go(f"{TENANT}/deliveries")
    shown = await browser.go(listed.item)
    raw = await browser.ask("GET", shown.links["Download the exact bytes"])

    assert "<script>alert(1)</script>" in listed.text
    assert shown.text.count("<script>alert(1)</script>") >= 4
    assert "\\u202e" in shown.text
    assert is_clean(listed)
    assert is_clean(shown)
    assert raw.html.encode() == body
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["Content-Disposition"].startswith("attachment")


async def test_a_body_that_is_no_text_is_not_shown_but_can_be_had(office: Office, browser: Browser) -> None:
    await store(office, receipt(1, b"\xff\xfe" * 10))

    listed = await browser.go(f"{TENANT}/deliveries")
    shown = await browser.go(listed.item)

    assert "no UTF-8 text" in shown.text
    assert "Download the exact bytes" in shown.links


async def test_a_delivery_is_done_again_once(office: Office, browser: Browser) -> None:
    one = receipt(1, key="k")
    await store(office, one)
    page = await browser.go(f"{TENANT}/deliveries/{one.receipt_id}")

    shown = await browser.submit(page, "replay")
    again = await browser.submit(page, "replay")

    assert shown.path == again.path == f"{TENANT}/deliveries/{one.receipt_id}?done=replay"
    assert "Replays" in shown.text
    replays = (await office.get(f"/deliveries/{one.id}/replays")).json["items"]
    assert [each["requested_by"] for each in replays] == ["key admin"]


async def test_of_two_deliveries_with_one_id_only_the_newest_is_done_again(
    office: Office, browser: Browser
) -> None:
    old, new = receipt(1, key="k"), receipt(2, key="k")
    await store(office, old)
    await office.worker.execute("DELETE FROM dedupe_claim")
    await store(office, new)
    assert old.id == new.id

    pages = [await browser.go(f"{TENANT}/deliveries/{each.receipt_id}") for each in (old, new)]

    assert [str(old.receipt_id) in pages[0].text, str(new.receipt_id) in pages[1].text] == [True, True]
    assert ["replay" in page.forms for page in pages] == [False, True]


async def test_all_that_a_filter_means_is_done_again_after_it_was_counted(
    office: Office, browser: Browser
) -> None:
    await store(office, *(receipt(number, key=f"{number}") for number in range(3)), state="dead")
    await store(office, receipt(9, key="9"))
    assert "Do all of these again …" not in (await browser.go(f"{TENANT}/deliveries")).links
    listed = await browser.go(f"{TENANT}/deliveries?endpoint=hooks&state=dead")

    asked = await browser.go(listed.links["Do all of these again …"])
    wrong = await browser.submit(asked, "replay", rate="soon")
    shown = await browser.submit(wrong, "replay", rate="1000")
    again = await browser.submit(asked, "replay", rate="1000")

    assert "Do 3 deliveries again" in asked.text
    assert (wrong.status, wrong.form("replay").fields["rate"], bool(wrong.faults)) == (422, "soon", True)
    (replay,) = (await office.get("/replays")).json["items"]
    assert shown.path == again.path == f"{TENANT}/replays/{replay['id']}?done=replay-all"
    assert (replay["count"], replay["requested_by"]) == (3, "key admin")
    assert "endpoint hooks" in shown.text
    assert (await browser.go(f"{TENANT}/replays")).item == f"{TENANT}/replays/{replay['id']}"


async def test_a_replay_is_cancelled_after_a_second_thought(office: Office, browser: Browser) -> None:
    await store(office, *(receipt(number, key=f"{number}") for number in range(3)))
    asked = await browser.go(f"{TENANT}/deliveries?state=done&ask=replay")
    shown = await browser.submit(asked, "replay", rate="0.001")
    assert (shown.refresh or "").startswith("5;url=")
    sure = await browser.go(shown.path.partition("?")[0] + shown.links["Cancel …"])

    cancelled = await browser.submit(sure, "cancel")

    assert (await office.get("/replays")).json["items"][0]["state"] == "cancelled"
    assert "cancelled" in cancelled.text
    assert (cancelled.refresh, cancelled.forms) == (None, ["logout"])


async def test_what_a_search_finds_is_what_is_done_again(office: Office, browser: Browser) -> None:
    await store(office, *(receipt(number, key=f"key-{number}") for number in range(3)))

    asked = await browser.go(f"{TENANT}/deliveries?state=done&q=key-1&ask=replay")
    await browser.submit(asked, "replay", rate="")

    assert "Do 1 deliveries again" in asked.text
    (replay,) = (await office.get("/replays")).json["items"]
    assert (replay["count"], replay["filter"]) == (1, {"states": ["done"], "q": "key-1"})


async def test_a_filter_of_what_is_under_way_or_not_valid_does_nothing_again(
    office: Office, browser: Browser
) -> None:
    await store(office, receipt(1, key="k"))

    shown = await browser.go(f"{TENANT}/deliveries?state=accepted&ask=replay")
    assert shown.status == 200
    assert "replay" not in shown.forms
    assert "is no place" in (await browser.go(f"{TENANT}/deliveries?payload=a..b&ask=replay")).text
    assert "no endpoint" in (await browser.go(f"{TENANT}/deliveries?endpoint=gone&ask=replay")).text


async def test_a_refusal_says_what_its_reason_means(office: Office, browser: Browser) -> None:
    identifier = await refuse(office, HOSTILE)

    listed = await browser.go(f"{TENANT}/refusals?reason=mismatch")
    shown = await browser.go(f"{TENANT}/refusals/{identifier}")

    assert "<script>alert(1)</script>" in listed.text
    assert "12.5 s" in shown.text
    assert is_clean(listed)
    assert is_clean(shown)
    assert "No refusal is like that" in (await browser.go(f"{TENANT}/refusals?reason=expired")).text


async def test_an_endpoint_shows_what_came_and_is_closed_and_opened(office: Office, browser: Browser) -> None:
    await store(office, receipt(1, key="k"))
    await refuse(office, "X-Hub-Signature-256")
    shown = await browser.go((await browser.go(f"{TENANT}/endpoints")).links["hooks"])
    assert "/in/default/hooks" in shown.text
    assert "deliveries done" in shown.text
    assert "mismatch" in shown.text

    closed = await browser.submit(shown, "disable")
    assert (await office.get("/endpoints/hooks")).json["enabled"] is False
    await browser.submit(closed, "enable")

    assert (await office.get("/endpoints/hooks")).json["enabled"] is True


async def test_a_dead_letter_is_replayed_and_leads_to_its_run(office: Office, browser: Browser) -> None:
    letter = await give_up_a_request(office, "shop.orders", HOSTILE)

    listed = await browser.go(f"{TENANT}/dead-letters?state=open")
    shown = await browser.go(f"{TENANT}/dead-letters/{letter}")
    replayed = await browser.submit(shown, "replay")
    again = await browser.submit(shown, "replay")

    (run,) = (await office.get("/runs")).json["items"]
    assert replayed.path == f"{TENANT}/runs/{run['id']}?done=started"
    assert run["trigger"] == "ui"
    assert (again.status, "already" in again.text) == (409, True)
    assert is_clean(listed)
    assert is_clean(shown)


async def test_a_dead_letter_that_cannot_go_its_way_says_why(office: Office, browser: Browser) -> None:
    letter = await give_up_a_request(office, "shop.gone", "it was bad")

    shown = await browser.submit(await browser.go(f"{TENANT}/dead-letters/{letter}"), "replay")

    assert (shown.status, "cannot be replayed" in " ".join(shown.faults)) == (409, True)
    assert (await office.get(f"/dead-letters/{letter}")).json["state"] == "open"


async def test_a_dead_letter_is_discarded_after_a_second_thought(office: Office, browser: Browser) -> None:
    letter = await give_up_a_request(office, "shop.orders", "it was bad")
    path = f"{TENANT}/dead-letters/{letter}"
    shown = await browser.go(path)
    assert "discard" not in shown.forms

    discarded = await browser.submit(await browser.go(path + shown.links["Discard …"]), "discard")

    assert "Discarded." in discarded.text
    assert discarded.forms == ["logout"]
    assert (await office.get(f"/dead-letters/{letter}")).json["state"] == "discarded"


async def test_a_dead_letter_of_bytes_shows_them_in_base64(office: Office, browser: Browser) -> None:
    message = Message("run.request", "m", b"\xff\x00", {"tenant": "default"})
    await give_up(office, message, "headwater.in")
    letter = (await letters(office))[0]["id"]

    assert "/wA=" in (await browser.go(f"{TENANT}/dead-letters/{letter}")).text


async def test_notifications_show_who_is_told_and_what_was_sent(office: Office, browser: Browser) -> None:
    target = {"type": "slack", "url": "https://hooks.slack.com/x/token"}
    await office.ask("PUT", "/notifications/ops", json={"target": target, "description": HOSTILE})
    await planned(office, at=datetime.now(UTC) - timedelta(minutes=3))

    listed = await browser.go(f"{TENANT}/notifications")
    shown = await browser.go(listed.item)

    assert "<script>alert(1)</script>" in listed.text
    assert "x/token" not in listed.html
    assert is_clean(listed)
    assert "nightly" in shown.links
    assert "redeliver" in shown.forms
    sent = await browser.submit(shown, "redeliver")
    assert sent.status in {200, 409}


async def test_secrets_are_named_never_shown(office: Office, browser: Browser) -> None:
    await office.ask("PUT", "/secrets/api-token", json={"value": "the very secret value"})

    shown = await browser.go(f"{TENANT}/secrets")

    assert "api-token" in shown.text
    assert "the very secret value" not in shown.html
    for path in (f"{TENANT}/streams/shop/orders", f"{TENANT}/endpoints/hooks"):
        html = (await browser.go(path)).html
        assert "very-secret-token" not in html
        assert "endpoint-secret" not in html


async def test_the_audit_is_for_admins(office: Office, browser: Browser) -> None:
    await browser.submit(await browser.go(NIGHTLY), "pause", note="for a while")
    writer = Browser(office)
    home = await writer.log_in((await office.key_of("default", "read", "write", "run")).key or "")

    shown = await browser.go(f"{TENANT}/audit?kind=schedule&verb=pause")

    assert "key admin pause schedule nightly" in shown.text
    assert "Audit" not in home.links
    assert (await writer.go(f"{TENANT}/audit")).status == 403


async def test_a_key_that_only_reads_is_offered_nothing_on_any_page(office: Office) -> None:
    one = receipt(1, key="k")
    await store(office, one)
    letter = await give_up_a_request(office, "shop.orders", "bad")
    run = (await office.post("/runs", {"stream": "shop.orders"})).json["id"]
    reader, admin = Browser(office), Browser(office)
    await reader.log_in((await office.key_of("default", "read")).key or "")
    await admin.log_in()
    paths = (
        f"/deliveries/{one.receipt_id}", f"/dead-letters/{letter}", f"/dead-letters/{letter}?ask=discard",
        f"/runs/{run}?ask=cancel", "/schedules/nightly", "/endpoints/hooks", "/streams/shop/orders",
        "/deliveries?state=done&ask=replay",
    )  # fmt: skip
    tried = 0

    for path in paths:
        shown = await reader.go(TENANT + path)
        assert shown.deeds == ["logout"], path
        offered = await admin.go(TENANT + path)
        for name in offered.deeds[1:]:
            form = offered.form(name)
            sent = {**form.fields, "token": shown.form("logout").fields["token"]}
            assert (await reader.ask("POST", form.action, sent)).status == 403
            tried += 1

    assert tried >= 10
    assert (await office.get(f"/dead-letters/{letter}")).json["state"] == "open"
    assert (await office.get("/schedules/nightly")).json["state"] == "active"


async def test_what_is_another_tenants_or_nobodys_is_404(office: Office, browser: Browser) -> None:
    one = receipt(1, key="k")
    await store(office, one)
    letter = await give_up_a_request(office, "shop.orders", "bad")
    refusal = await refuse(office, "x")
    await office.ask("PUT", "/destinations/lake", json={"url": "postgresql://a:b@db.example.com/lake"})
    await office.ask("PUT", "/calendars/closed", json={"dates": ["2027-01-04"]})
    acme = Browser(office)
    await office.post("/tenants", {"name": "acme"})
    await acme.log_in((await office.key_of("acme")).key or "")
    nobody = "01a22d23-f90b-8a3a-9b7e-571d1e8dcc4e"

    for path in (
        f"/deliveries/{one.receipt_id}", f"/deliveries/{one.id}/raw", f"/dead-letters/{letter}",
        f"/refusals/{refusal}", "/schedules/nightly", "/endpoints/hooks", "/streams/shop/orders",
        "/destinations/lake", "/calendars/closed",
    ):  # fmt: skip
        assert (await acme.go(f"/ui/tenants/acme{path}")).status == 404
        assert (await acme.go(TENANT + path)).status == 404
    for path in (
        f"/deliveries/{nobody}",
        "/deliveries/x",
        "/runs/..",
        "/schedules/A B",
        "/nothing",
        "/streams/shop",
    ):
        assert (await browser.go(TENANT + path.replace(" ", "%20"))).status == 404


async def test_every_link_of_every_page_leads_to_a_page(office: Office, browser: Browser) -> None:
    await store(office, *(receipt(number, key=f"{number}") for number in range(3)), state="dead")
    await refuse(office, "X-A")
    await give_up_a_request(office, "shop.orders", "bad")
    await office.ask("PUT", "/secrets/api-token", json={"value": "hidden"})
    await office.ask("PUT", "/destinations/lake", json={"url": "postgresql://a:b@db.example.com/lake"})
    await office.ask("PUT", "/calendars/closed", json={"dates": ["2027-01-04"]})
    await planned(office, at=datetime.now(UTC))
    for path in ("/schedules/nightly/run", "/deliveries/replay"):
        await office.post(path, {"all": True} if "replay" in path else {})
    (run,) = (await office.get("/runs")).json["items"]
    failed = Outcome(RunState.FAILED, "error", ("limit_reached",), "http_500", "no")
    async with office.worker.transaction() as connection:
        await runs.finish(connection, UUID(run["id"]), failed)
    seen, waiting = set[str](), {TENANT}

    while waiting:
        seen.add(path := waiting.pop())
        shown = await browser.ask("GET", path)
        assert shown.status == 200, path
        assert is_clean(shown)
        links = {urljoin(path, link) for link in shown.links.values()}
        waiting |= {link for link in links if link.startswith(TENANT)} - seen

    kinds = {re.sub(r"[0-9a-f-]{36}", "ID", path.partition("?")[0]).removeprefix(TENANT) for path in seen}
    assert kinds >= {
        *LISTS, "/runs/ID", "/schedules/nightly", "/endpoints/hooks", "/deliveries/ID", "/deliveries/ID/raw",
        "/replays/ID", "/refusals/ID", "/dead-letters/ID", "/notifications/ID", "/streams/shop/orders",
        "/destinations/lake", "/destinations/lake/edit", "/calendars/closed", "/calendars/closed/edit",
        "/new/destinations", "/new/calendars", "/new/notifications",
    }  # fmt: skip


async def test_while_the_database_is_away_pages_say_so(office: Office, browser: Browser) -> None:
    form = (await browser.go(f"{TENANT}/streams/shop/orders")).form("start")
    await office.api.close()

    shown = await browser.go(f"{TENANT}/runs")
    sent = await browser.send(form)

    assert (shown.status, shown.headers["Retry-After"]) == (503, "5")
    assert "cannot do this now" in shown.text
    assert sent.status == 503


async def test_no_page_is_left_out_of_the_policy(office: Office, browser: Browser) -> None:
    seen: Any = set()
    for path in LISTS:
        shown = await browser.go(TENANT + path)
        assert shown.status == 200
        seen.add(shown.headers["Content-Security-Policy"])

    assert len(seen) == 1
