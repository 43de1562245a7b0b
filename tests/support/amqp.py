"""Other programs at the broker: a plain pika client, and RabbitMQ's management API."""

import base64
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel


def as_user(amqp_url: str, user: str, password: str) -> pika.ConnectionParameters:
    """The broker at `amqp_url` as seen by another user."""
    parameters = pika.URLParameters(amqp_url)
    parameters.credentials = pika.PlainCredentials(user, password)
    return parameters


@contextmanager
def channel(parameters: pika.connection.Parameters) -> Iterator[BlockingChannel]:
    """A channel with publisher confirms."""
    connection = pika.BlockingConnection(parameters)
    try:
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened
    finally:
        if connection.is_open:
            connection.close()


def subscribe(opened: BlockingChannel, exchange: str, key: str) -> str:
    """A queue of one's own that gets what is published under `key`; gives its name."""
    name = str(opened.queue_declare("", exclusive=True).method.queue)
    opened.queue_bind(name, exchange, key)
    return name


def next_message(
    opened: BlockingChannel, queue: str, timeout_s: float = 30.0
) -> tuple[str, pika.BasicProperties, bytes]:
    """Routing key, properties and body of the next message of `queue`."""
    deadline = time.monotonic() + timeout_s
    while True:
        method, properties, body = opened.basic_get(queue, auto_ack=True)
        if method is not None:
            assert properties is not None
            assert body is not None
            return str(method.routing_key), properties, body
        assert time.monotonic() < deadline, f"nothing came within {timeout_s:g} s"
        opened.connection.process_data_events(time_limit=0.05)


def manage(management_url: str, path: str) -> Any:
    """What RabbitMQ's management API says of `path`."""
    parts = urlsplit(management_url)
    credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    address = f"{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}"
    request = urllib.request.Request(address, headers={"Authorization": f"Basic {credentials}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
