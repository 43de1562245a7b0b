"""What a webhook's request says and does, beyond its signature: parsed, filtered, mapped. All of it is pure.

`parse` gives a body's document, `compile_effects(endpoint)` what its deliveries do, `judge` what one delivery does.
"""

from headwater.plugins.webhooks.effects import (
    Effects,
    Event,
    Judgement,
    Load,
    StartedRun,
    compile_effects,
    judge,
)
from headwater.plugins.webhooks.encoding import ENCODINGS, decompressed
from headwater.plugins.webhooks.facts import Facts, compile_facts
from headwater.plugins.webhooks.parsing import Parsed, parse

__all__ = [
    "ENCODINGS",
    "Effects",
    "Event",
    "Facts",
    "Judgement",
    "Load",
    "Parsed",
    "StartedRun",
    "compile_effects",
    "compile_facts",
    "decompressed",
    "judge",
    "parse",
]
