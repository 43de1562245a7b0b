"""`refusals`, `deliveries`, `replays`, `endpoints`, `secrets`, `presets`: ask, and show the answer."""

import argparse
from collections.abc import Mapping
from typing import Final

from headwater.cli.asking import Verb, nowhere, open_counter
from headwater.cli.deliveries import DELIVERIES, REFUSALS, REPLAYS
from headwater.cli.endpoints import ENDPOINTS, PRESETS
from headwater.cli.sealed import SECRETS
from headwater.settings import Settings

_VERBS: Final[Mapping[str, Mapping[str, Verb]]] = {
    "refusals": REFUSALS,
    "deliveries": DELIVERIES,
    "replays": REPLAYS,
    "endpoints": ENDPOINTS,
    "secrets": SECRETS,
    "presets": PRESETS,
}


async def execute_webhooks(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb of these commands."""
    verb = _VERBS[chosen.command][chosen.verb]
    if chosen.command == "presets":
        return await verb(chosen, nowhere())
    async with open_counter(chosen, settings) as counter:
        return await verb(chosen, counter)
