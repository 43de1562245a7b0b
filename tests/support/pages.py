"""Pages that a test begins by hand."""

from typing import Any
from uuid import UUID

from headwater.store import ledger
from headwater.store.ledger import Beginning, Begun, PageKey


async def begin_page(
    connection: Any, key: PageKey, tenant: str, digest: bytes, holder: UUID, after: int | None = None
) -> Begun | None:
    """Begin one page in the ledger."""
    (begun,) = await ledger.begin_pages(connection, [Beginning(key, tenant, digest, holder, after)])
    return begun
