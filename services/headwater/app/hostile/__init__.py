"""An API of our own that misbehaves in every way we know real ones to, with a catalogue of these ways as data: for
headwater's tests, and for those of whoever walks APIs.
"""

from headwater.app.hostile.behaviour import Behaviour, Fault
from headwater.app.hostile.case import Case
from headwater.app.hostile.catalogue import CASES
from headwater.app.hostile.server import HostileApi

__all__ = ["CASES", "Behaviour", "Case", "Fault", "HostileApi"]
