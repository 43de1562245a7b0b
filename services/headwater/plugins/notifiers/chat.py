"""Chat webhooks: Slack's blocks, and the Adaptive Card that a Teams workflow takes.

Texts of ours and of APIs stand in them as plain text: no mention, link or format in them comes alive.
Sources: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/, https://adaptivecards.io (1.4).
"""

import re
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.notifications import SlackTarget, TeamsTarget
from headwater.model.errors import SecretError
from headwater.plugins.notifiers.base import Letter, Means, Outcome, Result
from headwater.plugins.notifiers.posting import post
from headwater.plugins.secret_text import fill

_HEADER = 150  # Slack's limits, in characters
_SECTION = 3000
_CARD = 20_000  # a message of Teams holds 28 KiB
_MARKDOWN = re.compile(r"([\\`*_\[\]#~>])")


def slack_body(letter: Letter) -> bytes:
    """Header, text, links; `text` is what notices on a telephone show."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(letter.subject, _HEADER)}},
        {"type": "section", "text": {"type": "plain_text", "text": _cut(letter.text, _SECTION)}},
    ]
    links = [f"<{_slack(link)}|{_slack(name)}>" for name, link in letter.facts.get("links", {}).items()]
    if links:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(links)}]})
    return dumps({"text": _slack(_cut(letter.subject, _SECTION)), "blocks": blocks})


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams_body(letter: Letter) -> bytes:
    """A message with one card."""
    body: list[dict[str, Any]] = [
        {"type": "TextBlock", "size": "Large", "weight": "Bolder", "wrap": True,
         "text": _plain(_cut(letter.subject, _SECTION))},
        # in a TextBlock one line end joins lines, two part them
        {"type": "TextBlock", "wrap": True, "text": _plain(_cut(letter.text, _CARD)).replace("\n", "\n\n")},
    ]  # fmt: skip
    actions = [
        {"type": "Action.OpenUrl", "title": name, "url": link}
        for name, link in letter.facts.get("links", {}).items()
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        **({"actions": actions} if actions else {}),
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return dumps({"type": "message", "attachments": [attachment]})


def _plain(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _cut(text: str, most: int) -> str:
    text = text.strip() or "-"  # Slack refuses empty texts
    return text if len(text) <= most else text[: most - 1] + "…"


async def send_slack(target: SlackTarget, letter: Letter, means: Means) -> Result:
    """One attempt."""
    return await _send(target, slack_body(letter), means)


async def send_teams(target: TeamsTarget, letter: Letter, means: Means) -> Result:
    """One attempt."""
    return await _send(target, teams_body(letter), means)


async def _send(target: SlackTarget | TeamsTarget, body: bytes, means: Means) -> Result:
    try:
        url = fill(target.url, means.secrets)
    except SecretError as error:
        return Result(Outcome.FAILED, error=f"secret: {error}")
    return await post(means, url, body, (), allow=target.network.allow, timeout_s=target.timeout_s)
