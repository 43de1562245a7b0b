"""The one table of services."""

from collections.abc import Callable, Mapping

from headwater.app.ground import Ground
from headwater.app.service import Service
from headwater.control.service import Control
from headwater.fetcher.service import Fetcher
from headwater.notifier.service import Notifier
from headwater.persister.service import Persister
from headwater.receiver.service import Receiver
from headwater.timer.service import Timer


def _receiver(ground: Ground) -> Service:
    settings = ground.settings
    return Receiver(
        ground.worker,
        ground.spool,
        ground.means.database_url,
        ground.bus,
        ground.keyring,
        ground.bell,
        ground.clock,
        ground.metrics,
        settings.public_url,
    )


def _timer(ground: Ground) -> Service:
    return Timer(ground.worker, ground.means.database_url, ground.bus, ground.bell, ground.metrics)


def _fetcher(ground: Ground) -> Service:
    return Fetcher(ground.worker, ground.bus, ground.keyring, ground.bell, ground.clock, ground.metrics)


def _persister(ground: Ground) -> Service:
    return Persister(ground.worker, ground.bus, ground.bell, ground.metrics)


def _notifier(ground: Ground) -> Service:
    return Notifier(ground.bus, ground.metrics)


def _control(ground: Ground) -> Service:
    return Control(
        ground.api, ground.worker, ground.bus, ground.keyring, ground.bell, ground.clock, ground.metrics
    )


SERVICES: Mapping[str, Callable[[Ground], Service]] = {
    "receiver": _receiver,
    "timer": _timer,
    "fetcher": _fetcher,
    "persister": _persister,
    "notifier": _notifier,
    "control": _control,
}
