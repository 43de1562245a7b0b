"""What must hold when a simulation has come to rest: DESIGN.md §2.13 and §4, held against what the outside knows.

The outside knows what the API answered (each answer has a number, which records of append streams carry), what was
asked for, which webhooks were promised to be kept, and what rows went through (triggers of the simulation note every
state of a run and every move of a cursor).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.simulation_api import Served, is_good
from tests.support.simulation_plan import INCREMENTAL, SCHEDULE_STREAMS, SCHEDULES, STREAMS
from tests.support.simulation_time import TELL_S
from tests.support.simulation_world import World

from headwater.bus.topology import DEAD_QUEUE
from headwater.model.ids import derive_id, time_of
from headwater.model.run import TRANSITIONS, RunState, StopReason
from headwater.store.runs import COUNTS, NewRun

Row = dict[str, Any]
CLOCK_LAG = timedelta(seconds=2 * TELL_S)  # of the database's clock
_KEPT = frozenset({"succeeded", "partial"})
_CHANGED = "page_changed"
_BUSY = frozenset({"rate_limited", "http_429", "http_503"})
_BROKEN = frozenset({"http_500", "cut_body", "timeout", "network"})
_REFUSED = frozenset({"http_404", "http_410", "unauthorized", "token_refused"})


@dataclass(slots=True)
class Seen:
    """Everything that is left, read once."""

    world: World
    runs: dict[UUID, Row]
    pages: dict[tuple[UUID, int], list[Row]]
    walks: dict[tuple[UUID, int], Row]
    rejected: Counter[tuple[UUID, int, int]]
    tables: dict[str, list[Row]]
    run_log: list[Row]
    cursor_log: list[Row]
    cursors: dict[str, Any]
    deliveries: list[Row]
    duplicates: list[Row]
    residue: list[Row]
    left: dict[str, int]
    payloads: list[Row]


async def judge(world: World) -> list[str]:
    """What is wrong, in words; empty when everything holds."""
    seen = await _look(world)
    checks = (
        _runs_exist, _one_final_state, _announced, _explained, _counted, _chained, _only_kept_rows, _merged, _complete,
        _cursors, _nothing_left, _deliveries, _delivered_rows, _dead_letters,
    )  # fmt: skip
    return [f"{check.__name__.strip('_')}: {fault}" for check in checks for fault in check(seen)]


async def _look(world: World) -> Seen:
    fetch = world.simulation.fetch
    pages = defaultdict(list)
    for row in await fetch("SELECT * FROM headwater.page ORDER BY run_id, attempt, walk, number"):
        pages[row["run_id"], row["attempt"]].append(row)
    counts = await fetch(
        "SELECT (SELECT count(*) FROM headwater.outbox) AS outbox, (SELECT count(*) FROM headwater.stream_slot) AS stream_slot,"
        " (SELECT count(*) FROM headwater.dead_letter) AS dead_letter"
    )
    return Seen(
        world=world,
        runs={row["id"]: row for row in await fetch("SELECT * FROM headwater.run")},
        pages=pages,
        walks={(row["run_id"], row["attempt"]): row for row in await fetch("SELECT * FROM headwater.walk")},
        rejected=Counter(
            (row["run_id"], row["attempt"], row["page"])
            for row in await fetch("SELECT run_id, attempt, page FROM headwater.rejected_record")
        ),
        tables={name: await world.simulation.rows_of(name) for name in (*STREAMS, "sales", "stock")},
        run_log=await fetch("SELECT * FROM headwater.sim_run_log ORDER BY seq"),
        cursor_log=await fetch("SELECT * FROM headwater.sim_cursor_log ORDER BY seq"),
        cursors={row["stream"]: row["value"] for row in await fetch("SELECT * FROM headwater.stream_cursor")},
        deliveries=await fetch("SELECT * FROM headwater.delivery"),
        duplicates=await fetch("SELECT * FROM headwater.delivery_duplicate"),
        residue=await fetch("SELECT * FROM headwater.append_residue"),
        left=counts[0],
        payloads=await fetch("SELECT id, created_at FROM headwater.payload"),
    )


def _name(run: Row) -> str:
    return f"run {run['id']} of {run['stream']} ({run['state']}, attempt {run['attempt']})"


def _expected_runs(seen: Seen) -> dict[UUID, NewRun]:
    expected = dict(seen.world.findings.started)
    for schedule, boundary in seen.world.findings.boundaries:
        for stream in SCHEDULE_STREAMS[schedule]:
            tenant, source, *_ = STREAMS[stream]
            run = NewRun(tenant, source, stream, boundary, "schedule", schedule=schedule)
            assert SCHEDULES[schedule] == tenant
            expected[run.id] = run
    return expected


def _runs_exist(seen: Seen) -> Iterator[str]:
    expected = _expected_runs(seen)
    for missing in expected.keys() - seen.runs.keys():
        yield f"run {missing} of {expected[missing].stream} does not exist"
    for more in seen.runs.keys() - expected.keys():
        yield f"{_name(seen.runs[more])} was never asked for"


def _one_final_state(seen: Seen) -> Iterator[str]:
    for run in seen.runs.values():
        if not RunState(run["state"]).is_final or run["finished_at"] is None:
            yield f"{_name(run)} has no final state"
        if run["parked_until"] is not None or run["waits_for"] is not None:
            yield f"{_name(run)} is final and waits for {run['waits_for']} until {run['parked_until']}"
    for entry in seen.run_log:
        old, new = entry["old_state"], entry["new_state"]
        if old is not None and RunState(new) not in TRANSITIONS[RunState(old)]:
            yield f"run {entry['run_id']} went from {old} to {new}"
        if entry["running_beside"]:
            yield f"run {entry['run_id']} began beside another one of its stream"


def _announced(seen: Seen) -> Iterator[str]:
    announced = seen.world.findings.announced
    for run in seen.runs.values():
        heard = announced.get(str(run["id"]), [])
        identifier = str(derive_id(time_of(run["id"]), "run.finished", run["id"]))
        if {message_id for message_id, _ in heard} != {identifier}:
            yield f"{_name(run)} was announced as {heard}"
        for body in {body for _, body in heard}:
            told = json.loads(body)
            expected = {name: run[name] for name in COUNTS if name != "late"}
            told_counts = {name: told["counts"][name] for name in expected}
            if told["state"] != run["state"] or told_counts != expected:
                yield f"{_name(run)} was announced as {told['state']} with {told_counts}, and has {expected}"
    for unknown in announced.keys() - {str(identifier) for identifier in seen.runs}:
        yield f"a run {unknown} was announced that does not exist"


def _explained(seen: Seen) -> Iterator[str]:
    """Every run that did not succeed has a reason that the seed put there."""
    plan = seen.world.plan
    manners, deeds = plan.manners, {deed.kind for deed in plan.deeds}
    changes = manners.varies_sizes or manners.varies_cursors or deeds & {"grow", "change", "bad"}
    allowed = {_CHANGED} if changes else set()
    allowed |= (_BUSY if manners.busy else set()) | (_BROKEN if manners.broken else set())
    allowed |= _REFUSED if manners.refuses else set()
    last = {run_id for run_id, run in seen.world.findings.started.items() if run.key == "last"}
    for run in seen.runs.values():
        state = run["state"]
        if state == "failed" and (run["error_kind"] not in allowed or run["id"] in last):
            yield f"{_name(run)} failed by {run['error_kind']}: {run['error_message']}"
        if state == "cancelled" and "cancel" not in deeds:
            yield f"{_name(run)} was never cancelled"
        if state == "skipped" and (run["trigger"], run["skip_reason"]) != ("schedule", "overlap"):
            yield f"{_name(run)} was skipped: {run['skip_reason']}"
        if state == "partial" and (run["stream"] != "visits" or run["stop_reason"] not in {"loop", "limit"}):
            yield f"{_name(run)} is partial: {run['stop_reason']}"
        if state == "succeeded" and not StopReason(run["stop_reason"]).is_complete:
            yield f"{_name(run)} ended by {run['stop_reason']}"
        if run["attempt"] > 1 and not allowed:
            yield f"{_name(run)} needed another attempt: {run['error_kind']}"


def _settled(seen: Seen, run: Row) -> list[Row]:
    return [
        page for page in seen.pages.get((run["id"], run["attempt"]), []) if page["settled_at"] is not None
    ]


def _counted(seen: Seen) -> Iterator[str]:
    for run in seen.runs.values():
        pages = _settled(seen, run)
        rejected = sum(seen.rejected[run["id"], run["attempt"], page["number"]] for page in pages)
        found = {
            "pages": len(pages),
            "received": sum(page["received"] for page in pages),
            "rejected": sum(page["rejected"] for page in pages),
        }
        if {name: run[name] for name in found} != found or rejected != found["rejected"]:
            yield f"{_name(run)} counts { ({name: run[name] for name in found}) }, its pages {found}, rejected {rejected}"
        if run["requests"] < run["pages"]:
            yield f"{_name(run)} made {run['requests']} requests for {run['pages']} pages"
        became = run["inserted"] + run["updated"] + run["unchanged"] + run["rejected"]
        if run["mode"] != "dry_run" and became != run["received"]:
            yield f"{_name(run)} received {run['received']} records, of which {became} became something"
        if run["state"] in _KEPT and ("rows_rejected" in run["warnings"]) != bool(run["rejected"]):
            yield f"{_name(run)} warns of {run['warnings']} with {run['rejected']} rejected records"
        if run["late"] and run["state"] in _KEPT and run["attempt"] == 1 and not _varies(seen):
            yield f"{_name(run)} has {run['late']} late records"


def _varies(seen: Seen) -> bool:
    manners = seen.world.plan.manners
    return manners.varies_sizes or manners.varies_cursors or bool(seen.world.plan.deeds)


def _chained(seen: Seen) -> Iterator[str]:
    """The ledger of each kept run is one chain, and its rows are those of one chain of answers."""
    served: dict[tuple[str, str], list[Served]] = defaultdict(list)
    for answer in seen.world.api.served.values():
        served[answer.stream, answer.asked].append(answer)
    for run in seen.runs.values():
        if run["state"] not in _KEPT:
            continue
        pages, walk = _settled(seen, run), seen.walks[run["id"], run["attempt"]]
        numbers = [page["number"] for page in pages]
        if numbers != list(range(1, walk["last_number"] + 1)) or walk["settled_count"] != len(numbers):
            yield f"{_name(run)} has pages {numbers} of {walk['last_number']}, {walk['settled_count']} counted"
        for page, following in zip(pages, pages[1:], strict=False):
            if page["next_digest"] != following["token_digest"]:
                yield f"{_name(run)}: page {following['number']} is not the one that its predecessor announced"
        if STREAMS[run["stream"]][3] == "append" and run["mode"] != "dry_run":
            yield from _made_of_answers(seen, run, pages, served)


def _first_place(stream: str) -> str:
    return {"offset": "offset=0", "cursor": "cursor=None"}.get(STREAMS[stream][2], "first")


def _made_of_answers(
    seen: Seen, run: Row, pages: list[Row], served: dict[tuple[str, str], list[Served]]
) -> Iterator[str]:
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in seen.tables[run["stream"]]:
        if row["_run_id"] == run["id"]:
            rows[row["_page"]].append(row)
    since = None if run["mode"] == "full" or run["cursor_from"] is None else str(run["cursor_from"])
    if sum(map(len, rows.values())) != run["inserted"]:
        yield f"{_name(run)} has {sum(map(len, rows.values()))} rows, and counts {run['inserted']}"
    places: set[str] = {_first_place(run["stream"])}
    been: set[str] = set()
    fitting: list[Served] = []
    for page in pages:
        of_page = rows.pop(page["number"], [])
        ids = Counter(row["id"] for row in of_page)
        numbers = {row["seen"] for row in of_page}
        fitting = [
            answer
            for place in places
            for answer in served[run["stream"], place]
            if (not numbers or numbers == {answer.number})
            and Counter(answer.good) == ids
            and answer.count == page["received"]
            and (STREAMS[run["stream"]][2] != "cursor" or answer.since == since)
        ]
        if not fitting:
            yield f"{_name(run)}: page {page['number']} holds {dict(ids)} of answers {numbers}, asked at {places}"
            return
        been |= places
        places = {answer.following for answer in fitting if answer.following is not None}
    if rows:
        yield f"{_name(run)} has rows of pages {sorted(rows)} beyond its end"
    ended = any(answer.following is None for answer in fitting)
    if run["stop_reason"] == "loop" and not any(answer.following in been for answer in fitting):
        yield f"{_name(run)} ended by a loop that was none"
    if run["stop_reason"] not in {"loop", "limit"} and not ended:
        yield f"{_name(run)} ended where the API had more"


def _only_kept_rows(seen: Seen) -> Iterator[str]:
    """After one more complete run of each stream, nothing is left of runs that were not kept."""
    for stream, (_, _, _, mode) in STREAMS.items():
        for run_id in {row["_run_id"] for row in seen.tables[stream]}:
            run = seen.runs.get(run_id)
            if run is None or run["mode"] == "dry_run" or (mode == "append" and run["state"] not in _KEPT):
                yield f"table {stream} has rows of {'nobody' if run is None else _name(run)}"
    for row in seen.residue:
        yield f"residue is left: {row}"


def _merged(seen: Seen) -> Iterator[str]:
    for stream, (_, _, _, mode) in STREAMS.items():
        if mode != "merge" or stream not in seen.world.findings.touched:
            continue
        newest = seen.world.api.shelves[stream].newest()
        rows = {row["id"]: (row["updated"], row["note"]) for row in seen.tables[stream]}
        if len(rows) != len(seen.tables[stream]):
            yield f"table {stream} has several rows of one key"
        expected = {key: (record["updated"], record["note"]) for key, record in newest.items()}
        if rows != expected:
            differing = {
                key: (rows.get(key), expected.get(key))
                for key in rows.keys() | expected.keys()
                if rows.get(key) != expected.get(key)
            }
            yield f"table {stream} differs (has, should have): {differing}"


def _complete(seen: Seen) -> Iterator[str]:
    """An append stream with a cursor has seen each record in some run: the cursor never passed one by."""
    for stream in INCREMENTAL & seen.world.findings.touched:
        if STREAMS[stream][3] != "append":
            continue
        loaded = {(row["id"], row["updated"]) for row in seen.tables[stream]}
        for record in seen.world.api.shelves[stream].records:
            if is_good(record) and (record["id"], record["updated"]) not in loaded:
                yield f"table {stream} never saw {record}"


def _cursors(seen: Seen) -> Iterator[str]:
    for entry in seen.cursor_log:
        if entry["new"] is None:
            continue
        run = seen.runs.get(entry["run_id"])
        if run is None or run["state"] != "succeeded" or run["mode"] == "dry_run":
            yield f"the cursor of {entry['stream']} was moved by {'nobody' if run is None else _name(run)}"
        elif entry["old"] != run["cursor_from"]:
            yield f"{_name(run)} moved the cursor from {entry['old']}, and began at {run['cursor_from']}"
        if entry["old"] is not None and entry["new"] < entry["old"]:
            yield f"the cursor of {entry['stream']} went back from {entry['old']} to {entry['new']}"
    for stream in INCREMENTAL & seen.world.findings.touched:
        records = seen.world.api.shelves[stream].records
        highest = max((record["updated"] for record in records if isinstance(record, dict)), default=None)
        if seen.cursors.get(stream) != highest:
            yield f"the cursor of {stream} is {seen.cursors.get(stream)}, its last record {highest}"


def _nothing_left(seen: Seen) -> Iterator[str]:
    for name, count in seen.left.items():
        if count:
            yield f"table {name} has {count} rows left"
    named = seen.world.findings.named_payloads
    for row in seen.payloads:
        # a body that no message names since it was put there is swept after days: who put it died before the publish
        if row["created_at"] + CLOCK_LAG < named.get(str(row["id"]), row["created_at"]):
            yield f"payload {row['id']} is left"
    for name, queue in seen.world.memory._queues.items():
        if name != DEAD_QUEUE and queue.stored_count:
            yield f"queue {name} has {queue.stored_count} messages left"


def _deliveries(seen: Seen) -> Iterator[str]:
    sent = {one.receipt.receipt_id: one for one in seen.world.findings.sent}
    rows = {row["receipt_id"]: row for row in seen.deliveries}
    marks = {row["receipt_id"]: row for row in seen.duplicates}
    if len(rows) != len(seen.deliveries) or len({row["id"] for row in seen.deliveries}) != len(rows):
        yield "a delivery has several rows"
    for receipt_id, one in sent.items():
        row, mark = rows.get(receipt_id), marks.get(receipt_id)
        if one.is_kept and row is None and mark is None:
            yield f"webhook {receipt_id} was promised to be kept, and is nowhere"
        if row is not None and mark is not None:
            yield f"webhook {receipt_id} is a delivery and its own duplicate"
        if row is not None:
            yield from _one_delivery(row, one.receipt, one.kind)
        if mark is not None and mark["delivery_id"] not in {other["id"] for other in seen.deliveries}:
            yield f"webhook {receipt_id} is a duplicate of nothing"
    for unknown in (rows.keys() | marks.keys()) - sent.keys():
        yield f"delivery {unknown} was never sent"


def _one_delivery(row: Row, receipt: Any, kind: str) -> Iterator[str]:
    state = "dead" if kind in {"no json", "no object"} else "done"
    if (
        row["state"] != state
        or row["settled_at"] is None
        or (state == "dead" or kind == "mixed") != bool(row["reason"])
    ):
        yield f"delivery {row['id']} of kind {kind} is {row['state']}: {row['reason']}"
    if bytes(row["body"]) != receipt.body or row["id"] != receipt.id or row["provider_id"] != receipt.key:
        yield f"delivery {row['id']} is not what was sent"


def _records_of(row: Row) -> list[Row]:
    found = json.loads(bytes(row["body"]))
    return [record for record in (found if isinstance(found, list) else [found]) if isinstance(record, dict)]


def _delivered_rows(seen: Seen) -> Iterator[str]:
    """Each delivery's records are in its endpoint's table: once each where it appends, the newest of a key where it merges."""
    done = sorted(
        (row for row in seen.deliveries if row["state"] == "done"), key=lambda row: row["received_at"]
    )
    sold = Counter(
        (row["id"], record["sku"], record["number"], record["text"])
        for row in done if row["endpoint"] == "sales" for record in _records_of(row)
    )  # fmt: skip
    rows = Counter(
        (row["_delivery_id"], row["sku"], row["number"], row["text"]) for row in seen.tables["sales"]
    )
    if sold != rows:
        yield f"table sales has too much: {_short(rows - sold)}, too little: {_short(sold - rows)}"
    newest = {
        record["sku"]: (record["number"], record["text"])
        for row in done if row["endpoint"] == "stock" for record in _records_of(row)
    }  # fmt: skip
    stock = {row["sku"]: (row["number"], row["text"]) for row in seen.tables["stock"]}
    if stock != newest or len(stock) != len(seen.tables["stock"]):
        yield f"table stock is {_short(stock.items())}, should be {_short(newest.items())}"


def _short(items: Iterable[Any]) -> str:
    return ", ".join(str(item)[:120] for item in items)


def _dead_letters(seen: Seen) -> Iterator[str]:
    dead = {letter.id for letter in seen.world.dead_letters()}
    for identifier in seen.world.findings.poison - dead:
        yield f"poison {identifier} is not among the dead letters"
    yield from seen.world.unexpected_dead_letters()
