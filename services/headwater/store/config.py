"""Configuration: tenants, keys, secrets, sources with their stream versions, endpoints."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.store.keyring import Keyring
from headwater.store.queries import queries

_Q = queries("config")
CONFIG_CHANNEL = "headwater_config"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who is asking. `tenant` is None for an admin key, which may name any tenant."""

    id: str
    tenant: str | None
    name: str
    scopes: tuple[str, ...]


async def ensure_tenant(connection: Any, name: str) -> None:
    """Make it, unless it is there. Raises: ConfigError while it is being removed."""
    await connection.execute(_Q["insert_tenant"], name)
    if not await has_tenant(connection, name):
        raise ConfigError(f"tenant {name} is being removed: wait until that is done, or take another name")


async def has_tenant(connection: Any, name: str) -> bool:
    return await connection.fetchval(_Q["has_tenant"], name) is not None


async def list_tenants(connection: Any) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list_tenants"])  # type: ignore[no-any-return]


def _digest(key: Secret) -> bytes:
    """Keys have 128 bits and more of their own, so that a plain hash is enough."""
    return hashlib.sha256(key.reveal()).digest()


async def insert_key(
    connection: Any,
    key_id: str,
    key: Secret,
    *,
    tenant: str | None,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> bool:
    """Keep the key's hash; False when the id is taken."""
    made = await connection.fetchval(
        _Q["insert_key"], key_id, tenant, name, _digest(key), list(scopes), expires_at
    )
    return made is not None


async def put_admin_key(connection: Any, key_id: str, key: Secret, name: str, scopes: Sequence[str]) -> None:
    """The key that the operator chose in the environment."""
    await connection.execute(_Q["replace_key"], key_id, name, _digest(key), list(scopes))


async def check_key(connection: Any, key_id: str, key: Secret) -> ApiKey | None:
    """Who the key belongs to; None when it is unknown, revoked, expired or wrong."""
    row = await connection.fetchrow(_Q["find_key"], key_id)
    right = hmac.compare_digest(_digest(key), row["digest"] if row else bytes(32))
    if row is None or not right or row["revoked_at"] is not None:
        return None
    if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
        return None
    return ApiKey(row["id"], row["tenant"], row["name"], tuple(row["scopes"]))


async def list_keys(connection: Any) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list_keys"])  # type: ignore[no-any-return]


async def revoke_key(connection: Any, key_id: str) -> bool:
    return await connection.fetchval(_Q["revoke_key"], key_id) is not None


async def count_keys(connection: Any) -> int:
    return int(await connection.fetchval(_Q["count_keys"]))


async def put_secret(connection: Any, keyring: Keyring, tenant: str, name: str, plain: Secret) -> None:
    """Seal and keep it. A value that is there already stays, so that `updated_at` tells since when it is the one."""
    known = await connection.fetchrow(_Q["get_secrets"], [tenant], [name])
    if known is not None and _is_same(keyring, tenant, name, bytes(known["sealed"]), plain):
        return
    await connection.execute(
        _Q["put_secret"], tenant, name, keyring.seal(tenant, name, plain), keyring.active_id
    )


def _is_same(keyring: Keyring, tenant: str, name: str, sealed: bytes, plain: Secret) -> bool:
    if sealed[1 : 1 + len(keyring.active)] != keyring.active:
        return False
    try:
        return hmac.compare_digest(keyring.open(tenant, name, sealed).reveal(), plain.reveal())
    except SecretError:
        return False


async def get_secrets(
    connection: Any, keyring: Keyring, wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Secret]:
    """The secrets (tenant, name) that exist. Raises: SecretError for one that does not open."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    rows = await connection.fetch(_Q["get_secrets"], [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return {
        (row["tenant"], row["name"]): keyring.open(row["tenant"], row["name"], bytes(row["sealed"]))
        for row in rows
    }


async def drop_secrets_except(connection: Any, tenant: str, prefix: str, names: Sequence[str]) -> None:
    """Remove the tenant's secrets that begin with `prefix` (no wildcards in it) and are not among `names`."""
    pattern = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    await connection.execute(_Q["drop_secrets_like"], tenant, pattern, list(names))


async def list_secrets(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    """Names, never values."""
    return await connection.fetch(_Q["list_secrets"], tenant)  # type: ignore[no-any-return]


async def put_source(connection: Any, tenant: str, name: str, definition: Mapping[str, Any]) -> bool:
    """Write the source; True when that changed something."""
    return _changed(await connection.execute(_Q["put_source"], tenant, name, dict(definition)))


async def put_stream(
    connection: Any, tenant: str, source: str, stream: str, version: UUID, definition: Mapping[str, Any]
) -> bool:
    """Make the version, unless it is there, and point the stream at it; True when that changed something."""
    await connection.execute(_Q["put_version"], version, tenant, source, stream, dict(definition))
    return _changed(await connection.execute(_Q["put_stream"], tenant, source, stream, version))


async def versions_of(connection: Any, tenant: str, source: str) -> dict[str, UUID]:
    """The version at which each stream of a source is, by name."""
    rows = await connection.fetch(_Q["versions_of"], tenant, source)
    return {row["name"]: row["version_id"] for row in rows}


async def delete_streams_except(connection: Any, tenant: str, source: str, names: Sequence[str]) -> list[str]:
    """Remove the source's streams that are not among `names`; their versions stay for the runs pinned to them."""
    return [
        row["name"]
        for row in await connection.fetch(_Q["delete_streams_except"], tenant, source, list(names))
    ]


def _changed(tag: str) -> bool:
    return not tag.endswith(" 0")


async def get_version(connection: Any, version: UUID) -> Mapping[str, Any] | None:
    return await connection.fetchval(_Q["get_version"], version)  # type: ignore[no-any-return]


async def has_stream(connection: Any, tenant: str, source: str, stream: str) -> bool:
    return await connection.fetchval(_Q["has_stream"], tenant, source, stream) is not None


async def list_sources(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list_sources"], tenant)  # type: ignore[no-any-return]


async def list_streams(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list_streams"], tenant)  # type: ignore[no-any-return]


async def put_endpoint(connection: Any, tenant: str, name: str, definition: Mapping[str, Any]) -> None:
    await connection.execute(_Q["put_endpoint"], tenant, name, dict(definition))


async def list_endpoints(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list_endpoints"], tenant)  # type: ignore[no-any-return]


async def all_endpoints(connection: Any) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["all_endpoints"])  # type: ignore[no-any-return]


async def one_endpoint(connection: Any, tenant: str, name: str) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["one_endpoint"], tenant, name)  # type: ignore[no-any-return]


async def lock(connection: Any, tenant: str) -> None:
    """Let nobody else change the tenant's configuration until the transaction ends."""
    await connection.execute(_Q["lock"], tenant)


async def delete_source(connection: Any, tenant: str, name: str) -> None:
    """Remove a source whose streams are gone."""
    await connection.execute(_Q["delete_source"], tenant, name)


async def endpoints_that_start(
    connection: Any, tenant: str, streams: Iterable[str]
) -> Sequence[Mapping[str, Any]]:
    """Endpoints whose deliveries start runs of one of these streams (`source.stream`)."""
    return await connection.fetch(_Q["endpoints_that_start"], tenant, sorted(streams))  # type: ignore[no-any-return]


async def announce_change(connection: Any, tenant: str) -> None:
    """Tell every service at commit that the tenant's configuration changed."""
    await connection.execute(_Q["announce"], tenant)
