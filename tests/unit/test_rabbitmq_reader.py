"""The guarded reader hands frames on as the protocol layer asks for them."""

import asyncio

import pamqp.frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.heartbeat import Heartbeat

from headwater.bus.rabbitmq.reader import GuardedReader


async def _frame(reader: GuardedReader) -> object:
    """Read as the protocol layer does: 1 byte, 6 bytes, the rest."""
    head = await reader.readexactly(1) + await reader.readexactly(6)
    size = int.from_bytes(head[3:7], "big")
    return pamqp.frame.unmarshal(head + await reader.readexactly(size + 1))[2]


async def test_a_heartbeat_between_frames_leaves_the_next_frame_whole() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(pamqp.frame.marshal(Heartbeat(), 0))
    stream.feed_data(pamqp.frame.marshal(ContentBody(b"body"), 1))
    stream.feed_data(pamqp.frame.marshal(Heartbeat(), 0))
    stream.feed_data(pamqp.frame.marshal(Basic.Ack(7, False), 1))
    reader = GuardedReader(stream)

    frames = [await _frame(reader) for _ in range(4)]

    assert [type(frame).__name__ for frame in frames] == ["Heartbeat", "ContentBody", "Heartbeat", "Ack"]
    assert frames[1].value == b"body"
    assert frames[3].delivery_tag == 7


async def test_a_tap_takes_its_channels_frames_and_the_layer_hears_that_the_connection_lives() -> None:
    stream = asyncio.StreamReader()
    for tag in range(1, 4):
        stream.feed_data(pamqp.frame.marshal(Basic.Ack(tag, False), 1))
    stream.feed_data(pamqp.frame.marshal(ContentBody(b"body"), 1))
    stream.feed_data(pamqp.frame.marshal(Basic.Ack(9, False), 2))
    taken: list[tuple[int, bytes]] = []

    def tap(kind: int, payload: bytes) -> bool:
        taken.append((kind, payload))
        return kind == 1

    reader = GuardedReader(stream, {1: tap})

    frames = [await _frame(reader) for _ in range(3)]

    assert [type(frame).__name__ for frame in frames] == ["Heartbeat", "ContentBody", "Ack"]
    assert frames[2].delivery_tag == 9
    assert [kind for kind, _ in taken] == [1, 1, 1, 3]
    assert taken[3][1] == b"body"
