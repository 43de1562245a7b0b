"""The page ledger: begin before a fetch, settle with the load, and tell when a run is complete (DESIGN.md §2.3–2.4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from headwater.model.ids import time_of
from headwater.store import cursors
from headwater.store.limits import Limit
from headwater.store.queries import queries

_Q = queries("pages")


class PageKey(NamedTuple):
    """A page is (run, attempt, walk, number)."""

    run_id: UUID
    attempt: int
    walk: int
    number: int

    @property
    def values(self) -> tuple[Any, UUID, int, int, int]:
        return (time_of(self.run_id), self.run_id, self.attempt, self.walk, self.number)

    @property
    def before(self) -> "PageKey":
        """The page before it."""
        return PageKey(self.run_id, self.attempt, self.walk, self.number - 1)


class Begun(NamedTuple):
    """What the ledger says before a fetch.

    `is_wanted`: fetch it. `is_settled`: it is in the table already; announce what follows and fetch nothing.
    `is_new`: it begins here; else it came again, or twice. `is_undecided`: the page before was fetched twice and told
    two successors; which one counts is known when it settles. `is_lost`: whoever came from the page before has the walk
    no longer in hand, since another went on from there. `same_token_as`: an earlier page of the walk has this very
    token, and the page before names it: a loop. `ahead_count`: pages of the walk before this one that are not settled.
    `wait_s`: until the page may be asked for, below 0 how long ago that was (None: it was never put off). `has_slot`:
    it waited for a slot of the rate limit that it has. `refused_s`: since when its API puts it off (None: it does not),
    `refused_count` how often. `pause_s`: the quiet that the API asked for.
    """

    is_wanted: bool
    is_new: bool
    is_settled: bool
    is_undecided: bool
    is_lost: bool
    next_token: Mapping[str, Any] | None
    same_token_as: int | None
    started_at: Any
    is_parked: bool
    ahead_count: int
    wait_s: float | None
    has_slot: bool
    refused_s: float | None
    refused_count: int
    pause_s: float
    limit: Limit


class Beginning(NamedTuple):
    """A page that is to begin. `digest` is that of its token's place, `holder` has the walk in hand, `after` is the
    page of it that he comes from, None where a message named this one.
    """

    key: PageKey
    tenant: str
    digest: bytes
    holder: UUID
    after: int | None = None


async def begin_pages(connection: Any, pages: Sequence[Beginning]) -> list[Begun | None]:
    """Begin each page whose run runs in its attempt; None for one whose run does not exist. No page is named twice."""
    rows = [(*page.key.values, page.tenant, page.digest, page.holder, page.after) for page in pages]
    columns = list(map(list, zip(*rows, strict=True)))
    found = {
        PageKey(row["run_id"], row["attempt"], row["walk"], row["number"]): row
        for row in await connection.fetch(_Q["begin"], *columns, *_ends(columns[0]))
    }
    return [await _begun(connection, page, found.get(page.key)) for page in pages]


async def _begun(connection: Any, page: Beginning, row: Mapping[str, Any] | None) -> Begun | None:
    key = page.key
    if row is None:
        return None
    if row["is_lost"]:
        return _NOTHING._replace(is_lost=True)
    runs_now = row["state"] == "running" and row["run_attempt"] == key.attempt
    past = row["last_number"] is not None and key.number > row["last_number"]
    is_wanted = runs_now and not past and not row["is_settled"] and row["same_token_as"] is None
    is_ours: bool | None = row["is_ours"]
    if is_wanted and not is_ours:
        is_ours = await _take_over(connection, page)
    same_token_as: int | None = row["same_token_as"] if runs_now and not past else None
    is_named: bool | None = True  # who has the walk in hand comes from the page that names this one
    if same_token_as is not None and page.after is None:
        is_named = await _is_named(connection, page)
    return Begun(
        is_wanted=is_wanted and bool(is_ours),
        is_new=row["is_new"],
        is_settled=runs_now and row["is_settled"],
        is_undecided=(is_wanted and is_ours is None) or is_named is None,
        is_lost=False,
        next_token=row["next_token"],
        same_token_as=same_token_as if is_named else None,
        started_at=row["started_at"],
        is_parked=row["is_parked"],
        ahead_count=key.number - 1 - (row["settled_count"] or 0),
        wait_s=row["wait_s"],
        has_slot=bool(row["has_slot"]),
        refused_s=row["refused_s"],
        refused_count=row["refused_count"] or 0,
        pause_s=max(0.0, row["pause_s"] or 0.0),
        limit=Limit.of(row["rate_limit"]),
    )


_NOTHING = Begun(
    is_wanted=False,
    is_new=False,
    is_settled=False,
    is_undecided=False,
    is_lost=False,
    next_token=None,
    same_token_as=None,
    started_at=None,
    is_parked=False,
    ahead_count=0,
    wait_s=None,
    has_slot=False,
    refused_s=None,
    refused_count=0,
    pause_s=0.0,
    limit=Limit(),
)


async def settled_end(
    connection: Any, key: PageKey, step: int
) -> tuple[int, Mapping[str, Any] | None] | None:
    """(number, next token) of the last settled page in a row of the walk, from this one on, `step` numbers apart."""
    row = await connection.fetchrow(_Q["settled_end"], *key.values, step)
    return None if row is None else (row["number"], row["next_token"])


async def take_in_hand(connection: Any, key: PageKey, step: int, holder: UUID) -> None:
    """From this page on the walk, or its part of every `step` pages, is in the hand of `holder`; whoever had it goes no
    further.
    """
    await connection.execute(_Q["take_in_hand"], *key.values, step, holder)


async def _take_over(connection: Any, page: Beginning) -> bool | None:
    """Whether the page is the one with this token, although it was begun with another one; None: not yet known.

    A page that is fetched twice may name two successors (an API whose cursors or page sizes differ each time). The
    answer that settled decides; what was begun on the word of the other one is forgotten.
    """
    key, digest = page.key, page.digest
    async with connection.transaction():
        row = await connection.fetchrow(_Q["rivals"], *key.values)
        if row["token_digest"] == digest:
            return True
        if not row["is_decided"]:
            return None if key.number > 1 else False
        if row["next_digest"] != digest:
            return False
        await connection.execute(_Q["forget_after"], *key.values)
        taken = await connection.fetchval(_Q["take_over"], *key.values, page.tenant, digest, page.holder)
        return taken is not None


async def _is_named(connection: Any, page: Beginning) -> bool | None:
    """Whether the page before names this one, whose token is an earlier page's: then it is a loop. None: not yet known.

    Else it is the word of an answer that does not count, which the walk came by on another way.
    """
    row = await connection.fetchrow(_Q["rivals"], *page.key.values)
    return row["next_digest"] == page.digest if row["is_decided"] else None


async def is_any_open_before(connection: Any, key: PageKey) -> bool:
    """Whether an earlier page of the walk has begun and not settled, while its run runs."""
    return bool(await connection.fetchval(_Q["open_before"], *key.values))


async def begun_of(connection: Any, key: PageKey, numbers: Sequence[int]) -> set[int]:
    """Which of the pages `numbers` of the walk of `key` have begun."""
    rows = await connection.fetch(_Q["begun_of"], *key.values[:4], list(numbers))
    return {row["number"] for row in rows}


async def put_off(
    connection: Any, key: PageKey, wait_s: float, *, has_slot: bool = False, is_refused: bool = False
) -> None:
    """The page waits `wait_s` seconds: for the slot it has in the rate limit, or because its API refused it."""
    await connection.execute(_Q["wait"], *key.values, wait_s, has_slot, is_refused)


class Locked(NamedTuple):
    """A page that is locked now.

    `is_passed`: it is not to be loaded, since it settled, lies beyond the end of its walk, or is another page by now
    (see `_take_over`). `is_wanted`: its run runs in its attempt, as far as can be seen; `mode`: the run's.
    """

    is_passed: bool
    is_wanted: bool
    mode: str


async def lock_pages(connection: Any, digests: Mapping[PageKey, bytes]) -> dict[PageKey, Locked]:
    """Lock the pages in the common order. What a crash of the database forgot begins again here, if its run still runs;
    else it is missing in it.

    `digests` are those of the tokens under which they were fetched. A run that ends meanwhile is found by
    `advance_run`, at the latest.
    """
    found = await _lock(connection, digests)
    forgotten = {key: digest for key, digest in digests.items() if key not in found}
    if forgotten:
        await connection.execute(_Q["begin_again"], *_columns(forgotten))
        found |= await _lock(connection, forgotten)
    return found


async def behind(connection: Any, keys: Sequence[PageKey]) -> set[PageKey]:
    """Those of the pages that have one before them which is not settled, of attempts that still run."""
    columns: list[list[Any]] = [list(column) for column in zip(*(key.values for key in keys), strict=True)]
    rows = await connection.fetch(_Q["behind"], *columns, *_ends(columns[0]))
    return {PageKey(row["run_id"], row["attempt"], row["walk"], row["number"]) for row in rows}


def _ends(moments: Sequence[Any]) -> tuple[Any, Any]:
    """The first and the last of them."""
    return min(moments), max(moments)


def _columns(digests: Mapping[PageKey, bytes]) -> list[list[Any]]:
    keys = sorted(digests)
    columns: list[list[Any]] = [list(column) for column in zip(*(key.values for key in keys), strict=True)]
    return [*columns, [digests[key] for key in keys]]


async def _lock(connection: Any, digests: Mapping[PageKey, bytes]) -> dict[PageKey, Locked]:
    columns = _columns(digests)
    rows = await connection.fetch(_Q["lock"], *columns, *_ends(columns[0]))
    return {
        PageKey(row["run_id"], row["attempt"], row["walk"], row["number"]): Locked(
            row["is_passed"], row["state"] == "running" and row["run_attempt"] == row["attempt"], row["mode"]
        )
        for row in rows
    }


class Settled(NamedTuple):
    """A page that a load put into its table. `next_digest` is that of the place of `next_token`."""

    key: PageKey
    next_token: Mapping[str, Any] | None
    next_digest: bytes | None
    stop_reason: str | None
    status: int
    body_bytes: int
    received: int
    rejected: int
    content_digest: bytes | None = None


async def settle_pages(connection: Any, pages: Sequence[Settled]) -> None:
    """Write down that these pages are in the table, in the transaction that puts them there."""
    await connection.executemany(
        _Q["settle"],
        [
            (*page.key.values, page.next_token, page.next_digest, page.stop_reason, page.status, page.body_bytes,
             page.received, page.rejected, page.content_digest)
            for page in pages
        ],
    )  # fmt: skip


class Content(NamedTuple):
    """A settled page with records that another page of its walk has too."""

    key: PageKey
    digest: bytes
    stop_reason: str | None


async def hold_contents(connection: Any, digests: Sequence[tuple[PageKey, bytes]]) -> None:
    """Wait for loads under way of pages of the same runs with the same digests, so that `same_content` knows of them;
    other loads wait for the end of this transaction in turn.
    """
    numbers = {
        int.from_bytes(digest[:8], "big") ^ int.from_bytes(key.run_id.bytes[8:], "big")
        for key, digest in digests
    }
    signed = sorted(number - (number >> 63 << 64) for number in numbers)
    await connection.execute(_Q["hold_contents"], signed)


async def same_content(connection: Any, digests: Sequence[tuple[PageKey, bytes]]) -> list[Content]:
    """The settled pages of the walks of these pages that have one of their digests."""
    if not digests:
        return []
    columns = list(map(list, zip(*((*key.values[:4], digest) for key, digest in digests), strict=True)))
    rows = await connection.fetch(_Q["same_content"], *columns, *_ends(columns[0]))
    return [
        Content(
            PageKey(row["run_id"], row["attempt"], row["walk"], row["number"]),
            bytes(row["content_digest"]),
            row["stop_reason"],
        )
        for row in rows
    ]


async def count_late(connection: Any, run_id: UUID, pages: Mapping[PageKey, int]) -> None:
    """Records that came for a run that takes no more, by page, which the caller has locked; each page counts once."""
    keys = sorted(pages)
    await connection.execute(
        _Q["count_late"], time_of(run_id), run_id, [key.attempt for key in keys], [key.walk for key in keys],
        [key.number for key in keys], [pages[key] for key in keys],
    )  # fmt: skip


async def keep_rejected(
    connection: Any, key: PageKey, tenant: str, rows: Iterable[tuple[int, str, str]]
) -> None:
    """Keep rejected records as (position, reason, JSON text)."""
    await connection.executemany(
        _Q["reject_record"],
        [(*key.values, position, tenant, reason, text) for position, reason, text in rows],
    )


async def list_pages(connection: Any, run_id: UUID, limit: int, offset: int) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list"], time_of(run_id), run_id, limit, offset)  # type: ignore[no-any-return]


async def first_load(
    connection: Any, key: PageKey, of: tuple[str, str, str], table: str
) -> list[tuple[UUID, str]] | None:
    """For the first load of an attempt: what unfinished runs and attempts left, as (run id, table); else None.

    `of` is tenant, source, stream. Concurrent first loads wait here for one another.
    """
    if not await connection.fetchval(_Q["first_load"], key.run_id, key.attempt, *of, table):
        return None
    return await take_residue(connection, key, of, table)


async def note_residue(connection: Any, key: PageKey, of: tuple[str, str, str], table: str) -> None:
    """Note that the page's attempt loads into `table` of another database, if it runs. In a transaction of its own,
    before the first row is there: nothing undoes the rows when the run ends before they are counted.
    """
    await connection.execute(_Q["note_residue"], time_of(key.run_id), key.run_id, key.attempt, *of, table)


async def take_residue(
    connection: Any, key: PageKey, of: tuple[str, str, str], table: str
) -> list[tuple[UUID, str]]:
    """What unfinished runs and attempts left in `table` and in headwater's own tables, as (run id, table); and what
    partial runs left that the attempt brings again. There is no place to go on at behind these any more.
    """
    rows = list(await connection.fetch(_Q["take_residue"], *of, key.run_id, key.attempt, table))
    partial = await connection.fetch(
        _Q["take_since"], *of, key.run_id, key.attempt, table, time_of(key.run_id)
    )
    if partial:
        await cursors.forget_resume(connection, of)
    return [(row["run_id"], row["table_name"]) for row in (*rows, *partial)]


async def keep_since(connection: Any, run_id: UUID, of: tuple[str, str, str], version: int) -> None:
    """Note what a partial run appended whose cursor stays: a run that begins there again removes it first. Not where
    somebody set or reset the cursor since it had `version`.
    """
    await connection.execute(_Q["keep_since"], run_id, *of, version)


async def clear_residue(connection: Any, run_id: UUID) -> None:
    await connection.execute(_Q["clear_residue"], run_id)
