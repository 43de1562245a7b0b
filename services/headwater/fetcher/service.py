"""The fetcher as a service: begins runs, fetches pages."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.bus.port import Bus, Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import PageDue, RunDue
from headwater.fetcher.announce import page_message
from headwater.fetcher.beginnings import Beginnings
from headwater.fetcher.definitions import Definitions, Known
from headwater.fetcher.pace import Pace
from headwater.fetcher.pages import Pages
from headwater.fetcher.tokens import Tokens
from headwater.http.client import HttpClient
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, Reject
from headwater.plugins.walk.slices import Slice, gaps_of, slices_at_once
from headwater.plugins.walk.templates import parameter_values
from headwater.plugins.walk.windows import WindowError, check_window
from headwater.store import runs, slices
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.fetcher")
PAGES_AT_ONCE = 256  # waiting for the network, or for their turn
OF_ONE_SOURCE = (
    128  # so that a slow source leaves room for others; no more connections lead to one host either
)


class Fetcher:
    """Any number of replicas."""

    name = "fetcher"

    def __init__(
        self, database: Database, bus: Bus, keyring: Keyring, bell: Bell, clock: Clock, metrics: Metrics
    ) -> None:
        self._database = database
        self._bus = bus
        self._bell = bell
        self._clock = clock
        self._metrics = metrics
        self._keyring = keyring
        self._definitions = Definitions(database, keyring)

    async def ready(self) -> str | None:
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        beginnings = Beginnings(self._database)
        async with (
            HttpClient(self._clock) as http,
            Tokens(self._database, http, self._keyring, self._clock) as tokens,
            beginnings.running(),
        ):
            pages = Pages(
                self._database,
                beginnings,
                self._bus,
                self._bell,
                http,
                self._definitions,
                tokens,
                Pace(self._database, self._clock, OF_ONE_SOURCE),
                self._clock,
                self._metrics,
                stop,
            )

            async def page_due(messages: Sequence[Message]) -> None:
                for message in messages:
                    await pages.handle(message)

            async with (
                self._bus.consume("headwater.run.due", self._run_due, prefetch=16, concurrency=8),
                self._bus.consume(
                    "headwater.page.due", page_due, prefetch=PAGES_AT_ONCE, concurrency=PAGES_AT_ONCE
                ),
            ):
                await stop.wait()

    async def _run_due(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._begin(from_message(RunDue, message))

    async def _begin(self, due: RunDue) -> None:
        """Start the run and announce its first page. Again: the same."""
        async with self._database.transaction() as connection:
            run = await runs.begin(connection, due.run_id, due.attempt)
        if run is None:
            raise Reject(f"run {due.run_id} does not exist")
        if run["state"] != "running" or run["attempt"] != due.attempt:
            return
        try:
            known = await self._definitions.get(due.stream_version)
            stream = known.definition.stream
            if run["mode"] == "incremental" and stream.cursor_rule is None:
                raise ConfigError(
                    "mode incremental needs `incremental` in the stream: the field of its cursor"
                )
            if run["time_window"] is not None:
                check_window(stream)
            first = self._walks(known, run)
        except (ConfigError, WindowError) as error:
            async with self._database.transaction() as connection:
                await runs.fail_attempt(
                    connection, due.run_id, due.attempt, "config", str(error), retryable=False
                )
            self._bell.ring()
            return
        for number, stored in await self._opened(due, known, first):
            page = PageDue(
                run_id=due.run_id,
                attempt=due.attempt,
                tenant=due.tenant,
                stream_version=due.stream_version,
                walk=number,
                number=1,
                token=dict(stored),
            )
            await self._bus.publish(page_message(page))

    async def _opened(
        self, due: RunDue, known: Known, first: tuple[dict[str, Any], Any] | list[Slice]
    ) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """The walks that go at once, made in the ledger: number and first token."""
        async with self._database.transaction() as connection:
            if isinstance(first, list):
                await runs.lock(
                    connection, due.run_id
                )  # another time has other slices: those of the first one count
                return await slices.insert(
                    connection,
                    due.run_id,
                    due.attempt,
                    due.tenant,
                    slices_at_once(known.definition),
                    [(each.token, each.shown) for each in first],
                )
            token, highest = first
            stored = await runs.open_walk(
                connection, due.run_id, due.attempt, 0, due.tenant, token, highest, _children_at_once(known)
            )
        return [(0, stored)]

    def _walks(self, known: Known, run: Mapping[str, Any]) -> tuple[dict[str, Any], Any] | list[Slice]:
        """The first token of the run's walk and the highest cursor value that is known of it; or its slices of time."""
        if not slices_at_once(known.definition):
            return self._first(known, run)
        resume = (
            run["resume"] if run["time_window"] is None and run["mode"] in {"auto", "incremental"} else None
        )
        gaps, highest = gaps_of(resume)
        if gaps:
            seen = highest if isinstance(highest, Mapping) else {"value": highest}
            behind = {"record_id": seen.get("id"), "resume": {"seen": seen.get("seen")}}
            run = {**run, **behind, "cursor_from": run["cursor_from"] if highest is None else seen["value"]}
        token, _ = self._first(known, run)
        return known.walk.slices(token, gaps, str(run["stream_version"]))

    def _first(self, known: Known, run: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """The first token, and the highest cursor value that is known of the walk already.

        Where a limit ended the walk of the run before, the same version goes on there. Raises: ConfigError for a
        parameter that the request names and nobody gave.
        """
        now, resume, window = self._clock.now(), run["resume"], run["time_window"]
        values = parameter_values(
            known.parameters, run["parameters"] or {}, known.definition.stream.parameters
        )
        if (
            known.above
        ):  # every run looks at its parents anew; how far each child was read stands with its parent
            return known.top.walk.first(None, now, parent=values or None), None
        if window is not None:
            return known.walk.windowed(window["from"], window["to"], now, parent=values or None), None
        is_wanted = run["mode"] in {"auto", "incremental"}
        if is_wanted and resume is not None and resume.get("stream_version") == str(run["stream_version"]):
            return known.walk.resumed(resume["token"], now, parent=values or None), resume["highest"]
        if not is_wanted and run["mode"] != "dry_run":
            return known.walk.first(None, now, parent=values or None), None
        seen = (resume or {}).get("seen") or ()
        return (
            known.walk.first(
                run["cursor_from"], now, parent=values or None, since_id=run["record_id"], seen=seen
            ),
            None,
        )


def _children_at_once(known: Known) -> int | None:
    """How many walks of children a run of the stream has under way at once; None where there are none."""
    parent = known.definition.stream.parent
    return None if parent is None else parent.parallel
