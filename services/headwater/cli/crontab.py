"""Crontabs: a user's (five fields and a command) and the system's (a user before the command).

Source: crontab(5) of Vixie cron and cronie: aliases, `CRON_TZ`, `~` ranges, `%` as end of the command, and day fields
that begin with `*`.
"""

import re
from typing import Any

from headwater.cli.foreign import Foreign, Note, name_of_command, request_of
from headwater.model.cron_parse import parse_cron
from headwater.model.schedule import ScheduleError, find_zone

_SETTING = re.compile(r"\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?\s*=\s*(.*?)\s*$")
_TIMES = re.compile(r"\s*((?:@\S+)|(?:\S+\s+){4}\S+)(?:\s+(.*))?$")
_USER = re.compile(r"([a-z_][a-z0-9_.-]*\$?)\s+(\S.*)$")
_KNOWN_USERS = frozenset(
    {"root", "www-data", "nobody", "daemon", "postgres", "ubuntu", "admin", "logcheck", "munin"}
)
_SILENT = frozenset({"SHELL", "PATH", "HOME", "LOGNAME", "USER", "LANG", "LC_ALL"})
_SPAN = re.compile(r"(?<![0-9])([0-9]*)~([0-9]*)")


def read_crontab(
    text: str, *, timezone: str | None, has_users: bool | None
) -> tuple[list[Foreign], list[Note]]:
    """The jobs of a crontab, and notes on what was not taken. `has_users` None: by the look of the lines."""
    lines = text.replace("\r\n", "\n").split("\n")
    with_users = _names_users(lines) if has_users is None else has_users
    jobs: list[Foreign] = []
    notes: list[Note] = []
    zone, comment, says_zone = timezone, "", False
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            comment = stripped.lstrip("# ").strip() if stripped else ""
            continue
        if setting := _SETTING.fullmatch(line):
            comment = ""
            zone = _setting(setting[1], setting[2].strip("\"'"), zone, number, notes)
            continue
        job = _job(stripped, number, zone, comment, notes, with_users=with_users)
        comment = ""
        if job is not None:
            jobs.append(job)
            if zone is None and "cron" in job.words and not says_zone:
                notes.append(
                    Note(number, "no zone is given: times are UTC; --timezone says which clock is meant")
                )
                says_zone = True
    return jobs, notes


def _names_users(lines: list[str]) -> bool:
    """Whether every job's command begins with a known user and goes on behind it."""
    rests = [
        found[2] or ""
        for line in lines
        if line.strip()
        and not line.strip().startswith("#")
        and not _SETTING.fullmatch(line)
        and (found := _TIMES.match(line))
    ]
    users = [found[1] for rest in rests if (found := _USER.match(rest))]
    return bool(rests) and len(users) == len(rests) and any(user in _KNOWN_USERS for user in users)


def _setting(name: str, value: str, zone: str | None, number: int, notes: list[Note]) -> str | None:
    if name in {"CRON_TZ", "TZ"}:
        try:
            find_zone(value)
        except ScheduleError as error:
            kept = f"the lines below keep {zone or 'UTC'}"
            notes.append(Note(number, f"{name}: {error.cause}; {error.mend}; {kept}"))
            return zone
        return value
    if name == "MAILTO" and value:
        notes.append(Note(number, f"mail to {value}: give the schedules a `notify`"))
    elif name not in _SILENT and name != "MAILTO":
        notes.append(Note(number, f"the variable {name} is not taken: use `parameters`"))
    return zone


def _job(
    line: str, number: int, zone: str | None, comment: str, notes: list[Note], *, with_users: bool
) -> Foreign | None:
    found = _TIMES.match(line)
    if found is None or not found[2]:
        notes.append(Note(number, f"`{line[:60]}` was not taken: it has no five time fields and a command"))
        return None
    command, user = found[2], ""
    if with_users:
        if (named := _USER.match(command)) is None:
            notes.append(Note(number, f"`{line[:60]}` was not taken: it names no user before its command"))
            return None
        user, command = named[1], named[2]
    command = re.split(r"(?<!\\)%", command, maxsplit=1)[0].replace("\\%", "%").strip()
    words = times_of(found[1], number, notes)
    if words is None:
        return None
    if zone not in (None, "UTC"):
        words["timezone"] = zone
    about = comment or f"was {command.split()[0].rsplit('/', 1)[-1]}"  # a whole command may hold secrets
    words["description"] = (about + (f" (user {user})" if user and user != "root" else ""))[:500]
    return Foreign(number, name_of_command(command), words, command, request_of(command))


def times_of(text: str, number: int, notes: list[Note]) -> dict[str, Any] | None:
    """The manifest's words for the times of a line; None with a note for what cannot be kept."""
    plain = " ".join(text.split())
    if plain.lower().startswith("@every "):
        return {"interval": plain.split(" ", 1)[1]}
    plain = _SPAN.sub(_drawn, plain)
    try:
        cron = parse_cron(plain)
    except ScheduleError as error:
        notes.append(Note(number, f"`{text}` was not taken: {error.cause}; {error.mend}"))
        return None
    words: dict[str, Any] = {"cron": plain}
    month_day, weekday = cron.items[3], cron.items[5]
    if (
        cron.days.by_month_day
        and cron.days.by_weekday
        and (month_day.startswith("*") or weekday.startswith("*"))
    ):
        words["day_match"] = "all"  # Vixie cron: a day field that begins with * narrows the other one
    return words


def _drawn(found: re.Match[str]) -> str:
    """Cronie's a~b draws a value between; without an end it is the field's."""
    return f"H({found[1]}-{found[2]})" if found[1] and found[2] else "H"
