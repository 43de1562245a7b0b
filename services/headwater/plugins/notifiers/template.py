"""Templates of subjects and texts: `{run.state}` stands for a fact, `{{` for a brace; nothing is ever computed."""

import re
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 20_000
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")
_NAME = re.compile(r"[a-z_]+(?:\.[a-z0-9_]+){0,3}")
_PLAIN = frozenset(
    (
        "id", "type", "event", "at", "tenant", "subject", "schedule", "stream", "endpoint", "what", "where", "why",
        "next", "detail", "links", "run",
    )
)  # fmt: skip
_OF_RUN = frozenset(
    (
        "id", "stream", "schedule", "state", "due_at", "attempt", "trigger", "mode", "stop_reason", "warnings",
        "counts", "error", "started_at", "finished_at", "failures_in_a_row",
    )
)  # fmt: skip
_BELOW: Mapping[str, frozenset[str]] = {"run": _OF_RUN}


def faults_of(template: str) -> list[str]:
    """What is wrong with a template; empty when it can be used."""
    found = []
    for match in _PIECE.finditer(template):
        name = match[1]
        if name is None:
            if match[0] in "{}":
                found.append(f"character {match.start() + 1}: a single brace; write it twice")
            continue
        root, _, rest = name.partition(".")
        known = root in _PLAIN and (not rest or root not in _BELOW or rest.split(".")[0] in _BELOW[root])
        if not _NAME.fullmatch(name) or not known:
            found.append(f"character {match.start() + 1}: there is no {{{name[:60]}}}")
    return found


def render(template: str, facts: Mapping[str, Any]) -> str:
    """`template` with the facts in their places; what is not there is `-`."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        return _text(_look_up(facts, match[1]))

    return _PIECE.sub(value_of, template)[:MAX_CHARACTERS]


def _look_up(facts: Any, name: str) -> Any:
    value = facts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "-"
    return str(value)
