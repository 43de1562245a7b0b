"""Notifications from the event to the receiver: signed callbacks, mails, chat webhooks, events; what waits and what dies."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
import yaml
from aiohttp import web
from standardwebhooks import Webhook
from tests.support.endings import run_ends
from tests.support.hearing import Heard, listening_ear, mail_box
from tests.support.raw_server import RawServer
from tests.support.spine import Spine, open_spine, working

from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import Office
from headwater.store import runs

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOCAL = {"allow": ["127.0.0.0/8"]}


def manifest(*rules: dict[str, Any], schedules: list[dict[str, Any]] | None = None) -> str:
    source = {
        "name": "shop",
        "base_url": "https://api.example.com",
        "network": LOCAL,
        "streams": [{"name": "orders"}, {"name": "refunds"}],
    }
    return yaml.safe_dump(
        {"version": 1, "sources": [source], "schedules": schedules or [], "notifications": list(rules)}
    )


def callback(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "callback", "url": url, "network": LOCAL, **more}


async def settled(spine: Spine, count: int, state: str = "sent") -> list[Any]:
    await spine.until(
        "SELECT 1 FROM (SELECT count(*) AS n FROM notification WHERE state = $1) AS c WHERE n >= $2",
        state,
        count,
    )
    return await spine.fetch("SELECT * FROM notification WHERE state = $1 ORDER BY created_at", state)


async def test_a_failed_run_reaches_its_receiver_signed_so_that_the_standard_library_verifies_it(
    database: str,
) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        await spine.apply(
            manifest(
                {"name": "ops", "events": ["failed"], "target": callback(f"{ear.url}/hook", secret=SECRET)}
            )
        )
        async with working(spine, "timer", "notifier"):
            run_id = await run_ends(spine, "failed", error=("http_404", "GET /orders answered 404"))
            heard = (await ear.until(1))[0]
            rows = await settled(spine, 1)

    document = Webhook(SECRET).verify(heard.body, heard.headers)
    assert document == json.loads(heard.body)
    assert document["type"] == "run.failed"
    assert document["data"]["run"]["id"] == str(run_id)
    assert document["data"]["run"]["error"] == {"class": "http_404", "message": "GET /orders answered 404"}
    assert document["data"]["notification"] == "ops"
    assert document["data"]["links"] == {"run": f"https://hw.example.com/api/v1/runs/{run_id}"}
    assert "headwater runs show" in document["data"]["text"]
    assert heard.headers["webhook-id"] == str(rows[0]["id"])
    attempts = await _attempts(database, rows[0]["id"])
    assert [(row["number"], row["outcome"], row["status"], row["answer"]) for row in attempts] == [
        (1, "sent", 200, "ok")
    ]


async def _attempts(database: str, identifier: Any) -> list[Any]:
    async with open_spine(database) as spine:
        return await spine.fetch(
            "SELECT * FROM notification_attempt WHERE notification_id = $1 ORDER BY number", identifier
        )


async def test_a_message_that_comes_twice_is_told_once(database: str) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        await spine.apply(
            manifest({"name": "ops", "events": ["failed", "cancelled"], "target": callback(ear.url)})
        )
        async with working(spine, "timer", "notifier"):
            run_id = await run_ends(spine, "failed")
            await ear.until(1)
            async with spine.worker.transaction() as connection:
                row = await runs.get(connection, run_id)
                await runs._announce(connection, row)
            await run_ends(spine, "cancelled", ago_s=1)
            await ear.until(2)

    assert [json.loads(each.body)["type"] for each in ear.requests] == ["run.failed", "run.cancelled"]


async def test_recovered_is_the_first_success_after_failures_and_says_how_many(database: str) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        await spine.apply(manifest({"name": "ops", "events": ["recovered"], "target": callback(ear.url)}))
        async with working(spine, "timer", "notifier"):
            for ago_s, state in (
                (90, "succeeded"),
                (80, "failed"),
                (70, "failed"),
                (60, "succeeded"),
                (50, "succeeded"),
            ):
                await run_ends(spine, state, ago_s=ago_s)
            await run_ends(spine, "failed", ago_s=40, stream="refunds")
            await run_ends(spine, "succeeded", ago_s=30, stream="refunds")
            heard = await ear.until(2)

    told = [json.loads(each.body)["data"] for each in heard]
    assert sorted((each["stream"], each["run"]["failures_in_a_row"]) for each in told) == [
        ("shop.orders", 2),
        ("shop.refunds", 1),
    ]
    assert any("well again after 2 failures" in each["text"] for each in told)


async def test_filters_and_the_wishes_of_schedules_decide_who_is_told(database: str) -> None:
    schedules = [
        {"name": "nightly", "streams": ["shop.orders"], "cron": "0 2 * * *", "notify": ["owners"]},
        {
            "name": "hourly",
            "streams": ["shop.refunds"],
            "interval": "1h",
            "notify": [{"to": ["owners"], "events": ["succeeded"]}],
        },
        {"name": "other", "streams": ["shop.orders"], "interval": "1h"},
    ]
    async with open_spine(database) as spine, listening_ear() as ear:
        rules = [
            {"name": "owners", "events": ["failed"], "target": callback(f"{ear.url}/owners")},
            {
                "name": "refunds",
                "events": ["failed", "succeeded"],
                "streams": ["shop.ref*"],
                "target": callback(f"{ear.url}/refunds"),
            },
            {"name": "all", "events": ["failed"], "target": callback(f"{ear.url}/all")},
            {"name": "off", "enabled": False, "events": ["failed"], "target": callback(f"{ear.url}/off")},
        ]
        await spine.apply(manifest(*rules, schedules=schedules))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed", schedule="nightly")
            await run_ends(spine, "succeeded", schedule="hourly", stream="refunds", ago_s=1)
            await run_ends(spine, "failed", schedule="other", ago_s=2)
            await settled(spine, 5)

    told = sorted((each.path, json.loads(each.body)["data"]["schedule"]) for each in ear.requests)
    assert told == [
        ("/all", "nightly"),
        ("/all", "other"),
        ("/owners", "hourly"),
        ("/owners", "nightly"),
        ("/refunds", "hourly"),
    ]


async def test_a_schedules_own_callback_hears_of_every_end_and_may_reach_what_its_source_may(
    database: str,
) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        schedule = {
            "name": "nightly",
            "streams": ["shop.orders"],
            "cron": "0 2 * * *",
            "callback_url": f"{ear.url}/mine",
        }
        await spine.apply(manifest(schedules=[schedule]))
        async with spine.api.as_tenant("default") as connection:
            from headwater.store import config

            await config.put_secret(connection, spine.keyring, "default", "callback", Secret.of(SECRET))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "succeeded", schedule="nightly")
            await run_ends(spine, "failed", schedule="nightly", ago_s=-1)
            heard = await ear.until(2)

    assert [each.path for each in heard] == ["/mine", "/mine"]
    assert sorted(Webhook(SECRET).verify(each.body, each.headers)["type"] for each in heard) == [
        "run.failed",
        "run.succeeded",
    ]


async def test_a_target_that_fails_is_tried_again_by_the_table_and_in_the_end_dead_with_an_event(
    database: str,
) -> None:
    def broken(heard: Heard, number: int) -> web.StreamResponse:
        return web.Response(status=500, text="broken")

    async with open_spine(database) as spine, listening_ear(broken) as ear:
        await spine.apply(
            manifest({"name": "ops", "events": ["failed"], "target": callback(ear.url, secret=SECRET)})
        )
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed")
            waits = []
            for number in range(1, 9):
                await ear.until(number)
                row = await spine.until(
                    "SELECT n.*, extract(epoch FROM n.next_at - clock_timestamp())::float8 AS wait_s FROM notification n "
                    "WHERE EXISTS (SELECT 1 FROM notification_attempt a WHERE a.notification_id = n.id AND a.number = $1)",
                    number,
                )
                waits.append(row["wait_s"])
                await spine.worker.execute(
                    "UPDATE notification SET next_at = clock_timestamp() WHERE state = 'waiting'"
                )
            dead = await settled(spine, 1, "dead")
        events = [
            row["type"] for row in await spine.fetch("SELECT type FROM outbox WHERE type LIKE '%.dead'")
        ]
        depth = await spine.fetch("SELECT count(*) AS n FROM notification_attempt")

    assert waits[-1] is None
    assert [pytest.approx(wait, abs=5) for wait in (5, 300, 1800, 7200, 18000, 36000, 36000)] == waits[:-1]
    assert dead[0]["attempt_count"] == 8
    assert "500" in dead[0]["last_error"]
    assert depth[0]["n"] == 8
    assert len({each.headers["webhook-id"] for each in ear.requests}) == 1
    assert len({each.body for each in ear.requests}) == 1
    assert all(Webhook(SECRET).verify(each.body, each.headers) for each in ear.requests)
    assert events in ([], ["default.notification.ops.dead"])


async def test_retry_after_is_kept_and_a_target_that_is_gone_is_told_no_more(database: str) -> None:
    answers = [web.Response(status=429, headers={"Retry-After": "900"}), web.Response(status=410)]

    def gone(heard: Heard, number: int) -> web.StreamResponse:
        return answers[number - 1]

    async with open_spine(database) as spine, listening_ear(gone) as ear:
        await spine.apply(manifest({"name": "ops", "events": ["failed"], "target": callback(ear.url)}))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed")
            await ear.until(1)
            row = await spine.until(
                "SELECT next_at - clock_timestamp() AS wait FROM notification WHERE last_error IS NOT NULL"
            )
            wait = row["wait"]
            await spine.worker.execute("UPDATE notification SET next_at = clock_timestamp()")
            dead = await settled(spine, 1, "dead")
            await run_ends(spine, "failed", ago_s=1)
            await spine.until("SELECT 1 FROM (SELECT count(*) AS n FROM outbox) AS o WHERE n = 0")
        stops = await spine.fetch("SELECT reason FROM notification_stop")
        count = await spine.row("SELECT count(*) AS n FROM notification")

    assert timedelta(seconds=890) < wait < timedelta(seconds=901)
    assert "gone" in dead[0]["last_error"]
    assert [row["reason"] for row in stops] == ["the target says that it is gone (410)"]
    assert count["n"] == 1
    assert len(ear.requests) == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"}),
            "redirect: it answered with a redirect",
        ),
        (web.Response(status=307, headers={"Location": "/other"}), "redirect: it answered with a redirect"),
        (web.Response(body=b"x" * 2_000_000), "too_large"),
        (web.Response(status=503), "the target answered 503"),
    ],
)
async def test_hostile_answers_are_failures_that_say_why(
    database: str, answer: web.StreamResponse, why: str
) -> None:
    async with open_spine(database) as spine, listening_ear(lambda heard, number: answer) as ear:
        await spine.apply(manifest({"name": "ops", "events": ["failed"], "target": callback(ear.url)}))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed")
            row = await spine.until("SELECT state, last_error FROM notification WHERE last_error IS NOT NULL")

    assert row["state"] == "waiting"
    assert why in row["last_error"]
    assert len(ear.requests) == 1


async def test_private_addresses_are_refused_once_for_all_unless_the_target_allows_them(
    database: str,
) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        target = {"type": "callback", "url": ear.url}
        mail = {
            "type": "email",
            "to": "a@example.com",
            "from": "b@example.com",
            "smtp": "smtp://127.0.0.1:2525",
        }
        await spine.apply(manifest({"name": "ops", "events": ["failed"], "targets": [target, mail]}))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed")
            refused = await settled(spine, 2, "dead")
        stops = await spine.fetch("SELECT reason FROM notification_stop")

    assert ear.requests == []
    assert all("not public" in row["last_error"] for row in refused), refused
    assert [row["attempt_count"] for row in refused] == [1, 1]
    assert stops == []  # what is told after the mend goes out


async def test_a_slow_target_holds_up_no_other(database: str) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await reader.read()

    async with (
        open_spine(database) as spine,
        listening_ear() as ear,
        RawServer(keep_silent) as silent,
    ):
        rules = [
            {
                "name": "slow",
                "events": ["failed"],
                "target": callback(silent.url, timeout_s=3),
            },
            {"name": "swift", "events": ["failed"], "target": callback(ear.url)},
        ]
        await spine.apply(manifest(*rules))
        async with working(spine, "timer", "notifier"):
            for ago_s in range(30):
                await run_ends(spine, "failed", ago_s=ago_s)
            await ear.until(30, timeout_s=10)
            error = await spine.until(
                "SELECT last_error FROM notification WHERE rule = 'slow' AND last_error IS NOT NULL"
            )

    assert "timeout" in error["last_error"]


async def test_a_mail_that_is_put_off_goes_out_later_under_one_message_id(database: str) -> None:
    async with open_spine(database) as spine, mail_box() as box:
        box.refusals.append("451 4.7.1 come later")
        target = {
            "type": "email",
            "to": ["Operations <ops@example.com>", "night@example.com"],
            "from": "Headwater <hw@example.org>",
        }
        rule = {
            "name": "ops",
            "events": ["failed"],
            "target": target,
            "subject": "{stream}: {run.error.class}",
            "text": "Ä {run.id} {{x}}",
        }
        await spine.apply(manifest(rule))
        office = Office("https://hw.example.com", Secret.of(f"smtp://127.0.0.1:{box.port}"))
        async with working(spine, "timer", "notifier", office=office):
            run_id = await run_ends(spine, "failed", error=("http_404", "no\r\nBcc: evil@example.com"))
            row = await spine.until(
                "SELECT last_error, next_at FROM notification WHERE last_error IS NOT NULL"
            )
            await spine.worker.execute("UPDATE notification SET next_at = clock_timestamp()")
            sent = (await settled(spine, 1))[0]

    mail = box.mails[0]
    assert "come later" in row["last_error"]
    assert len(box.mails) == 1
    assert box.recipients == [["ops@example.com", "night@example.com"]]
    assert mail["Message-ID"] == f"<{sent['id']}@example.org>"
    assert mail["Subject"] == "shop.orders: http_404"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().strip() == f"Ä {run_id} {{x}}"


async def test_slack_and_teams_get_their_own_forms_in_which_nothing_comes_alive(database: str) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        targets = [
            {"type": "slack", "url": f"{ear.url}/slack/T0/B0/token", "network": LOCAL},
            {"type": "teams", "url": f"{ear.url}/teams?sig=token", "network": LOCAL},
        ]
        await spine.apply(manifest({"name": "chat", "events": ["failed"], "targets": targets}))
        async with working(spine, "timer", "notifier"):
            await run_ends(spine, "failed", error=("http_404", "<!channel> **bold** [x](http://evil)"))
            heard = {each.path.partition("?")[0]: json.loads(each.body) for each in await ear.until(2)}
            await settled(spine, 2)
        rows = await spine.fetch("SELECT address, definition FROM notification ORDER BY kind")

    slack, teams = heard["/slack/T0/B0/token"], heard["/teams"]
    assert slack["blocks"][0]["text"]["type"] == "plain_text"
    assert slack["blocks"][1]["text"]["type"] == "plain_text"
    assert "<!channel>" not in slack["text"]
    card = teams["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert card["content"]["type"] == "AdaptiveCard"
    assert r"\*\*bold\*\* \[x\](http://evil)" in card["content"]["body"][1]["text"]
    assert card["content"]["actions"][0]["type"] == "Action.OpenUrl"
    assert all("token" not in str(dict(row)) for row in rows), "the addresses are secrets"


async def test_what_happens_to_schedules_and_endpoints_is_told_from_the_commit_in_which_it_did(
    database: str,
) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        rule = {
            "name": "ops",
            "target": callback(ear.url),
            "events": ["auto_disabled", "expired", "silence", "silence_over", "dead_letter"],
        }
        schedules = [
            {"name": name, "streams": ["shop.orders"], "interval": "1h"} for name in ("nightly", "weekly")
        ]
        await spine.apply(
            manifest(rule, schedules=schedules) + "endpoints: [{name: hooks, scheme: github, secrets: [s]}]\n"
        )
        async with spine.worker.transaction() as connection:
            await connection.execute(
                "UPDATE schedule SET state = 'failed', state_reason = '5 failures' WHERE name = 'nightly'"
            )
            await connection.execute("UPDATE schedule SET state = 'expired' WHERE name = 'weekly'")
            await connection.execute("UPDATE schedule SET state_reason = 'still' WHERE name = 'nightly'")
            await connection.execute(
                "INSERT INTO endpoint_alarm VALUES ('default', 'hooks', 'silence', clock_timestamp(), '{\"limit_s\": 900}')"
            )
            await connection.execute("DELETE FROM endpoint_alarm")
            for number in range(3):
                await connection.execute(
                    "INSERT INTO dead_letter (id, tenant, queue, type, message_id, reason, body) "
                    "VALUES (gen_random_uuid(), 'default', 'q', 't', $1, 'poison', '')",
                    str(number),
                )
        async with working(spine, "timer", "notifier"):
            heard = await ear.until(5)
            await settled(spine, 5)
            await spine.until("SELECT 1 FROM (SELECT count(*) AS n FROM outbox) AS o WHERE n = 0")

    told = {each["type"]: each["data"] for each in (json.loads(each.body) for each in heard)}
    assert set(told) == {
        "schedule.auto_disabled",
        "schedule.expired",
        "endpoint.silence",
        "endpoint.silence_over",
        "tenant.dead_letter",
    }
    assert told["schedule.auto_disabled"]["why"] == "5 failures"
    assert "schedules enable nightly" in told["schedule.auto_disabled"]["text"]
    assert told["endpoint.silence"]["endpoint"] == "hooks"


async def test_a_run_that_takes_longer_than_its_habit_or_than_was_chosen_is_late_once(database: str) -> None:
    from headwater.notifier.late import look

    async with open_spine(database) as spine, listening_ear() as ear:
        rules = [
            {"name": "habit", "events": ["late"], "target": callback(f"{ear.url}/habit")},
            {"name": "soon", "events": ["late"], "late_after_s": 60, "target": callback(f"{ear.url}/soon")},
        ]
        await spine.apply(manifest(*rules))
        for stream, age in (("orders", "2 hours"), ("refunds", "5 minutes")):
            await spine.worker.execute(
                "INSERT INTO run (id, due_at, created_at, tenant, source, stream, trigger, state, progress_at, admitted_at) "
                "SELECT gen_random_uuid(), at, at, 'default', 'shop', $1, 'api', 'running', clock_timestamp(), at "
                "FROM (SELECT date_trunc('milliseconds', now() - $2::text::interval) AS at) AS a",
                stream,
                age,
            )
        async with spine.worker.transaction() as connection:
            first, again = await look(connection), await look(connection)
        async with working(spine, "notifier"):
            heard = await ear.until(3)

    assert (first, again) == (3, 0)
    told = sorted((each.path, json.loads(each.body)["data"]["stream"]) for each in heard)
    assert told == [("/habit", "shop.orders"), ("/soon", "shop.orders"), ("/soon", "shop.refunds")]
    assert "headwater runs cancel" in json.loads(heard[0].body)["data"]["next"]


async def test_a_schedule_without_a_success_for_longer_than_its_habit_is_silent_once(database: str) -> None:
    from headwater.notifier.late import look_for_silence

    async with open_spine(database) as spine, listening_ear() as ear:
        names = ("often", "seldom")
        schedules = [{"name": name, "streams": ["shop.orders"], "interval": "1h"} for name in names]
        rule = {"name": "ops", "events": ["silence"], "target": callback(ear.url)}
        await spine.apply(manifest(rule, schedules=schedules))
        for name, hours in zip(names, (1, 3), strict=True):
            await spine.worker.execute(
                "INSERT INTO run (id, due_at, tenant, source, stream, schedule, trigger, state, finished_at) "
                "SELECT gen_random_uuid(), at, 'default', 'shop', 'orders', $1, 'schedule', 'succeeded', at "
                "FROM (SELECT date_trunc('milliseconds', now() - make_interval(hours => 4 + n * $2)) AS at "
                "FROM generate_series(0, 4) AS n) AS a",
                name,
                hours,
            )
            await spine.worker.execute(
                "INSERT INTO schedule_record (tenant, schedule, last_success_at) VALUES ('default', $1, now() - interval '4 hours')",
                name,
            )
        async with spine.worker.transaction() as connection:
            first, again = await look_for_silence(connection), await look_for_silence(connection)
        async with working(spine, "notifier"):
            (heard,) = await ear.until(1)

    assert (first, again) == (1, 0)
    told = json.loads(heard.body)
    assert (told["type"], told["data"]["schedule"]) == ("schedule.silence", "often")
    assert "limit of 10800 s" in told["data"]["why"]


async def test_a_worker_that_dies_while_it_sends_leaves_the_notification_to_the_next_one(
    database: str,
) -> None:
    async with open_spine(database) as spine, listening_ear() as ear:
        await spine.apply(manifest({"name": "ops", "events": ["failed"], "target": callback(ear.url)}))
        await run_ends(spine, "failed")
        async with working(spine, "timer", "notifier"):
            await ear.until(1)
            await settled(spine, 1)
        await spine.worker.execute(
            "UPDATE notification SET state = 'waiting', settled_at = NULL, next_at = clock_timestamp() - interval '1 second'"
        )
        async with working(spine, "notifier"):
            await ear.until(2)
            sent = await settled(spine, 1)

    assert sent[0]["attempt_count"] == 2
    assert ear.requests[0].headers["webhook-id"] == ear.requests[1].headers["webhook-id"]


async def test_an_amqp_target_is_an_event_for_subscribers(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest({"name": "ops", "events": ["failed"], "target": {"type": "amqp"}}))
        await run_ends(spine, "failed")
        async with working(spine, "timer"):
            await spine.until("SELECT 1 FROM (SELECT count(*) AS n FROM outbox) AS o WHERE n = 0")
        async with working(spine, "notifier"):
            await settled(spine, 1)
        event = await spine.row("SELECT type, exchange, body FROM outbox")

    assert (event["type"], event["exchange"]) == ("default.notification.ops.failed", "headwater.events")
    assert json.loads(event["body"])["run"]["state"] == "failed"
