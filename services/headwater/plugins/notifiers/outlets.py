"""One attempt to tell, by whatever way the target names."""

import hashlib

from headwater.contracts.codec import dumps
from headwater.contracts.notifications import (
    AmqpTarget,
    AnyTarget,
    CallbackTarget,
    EmailTarget,
    SlackTarget,
    TeamsTarget,
)
from headwater.model.topics import routing_key
from headwater.plugins.notifiers import callback, chat, mail
from headwater.plugins.notifiers.base import Letter, Means, Outcome, Result


async def send(target: AnyTarget, letter: Letter, means: Means) -> Result:
    """What became of one attempt. Raises: Unavailable when our own means are away."""
    match target:
        case CallbackTarget():
            return await callback.send(target, letter, means)
        case EmailTarget():
            return await mail.send(target, letter, means)
        case SlackTarget():
            return await chat.send_slack(target, letter, means)
        case TeamsTarget():
            return await chat.send_teams(target, letter, means)
        case AmqpTarget():
            topic = routing_key(letter.tenant, "notification", letter.notification, letter.event)
            body = dumps({**letter.facts, "subject": letter.subject, "text": letter.text})
            await means.owe(topic, letter.id, body, letter.tenant)
            return Result(Outcome.SENT)


def address_of(target: AnyTarget) -> str:
    """Where it goes, for people; no secret is in it."""
    match target:
        case CallbackTarget():
            return callback.address_of(target)
        case EmailTarget():
            return ", ".join((*target.to, *target.cc))
        case AmqpTarget():
            return "headwater.events"
        case _:
            return f"{target.type} webhook"


def digest_of(target: AnyTarget) -> str:
    """What tells targets apart; another address in the same rule is another target."""
    plain = target.model_dump(mode="json", by_alias=True, include={"type", "url", "to", "cc", "smtp"})
    return hashlib.sha256(dumps(plain)).hexdigest()[:16]
