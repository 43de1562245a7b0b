"""`config save|load|saved|forget`: configurations that are kept under a name."""

import argparse

from headwater.cli.asking import Counter, given, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.printing import form_of
from headwater.control import snapshots
from headwater.control.paging import ListQuery
from headwater.settings import Settings


async def execute_snapshots(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one of these verbs."""
    async with open_counter(chosen, settings) as counter:
        if chosen.verb == "saved":
            return await _list(chosen, counter)
        if chosen.verb == "forget":
            await counter.ask(snapshots.delete_snapshot, path={"snapshot": chosen.name})
            if form_of(chosen) == "table":
                print(f"{chosen.name} is forgotten")
            return Exit.OK
        if chosen.verb == "load":
            wanted = given(snapshots.Load, name=chosen.name)
            loaded = await counter.shown(snapshots.Loaded, snapshots.load_config, body=wanted)
            await counter.ring()
            return show(chosen, loaded)
        body = given(snapshots.Save, name=chosen.name, note=chosen.note)
        return show(chosen, await counter.shown(snapshots.Snapshot, snapshots.save_config, body=body))


async def _list(chosen: argparse.Namespace, counter: Counter) -> int:
    items = await counter.listed(
        snapshots.Snapshot, snapshots.list_snapshots, given(ListQuery, limit=chosen.limit)
    )
    columns = ("name", "created_at", "created_by", "note")
    return show_list(chosen, columns, items, empty="nothing is kept; `headwater config save NAME`")
