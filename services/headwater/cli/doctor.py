"""`headwater doctor`: is what headwater needs at hand, and if not, what to do."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable

from headwater.app.attach import amqp_of, holder_of, is_set_up, running_database, running_elsewhere
from headwater.app.embedded import EmbeddedPostgres
from headwater.app.ground import Means, keyring_for
from headwater.app.private_rabbitmq import find_programs
from headwater.cli.exits import Exit
from headwater.cli.printing import print_json
from headwater.model.errors import HeadwaterError, Unavailable
from headwater.model.secret import Secret
from headwater.settings import Settings, misspelt
from headwater.store.migrate import is_current

_PATIENCE_S = 10.0
_LITTLE_DISK_BYTES = 2**30
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where it listens, which is no address of anybody's


async def examine(chosen: argparse.Namespace, settings: Settings) -> int:
    """Look at everything; exit code 5 when something cannot be reached, 1 for other faults."""
    checks: dict[str, Callable[[], Awaitable[str]]] = {
        "python": _python,
        "settings": _settings,
        "data folder": lambda: _data_folder(settings),
        "secret key": lambda: _secret_key(settings),
        "public url": lambda: _public_url(settings),
        "database": lambda: _database(settings),
        "broker": lambda: _broker(settings),
    }
    found: list[tuple[str, bool, str]] = []
    code = Exit.OK
    for name, check in checks.items():
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found.append((name, True, await check()))
        except TimeoutError:
            found.append((name, False, f"did not answer within {_PATIENCE_S:g} s"))
            code = Exit.UNREACHABLE
        except HeadwaterError as error:
            found.append((name, False, str(error)))
            code = Exit.UNREACHABLE if isinstance(error, Unavailable) else max(code, Exit.FAILURE)
    if chosen.json:
        print_json([{"check": name, "ok": ok, "said": said} for name, ok, said in found])
    else:
        for name, ok, said in found:
            print(f"{'ok  ' if ok else 'FAIL'}  {name.ljust(12)}  {said}")
    return code


async def _python() -> str:
    return f"{sys.version.split()[0]}"


async def _settings() -> str:
    if told := misspelt():
        raise HeadwaterError("; ".join(told))
    return "no variable is misspelt"


async def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise HeadwaterError(f"{folder} is no folder; choose another one with HEADWATER_DATA_DIR")
    needs_none = settings.database_url is not None and settings.secret_key is not None
    if not needs_none and not os.access(folder, os.W_OK | os.X_OK):
        mend = "choose a folder you may write to with HEADWATER_DATA_DIR"
        raise HeadwaterError(f"{settings.data_dir}: nothing can be written there; {mend}")
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_DISK_BYTES:
        raise HeadwaterError(f"{settings.data_dir}: only {free // 2**20} MiB are free; make room")
    return f"{settings.data_dir} ({free // 2**30} GiB free)"


async def _secret_key(settings: Settings) -> str:
    if settings.secret_key is None:
        kept = settings.data_dir / "secret.key"
        where = f"kept in {kept}" if kept.exists() else f"none yet: the first start makes one in {kept}"
        return f"{where}; set HEADWATER_SECRET_KEY to share it between machines"
    nowhere = Means(settings.database_url or Secret.of(""), None, None, data_folder_is_ours=False)
    return f"key {keyring_for(settings, nowhere).active_id} seals"


async def _public_url(settings: Settings) -> str:
    if settings.public_url_is_set or settings.trusted_proxies or settings.bind_host not in _EVERYWHERE:
        return settings.public_url
    return (
        f"{settings.public_url}, which no sender uses: set HEADWATER_PUBLIC_URL for schemes that sign the address "
        "(Twilio, Square, HubSpot)"
    )


async def _database(settings: Settings) -> str:
    if settings.database_url is not None:
        await is_current(settings.database_url.text())
        return "reachable, schema up to date"
    folder = settings.data_dir / "postgres"
    running = running_database(folder)
    if running is not None:
        await is_current(running.text())
        return f"embedded, run by process {holder_of(folder)}: reachable, schema up to date"
    state = "does not run" if is_set_up(settings.data_dir) else "nothing is set up yet"
    others = [
        f"; process {other.process} runs headwater on {other.folder}: `export HEADWATER_DATA_DIR={other.folder}`"
        for other in running_elsewhere(settings.data_dir)
    ]
    return f"embedded, {state}: {EmbeddedPostgres(folder).describe()}{''.join(others)}"


async def _broker(settings: Settings) -> str:
    url = amqp_of(settings)
    if url is None:
        node = settings.data_dir / "rabbitmq"
        if node.exists():
            return f"embedded bus; with `up --rabbitmq` the node in {node}, whose addresses `up` tells"
        try:
            find_programs()
        except HeadwaterError:
            return "embedded bus; `up --rabbitmq` would need RabbitMQ installed"
        return "embedded bus; `up --rabbitmq` can run a node of this machine"
    from headwater.bus.rabbitmq import check_topology  # noqa: PLC0415 - heavy, and only here

    await check_topology(url)
    whose = (
        ""
        if settings.amqp_url is not None
        else f"run by process {holder_of(settings.data_dir / 'rabbitmq')}: "
    )
    return f"{whose}reachable, topology in place"
