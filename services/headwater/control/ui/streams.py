"""Streams: what there is, how far each was read, and starting a run."""

from collections.abc import Mapping
from typing import Any, Final

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    code,
    facts,
    folded,
    json_block,
    link,
    moment,
    new_way,
    pager,
    quiet,
    section,
    table,
)
from headwater.control.ui.runs import run_table
from headwater.control.ui.sheet import ONCE, Sheet, json_object
from headwater.control.ui.visit import Given, View, Visit

MODES: Final = (
    ("auto", "auto: incremental where a cursor is defined, else full"),
    ("incremental", "incremental: what is new since the cursor"),
    ("full", "full: everything"),
    ("dry_run", "dry run: everything but the writing"),
)
_SOURCES: Final = 20  # on a page, each with all of its streams
_STREAMS: Final = 500
_RUNS: Final = 10


async def show_streams(visit: Visit) -> View:
    """By source."""
    sources = await visit.get("/sources", limit=_SOURCES, cursor=visit.query.get("cursor"))
    parts: list[Content] = []
    for source in sources["items"]:
        name = source["name"]
        streams = await visit.get("/sources/{source}/streams", {"source": name}, limit=_STREAMS)
        rows = [_row(visit, stream) for stream in streams["items"]]
        heads = ("Stream", "Table", "Mode", "Cursor", "Changed")
        parts.append(
            section(name, _base(visit, source), table(heads, rows, "This source has no streams yet."))
        )
    if not sources["items"]:
        parts.append(_none_yet())
    new = new_way(visit, "source", "sources")
    return View(
        "Streams", text((element("h1", "Streams"), new, parts, pager(visit, sources["next"]))), "streams"
    )


def _none_yet() -> Markup:
    return element(
        "p", "There is no source yet. Write a manifest with ", code("sources"), " and bring it into force: ",
        code("headwater apply FILE"), ".", class_="quiet",
    )  # fmt: skip


def _base(visit: Visit, source: Mapping[str, Any]) -> Markup:
    edit = link(visit.link("sources", source["name"], "edit"), "Edit …") if visit.may("write") else None
    return element("p", code(source["definition"].get("base_url", "")), " ", edit, class_="quiet")


def _row(visit: Visit, stream: Mapping[str, Any]) -> list[Content]:
    definition = stream["definition"]
    destination = definition.get("destination") or {}
    return [
        link(stream_link(visit, stream["name"]), stream["name"].partition(".")[2]),
        code(destination.get("table") or destination.get("to") or "–"),
        destination.get("mode", "append") if destination else quiet("only called"),
        _read_by(definition.get("incremental") or {}) or quiet("none"),
        moment(stream["updated_at"], visit.now),
    ]


def _read_by(rule: Mapping[str, Any]) -> str | None:
    return rule.get("field") or rule.get("token_path") or rule.get("token_header")


def stream_link(visit: Visit, name: str) -> str:
    """The page of `source.stream`."""
    source, _, stream = name.partition(".")
    return visit.link("streams", source, stream)


async def show_stream(visit: Visit) -> View:
    """One stream: its cursor, its last runs, its definition, and the form that starts a run."""
    at = {"source": visit.path["source"], "stream": visit.path["stream"]}
    stream = await visit.get("/sources/{source}/streams/{stream}", at)
    cursor = await visit.get("/sources/{source}/streams/{stream}/cursor", at)
    runs = await visit.get("/runs", stream=stream["name"], limit=_RUNS)
    all_runs = link(visit.link("runs", stream=stream["name"]), "All its runs")
    body = text(
        (
            element("h1", stream["name"]),
            section("Start a run", start_form(visit)) if visit.may("run") else None,
            section("Cursor", _cursor(visit, cursor)),
            section(
                "Last runs", run_table(visit, runs["items"], "It has not run yet."), element("p", all_runs)
            ),
            section(
                "Definition",
                facts(
                    ("version", code(stream["version"])), ("changed", moment(stream["updated_at"], visit.now))
                ),
                folded("Show", json_block(stream["definition"])),
                element("p", link(visit.link("sources", at["source"], "edit"), "Edit its source …"))
                if visit.may("write")
                else None,
            ),
        )
    )
    return View(stream["name"], body, "streams")


def start_form(visit: Visit) -> Markup:
    """Sent twice it starts once."""
    sheet = Sheet(visit, "start")
    return sheet.whole(
        "Start",
        sheet.choice("mode", "Mode", MODES, "auto"),
        sheet.check(
            "force",
            "Rebuild the table (force)",
            hint="With mode full: the table is replaced by what the run brings.",
        ),
        sheet.area("parameters", "Parameters", hint="A JSON object; empty for none.", rows=3),
        look="main",
        once=True,
    )


async def start(visit: Visit, given: Given) -> str:
    """Start a run, and go to its page."""
    body = {
        "stream": "{source}.{stream}".format_map(visit.path),
        "mode": given.get("mode", "auto"),
        "force": given.get("force") == "yes",
        "parameters": json_object(given, "parameters"),
    }
    started = await visit.post("/runs", body=body, key=given.get(ONCE))
    return visit.link("runs", started["id"], done="started")


def _cursor(visit: Visit, cursor: Mapping[str, Any]) -> Markup:
    if not cursor["version"] and cursor["value"] is None and not cursor["parents"]:
        return element("p", "No complete incremental walk has set it yet.", class_="quiet")
    run = cursor["run_id"]
    gaps = [element("div", f"{gap['from']} – {gap['to']} ({gap['why']})") for gap in cursor["gaps"]]
    return facts(
        ("value", None if cursor["value"] is None else code(str(cursor["value"]))),
        ("record", cursor["record_id"]),
        ("read", None if cursor["synced_at"] is None else moment(cursor["synced_at"], visit.now)),
        ("by run", None if run is None else link(visit.link("runs", run), str(run))),
        ("parents", f"{cursor['parents']} with a cursor of their own" if cursor["parents"] else None),
        ("gaps", gaps or None),
    )
