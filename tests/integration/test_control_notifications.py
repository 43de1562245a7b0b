"""Notifications and the monitor by the API and the command line."""

import argparse
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook
from tests.integration.test_http_client import _tls
from tests.support.endings import run_ends
from tests.support.hearing import listening_ear, mail_box
from tests.support.office import Office, open_office
from tests.support.spine import Spine

from headwater.app.clock import SystemClock
from headwater.cli.asking import Counter
from headwater.cli.monitoring import _look
from headwater.contracts.notifications import EmailTarget
from headwater.http.client import HttpClient
from headwater.http.sockets import open_socket
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import Letter, Means, Outcome
from headwater.plugins.notifiers.base import Office as Operator
from headwater.plugins.notifiers.mail import mail_server, send
from headwater.plugins.notifiers.template import faults_of, render
from headwater.store import notifications
from headwater.store.notifications import Planned

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOCAL = {"allow": ["127.0.0.0/8"]}
SHOP = """
version: 1
sources: [{name: shop, base_url: "https://api.example.com", streams: [{name: orders}]}]
schedules: [{name: nightly, streams: [shop.orders], cron: "0 2 * * *"}]
"""


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


def rule(url: str, **more: Any) -> dict[str, Any]:
    target = {"type": "callback", "url": url, "network": LOCAL, "secret": SECRET}
    return {"name": "ops", "events": ["failed"], "target": target, **more}


async def test_a_notification_is_made_read_merged_switched_and_removed_and_its_secrets_are_only_named(
    office: Office,
) -> None:
    made = await office.post("/notifications", rule("https://ops.example.com/hook?token=1"))
    again = await office.post("/notifications", rule("https://ops.example.com/hook"))
    shown = await office.get("/notifications/ops")
    stale = await office.ask(
        "PATCH", "/notifications/ops", json={"events": ["late"]}, headers={"If-Match": '"x"'}
    )
    merged = await office.ask(
        "PATCH", "/notifications/ops", json={"events": ["late"]}, headers={"If-Match": shown.headers["ETag"]}
    )
    off = await office.post("/notifications/ops/disable")
    exported = await office.get("/config/export")
    replaced = await office.ask(
        "PUT",
        "/notifications/chat",
        json={"target": {"type": "slack", "url": "https://hooks.slack.com/x/token"}},
    )
    gone = await office.ask("DELETE", "/notifications/ops")

    assert (made.status, made.headers["Location"]) == (201, "/api/v1/notifications/ops")
    assert made.json["targets"] == [
        {"type": "callback", "address": "https://ops.example.com/hook", "stopped": None}
    ]
    assert again.status == 409
    assert stale.status == 412
    assert merged.json["events"] == ["late"]
    assert merged.json["definition"]["target"]["secret"] == "${secret:notification/ops/0/secret}"
    assert off.json["enabled"] is False
    assert exported.json["notifications"][0]["name"] == "ops"
    assert (replaced.status, replaced.json["name"]) == (201, "chat")
    assert gone.status == 204
    assert (await office.get("/notifications/ops")).status == 404
    everything = made.body + shown.body + merged.body + exported.body + replaced.body
    assert SECRET.encode() not in everything
    assert b"hooks.slack.com/x/token" not in everything


@pytest.mark.parametrize(
    ("wrong", "pointer", "says"),
    [
        (
            {"target": {"type": "callback", "url": "https://x.example", "secret": "no base64!"}},
            "/target/secret",
            "whsec_",
        ),
        ({"target": {"type": "pigeon"}}, "/target/type", "pigeon"),
        ({"events": ["exploded"]}, "/events/0", "failed"),
        ({"subject": "{run.colour}"}, "/subject", "run.colour"),
        ({"subject": "{unclosed"}, "/subject", "single brace"),
        ({"target": {"type": "email", "to": "nobody"}}, "/target/to", "ops@example.com"),
        ({"target": {"type": "email", "to": "a@b.c", "smtp": "smtp://h?tls=maybe"}}, "/target/smtp", "tls"),
        ({"target": {"type": "callback", "url": "ftp://x"}}, "/target/url", "http"),
        (
            {"target": {"type": "callback", "url": "https://x.example", "network": {"allow": ["all"]}}},
            "/target/network/allow/0",
            "CIDR",
        ),
        ({"name": "deliveries"}, "", "another name"),
        ({"target": None}, "", "target"),
    ],
)
async def test_bad_notifications_are_refused_with_place_and_mend(
    office: Office, wrong: dict[str, Any], pointer: str, says: str
) -> None:
    answered = await office.post("/notifications", {**rule("https://ops.example.com"), **wrong})

    assert answered.status == 422, answered.body
    fault = answered.json["errors"][0]
    assert fault["pointer"] == pointer
    assert says in fault["detail"]


async def test_a_schedule_names_only_notifications_that_are_there_and_keeps_them_from_being_removed(
    office: Office,
) -> None:
    yaml_type = {"Content-Type": "application/yaml"}
    text = SHOP.replace('cron: "0 2 * * *"', 'cron: "0 2 * * *", notify: [ops]')
    unknown = await office.post("/config/import", data=text, headers=yaml_type)
    await office.post("/notifications", rule("https://ops.example.com"))
    known = await office.post("/config/import", data=text, headers=yaml_type)
    used = await office.ask("DELETE", "/notifications/ops")
    forced = await office.ask("DELETE", "/notifications/ops?cascade=true")

    assert unknown.status == 422
    assert unknown.json["errors"][0]["pointer"] == "/schedules/0/notify/0"
    assert "there is no notification ops" in unknown.json["errors"][0]["what"]
    assert known.status == 200, known.body
    assert used.status == 409
    assert used.json["users"] == ["nightly"]
    assert forced.status == 204


async def test_a_test_is_really_sent_signed_and_the_answer_of_each_target_shown(office: Office) -> None:
    def picky(heard: Any, number: int) -> web.StreamResponse:
        return (
            web.Response(status=418, text="teapot") if heard.path == "/tea" else web.Response(text="thanks")
        )

    async with listening_ear(picky) as ear:
        targets = [rule(f"{ear.url}/fine")["target"], rule(f"{ear.url}/tea")["target"], {"type": "amqp"}]
        await office.post("/notifications", {"name": "ops", "targets": targets})
        tested = await office.post("/notifications/ops/test")

    assert tested.json["ok"] is False
    seen = [(each["type"], each["ok"], each["status"], each["answer"]) for each in tested.json["results"]]
    assert seen == [
        ("callback", True, 200, "thanks"),
        ("callback", False, 418, "teapot"),
        ("amqp", True, None, None),
    ]
    document = Webhook(SECRET).verify(ear.requests[0].body, ear.requests[0].headers)
    assert document["type"] == "notification.test"
    assert (await office.post("/notifications/none/test")).status == 404


async def planned(office: Office, *, at: datetime, tenant: str = "default", key: str = "k") -> Planned:
    made = Planned(
        key, at, tenant, "ops", "failed", "callback", "ops/1", "https://ops.example.com",
        {"type": "callback", "url": "https://ops.example.com"}, {"subject": "S", "text": "T", "facts": {"a": 1}},
        schedule="nightly",
    )  # fmt: skip
    async with office.worker.transaction() as connection:
        await notifications.insert(connection, [made])
    return made


async def test_what_was_sent_is_listed_shown_with_its_attempts_and_sent_again(office: Office) -> None:
    now = SystemClock().now()
    await office.post("/tenants", {"name": "other"})
    made = [await planned(office, at=now - timedelta(seconds=n), key=str(n)) for n in range(3)]
    await planned(office, at=now, tenant="other")
    await office.worker.execute(
        "UPDATE notification SET state = 'dead', attempt_count = 8, next_at = NULL WHERE id = $1", made[0].id
    )

    first = await office.get("/notifications/deliveries?limit=2")
    second = await office.get(f"/notifications/deliveries?limit=2&cursor={first.json['next']}")
    dead = await office.get(
        "/notifications/deliveries?state=dead&notification=ops&event=failed&schedule=nightly"
    )
    shown = await office.get(f"/notifications/deliveries/{made[0].id}")
    busy = await office.post(f"/notifications/deliveries/{made[1].id}/redeliver")
    again = await office.post(f"/notifications/deliveries/{made[0].id}/redeliver")
    others = office.with_key(office.key, **{"X-Tenant": "other"})

    assert [each["id"] for each in first.json["items"] + second.json["items"]] == [
        str(each.id) for each in made
    ]
    assert [each["id"] for each in dead.json["items"]] == [str(made[0].id)]
    assert (shown.json["text"], shown.json["facts"], shown.json["tries"]) == ("T", {"a": 1}, [])
    assert busy.status == 409
    assert (again.json["state"], again.json["attempts"]) == ("waiting", 8)
    assert (await others.get(f"/notifications/deliveries/{made[0].id}")).status == 404
    assert len((await others.get("/notifications/deliveries")).json["items"]) == 1


async def test_the_monitor_tells_what_is_wrong_since_when_and_what_to_do(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    await office.post("/config/import", data=SHOP, headers={"Content-Type": "application/yaml"})
    well = await office.get("/monitor")
    spine = Spine(
        "", office.worker, office.api, office.bus, office.control._desk.keyring, office.control._desk.metrics
    )
    await run_ends(spine, "failed", error=("http_401", "the API answered 401"))
    await office.worker.execute("UPDATE schedule SET state = 'failed', state_reason = '5 failures in a row'")
    await office.worker.execute(
        "INSERT INTO dead_letter (id, tenant, queue, type, message_id, reason, body) VALUES (gen_random_uuid(), 'default', 'q', 't', 'm', 'r', '')"
    )
    await office.worker.execute(
        "INSERT INTO delivery (id, received_at, receipt_id, tenant, endpoint, state, reason, method, url, headers, body, "
        "body_sha256, verification) SELECT gen_random_uuid(), now(), gen_random_uuid(), tenant, 'hooks', 'dead', "
        "'filter: no', 'POST', '/', '[]', '', '', '{}' FROM unnest(ARRAY['default', 'acme']) AS tenant"
    )
    await office.worker.execute(
        "INSERT INTO endpoint_alarm VALUES ('default', 'hooks', 'silence', clock_timestamp(), '{}')"
    )
    await office.worker.execute(
        "INSERT INTO run (id, due_at, created_at, tenant, source, stream, trigger, state, progress_at, admitted_at) "
        "SELECT gen_random_uuid(), at, at, 'default', 'shop', 'orders', 'api', 'running', at, at FROM (SELECT now() - interval '2 hours' AS at) AS a"
    )
    ill = await office.get("/monitor")
    tenants = await (await office.key_of("default", "read")).get("/monitor")
    await office.post("/tenants", {"name": "acme"})
    (elsewhere,) = (await office.get("/monitor", headers={"X-Tenant": "acme"})).json["problems"]
    code = await _look(argparse.Namespace(json=False, output=None), Counter(office.control._desk, "default"))
    said = capsys.readouterr().out

    assert (well.json["status"], well.json["problems"]) == ("ok", [])
    assert well.json["queues"] is not None
    assert ill.json["status"] == "problems"
    assert {each["kind"] for each in ill.json["problems"]} == {
        "failed",
        "auto_disabled",
        "dead_deliveries",
        "dead_letters",
        "silence",
        "stuck",
        "late",
    }
    assert ill.json["counts"]["dead_letters"] == 1
    assert ill.json["counts"]["runs"] == {"failed": 1, "running": 1}
    assert tenants.json["queues"] is None
    assert (elsewhere["kind"], elsewhere["subject"]) == ("dead_deliveries", "hooks")
    assert elsewhere["what"] == "1 deliveries of the last day are dead; the newest: filter: no"
    assert "`headwater deliveries list --endpoint hooks --state dead --tenant acme`" in elsewhere["next"]
    assert code == 1
    assert "headwater schedules enable nightly`" in said
    assert "http_401" in said


async def test_mail_goes_through_starttls_and_tls_with_login_and_never_shows_a_password_in_the_clear(
    tmp_path: Path,
) -> None:
    served, trusted = _tls(tmp_path)
    clock = SystemClock()
    letter = Letter("id-1", clock.now(), "default", "failed", "ops", "S", "T", {})
    said = {}
    async with HttpClient(clock) as client:
        for name, scheme, tls, implicit in (
            ("starttls", "smtp", served, False),
            ("tls", "smtps", served, True),
            ("plain", "smtp", None, False),
        ):
            async with mail_box(tls=tls, implicit=implicit, login=True) as box:
                url = Secret.of(f"{scheme}://me%40example.com:right%20pass%2Fword@127.0.0.1:{box.port}")
                target = EmailTarget.model_validate(
                    {"type": "email", "to": "a@example.com", "from": "b@example.com"}
                )
                means = Means(client, clock, open_socket, None, Operator(mail_url=url))  # type: ignore[arg-type]
                result = await send(target, letter, means, tls=trusted)
                said[name] = (result.outcome, result.error, box.secure, box.logins)

    assert said["starttls"] == (Outcome.SENT, None, [True], [(b"me@example.com", b"right pass/word")])
    assert said["tls"][:2] == (Outcome.SENT, None)
    assert said["tls"][3] == [(b"me@example.com", b"right pass/word")]
    assert said["plain"][0] is Outcome.FAILED
    assert "not sent in the clear" in str(said["plain"][1])
    assert said["plain"][3] == []


def test_templates_put_facts_in_their_places_and_compute_nothing() -> None:
    facts = {
        "event": "failed",
        "run": {"error": {"class": "x", "message": None}, "warnings": ["a", "b"]},
        "stream": "s.t",
    }

    assert (
        render("{event} {run.error.class} {run.error.message} {{x}} {run.warnings} {none}", facts)
        == "failed x - {x} a, b -"
    )
    assert faults_of("{event} {run.counts.inserted} {detail.reason} {{literal}}") == []
    assert len(faults_of("{run.__class__} {event!r} {0} {")) == 4


def test_a_mail_servers_address_is_read_without_its_secrets_showing() -> None:
    server = mail_server(Secret.of("smtps://user:p%40ss@mail.example.com?from=hw@example.com"))

    assert (server.host, server.port, server.tls, server.user, server.sender) == (
        "mail.example.com",
        465,
        "implicit",
        "user",
        "hw@example.com",
    )
    assert "p@ss" not in repr(server)
