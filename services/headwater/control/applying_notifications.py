"""Bringing notifications into force: their secrets are sealed under names of their own."""

from typing import Any

from headwater.contracts.notifications import AnyTarget, Notification
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.store import config, notifications
from headwater.store.keyring import Keyring

_SEALED = ("secret", "old_secret", "smtp")


async def put_notification(connection: Any, keyring: Keyring, tenant: str, wanted: Notification) -> None:
    """Write the rule, in the caller's transaction. A target that was gone is told again."""
    prefix = f"notification/{wanted.name}/"
    kept: list[str] = []
    targets = []
    for index, target in enumerate(wanted.everyone):
        targets.append(await _sealed(connection, keyring, tenant, f"{prefix}{index}/", target, kept))
    await config.drop_secrets_except(connection, tenant, prefix, kept)
    stored = wanted.with_targets(tuple(targets))
    definition = stored.model_dump(mode="json", by_alias=True)
    await notifications.put_rule(connection, tenant, wanted.name, definition, enabled=wanted.enabled)
    await notifications.forget_stops(connection, tenant, wanted.name)


async def _sealed(
    connection: Any, keyring: Keyring, tenant: str, prefix: str, target: AnyTarget, kept: list[str]
) -> AnyTarget:
    """The target with its secrets replaced by their names, which are added to `kept`."""
    fields = _SEALED if target.type in {"callback", "email"} else ("url",)
    changed: dict[str, Any] = {}
    for field in fields:
        value = getattr(target, field, None)
        if value:
            changed[field] = await _named(connection, keyring, tenant, prefix + field, value, kept)
    headers = getattr(target, "headers", None)
    if headers:
        changed["headers"] = {
            name: await _named(connection, keyring, tenant, f"{prefix}headers/{name}", value, kept)
            for name, value in headers.items()
        }
    return target.model_copy(update=changed)


async def _named(
    connection: Any, keyring: Keyring, tenant: str, name: str, value: str, kept: list[str]
) -> str:
    named = names_in(value)
    if named:
        kept += named
        return value
    await config.put_secret(connection, keyring, tenant, name, Secret.of(value))
    kept.append(name)
    return f"${{secret:{name}}}"


async def delete_notification(connection: Any, tenant: str, name: str) -> bool:
    """Remove the rule with its secrets; what it has sent stays. False when there is none."""
    await config.drop_secrets_except(connection, tenant, f"notification/{name}/", [])
    return await notifications.delete_rule(connection, tenant, name)
