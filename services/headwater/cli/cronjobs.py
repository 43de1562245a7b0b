"""Kubernetes CronJobs as schedules. Source: the API reference of batch/v1, CronJobSpec."""

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import yaml

from headwater.cli.crontab import times_of
from headwater.cli.foreign import Foreign, Note, request_of, slug
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError, find_zone, short_text

_OVERLAPS: Mapping[str, Any] = {"Forbid": "skip", "Replace": "cancel_other", "Allow": {"allow": 100}}
_ZONED = re.compile(r"^(?:CRON_)?TZ=(\S+)\s+(.*)$")
_LEAST_WINDOW_S = 60
_TEMPLATE = re.compile(r"\{\{[^\n]*?(?:\}\}|$)", re.MULTILINE)


def read_cronjobs(text: str, *, timezone: str | None) -> tuple[list[Foreign], list[Note]]:
    """The CronJobs of a YAML text (several documents, or a List), and notes on what was not taken."""
    jobs: list[Foreign] = []
    notes: list[Note] = []
    for line, document in _documents(text):
        kind = document.get("kind")
        if kind == "CronJob":
            job = _job(line, document, timezone, notes)
            if job is not None:
                jobs.append(job)
        else:
            notes.append(Note(line, f"a {str(kind)[:40]} is no CronJob and was not taken"))
    return jobs, notes


def _documents(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        read = list(_read(text))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        if template := _TEMPLATE.search(text):
            raise _unrendered(text.count("\n", 0, template.start()) + 1, template[0]) from error
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ConfigError(f"{where}this is not YAML; check indentation and colons there") from error
    for node, value in read:
        line = node.start_mark.line + 1
        if not isinstance(value, Mapping):
            raise ConfigError(f"line {line}: this is no Kubernetes object")
        if str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
            listed: list[Any] = next((part.value for name, part in node.value if name.value == "items"), [])
            for place, item in zip_longest(listed, value["items"]):
                if isinstance(item, Mapping):
                    yield place.start_mark.line + 1 if place else line, {"kind": "CronJob", **item}
        else:
            yield line, value


def _unrendered(line: int, template: str) -> ConfigError:
    return ConfigError(
        f"line {line}: this is a Helm template ({template[:60]}), which says nothing before it is rendered: "
        "`helm template RELEASE CHART | headwater import cronjob -`"
    )


def _read(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """The documents that hold something, with their places."""
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if node is not None and value is not None:
                yield node, value
    finally:
        loader.dispose()


def _job(line: int, document: Mapping[str, Any], timezone: str | None, notes: list[Note]) -> Foreign | None:
    name = slug(str(_in(document, "metadata", "name") or "cronjob"))
    spec = document.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("schedule"), str):
        notes.append(Note(line, f"{name} was not taken: it has no `spec.schedule`"))
        return None
    text, zone = spec["schedule"].strip(), spec.get("timeZone") or timezone
    for told in (text, str(zone or "")):
        if template := _TEMPLATE.search(told):  # in quotes it is YAML
            raise _unrendered(line, template[0])
    if prefixed := _ZONED.match(text):
        zone, text = prefixed[1], prefixed[2]
    text = " ".join(
        "*" if word == "?" else word for word in text.split()
    )  # robfig/cron: ? is * in every field
    before = len(notes)
    words = times_of(text, line, notes)
    if words is None:
        notes[before:] = [Note(line, f"{name}: {note.text}") for note in notes[before:]]
        return None
    try:
        find_zone(str(zone or "UTC"))
    except ScheduleError as error:
        notes.append(Note(line, f"{name} was not taken: timeZone: {error.cause}; {error.mend}"))
        return None
    if zone not in (None, "UTC", "Etc/UTC"):
        words["timezone"] = str(zone)
    if spec.get("suspend") is True:
        words["enabled"] = False
    _take_policies(line, name, spec, words, notes)
    command = _command(spec)
    return Foreign(
        line, name, words, " ".join(command) or "container", request_of(command) if command else None
    )


def _take_policies(
    line: int, name: str, spec: Mapping[str, Any], words: dict[str, Any], notes: list[Note]
) -> None:
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy in _OVERLAPS:
        words["overlap"] = _OVERLAPS[policy]
    else:
        notes.append(
            Note(line, f"{name}: concurrencyPolicy {str(policy)[:40]!r} is none of Allow, Forbid, Replace")
        )
    deadline = spec.get("startingDeadlineSeconds")
    if isinstance(deadline, int) and not isinstance(deadline, bool):
        words["catch_up"] = {"kind": "latest", "window": short_text(max(deadline, _LEAST_WINDOW_S))}
        if deadline < _LEAST_WINDOW_S:
            notes.append(
                Note(line, f"{name}: startingDeadlineSeconds {deadline} became the least, {_LEAST_WINDOW_S}")
            )
    job = _in(spec, "jobTemplate", "spec") or {}
    if isinstance(job, Mapping):
        if isinstance(limit := job.get("backoffLimit"), int) and limit > 0:
            words["retries"] = {
                "max": min(limit, 100),
                "delay": "10s",
                "backoff": "exponential",
                "max_delay": "6m",
            }
        if isinstance(seconds := job.get("activeDeadlineSeconds"), int) and seconds > 0:
            words["timeout_s"] = min(seconds, 604_800)


def _command(spec: Mapping[str, Any]) -> list[str]:
    containers = _in(spec, "jobTemplate", "spec", "template", "spec", "containers")
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], Mapping):
        return []
    first = containers[0]
    image = str(first.get("image", "")).rsplit("/", 1)[-1].partition(":")[0]
    entry = ["curl"] if image == "curl" else []  # what curlimages/curl runs where no command is given
    words = [*(first.get("command") or entry), *(first.get("args") or [])]
    return [str(word) for word in words] or [str(first.get("image", ""))]


def _in(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
