"""Checks of notifications: names, templates, secrets, ranges, and who names whom."""

from collections.abc import Iterator

from headwater.contracts.manifest import Manifest
from headwater.contracts.notifications import AnyTarget, CallbackTarget, EmailTarget, Notification
from headwater.control.finding import Finding, Path, Surroundings, header_fault, split_sentence
from headwater.control.validation_sources import twice
from headwater.http.addresses import parse_ranges
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import parse_url
from headwater.model.secret import Secret
from headwater.plugins.notifiers.callback import key_of
from headwater.plugins.notifiers.mail import mail_server
from headwater.plugins.notifiers.template import faults_of
from headwater.plugins.secret_text import names_in


def in_notifications(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """What is wrong with the notifications of the manifest, and with the names under schedules' `notify`."""
    yield from twice(("notifications",), [each.name for each in manifest.notifications], "notification")
    for index, each in enumerate(manifest.notifications):
        yield from in_notification(("notifications", index), each)
    if around.notifications is None:
        return
    known = around.notifications | {each.name for each in manifest.notifications}
    for i, schedule in enumerate(manifest.schedules):
        for j, item in enumerate(schedule.notify):
            for name in (item,) if isinstance(item, str) else item.to:
                if name not in known:
                    yield Finding(
                        ("schedules", i, "notify", j),
                        f"there is no notification {name}",
                        "define it under `notifications`, or correct the name",
                    )


def in_notification(path: Path, wanted: Notification) -> Iterator[Finding]:
    """What is wrong with one notification."""
    for name in ("subject", "text"):
        for fault in faults_of(getattr(wanted, name) or ""):
            yield Finding((*path, name), fault, "see the list of placeholders in docs/notifications.md")
    for index, target in enumerate(wanted.everyone):
        here: Path = (*path, "target") if wanted.target is not None else (*path, "targets", index)
        yield from _in_target(here, target)


def _in_target(path: Path, target: AnyTarget) -> Iterator[Finding]:
    network = getattr(target, "network", None)
    for index, text in enumerate(network.allow if network is not None else ()):
        try:
            parse_ranges((text,))
        except ConfigError:
            yield Finding(
                (*path, "network", "allow", index),
                f"{text[:60]!r} is no address range",
                "give CIDR: 10.0.0.0/8",
            )
    url = getattr(target, "url", None)
    if url is not None and not names_in(url):
        try:
            parse_url(url)
        except SourceError as error:
            yield Finding((*path, "url"), error.message, "write the whole address")
    if isinstance(target, CallbackTarget):
        yield from _in_callback(path, target)
    if isinstance(target, EmailTarget) and target.smtp and not names_in(target.smtp):
        try:
            mail_server(Secret.of(target.smtp))
        except ConfigError as error:
            yield Finding((*path, "smtp"), *split_sentence(str(error)))


def _in_callback(path: Path, target: CallbackTarget) -> Iterator[Finding]:
    for name in ("secret", "old_secret"):
        value = getattr(target, name)
        if value and not names_in(value):
            try:
                key_of(Secret.of(value))
            except ConfigError as error:
                yield Finding((*path, name), *split_sentence(str(error)))
    for name, value in target.headers.items():
        fault = header_fault(name, value)
        if fault is None and name.lower().startswith("webhook-"):
            fault = f"{name} is set by itself", "remove it"
        if fault is not None:
            yield Finding((*path, "headers", name), *fault)
