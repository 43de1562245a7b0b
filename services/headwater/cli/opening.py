"""The database as commands use it."""

import os
from contextlib import AsyncExitStack

from headwater.app.ground import Means, find_means, prepare_database
from headwater.control.route import SCOPES, Caller
from headwater.settings import Settings
from headwater.store.database import Database


async def open_api(settings: Settings, stack: AsyncExitStack) -> tuple[Means, Database]:
    """The database under the role of the API, migrated where it is ours."""
    means = await stack.enter_async_context(find_means(settings))
    await prepare_database(settings, means, may_migrate=means.data_folder_is_ours)
    api = Database(means.database_url, "headwater_api", size=2)
    await api.open()
    stack.push_async_callback(api.close)
    return means, api


def asker() -> Caller:
    """Who asks by a command: whoever may read the database's address may do everything."""
    user = os.environ.get("USER")
    return Caller("", None, frozenset(SCOPES), name=f"cli {user}" if user else "cli")
