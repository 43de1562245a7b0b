"""Putting the topology on a broker, and comparing a broker with it.

The definitions file is the source; a broker that imports it at its start needs none of this. What exists with
other settings is never changed here: that would mean deleting a queue with its messages.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from headwater.bus.rabbitmq.link import Connection, close_quietly, connect, faults_are_unavailable
from headwater.bus.topology import Topology, definitions_path
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret

RPC_TIMEOUT_S = 10.0
_MEND = "run `headwater topology apply`, or import rabbitmq/definitions.json"


async def apply_topology(amqp_url: Secret | str) -> list[str]:
    """Declare what `rabbitmq/definitions.json` says; gives the names of what is there now.

    Raises: BusUnavailable when the broker is away, ConfigError when something exists with other settings.
    """
    definitions = json.loads(definitions_path().read_bytes())
    async with _connection(amqp_url) as connection:
        differences = await _differences(connection, definitions)
        if differences:
            raise ConfigError(
                "; ".join(differences) + ": headwater changes no queue that may hold messages. "
                "Drain and delete it, then apply again"
            )
        await _bind(connection, definitions)
    return [entry["name"] for kind in ("exchanges", "queues") for entry in definitions[kind]]


async def check_topology(amqp_url: Secret | str) -> list[str]:
    """What is missing on the broker or differs from `rabbitmq/definitions.json`, one sentence each.

    Bindings cannot be asked for over AMQP; publishing finds a missing one. Raises: BusUnavailable.
    """
    definitions = json.loads(definitions_path().read_bytes())
    async with _connection(amqp_url) as connection:
        names = [(kind, entry["name"]) for kind, entry in _entries(definitions)]
        missing = await _missing(connection, names)
        absent = {name for _, name in missing}
        there = {
            kind: [entry for entry in definitions[kind] if entry["name"] not in absent]
            for kind in ("exchanges", "queues")
        }
        differences = await _differences(connection, there)
    return [f"{kind} {name} is missing" for kind, name in missing] + differences


async def require_topology(connection: Connection, topology: Topology) -> None:
    """Raises: ConfigError naming what the broker lacks and how to mend it."""
    names = [("exchange", name) for name in topology.exchanges]
    names += [("queue", name) for name in topology.queues]
    missing = await _missing(connection, names)
    if missing:
        listed = ", ".join(f"{kind} {name}" for kind, name in missing)
        raise ConfigError(f"the broker lacks {listed}: {_MEND}")


@asynccontextmanager
async def _connection(amqp_url: Secret | str) -> AsyncIterator[Connection]:
    url = Secret.of(amqp_url) if isinstance(amqp_url, str) else amqp_url
    connection = await connect(url, "headwater topology")
    try:
        async with faults_are_unavailable():
            yield connection
    finally:
        await close_quietly(connection.close)


async def _missing(connection: Connection, names: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which of these exchanges and queues the broker does not have."""
    channel = await _open(connection)
    missing = []
    for kind, name in names:
        try:
            if kind == "exchange":
                await channel.declare_exchange(name, passive=True, timeout=RPC_TIMEOUT_S)
            else:
                await channel.declare_queue(name, passive=True, timeout=RPC_TIMEOUT_S)
        except ChannelNotFoundEntity:
            missing.append((kind, name))
            channel = await _open(connection)  # the broker closes a channel that asked for what is not there
    await channel.close()
    return missing


async def _differences(connection: Connection, definitions: Mapping[str, Any]) -> list[str]:
    """Declares everything, which makes what is missing; gives what exists with other settings."""
    channel = await _open(connection)
    found = []
    for kind, entry in _entries(definitions):
        try:
            await _declare(channel, kind, entry)
        except ChannelPreconditionFailed:
            found.append(f"{kind} {entry['name']} exists with other settings than the definitions say")
            channel = await _open(connection)
    await channel.close()
    return found


def _entries(definitions: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    exchanges = [("exchange", entry) for entry in definitions["exchanges"]]
    return exchanges + [("queue", entry) for entry in definitions["queues"]]


async def _declare(channel: AbstractChannel, kind: str, entry: Mapping[str, Any]) -> None:
    if kind == "queue":
        arguments = entry["arguments"]
        await channel.declare_queue(entry["name"], durable=True, arguments=arguments, timeout=RPC_TIMEOUT_S)
    else:
        exchange_type = aio_pika.ExchangeType(entry["type"])
        await channel.declare_exchange(entry["name"], exchange_type, durable=True, timeout=RPC_TIMEOUT_S)


async def _bind(connection: Connection, definitions: Mapping[str, Any]) -> None:
    channel = await _open(connection)
    for entry in definitions["bindings"]:
        queue = await channel.get_queue(entry["destination"], ensure=False)
        await queue.bind(entry["source"], entry["routing_key"], timeout=RPC_TIMEOUT_S)
    await channel.close()


async def _open(connection: Connection) -> AbstractChannel:
    channel = connection.channel()
    await channel.initialize(timeout=RPC_TIMEOUT_S)
    return channel
