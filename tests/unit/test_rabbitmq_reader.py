"""The guarded reader hands frames on as the protocol layer asks for them."""

import asyncio
import random

import pamqp.frame
import pytest
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
    taken: list[tuple[int, bytes]] = []

    def tap(kind: int, payload: bytes) -> bool:
        taken.append((kind, payload))
        return kind == 1

    reader = GuardedReader(stream, {1: tap})

    frames = [await _frame(reader)]
    stream.feed_data(pamqp.frame.marshal(ContentBody(b"body"), 1))
    stream.feed_data(pamqp.frame.marshal(Basic.Ack(9, False), 2))
    frames += [await _frame(reader) for _ in range(2)]

    assert [type(frame).__name__ for frame in frames] == ["Heartbeat", "ContentBody", "Ack"]
    assert frames[2].delivery_tag == 9
    assert [kind for kind, _ in taken] == [1, 1, 1, 3]
    assert taken[3][1] == b"body"


@pytest.mark.parametrize("seed", range(30))
async def test_frames_are_whole_however_the_connection_cuts_them(seed: int) -> None:
    drawn = random.Random(seed)
    bodies = [drawn.randbytes(drawn.choice([1, 7, 8, 9, 300, 70_000])) for _ in range(20)]
    channels = [drawn.choice([1, 2]) for _ in bodies]
    wire = b"".join(
        pamqp.frame.marshal(ContentBody(body), channel)
        for body, channel in zip(bodies, channels, strict=True)
    ) + pamqp.frame.marshal(Basic.Ack(1, False), 2)
    stream = asyncio.StreamReader()
    tapped: list[bytes] = []
    reader = GuardedReader(stream, {1: lambda _, payload: tapped.append(payload) is None})

    async def feed() -> None:
        at = 0
        while at < len(wire):
            step = drawn.choice([1, 3, 8, 100, 5000, 60_000])
            stream.feed_data(wire[at : at + step])
            at += step
            await asyncio.sleep(0)

    handed_on: list[bytes] = []
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(feed())
        while not isinstance(frame := await _frame(reader), Basic.Ack):
            if isinstance(frame, ContentBody):
                handed_on.append(frame.value)

    assert tapped == [body for body, channel in zip(bodies, channels, strict=True) if channel == 1]
    assert handed_on == [body for body, channel in zip(bodies, channels, strict=True) if channel == 2]


async def test_a_connection_that_ends_within_a_frame_says_so() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(pamqp.frame.marshal(ContentBody(b"body"), 1)[:-2])
    stream.feed_eof()

    with pytest.raises(asyncio.IncompleteReadError):
        await GuardedReader(stream).readexactly(1)


async def test_a_broker_of_another_version_is_heard_as_it_is() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"AMQP\x00\x00\x09\x01")
    stream.feed_eof()
    reader = GuardedReader(stream)

    head = await reader.readexactly(1) + await reader.readexactly(6)

    assert head == b"AMQP\x00\x00\x09"
