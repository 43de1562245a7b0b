"""The walk core: pure, shared by fetcher and preview. `Walk` is the door; see `walk.py`."""

from headwater.plugins.walk.cursor import Mark, highest, order_of
from headwater.plugins.walk.family import Family, level_of
from headwater.plugins.walk.select import Rejected
from headwater.plugins.walk.token import is_slice, token_digest
from headwater.plugins.walk.walk import Page, Walk

__all__ = [
    "Family",
    "Mark",
    "Page",
    "Rejected",
    "Walk",
    "highest",
    "is_slice",
    "level_of",
    "order_of",
    "token_digest",
]
