"""Configuration in the web UI: a part's text is changed, planned, applied, and nobody's change is lost."""

import pytest
from tests.support.browser import Browser, Shown
from tests.support.office import Office

TENANT = "/ui/tenants/default"
SOURCE = f"{TENANT}/sources/shop/edit"
NIGHTLY = f"{TENANT}/schedules/nightly/edit"
HOOKS = f"{TENANT}/endpoints/hooks/edit"
# One of each kind that has no part in the office's manifest, and what is done to its text.
OTHERS = {
    "destinations": (
        "destination",
        {"name": "lake", "url": "postgresql://lake:secret-word@db.example.com/lake", "schema": "raw"},
        "schema: raw",
        "schema: other",
    ),
    "calendars": (
        "calendar",
        {"name": "closed", "dates": ["2027-01-04"], "yearly": ["12-25"], "description": "no work"},
        "description: no work",
        "description: some work",
    ),
    "notifications": (
        "notification",
        {"name": "ops", "target": {"type": "slack", "url": "https://hooks.slack.com/x/secret-word"}},
        "name: ops",
        "name: ops\nevents: [late]",
    ),
}


async def send(browser: Browser, shown: Shown, deed: str, **given: str) -> Shown:
    """Press the button Plan or Apply of the form on the page."""
    form = shown.form("plan")
    form.action = f"{form.action.removesuffix('/plan')}/{deed}"
    return await browser.follow(await browser.send(form, **given))


def text_of(shown: Shown) -> str:
    return shown.form("plan").fields["text"]


async def source(office: Office) -> dict:
    return (await office.get("/sources/shop")).json["definition"]


async def test_a_source_is_changed_by_its_text_after_its_plan_was_seen(
    office: Office, browser: Browser
) -> None:
    streams = await browser.go(f"{TENANT}/streams")
    page = await browser.go(streams.links["Edit …"])
    assert page.path == SOURCE
    assert "name: shop" in text_of(page)
    assert "formaction" not in page.attributes  # nothing to apply yet

    changed = text_of(page).replace("name: shop\n", "name: shop\ntimeout_s: 7\n").replace("\n", "\r\n")
    plan = await send(browser, page, "plan", text=changed)
    assert (plan.status, await source(office)) == (200, await source(office))
    assert "shop changes." in plan.text
    assert "/timeout_s" in plan.text
    assert (await source(office))["timeout_s"] != 7
    done = await send(browser, plan, "apply")

    assert done.path == f"{TENANT}/streams?done=applied"
    assert (await source(office))["timeout_s"] == 7
    (entry, *_) = (await office.get("/audit?kind=source")).json["items"]
    assert entry["actor"] == "key admin"


@pytest.mark.parametrize("path", [SOURCE, NIGHTLY, HOOKS])
async def test_a_text_that_nobody_changed_plans_nothing(browser: Browser, path: str) -> None:
    page = await browser.go(path)

    plan = await send(browser, page, "plan")

    assert (plan.status, plan.faults) == (200, [])
    assert "stays as it is." in plan.text
    assert "formaction" not in plan.attributes


async def test_what_is_wrong_is_told_with_line_and_mend_beside_the_text_as_it_was_sent(
    office: Office, browser: Browser
) -> None:
    page = await browser.go(NIGHTLY)
    written = (
        "name: nightly\nstreams: [shop.orders]\ncron: '1 2 * * *'\ntimezon: Europe/Berlin\noverlap: skipp\n"
    )

    refused = await send(browser, page, "plan", text=written)

    assert refused.status == 422
    assert text_of(refused) == written
    assert "line 4, column 1" in refused.text
    assert "line 5, column 10" in refused.text
    assert "2 things to mend" in refused.text
    assert "Mend:" in refused.text
    assert refused.form("plan").fields["version"] == page.form("plan").fields["version"]
    assert "formaction" not in refused.attributes


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("name: nightly\n  cron: x\n", "is not YAML"),
        ("", "is empty"),
        ("- nightly\n", "is no mapping"),
        ("name: other\ncron: '0 2 * * *'\nstreams: [shop.orders]\n", "is not the name that it has"),
        ("version: 1\nschedules:\n  - name: nightly\n", "is a whole manifest"),
        (
            "name: nightly\ndescription: '${env:HOME}'\nstreams: [shop.orders]\n",
            "environment of commands, which is not here",
        ),
        ("name: nightly\ncron: '61 2 * * *'\nstreams: [shop.orders]\n", "61"),
        ("name: nightly\nstreams: [shop.nothing]\n", "there is no stream shop.nothing"),
    ],
)
async def test_each_kind_of_mistake_is_refused_before_anything_is_written(
    office: Office, browser: Browser, written: str, said: str
) -> None:
    before = (await office.get("/schedules/nightly")).json["definition"]

    refused = await send(browser, await browser.go(NIGHTLY), "plan", text=written)

    assert refused.status in (400, 422)
    assert said in refused.text
    assert "line 1" in refused.text or "line 2" in refused.text
    assert (await office.get("/schedules/nightly")).json["definition"] == before


async def test_a_change_by_somebody_else_meanwhile_is_not_lost(office: Office, browser: Browser) -> None:
    page = await browser.go(HOOKS)
    changed = f"{text_of(page)}tolerance_s: 60\n"
    plan = await send(browser, page, "plan", text=changed)
    answer = await office.ask("PATCH", "/endpoints/hooks", json={"tolerance_s": 90})
    assert answer.status == 200

    refused = await send(browser, plan, "apply")
    replanned = await send(browser, page, "plan", text=changed)

    for shown in (refused, replanned):
        assert shown.status == 412
        assert text_of(shown).replace("\r", "") == changed
        assert shown.links["Load what is there now"] == HOOKS
    assert (await office.get("/endpoints/hooks")).json["definition"]["tolerance_s"] == 90


async def test_a_text_that_was_changed_after_its_plan_is_planned_anew(
    office: Office, browser: Browser
) -> None:
    page = await browser.go(SOURCE)
    plan = await send(browser, page, "plan", text=f"{text_of(page)}timeout_s: 7\n")

    again = await send(browser, plan, "apply", text=f"{text_of(page)}timeout_s: 8\n")

    assert again.status == 200
    assert "another than the one planned" in again.text
    assert (await source(office))["timeout_s"] not in (7, 8)


async def test_a_new_schedule_is_made_and_a_taken_name_is_refused(office: Office, browser: Browser) -> None:
    listed = await browser.go(f"{TENANT}/schedules")
    page = await browser.go(listed.links["New schedule …"])
    written = "name: nightly\nstreams: [shop.orders]\ncron: '30 2 * * *'\n"

    taken = await send(browser, page, "plan", text=written)
    plan = await send(browser, page, "plan", text=written.replace("nightly", "early"))
    done = await send(browser, plan, "apply")

    assert (taken.status, "line 1, column 7" in taken.text) == (422, True)
    assert "early is made." in plan.text
    assert (done.path, done.status) == (f"{TENANT}/schedules/early?done=applied", 200)
    assert (await office.get("/schedules/early")).json["state"] == "active"


async def test_a_secret_is_sealed_and_shown_by_its_name_alone(office: Office, browser: Browser) -> None:
    page = await browser.go(SOURCE)
    plan = await send(
        browser, page, "plan", text=f"{text_of(page)}auth: {{type: bearer, token: very-secret-thing}}\n"
    )
    await send(browser, plan, "apply")

    shown = await browser.go(SOURCE)

    assert "very-secret-thing" not in shown.html
    assert "${secret:" in text_of(shown)
    assert "stays as it is." in (await send(browser, shown, "plan")).text


async def test_a_text_comes_back_as_it_is_whatever_characters_it_has(
    office: Office, browser: Browser
) -> None:
    hostile = "a\u202eb\u0085c</textarea><script>1</script>\nsecond line"
    answer = await office.ask("PATCH", "/schedules/nightly", json={"description": hostile})
    assert answer.status == 200, answer.body

    page = await browser.go(NIGHTLY)
    plan = await send(browser, page, "plan")

    assert "script" not in page.tags
    assert "stays as it is." in plan.text
    assert "formaction" not in plan.attributes


async def test_a_key_that_may_not_write_sees_no_way_and_is_refused(office: Office) -> None:
    reader = Browser(office)
    made = await office.post("/keys", json={"name": "reader", "scopes": ["read"]})
    await reader.log_in(made.json["key"])

    assert "Edit …" not in (await reader.go(f"{TENANT}/streams")).links
    assert "New schedule …" not in (await reader.go(f"{TENANT}/schedules")).links
    assert (await reader.go(SOURCE)).status == 403


@pytest.mark.parametrize("part", OTHERS)
async def test_each_other_kind_is_changed_by_its_text_after_its_plan(
    office: Office, browser: Browser, part: str
) -> None:
    _, document, before, after = OTHERS[part]
    assert (await office.post(f"/{part}", document)).status == 201
    listed = await browser.go(f"{TENANT}/{part}")
    name = str(document["name"])
    shown = await browser.go(listed.links[name]) if name in listed.links else listed
    page = await browser.go(shown.links["Edit …"])
    assert "secret-word" not in shown.html + page.html

    untouched = await send(browser, page, "plan")
    plan = await send(browser, page, "plan", text=text_of(page).replace(before, after))
    done = await send(browser, plan, "apply")

    assert "stays as it is." in untouched.text
    assert f"{name} changes." in plan.text
    assert done.status == 200
    assert "Applied." in done.text
    definition = (await office.get(f"/{part}/{name}")).json["definition"]
    key, _, value = after.splitlines()[-1].partition(": ")
    assert definition[key] == (["late"] if part == "notifications" else value)


@pytest.mark.parametrize("part", OTHERS)
async def test_one_of_each_other_kind_is_made_from_the_text_that_is_offered(
    office: Office, browser: Browser, part: str
) -> None:
    noun = OTHERS[part][0]
    for name, value in (
        ("warehouse-url", "postgresql://a:b@db.example.com/w"),
        ("ops-slack", "https://hooks.slack.com/x"),
    ):
        await office.ask("PUT", f"/secrets/{name}", json={"value": value})
    page = await browser.go((await browser.go(f"{TENANT}/{part}")).links[f"New {noun} …"])

    plan = await send(browser, page, "plan")
    done = await send(browser, plan, "apply")

    assert (plan.status, plan.faults) == (200, [])
    assert "is made." in plan.text
    assert done.status == 200
    assert "Applied." in done.text
    assert len((await office.get(f"/{part}")).json["items"]) == 1


async def test_a_calendar_says_which_days_it_leaves_out_and_who_uses_it(
    office: Office, browser: Browser
) -> None:
    await office.post("/calendars", {"name": "closed", "yearly": ["12-25"], "crons": ["* * * * SUN"]})
    await office.ask("PATCH", "/schedules/nightly", json={"exclude": ["closed"]})

    listed = await browser.go(f"{TENANT}/calendars")
    shown = await browser.go(listed.links["closed"])

    assert "1 yearly, 1 crons" in listed.text
    assert "-12-25" in shown.text
    assert shown.links["nightly"] == f"{TENANT}/schedules/nightly"


async def test_a_destination_says_where_it_is_and_who_sends_there(office: Office, browser: Browser) -> None:
    await office.post(
        "/destinations", {"name": "facts", "kind": "amqp", "url": "amqp://a:b@example.com/", "exchange": "x"}
    )
    await office.ask(
        "PATCH", "/sources/shop/streams/refunds", json={"destination": {"to": "facts", "table": None}}
    )

    listed = await browser.go(f"{TENANT}/destinations")
    shown = await browser.go(listed.links["facts"])

    assert "exchange x of another broker" in listed.text
    assert shown.links["shop.refunds"] == f"{TENANT}/streams/shop/refunds"
    assert "a:b" not in listed.html + shown.html


async def test_a_destination_that_is_used_does_not_become_of_another_kind(
    office: Office, browser: Browser
) -> None:
    await office.post(
        "/destinations", {"name": "facts", "kind": "amqp", "url": "amqp://a:b@example.com/", "exchange": "x"}
    )
    await office.ask(
        "PATCH", "/sources/shop/streams/refunds", json={"destination": {"to": "facts", "table": None}}
    )
    page = await browser.go(f"{TENANT}/destinations/facts/edit")

    refused = await send(browser, page, "plan", text="name: facts\nkind: postgres\n")

    assert refused.status == 422
    assert "shop.refunds" in refused.text
