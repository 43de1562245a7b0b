"""Turns among tenants, where more is due than one claim takes: nobody waits behind one who has much."""

from collections.abc import Mapping, Sequence
from typing import Any

SHARE = 100  # of one tenant in a claim at least, when more are due than one claim takes


class Turns:
    """A claim takes `limit` at most, `share` of them of one tenant, those after the tenant `after` first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.share = min(SHARE, limit)
        self.after = ""

    def begin(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """After a claim that took what is due, whosever it is."""
        tenant_count = len({row["tenant"] for row in rows}) or 1
        self.share = max(self.limit // tenant_count, min(SHARE, self.limit))
        self.after = rows[-1]["tenant"] if rows else ""

    def go_on(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """After a claim by shares."""
        if len(rows) < self.limit:  # few have more due than their shares: larger ones cost nobody a turn
            self.share = min(self.share * 4, self.limit)
        self.after = rows[-1]["tenant"] if rows else ""
