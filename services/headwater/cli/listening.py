"""`listen`: follow an endpoint's deliveries and forward each to a local address, in order.

Where it stopped is kept in the data folder after each delivery, so that it goes on there. A signal lets the delivery
under way get its answer first. A delivery that nobody
answers is tried again until somebody does; an answer that asks for it (5xx, 408, 429) a few times.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.following import Away, Follower, api_of, over_api, over_database, place_of
from headwater.cli.forwarding import NotReached, Target, request_bytes, send, target_of
from headwater.model.errors import ConfigError
from headwater.settings import Settings

WAIT_S = 20.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_AGAIN = frozenset({408, 425, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True)
class _Bookmark:
    """The file that keeps where a listener stopped."""

    path: Path

    def read(self) -> str | None:
        try:
            position = json.loads(self.path.read_text(encoding="utf-8"))["position"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return position if isinstance(position, str) else None

    def write(self, position: str, told: Mapping[str, str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"position": position, **told}) + "\n", encoding="utf-8")
        draft.replace(self.path)


async def listen(chosen: argparse.Namespace, settings: Settings) -> int:
    """Forward until a signal, or until `--count` deliveries are through."""
    target = target_of(chosen.url)
    if _NAME.fullmatch(chosen.endpoint) is None:
        raise NotFound(f"there is no endpoint {chosen.endpoint!r}")
    if chosen.count is not None and chosen.count < 1:
        raise ConfigError("--count: give a number from 1")
    asked = api_of(chosen, settings)
    told = {
        "api": place_of(settings) if asked is None else asked.address,
        "tenant": chosen.tenant or "",
        "endpoint": chosen.endpoint,
        "url": chosen.url,
    }
    digest = hashlib.sha256("\n".join(told.values()).encode()).hexdigest()[:16]
    bookmark = _Bookmark(settings.data_dir / "listen" / f"{chosen.endpoint}-{digest}.json")
    ending = _Ending(asyncio.current_task())
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, ending.signalled)
    try:
        async with over_api(asked) if asked is not None else over_database(chosen, settings) as follower:
            await _Listener(chosen, follower, target, bookmark, told, ending).run()
    except asyncio.CancelledError:
        if not ending.is_near:
            raise
    finally:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
    if ending.is_near:
        _note(chosen, "ended; it goes on from here the next time")
    return Exit.OK


@dataclass(slots=True)
class _Ending:
    """What a signal does: it ends the work, once a delivery under way has its answer; a second one at once."""

    work: asyncio.Task[Any] | None
    is_near: bool = False
    is_sending: bool = False

    def signalled(self) -> None:
        ends_now = self.is_near or not self.is_sending
        self.is_near = True
        if ends_now and self.work is not None:
            self.work.cancel()


@dataclass(slots=True)
class _Listener:
    chosen: argparse.Namespace
    follower: Follower
    target: Target
    bookmark: _Bookmark
    told: Mapping[str, str]
    ending: _Ending
    through: int = 0

    async def run(self) -> None:
        position = await self._begin()
        count = self.chosen.count
        while count is None or self.through < count:
            answer = await self._patiently(position, WAIT_S)
            for delivery in answer["items"]:
                if not await self._forward(delivery):
                    return
                position = delivery["position"]
                self._keep(position)
                self.through += 1
                if self.through == count or self.ending.is_near:
                    return
            position = answer["position"]

    async def _begin(self) -> str:
        """Where to go on; sees that address, key, endpoint and position are right before anything is promised."""
        start = self.chosen.start or self.bookmark.read() or "now"
        answer = await self._patiently(None if start == "now" else start, 0.0)
        where = {"now": "from now on", "beginning": "from the beginning"}.get(start, "from where it stopped")
        _note(self.chosen, f"forwarding {self.chosen.endpoint} to {self.chosen.url} {where}")
        position: str = answer["position"] if start == "now" else start
        self._keep(position)  # where it goes on if it ends before anything came through
        return position

    async def _patiently(self, position: str | None, wait_s: float) -> dict[str, Any]:
        pause_s, said = _FIRST_PAUSE_S, ""
        while True:
            try:
                return await self.follower.follow(self.chosen.endpoint, position, wait_s)
            except Away as error:
                if str(error) != said:
                    said = str(error)
                    _note(self.chosen, f"{said}; trying again")
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _keep(self, position: str) -> None:
        with contextlib.suppress(OSError):  # then it begins at now the next time
            self.bookmark.write(position, self.told)

    async def _forward(self, delivery: Mapping[str, Any]) -> bool:
        """Send it until it is through; False where a signal ends that before."""
        body = base64.b64decode(delivery["body_base64"])
        query = urlsplit(delivery["url"]).query
        request = request_bytes(
            self.target, delivery["method"], query, delivery["headers"], body, delivery["id"]
        )
        pause_s, attempt = _FIRST_PAUSE_S, 0
        while True:
            started = time.monotonic()
            status: int | None = None
            self.ending.is_sending = True
            try:
                status = await send(self.target, request, timeout_s=self.chosen.timeout)
                said = str(status)
            except NotReached as error:
                said = str(error)
            finally:
                self.ending.is_sending = False
            attempt += 1 if status is not None else 0
            is_final = status is not None and (status not in _AGAIN or attempt > self.chosen.retries)
            took_ms = (time.monotonic() - started) * 1000
            self._tell(delivery, len(body), status, said, took_ms, is_final=is_final)
            if is_final or self.ending.is_near:
                return is_final
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _tell(
        self,
        delivery: Mapping[str, Any],
        size: int,
        status: int | None,
        said: str,
        took_ms: float,
        *,
        is_final: bool,
    ) -> None:
        """One line for each delivery, and for each time that it has to be tried again."""
        if self.chosen.json:
            told = {name: delivery[name] for name in ("id", "received_at", "method", "type", "position")}
            line = {**told, "body_bytes": size, "status": status, "said": said, "ms": round(took_ms, 1),
                    "again": not is_final}  # fmt: skip
            print(json.dumps(line), flush=True)
            return
        at = datetime.fromisoformat(delivery["received_at"]).strftime("%H:%M:%S")
        kind = "".join(each if each.isprintable() else "?" for each in delivery["type"] or "-")
        ending = f"{took_ms:.0f} ms" if is_final else "trying again"
        print(
            f"{at}  {delivery['method']}  {kind}  {delivery['id']}  {size} bytes  -> {said}  ({ending})",
            flush=True,
        )


def _note(chosen: argparse.Namespace, text: str) -> None:
    if not chosen.json:
        print(f"headwater: {text}", file=sys.stderr, flush=True)
