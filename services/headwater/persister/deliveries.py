"""`webhook.received`: deliveries become rows, once each, and their records reach the endpoint's table.

A fault of content fails no message: a delivery that cannot be read is committed as `dead`, with reason and bytes.
"""

import dataclasses
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.codec import loads
from headwater.contracts.manifest import Endpoint
from headwater.contracts.webhook import Receipt
from headwater.model.errors import ContractError, DestinationError, Later, Reject
from headwater.persister.loading import MAX_PREPARES, load, prepare, table_of
from headwater.plugins.destinations import Batch, Loaded, Plan, PostgresDestination, StalePlan, Table
from headwater.store import config, deliveries, payloads
from headwater.store.database import Database
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.persister")
Outcome = tuple[Receipt, str, str | None]


Rows = Mapping[UUID, tuple[Receipt, Batch]]  # by receipt


class DeliveryLoader:
    """The handler of `webhook.received`."""

    def __init__(self, database: Database, destination: PostgresDestination, metrics: Metrics) -> None:
        self._database = database
        self._destination = destination
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> None:
        """Store what `messages` carry, in one transaction."""
        receipts = [await self._understood(message) for message in messages]
        for _ in range(MAX_PREPARES):
            records, unreadable = await self._records(receipts)
            try:
                loads_ = await self._prepare(records)
                outcomes = await self._store(receipts, loads_, unreadable)
            except StalePlan:
                continue
            except DestinationError as error:
                if len(receipts) > 1:
                    raise  # found out one by one
                outcomes = await self._store(receipts, [], {receipts[0].receipt_id: str(error)})
            for _, state, _ in outcomes:
                self._metrics.deliveries.labels(state).inc()
            return
        raise Later(1.0, "a table keeps changing")

    async def _understood(self, message: Message) -> Receipt:
        try:
            receipt = webhook.from_headers(message.id, message.headers, message.body)
        except ContractError as error:
            raise Reject(str(error)) from error
        if receipt.payload_id is None:
            return receipt
        async with self._database.connection() as connection:
            body = await payloads.get(connection, receipt.payload_id)
            if body is None and await deliveries.get(connection, receipt.id) is None:
                raise Reject(f"the body of delivery {receipt.id} is gone")
        return dataclasses.replace(receipt, body=body or b"")

    async def _records(
        self, receipts: Sequence[Receipt]
    ) -> tuple[dict[Table, dict[UUID, tuple[Receipt, Batch]]], dict[UUID, str]]:
        """The records by table, and why a body gives none."""
        endpoints = await self._endpoints({(r.tenant, r.endpoint) for r in receipts})
        by_table: dict[Table, dict[UUID, tuple[Receipt, Batch]]] = defaultdict(dict)
        unreadable: dict[UUID, str] = {}
        for receipt in receipts:
            endpoint = endpoints.get((receipt.tenant, receipt.endpoint))
            if endpoint is None or endpoint.destination is None:
                continue
            try:
                found = loads(receipt.body)
            except ContractError as error:
                unreadable[receipt.receipt_id] = f"body: {error}"
                continue
            rows = found if isinstance(found, list) else [found]
            batch = Batch(rows, receipt.received_at, delivery_id=receipt.id)
            by_table[table_of(receipt.tenant, endpoint.destination)][receipt.receipt_id] = (receipt, batch)
        return by_table, unreadable

    async def _endpoints(self, names: set[tuple[str, str]]) -> dict[tuple[str, str], Endpoint]:
        found = {}
        async with self._database.connection() as connection:
            for tenant, name in sorted(names):
                row = await config.one_endpoint(connection, tenant, name)
                if row is not None:
                    found[tenant, name] = Endpoint.model_validate(row["definition"])
        return found

    async def _prepare(self, records: Mapping[Table, Rows]) -> list[tuple[Plan, Rows]]:
        planned = []
        for table in sorted(records, key=lambda one: (one.schema, one.name)):
            batches = [batch for _, batch in records[table].values()]
            planned.append((await prepare(self._database, self._destination, table, batches), records[table]))
        return planned

    async def _store(
        self,
        receipts: Sequence[Receipt],
        planned: Sequence[tuple[Plan, Rows]],
        unreadable: Mapping[UUID, str],
    ) -> list[Outcome]:
        async with self._database.transaction() as connection:
            new = await deliveries.store(connection, receipts)
            faults = dict(unreadable)
            for plan, rows in planned:
                chosen = [receipt for receipt in new if receipt.receipt_id in rows]
                batches = [rows[receipt.receipt_id][1] for receipt in chosen]
                if batches:
                    loaded = await load(connection, self._destination, plan, batches)
                    faults |= _wholly_rejected(chosen, batches, loaded)
            outcomes: list[Outcome] = [
                (receipt, "dead" if receipt.receipt_id in faults else "done", faults.get(receipt.receipt_id))
                for receipt in new
            ]
            await deliveries.settle(connection, outcomes)
            bodies = [receipt.payload_id for receipt in receipts if receipt.payload_id is not None]
            if bodies:
                await payloads.remove(connection, bodies)
        return outcomes


def _wholly_rejected(chosen: Sequence[Receipt], batches: Sequence[Batch], loaded: Loaded) -> dict[UUID, str]:
    """Deliveries none of whose records could be a row, with the first reason."""
    counts = Counter(item.batch for item in loaded.rejected)
    reasons: dict[int, str] = {}
    for item in loaded.rejected:
        reasons.setdefault(item.batch, item.reason)
    return {
        chosen[index].receipt_id: reasons[index]
        for index, count in counts.items()
        if count == len(batches[index].records)
    }
