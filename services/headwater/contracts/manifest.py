"""The manifest: what people write to say what is to be ingested (YAML; JSON Schema in `schemas/config/`).

Texts may hold `${env:NAME}` (read when the manifest is applied) and `${secret:NAME}` (read at run time). A room
that reads one part of it imports that part's module: the others are memory that it never uses.
"""

from typing import Literal

from headwater.contracts.base import Closed
from headwater.contracts.calendars import Calendar
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.naming import Name
from headwater.contracts.notifications import Notification
from headwater.contracts.schedules import Schedule
from headwater.contracts.source import Source


class Manifest(Closed):
    version: Literal[1]
    tenant: Name = "default"
    destinations: tuple[NamedDestination, ...] = ()
    sources: tuple[Source, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    notifications: tuple[Notification, ...] = ()
