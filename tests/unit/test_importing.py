"""Crontabs and Kubernetes CronJobs as manifests."""

from typing import Any

import pytest
import yaml

from headwater.cli.cronjobs import read_cronjobs
from headwater.cli.crontab import read_crontab
from headwater.cli.foreign import manifest_of
from headwater.cli.importing import as_yaml
from headwater.contracts.manifest import Manifest
from headwater.model.errors import ConfigError

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


LISTED = """apiVersion: v1
kind: List
items:
- {apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: "? 3 * * *"}}
- {apiVersion: batch/v1, kind: CronJob, metadata: {name: b}, spec: {schedule: "0 3 * * *", timeZone: Nowhere/X}}
- {apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {schedule: "0 4 * * *"}}
"""


def test_jobs_of_a_list_are_told_by_their_own_lines() -> None:
    schedules, notes = taken(read_cronjobs(LISTED, timezone=None))

    assert {name: each["cron"] for name, each in schedules.items()} == {"a": "* 3 * * *", "c": "0 4 * * *"}
    assert "b was not taken: timeZone" in notes[5]


def test_documents_without_content_are_passed_over_and_lines_still_hold() -> None:
    job = "kind: CronJob\nmetadata: {name: a}\nspec: {schedule: 0 3 * * *}\n"
    schedules, notes = taken(
        read_cronjobs(f"---\n---\n{job}---\n# nothing\n---\nkind: Service\n", timezone=None)
    )

    assert list(schedules) == ["a"]
    assert "a Service is no CronJob" in notes[9]


def test_an_image_that_is_curl_is_asked_as_curl() -> None:
    container = "{image: 'curlimages/curl:8.1', args: [-sS, 'https://api.example.com/x?y=1']}"
    spec = f"{{schedule: 0 3 * * *, jobTemplate: {{spec: {{template: {{spec: {{containers: [{container}]}}}}}}}}}}"
    schedules, _ = taken(
        read_cronjobs(f"kind: CronJob\nmetadata: {{name: a}}\nspec: {spec}\n", timezone=None)
    )

    assert schedules["a"]["streams"] == ["api-example-com.a"]


def test_a_crontab_without_a_zone_says_so_and_one_with_a_wrong_zone_what_is_kept() -> None:
    text = "# about the file\nPATH=/bin\n0 3 * * * a\n0 4 * * * b\nCRON_TZ=Mars/Olympus\n0 5 * * * c\n"
    jobs, found = read_crontab(text, timezone=None, has_users=None)

    notes = {note.line: note.text for note in found}
    assert "times are UTC; --timezone" in notes[3]
    assert "no IANA time zone" in notes[5]
    assert notes[5].endswith("the lines below keep UTC")
    assert [(job.name, job.words["description"]) for job in jobs] == [
        ("a", "was a"),
        ("b", "was b"),
        ("c", "was c"),
    ]


def test_what_several_schedules_share_is_written_out_in_each() -> None:
    jobs, notes = read_cronjobs(LISTED, timezone=None)
    made = manifest_of(jobs, notes, source="x", base_url="https://x.org", tenant="default", applies=False)

    assert "&id" not in as_yaml(made, [])


FILLED_IN = r"""0 3 * * * wget -qO- "https://z.example.com/at/$(date +\%s)"
0 4 * * * curl -H "X-Day: ${DAY}" https://z.example.com/b
0 5 * * * curl 'https://z.example.com/c?$filter=new'
"""


def test_what_a_shell_fills_in_is_told_and_not_enabled_by_itself() -> None:
    jobs, notes = read_crontab(FILLED_IN, timezone="UTC", has_users=None)
    made = manifest_of(
        jobs, notes, source="imported", base_url="https://x.org", tenant="default", applies=True
    )

    assert [each.get("enabled", True) for each in made["schedules"]] == [False, False, True]
    told = {note.line: note.text for note in notes}
    assert "`$(…` is filled in by a shell" in told[1]
    assert "`${…` is filled in by a shell" in told[2]
    assert 3 not in told


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("kind: CronJob\nmetadata:\n  name: {{ .Release.Name }}-sync\n", 3),
        ("{{- if .Values.sync.enabled }}\nkind: CronJob\n{{- end }}\n", 1),
        ('kind: CronJob\nmetadata: {name: a}\nspec: {schedule: "{{ .Values.schedule }}"}\n', 1),
        ('kind: CronJob\nspec: {schedule: "0 2 * * *", timeZone: "{{ .Values.zone }}"}\n', 1),
    ],
)
def test_a_helm_template_is_called_one_with_the_way_to_render_it(template: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"line {line}: this is a Helm template \(.*helm template RELEASE"):
        read_cronjobs(template, timezone=None)


def test_braces_in_a_command_are_no_template() -> None:
    command = """[docker, ps, --format, "{{.Names}}"]"""
    jobs, _ = read_cronjobs(
        CRONJOB.replace('[curl, "https://api.example.com/hello"]', command), timezone=None
    )

    assert jobs[0].command == "docker ps --format {{.Names}}"
