"""The catalogue: every behaviour by its name."""

from collections.abc import Mapping

from headwater.app.hostile.answers import BODIES, HIDDEN, LIMITS
from headwater.app.hostile.case import Case
from headwater.app.hostile.counting import COUNTING
from headwater.app.hostile.faults import FAULTS
from headwater.app.hostile.following import FOLLOWING, KEYED, PLACES

CASES: Mapping[str, Case] = {
    **COUNTING,
    **FOLLOWING,
    **KEYED,
    **PLACES,
    **HIDDEN,
    **BODIES,
    **FAULTS,
    **LIMITS,
}
