"""Whom `listen` asks for what came: the API where its address or a key is named, else the database, as others do.

Where headwater is away later on, that is `Away`, and asking goes on.
"""

import argparse
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from headwater.app.attach import is_held, is_set_up, serving_at
from headwater.app.patience import Unreachable
from headwater.cli.asking import Counter, given, open_counter
from headwater.cli.faults import NotFound
from headwater.control.listening import Followed, FollowQuery, make_follow
from headwater.model.errors import ConfigError, HeadwaterError, Unavailable
from headwater.settings import Settings, local_address

_KEY_MEND = "set HEADWATER_API_KEY, or name a file with --key-file; `headwater keys create` makes one"


class Away(HeadwaterError):
    """Headwater does not answer now."""


class Follower(Protocol):
    """Tells what came."""

    async def follow(self, endpoint: str, after: str | None, wait_s: float) -> dict[str, Any]:
        """What came after a position. Raises: Away; ConfigError, NotFound where asking again does not help."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """Where the API is, and the headers that open it."""

    address: str
    headers: Mapping[str, str] = field(repr=False)


def api_of(chosen: argparse.Namespace, settings: Settings) -> Api | None:
    """The API that is meant; None where neither an address nor a key says so. Raises: ConfigError."""
    named = chosen.api or os.environ.get("HEADWATER_URL")
    key = _key(chosen, settings)
    if named is None and key is None:
        return None
    address = _address(named, settings)
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(f"an API key is needed (scope read): {_KEY_MEND}")
    return Api(address, {"X-API-Key": key, **({"X-Tenant": chosen.tenant} if chosen.tenant else {})})


def _address(named: str | None, settings: Settings) -> str:
    """The address that is named, of what runs on the data folder, or where a headwater with these settings listens."""
    address: str = (
        named or serving_at(settings) or local_address(settings.bind_host, settings.bind_port)
    ).rstrip("/")
    try:
        is_sound = urlsplit(address).scheme in ("http", "https") and bool(urlsplit(address).hostname)
    except ValueError:
        is_sound = False
    if not is_sound:
        raise ConfigError(f"{address!r} is no address of headwater; give one such as http://127.0.0.1:8080")
    return address


def _key(chosen: argparse.Namespace, settings: Settings) -> str | None:
    if chosen.key_file is not None:
        try:
            return Path(chosen.key_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--key-file {chosen.key_file}: cannot be read ({type(error).__name__})"
            ) from error
    if key := os.environ.get("HEADWATER_API_KEY"):
        return key
    return None if settings.admin_key is None else settings.admin_key.text()


@asynccontextmanager
async def over_api(api: Api) -> AsyncIterator[Follower]:
    """Ask the API."""
    async with aiohttp.ClientSession() as session:
        yield _OverApi(session, api)


@dataclass(slots=True)
class _OverApi:
    session: aiohttp.ClientSession
    api: Api

    async def follow(self, endpoint: str, after: str | None, wait_s: float) -> dict[str, Any]:
        address = self.api.address
        query = {"wait_s": f"{wait_s:g}", **({} if after is None else {"after": after})}
        try:
            async with self.session.get(
                f"{address}/api/v1/endpoints/{endpoint}/follow",
                params=query,
                headers=self.api.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=wait_s + 30),
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            mend = "another address is named by --api or HEADWATER_URL"
            raise Away(f"{address} does not answer ({type(error).__name__}; {mend})") from error
        if answer.status == 200:
            return json.loads(body)  # type: ignore[no-any-return]
        if answer.status >= 500 or answer.status == 429:
            raise Away(f"{address} answers {answer.status}")
        if answer.status == 404:
            raise NotFound(f"there is no endpoint {endpoint!r} for this key at {address}")
        if answer.status in (401, 403):
            raise ConfigError(f"{address} refuses the key ({answer.status}); {_KEY_MEND}")
        raise ConfigError(f"{address} answers {answer.status}: {_detail(body)}")


def _detail(body: bytes) -> str:
    try:
        document = json.loads(body)
        faults = "; ".join(str(fault["detail"]) for fault in document.get("errors", ()))
        return f"{document['detail']}" + (f" ({faults})" if faults else "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "no document of headwater's; is the address right?"


def place_of(settings: Settings) -> str:
    """Which database is meant, in words that hold no password."""
    if settings.database_url is None:
        return str(settings.data_dir)
    url = urlsplit(settings.database_url.text())
    return f"postgresql://{url.netloc.rpartition('@')[2]}{url.path}"


@asynccontextmanager
async def over_database(chosen: argparse.Namespace, settings: Settings) -> AsyncIterator[Follower]:
    """Ask in this process, as whoever may read the database. Raises: Unreachable where headwater does not run now."""
    in_tenant = argparse.Namespace(tenant=chosen.tenant or "default")
    async with AsyncExitStack() as stack:
        follower = _OverDatabase(in_tenant, settings, stack)
        await follower.open()
        yield follower


@dataclass(slots=True)
class _OverDatabase:
    chosen: argparse.Namespace
    settings: Settings
    stack: AsyncExitStack  # of the counter
    counter: Counter | None = None

    async def open(self) -> Counter:
        """Open the counter. A database that nobody runs is not started for it."""
        folder = self.settings.data_dir
        if self.settings.database_url is None and is_set_up(folder) and not is_held(folder / "postgres"):
            raise Unreachable(f"headwater does not run on {folder}; start it with `headwater up`")
        self.counter = await self.stack.enter_async_context(open_counter(self.chosen, self.settings))
        return self.counter

    async def follow(self, endpoint: str, after: str | None, wait_s: float) -> dict[str, Any]:
        query = given(FollowQuery, after=after, wait_s=wait_s)
        try:
            counter = self.counter or await self.open()
            answer = await counter.shown(Followed, make_follow(), path={"endpoint": endpoint}, query=query)
        except (Unavailable, Unreachable) as error:
            self.counter = None
            await self.stack.aclose()  # the next one may be another server
            raise Away(str(error)) from error
        except NotFound as error:
            raise NotFound(f"there is no endpoint {endpoint!r}") from error
        return Followed.model_validate(answer).model_dump(mode="json")
