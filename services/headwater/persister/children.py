"""Pages of parents: what follows from their records are walks of the stream that is asked for them.

The walks are rows of the transaction that settles the parents' page (DESIGN.md §2.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.contracts.messages import BatchReady
from headwater.contracts.source import StreamDefinition
from headwater.contracts.walking import Limits
from headwater.model.run import StopReason
from headwater.persister.definitions import Definitions
from headwater.plugins.walk.family import Family, level_of
from headwater.plugins.walk.parents import view_of
from headwater.plugins.walk.token import is_slice
from headwater.store import children, completion, runs, slices
from headwater.store.children import NewWalk
from headwater.store.completion import WalkAdvance
from headwater.store.ledger import PageKey

WARNING_LIMIT = "limit_reached"
Work = tuple[PageKey, BatchReady, StreamDefinition]


def is_of_parent(batch: BatchReady, definition: StreamDefinition) -> bool:
    """Whether the page is one of a parent: it loads nothing, walks follow from it."""
    return bool(definition.lineage) and level_of(batch.token) < len(definition.lineage)


@dataclass(frozen=True, slots=True)
class _Found:
    """A parent: the walk that it asks for is at `level`."""

    level: int
    key: bytes
    values: Mapping[str, Any]
    batch: BatchReady
    page: PageKey


class Children:
    """Makes the walks of children and lets them go."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    async def follow(
        self, connection: Any, items: Sequence[Work], records: Mapping[PageKey, list[Any]], *, has_ended: bool
    ) -> bool:
        """What follows from the pages of one run, whose row is locked. `has_ended`: a walk of it came to its end. True
        when walks were let go.
        """
        key, batch, definition = items[0]
        if not definition.lineage:
            if has_ended and is_slice(batch.token):
                return await self._next_slices(connection, key, batch.tenant, definition.stream.limits)
            return False
        family = await self._definitions.family(batch.stream_version)
        found = await self._found(connection, family, items, records)
        made, warnings = 0, set[str]()
        if found:
            made, is_cut = await self._make(connection, family, found)
            warnings = {WARNING_LIMIT} if is_cut else set()
        skipped = sum(item[1].stop_reason == StopReason.NOT_FOUND for item in items)
        if made or skipped or warnings:
            await children.count(
                connection, key.run_id, made=made, skipped=skipped, warnings=sorted(warnings)
            )
        if not (made or has_ended):
            return False
        return await children.open_waiting(connection, key.run_id, key.attempt, batch.tenant) > 0

    async def _next_slices(self, connection: Any, key: PageKey, tenant: str, limits: Limits) -> bool:
        most = slices.Most(limits.max_pages, limits.max_records, limits.max_seconds)
        reason = await slices.go_on(connection, key.run_id, key.attempt, tenant, most)
        if reason == StopReason.LIMIT:
            await children.count(connection, key.run_id, made=0, skipped=0, warnings=[WARNING_LIMIT])
        return reason is None

    async def _found(
        self,
        connection: Any,
        family: Family,
        items: Sequence[Work],
        records: Mapping[PageKey, list[Any]],
    ) -> list[_Found]:
        """The parents on the pages, each once, in order."""
        pages = [(key, batch) for key, batch, definition in items if is_of_parent(batch, definition)]
        if not any(records.get(key) for key, _ in pages):
            return []
        run, numbers = pages[0][0], {key.walk for key, _ in pages}
        above = await children.keys_of(connection, run.run_id, run.attempt, sorted(numbers))
        found: dict[bytes, _Found] = {}
        for key, batch in sorted(pages, key=lambda page: page[0]):
            level = level_of(batch.token) + 1
            for values in records[key]:
                identity = family.key(level, values, above.get(key.walk, b""))
                found.setdefault(identity, _Found(level, identity, values, batch, key))
        return list(found.values())

    async def _make(self, connection: Any, family: Family, found: Sequence[_Found]) -> tuple[int, bool]:
        """Insert the walks that are not there yet; gives how many, and whether there were more than a run takes."""
        page = found[0].page
        top, there = await children.known(connection, page.run_id, page.attempt, [one.key for one in found])
        new = [one for one in found if one.key not in there]
        parent = family.definition.stream.parent
        assert parent is not None
        room = max(0, parent.max_parents - top)
        starts = await self._starts(connection, family, page.run_id, new[:room])
        for level in sorted({one.level for one in new[:room]}):
            walks = [
                NewWalk(one.key, view_of(one.values), *starts[one.key])
                for one in new[:room]
                if one.level == level
            ]
            tenant = family.definition.tenant
            await children.insert(connection, page.run_id, page.attempt, tenant, level, top + 1, walks)
            top += len(walks)
        if len(new) > room:
            await self._end_parents(connection, new[room:])
        return min(len(new), room), len(new) > room

    async def _end_parents(self, connection: Any, beyond: Sequence[_Found]) -> None:
        """No more parents are taken: walks of parents whose pages follow one another end here."""
        last: dict[int, _Found] = {}
        for one in beyond:
            if not one.batch.token.get("planned") and one.batch.next_token is not None:
                last[one.page.walk] = one
        for number, one in sorted(last.items()):
            if (one.batch.next_token or {}).get("planned"):
                continue
            run_id, attempt = one.page.run_id, one.page.attempt
            end = await children.last_settled(connection, run_id, attempt, number)  # some were fetched ahead
            advance = WalkAdvance(0, 0, end, StopReason.LIMIT.value)
            await completion.advance_walk(connection, run_id, attempt, number, advance)

    async def _starts(
        self, connection: Any, family: Family, run_id: UUID, new: Sequence[_Found]
    ) -> dict[bytes, tuple[dict[str, Any], Any]]:
        """The first token of each walk, and the highest cursor value that is known of it."""
        run = await runs.lock(connection, run_id)
        assert run is not None
        of = (run["tenant"], run["source"], run["stream"])
        window = run["time_window"]
        moves = family.definition.stream.cursor_rule is not None and window is None
        reads_new = moves and run["mode"] in {"auto", "incremental"}
        own = [one.key for one in new if one.level == family.leaf]
        known = await children.cursors(connection, of, own) if moves and own else {}
        starts: dict[bytes, tuple[dict[str, Any], Any]] = {}
        for one in new:
            walk = family.walks[one.level]
            began_s = float(one.batch.token.get("began_s") or 0.0) or None
            value, record_id, resume = known.get(one.key, (None, None, {}))
            now = one.batch.fetched_at
            if reads_new and resume.get("stream_version") == str(run["stream_version"]):
                token = walk.resumed(resume["token"], now, parent=one.values, began_s=began_s)
                starts[one.key] = (token, resume["highest"])
                continue
            is_own = one.level == family.leaf
            if window is not None and is_own:
                token = walk.windowed(
                    window["from"], window["to"], now, parent=one.values, level=one.level, began_s=began_s
                )
                starts[one.key] = (token, None)
                continue
            cursor = (run["cursor_from"] if value is None else value) if moves and is_own else None
            since = cursor if reads_new else None
            token = walk.first(
                since,
                now,
                parent=one.values,
                level=one.level,
                began_s=began_s,
                since_id=record_id,
                seen=resume.get("seen") or (),
            )
            is_rebuilt = run["mode"] == "full" and run["force"]
            starts[one.key] = (token, None if is_rebuilt else cursor)
        return starts
