"""Crontabs and Kubernetes CronJobs as manifests."""

from typing import Any

import yaml

from headwater.cli.cronjobs import read_cronjobs
from headwater.cli.crontab import read_crontab
from headwater.cli.foreign import manifest_of
from headwater.contracts.manifest import Manifest

CRONTAB = r"""# m h dom mon dow command
SHELL=/bin/bash
MAILTO=ops@example.com
CRON_TZ=Europe/Berlin

# nightly backup
0 2 * * * /usr/local/bin/backup.sh --full > /dev/null 2>&1
*/15 9-17 * * 1-5 curl -s -X POST -H 'Authorization: Bearer x' -d '{"a":1}' "https://api.example.com/v1/sync?full=1"
@daily wget -qO- https://api.example.com/daily
@reboot /bin/foo
*/90 * * * * /bin/bar
0 0 */2 * 1 /bin/both
5 4 * *
0~59 3 * * * echo 10\% of%standard input
"""
SYSTEM = """17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly
25 6\t* * *\twww-data\t/usr/bin/php -f /srv/cron.php
"""


def taken(found: Any) -> tuple[dict[str, dict[str, Any]], dict[int, str]]:
    jobs, notes = found
    made = manifest_of(
        jobs, notes, source="imported", base_url="https://x.org", tenant="default", applies=False
    )
    Manifest.model_validate(yaml.safe_load(yaml.safe_dump(made)))
    return {each["name"]: each for each in made["schedules"]}, {note.line: note.text for note in notes}


def test_a_users_crontab_becomes_schedules_with_a_note_for_each_line_that_cannot_be_taken() -> None:
    schedules, notes = taken(read_crontab(CRONTAB, timezone=None, has_users=None))

    assert [(each["cron"], each.get("day_match")) for each in schedules.values()] == [
        ("0 2 * * *", None),
        ("*/15 9-17 * * 1-5", None),
        ("@daily", None),
        ("0 0 */2 * 1", "all"),
        ("H(0-59) 3 * * *", None),
    ]
    assert {each["timezone"] for each in schedules.values()} == {"Europe/Berlin"}
    assert schedules["backup"]["description"] == "nightly backup"
    assert sorted(notes) == [3, 7, 8, 10, 11, 12, 13, 14]
    assert "use interval 90m" in notes[11]
    assert "Bearer" not in str(schedules) + str(notes)


def test_a_system_crontab_names_a_user_before_each_command() -> None:
    schedules, _ = taken(read_crontab(SYSTEM, timezone="Europe/Paris", has_users=None))

    assert [each["cron"] for each in schedules.values()] == ["17 * * * *", "25 6 * * *"]
    assert list(schedules)[1] == "cron"
    assert {each["timezone"] for each in schedules.values()} == {"Europe/Paris"}


CRONJOB = """apiVersion: batch/v1
kind: CronJob
metadata: {name: hello}
spec:
  schedule: "30 6 * * 1-5"
  timeZone: America/New_York
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 200
  suspend: true
  jobTemplate:
    spec:
      backoffLimit: 4
      activeDeadlineSeconds: 600
      template: {spec: {containers: [{name: c, image: curl, command: [curl, "https://api.example.com/hello"]}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: bad}, spec: {schedule: "99 * * * *"}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: often}, spec: {schedule: "@every 1h", concurrencyPolicy: Replace}}
"""


def test_a_cronjob_keeps_zone_policy_deadline_and_suspension() -> None:
    schedules, notes = taken(read_cronjobs(CRONJOB, timezone=None))

    assert schedules["hello"] == {
        "name": "hello",
        "streams": ["api-example-com.hello"],
        "cron": "30 6 * * 1-5",
        "timezone": "America/New_York",
        "enabled": False,
        "overlap": "skip",
        "catch_up": {"kind": "latest", "window": "3m20s"},
        "retries": {"max": 4, "delay": "10s", "backoff": "exponential", "max_delay": "6m"},
        "timeout_s": 600,
    }
    assert (schedules["often"]["interval"], schedules["often"]["overlap"]) == ("1h", "cancel_other")
    assert "99 is outside 0 to 59" in " ".join(notes.values())
    assert "ConfigMap" in " ".join(notes.values())
