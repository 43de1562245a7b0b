"""What the pages of configuration are made of: the text that is read, what is wrong in it, and its plan."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from headwater.contracts.manifest_text import Document, read_document
from headwater.contracts.problem import ManifestError
from headwater.control.export import as_yaml
from headwater.control.problems import Fault, Refusal, invalid, manifest_faults
from headwater.control.ui.markup import NOTHING, Content, Markup, element, text
from headwater.control.ui.parts import badge, block, code, folded, note, quiet, table
from headwater.control.ui.visit import Visit

_EXAMPLES: Final[Mapping[str, str]] = {
    "sources": """\
name: shop
base_url: https://api.example.com/v2
auth: {type: bearer, token: "${secret:shop-token}"}
streams:
  - name: orders
    request: {path: /orders}
    pagination: {type: cursor, cursor_param: after, cursor_path: meta.next}
    records: {path: data}
    destination: {table: orders, mode: merge, key: id}
""",
    "destinations": """\
name: warehouse
kind: postgres
url: ${secret:warehouse-url}
schema: public
""",
    "schedules": """\
name: nightly
streams: [shop.orders]
cron: "30 2 * * *"
timezone: Europe/Berlin
""",
    "calendars": """\
name: closed
description: Days on which nobody works
dates: [2027-01-04]
yearly: ["12-24..12-26", easter+1]
on_excluded: next
""",
    "endpoints": """\
name: payments
scheme: stripe
secrets: ["${secret:stripe-signing}"]
destination: {table: payments, mode: merge, key: id}
""",
    "notifications": """\
name: ops
events: [failed, recovered, auto_disabled]
target: {type: slack, url: "${secret:ops-slack}"}
""",
}
_ACTIONS: Final[Mapping[str, str]] = {"create": "is made", "change": "changes", "keep": "stays as it is"}


def example(part: str) -> str:
    """The text to begin with."""
    return _EXAMPLES[part]


async def read_part(visit: Visit, written: str, part: str, name: str | None) -> Document:
    """The values of the text with their places; named `name`, where that is given. Raises: Refusal 422."""
    try:
        async with visit.desk.parsing:
            document = await asyncio.to_thread(read_document, written, "text", None)
    except ManifestError as error:
        raise invalid("The text cannot be read", manifest_faults(error.problems)) from error
    problem = None
    value = document.value
    if not isinstance(value, dict):
        problem = document.problem((), "is no mapping", "begin with `name:`")
    elif "version" in value and isinstance(value.get(part), list):
        what = "is a whole manifest, and here stands one part of it"
        problem = document.problem(
            (), what, f"leave what one entry of `{part}` holds, beginning with `name:`"
        )
    elif name is not None and value.get("name", name) != name:
        what, mend = "is not the name that it has", f"write {name} again; under another name make a new one"
        problem = document.problem(("name",), what, mend)
    if problem is not None:
        raise invalid("The text cannot be applied", manifest_faults([problem]))
    return document


def problem_parts(refusal: Refusal, written: str) -> Markup:
    """What is wrong: where, what, how to mend it; and the text with its lines."""
    lines = written.splitlines()
    faults = sorted(refusal.faults, key=lambda fault: (fault.get("line", 0), fault.get("column", 0)))
    items = [element("li", _problem(fault, lines), class_="fault") for fault in faults]
    count = len(items)
    why = (
        refusal.detail
        if not items
        else f"{refusal.detail}: {count} {'thing' if count == 1 else 'things'} to mend."
    )
    said = element(
        "div", element("p", why), element("p", "Nothing was written."), class_="note bad", role="alert"
    )
    return text((said, element("ol", items) if items else NOTHING, _numbered(lines) if items else NOTHING))


def _problem(fault: Fault, lines: Sequence[str]) -> Content:
    line, column = fault.get("line"), fault.get("column")
    what, mend = str(fault.get("what") or fault["detail"]), fault.get("mend")
    head: list[Content] = [element("b", f"line {line}, column {column}")] if line else []
    if fault.get("pointer"):
        head += [" ", code(str(fault["pointer"]))]
    shown = lines[line - 1].strip() if isinstance(line, int) and 0 < line <= len(lines) else ""
    return (
        element("div", head),
        element("div", quiet(code(shown[:120]))) if shown else NOTHING,
        element("div", what),
        element("div", quiet("Mend: "), str(mend)) if mend else NOTHING,
    )


def _numbered(lines: Sequence[str]) -> Markup:
    width = len(str(len(lines)))
    return folded(
        "The text with its lines",
        block("\n".join(f"{i:>{width}}  {line}" for i, line in enumerate(lines, 1))),
    )


def plan_parts(change: Mapping[str, Any], doubts: Sequence[Fault], written: str, said: str) -> Markup:
    """What would change, and what is likely not meant so."""
    lines = written.splitlines()
    warnings = [element("li", _problem(fault, lines)) for fault in doubts]
    return text(
        (
            element("h2", "Plan"),
            note(said) if said else NOTHING,
            element("p", element("b", change["name"]), " ", _ACTIONS[change["action"]], ".", role="status"),
            _differences(change["differences"]),
            (element("h2", "Likely not meant so"), element("ol", warnings)) if warnings else NOTHING,
        )
    )


def _differences(differences: Iterable[Mapping[str, Any]]) -> Markup:
    rows = [
        (code(each["pointer"] or "/"), badge(_what(each)), _value(each["before"]), _value(each["after"]))
        for each in differences
    ]
    return table(("Place", "", "Now", "Then"), rows, "") if rows else NOTHING


def _what(difference: Mapping[str, Any]) -> str:
    if difference["before"] is None:
        return "new"
    return "gone" if difference["after"] is None else "changed"


def _value(value: Any) -> Content:
    if value is None:
        return quiet("–")
    if isinstance(value, Mapping | list):
        return block(as_yaml(value).decode().rstrip("\n"))
    return code(str(value))
