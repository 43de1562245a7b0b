"""Who is told of an event: rules whose filters fit, what its schedule says, and the schedule's own callback."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from headwater.contracts.notifications import AnyTarget, CallbackTarget, Notification
from headwater.plugins.notifiers.outlets import address_of, digest_of
from headwater.plugins.notifiers.wording import Event, words_for
from headwater.store.notifications import Planned

CALLBACK_SECRET = "callback"  # noqa: S105 - the name of the tenant's secret that signs schedules' callbacks
ENDS = frozenset({"succeeded", "partial", "failed", "cancelled", "skipped"})
OF_CALLBACKS = ENDS | {"late", "silence", "auto_disabled", "expired", "error"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a schedule says: rules that it names, its own callback, and private ranges that this may reach.

    `notify`: name of a rule → the events that count instead of the rule's own, None where these do.
    """

    notify: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    callback_url: str | None = None
    streams: tuple[str, ...] = ()
    reach: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """What is needed to plan the events of some tenants. `named`: rules that some schedule names."""

    rules: Mapping[str, Sequence[Notification]] = field(default_factory=dict)
    wishes: Mapping[tuple[str, str], Wishes] = field(default_factory=dict)
    named: frozenset[tuple[str, str]] = frozenset()
    stops: frozenset[tuple[str, str]] = frozenset()
    signs: frozenset[str] = frozenset()  # tenants that have a secret for callbacks

    def wishes_of(self, tenant: str, schedule: str | None) -> Wishes:
        return self.wishes.get((tenant, schedule or ""), Wishes())

    def wants(self, tenant: str, events: Iterable[str]) -> bool:
        """Whether somebody of the tenant wants to hear of one of these events."""
        wanted = set(events)
        if any(wanted & set(rule.events) for rule in self.rules.get(tenant, ())):
            return True
        return any(
            wishes.callback_url or any(wanted & (chosen or frozenset()) for chosen in wishes.notify.values())
            for (owner, _), wishes in self.wishes.items()
            if owner == tenant
        )


def plan(event: Event, book: Book) -> list[Planned]:
    """The notifications of an event."""
    wishes = book.wishes_of(event.tenant, event.schedule)
    planned: list[Planned] = []
    for rule in book.rules.get(event.tenant, ()):
        if fits(rule, event, wishes, is_named=(event.tenant, rule.name) in book.named):
            content = words_for(rule, event)
            planned += [
                _planned(event, rule.name, target, f"{rule.name}/{digest_of(target)}", content)
                for target in rule.everyone
            ]
    if wishes.callback_url and event.event in OF_CALLBACKS and event.late_after_s is None:
        secret = f"${{secret:{CALLBACK_SECRET}}}" if event.tenant in book.signs else None
        target = CallbackTarget.model_validate(
            {"url": wishes.callback_url, "secret": secret, "network": {"allow": wishes.reach}}
        )
        planned.append(
            _planned(event, None, target, f"/{event.schedule}/{digest_of(target)}", words_for(None, event))
        )
    return [each for each in planned if (each.tenant, each.target) not in book.stops]


def fits(rule: Notification, event: Event, wishes: Wishes, *, is_named: bool) -> bool:
    """Whether the rule is about this event."""
    is_wished = rule.name in wishes.notify
    if event.event not in ((wishes.notify[rule.name] if is_wished else None) or rule.events):
        return False
    if (
        event.event == "late"
        and event.late_after_s != rule.late_after_s
        and "next_at" not in event.facts["detail"]
    ):
        return False
    if is_wished:
        return True
    if not rule.has_filters:
        return not is_named
    if event.endpoint is not None:
        return bool(rule.endpoints) and _any(rule.endpoints, (event.endpoint,))
    if not (rule.schedules or rule.streams or rule.sources):
        return False
    sources = tuple(stream.partition(".")[0] for stream in event.streams)
    return (
        (not rule.schedules or (event.schedule is not None and _any(rule.schedules, (event.schedule,))))
        and (not rule.streams or _any(rule.streams, event.streams))
        and (not rule.sources or _any(rule.sources, sources))
    )


def _any(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _planned(
    event: Event, rule: str | None, target: AnyTarget, key: str, content: Mapping[str, Any]
) -> Planned:
    return Planned(
        event_key=event.key,
        at=event.at,
        tenant=event.tenant,
        rule=rule,
        event=event.event,
        kind=target.type,
        target=key,
        address=address_of(target)[:500],
        definition=target.model_dump(mode="json", by_alias=True),
        content=content,
        schedule=event.schedule,
        stream=event.streams[0] if len(event.streams) == 1 else None,
        endpoint=event.endpoint,
        run_id=event.run_id,
    )
