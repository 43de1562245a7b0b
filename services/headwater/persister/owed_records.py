"""Records of deliveries that go to exchanges: owed in the transaction that settles the delivery, sent after it."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.model.errors import ConfigError
from headwater.persister.items import Item
from headwater.persister.outlets import Outlets, Target
from headwater.plugins.destinations.messages import Origin, Outgoing, render
from headwater.plugins.webhooks.effects import DEAD, DONE, Judgement, Load
from headwater.store import destinations
from headwater.store.destinations import Owed

Messages = Mapping[
    int, list[tuple[str, Outgoing]]
]  # by the item's place in the hand: destination and message


async def messages_of(outlets: Outlets, items: Sequence[Item], judged: list[Judgement]) -> Messages:
    """The messages of each delivery. One whose destination is not there is dead from here on, and so is one none of
    whose records can be a message; others say what they lost.
    """
    sent = [
        (place, load)
        for place, judgement in enumerate(judged)
        for load in judgement.loads
        if load.destination.table is None
    ]
    if not sent:
        return {}
    targets = await outlets.targets(
        {(items[place].receipt.tenant, load.destination.to) for place, load in sent}
    )
    found: dict[int, list[tuple[str, Outgoing]]] = {}
    for place, load in sent:
        item = items[place]
        target = targets.get((item.receipt.tenant, load.destination.to))
        messages, note, is_dead = _rendered(item, load, target)
        found.setdefault(place, []).extend((load.destination.to, one) for one in messages)
        judged[place] = _noted(judged[place], note, is_dead=is_dead)
    return {place: messages for place, messages in found.items() if judged[place].state == DONE}


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
    receipt, replay = item.receipt, item.replay_number
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
    return judgement._replace(reason=both[:1000])


async def owe(connection: Any, items: Mapping[int, Item], messages: Messages) -> bool:
    """Owe what these deliveries send, in the transaction that settles them; True when there is something."""
    of = [
        (items[place].receipt.tenant, name, Owed(one.id, one.routing_key, one.headers, one.body))
        for place, these in messages.items()
        if place in items
        for name, one in these
    ]
    if of:
        await destinations.owe(connection, of)
    return bool(of)
