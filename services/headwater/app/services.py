"""The one table of services. A room is imported when it is made: a process holds what it runs, and no more."""
# ruff: noqa: PLC0415

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from headwater.app.ground import Ground
from headwater.app.service import Service
from headwater.settings import Settings

if TYPE_CHECKING:
    from headwater.plugins.notifiers.base import Office
    from headwater.store.retention import Keep


def office_of(settings: Settings) -> "Office":
    """What the settings say about notifications."""
    from headwater.plugins.notifiers.base import Office

    return Office(settings.public_url, settings.smtp_url, settings.smtp_from, settings.callback_allow)


def keep_of(settings: Settings) -> "Keep":
    """How long history is kept where a tenant says nothing else."""
    from headwater.store.retention import Keep

    return Keep(
        settings.retention_runs_days,
        settings.retention_notifications_days,
        settings.retention_dead_letters_days,
        settings.retention_audit_days,
    )


def _receiver(ground: Ground) -> Service:
    from headwater.receiver.service import Place, Receiver

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
        Place(
            f"http://{settings.bind}",
            settings.public_url if settings.public_url_is_set else None,
            settings.trusted_proxies,
            settings.snapshot_max_age_s,
        ),
    )


def _timer(ground: Ground) -> Service:
    from headwater.timer.service import Timer

    return Timer(
        ground.worker,
        ground.means.database_url,
        ground.bus,
        ground.bell,
        ground.metrics,
        keep_of(ground.settings),
    )


def _fetcher(ground: Ground) -> Service:
    from headwater.fetcher.service import Fetcher

    return Fetcher(ground.worker, ground.bus, ground.keyring, ground.bell, ground.clock, ground.metrics)


def _persister(ground: Ground) -> Service:
    from headwater.bus.rabbitmq import RabbitOutlet
    from headwater.persister.outlets import Outlets
    from headwater.persister.service import Persister

    outlets = Outlets(ground.worker, ground.keyring, RabbitOutlet, ground.means.amqp_url)
    return Persister(ground.worker, ground.bus, ground.bell, ground.metrics, outlets, ground.keyring)


def _notifier(ground: Ground) -> Service:
    from headwater.notifier.service import Notifier

    return Notifier(
        ground.worker,
        ground.bus,
        ground.keyring,
        ground.bell,
        ground.clock,
        ground.metrics,
        office_of(ground.settings),
    )


def _control(ground: Ground) -> Service:
    from headwater.control.service import Control

    return Control(
        ground.api,
        ground.worker,
        ground.bus,
        ground.keyring,
        ground.bell,
        ground.clock,
        ground.metrics,
        ground.means.management_url,
        has_broker=ground.means.amqp_url is not None,
        office=office_of(ground.settings),
        keep=keep_of(ground.settings),
    )


SERVICES: Mapping[str, Callable[[Ground], Service]] = {
    "receiver": _receiver,
    "timer": _timer,
    "fetcher": _fetcher,
    "persister": _persister,
    "notifier": _notifier,
    "control": _control,
}
