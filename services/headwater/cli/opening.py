"""The database as commands use it: at once, or a word on what is missing. A question sets nothing up."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from headwater.app.attach import is_held, is_set_up, running_elsewhere
from headwater.app.ground import Means, find_means, prepare_database
from headwater.app.patience import Unreachable
from headwater.cli.faults import NotFound
from headwater.control.route import SCOPES, Caller
from headwater.model.names import DEFAULT_TENANT
from headwater.settings import Settings
from headwater.store import config
from headwater.store.database import Database

_STARTS_WITHIN_S = 10.0  # a headwater that has just started applies its migrations


@asynccontextmanager
async def open_means(settings: Settings, *, sets_up: bool = False) -> AsyncIterator[Means]:
    """The database of a command: that of the settings, of the headwater that runs on the data folder, or the folder's
    own, started for as long as this takes.

    `sets_up`: where the folder has none, one is made; a question is refused instead.
    Raises: Unreachable where there is no database, it is away, or it lacks migrations; ConfigError.
    """
    choose_folder(settings, sets_up=sets_up)
    async with find_means(settings, is_brief=True) as means:
        is_held_by_us = means.data_folder_is_ours and means.held_by is None
        wait_s = 0 if means.held_by is None else _STARTS_WITHIN_S
        await prepare_database(settings, means, may_migrate=is_held_by_us, wait_s=wait_s)
        yield means


def choose_folder(settings: Settings, *, sets_up: bool) -> None:
    """Say which folder is taken, where nobody named one. Raises: Unreachable for a question about nothing."""
    folder = settings.data_dir
    if settings.database_url is not None or is_held(folder / "postgres"):
        return
    others = [
        f"headwater runs on {other.folder} (process {other.process}): `export HEADWATER_DATA_DIR={other.folder}` "
        "to use that one"
        for other in running_elsewhere(folder)
    ]
    if not is_set_up(folder) and not sets_up:
        mend = "; ".join(others) or (
            "start headwater with `headwater up`, or name the folder or database of the one that you mean by "
            "HEADWATER_DATA_DIR or HEADWATER_DATABASE_URL"
        )
        raise Unreachable(f"nothing is set up in {folder}; {mend}")
    if settings.data_dir_is_set:
        return
    done = "its database is started" if is_set_up(folder) else "a database is made there"
    chooses = "HEADWATER_DATA_DIR chooses another folder"
    print(f"headwater: nothing runs on {folder}; {done} for this command", file=sys.stderr)
    print("\n".join(f"headwater: {line}" for line in others or (chooses,)), file=sys.stderr)


async def open_api(
    settings: Settings, stack: AsyncExitStack, *, sets_up: bool = False, tenant: str | None = None
) -> tuple[Means, Database]:
    """The database of a command under the role of the API. Raises: Unreachable, ConfigError; NotFound for a tenant that
    is not there.
    """
    means = await stack.enter_async_context(open_means(settings, sets_up=sets_up))
    api = Database(means.database_url, "headwater_api", size=2)
    await api.open()
    stack.push_async_callback(api.close)
    if tenant is not None:
        await check_tenant(api, tenant)
    return means, api


async def check_tenant(api: Database, tenant: str) -> None:
    """Raises: NotFound for a tenant that is not there. The first one always is: it is empty until something is made."""
    if tenant == DEFAULT_TENANT:
        return
    async with api.as_tenant(tenant) as connection:
        if not await config.has_tenant(connection, tenant):
            raise NotFound(f"there is no tenant {tenant!r}")


def asker() -> Caller:
    """Who asks by a command: whoever may read the database's address may do everything."""
    user = os.environ.get("USER")
    return Caller("", None, frozenset(SCOPES), name=f"cli {user}" if user else "cli")
