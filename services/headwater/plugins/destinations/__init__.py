"""Where records go. `PostgresDestination` is the door to tables; the rest is what it takes and gives."""

from headwater.plugins.destinations.planning import Plan
from headwater.plugins.destinations.postgres import PostgresDestination
from headwater.plugins.destinations.table import (
    Batch,
    Closed,
    Contract,
    Counts,
    Loaded,
    Mode,
    Rejected,
    StalePlan,
    Table,
)

__all__ = [
    "Batch",
    "Closed",
    "Contract",
    "Counts",
    "Loaded",
    "Mode",
    "Plan",
    "PostgresDestination",
    "Rejected",
    "StalePlan",
    "Table",
]
