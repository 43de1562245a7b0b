"""Records of deliveries that go to exchanges: owed in the transaction that settles the delivery, sent after it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.model.errors import ConfigError
from headwater.persister.items import Item, Key
from headwater.persister.outlets import Outlets, Target
from headwater.plugins.destinations.messages import Origin, Outgoing, render
from headwater.plugins.webhooks.effects import DEAD, DONE, Judgement, Load
from headwater.store import destinations
from headwater.store.destinations import Owed

Messages = Mapping[Key, list[tuple[str, Outgoing]]]  # by delivery: destination and message


async def messages_of(outlets: Outlets, items: Sequence[Item], judged: dict[Key, Judgement]) -> Messages:
    """The messages of each delivery. One whose destination is not there is dead from here on, and so is one none of
    whose records can be a message; others say what they lost.
    """
    sent = {
        item.key: [load for load in judged[item.key].loads if load.destination.table is None]
        for item in items
    }
    wanted = {(item.receipt.tenant, load.destination.to) for item in items for load in sent[item.key]}
    targets = await outlets.targets(wanted)
    found: dict[Key, list[tuple[str, Outgoing]]] = {}
    for item in items:
        for load in sent[item.key]:
            target = targets.get((item.receipt.tenant, load.destination.to))
            messages, note, is_dead = _rendered(item, load, target)
            found.setdefault(item.key, []).extend((load.destination.to, one) for one in messages)
            judged[item.key] = _noted(judged[item.key], note, is_dead=is_dead)
    return {key: messages for key, messages in found.items() if judged[key].state == DONE}


def _rendered(item: Item, load: Load, target: Target | None) -> tuple[list[Outgoing], str | None, bool]:
    name = load.destination.to
    if target is None:
        return [], f"destination: there is no exchange {name} any more", True
    try:
        rendered = render(target.definition, _origin(item, load), load.records)
    except ConfigError as error:
        return [], str(error), True
    if not rendered.rejected:
        return rendered.messages, None, False
    total, (_, first) = len(load.records), rendered.rejected[0]
    note = f"{len(rendered.rejected)} of {total} records for {name} rejected: {first}"
    return rendered.messages, note, len(rendered.rejected) == total


def _origin(item: Item, load: Load) -> Origin:
    receipt, (_, replay) = item.receipt, item.key
    return Origin(
        words={"tenant": receipt.tenant, "endpoint": receipt.endpoint},
        source=f"/tenants/{receipt.tenant}/endpoints/{receipt.endpoint}",
        subject=f"deliveries/{receipt.id}",
        at=receipt.received_at,
        identity=(receipt.receipt_id, replay, load.destination.to),
        key=load.destination.key,
    )


def _noted(judgement: Judgement, note: str | None, *, is_dead: bool) -> Judgement:
    if note is None:
        return judgement
    both = note if judgement.reason is None else f"{judgement.reason}; {note}"
    if is_dead and len(judgement.loads) == 1:
        return Judgement(DEAD, both[:1000], judgement.form)
    return replace(judgement, reason=both[:1000])


async def owe(connection: Any, items: Sequence[Item], messages: Messages) -> bool:
    """Owe what these deliveries send, in the transaction that settles them; True when there is something."""
    of = [
        (item.receipt.tenant, name, Owed(one.id, one.routing_key, one.headers, one.body))
        for item in items
        for name, one in messages.get(item.key, ())
    ]
    if of:
        await destinations.owe(connection, of)
    return bool(of)
