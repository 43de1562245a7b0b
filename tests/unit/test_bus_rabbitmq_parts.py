"""The parts of the RabbitMQ bus that need no broker: frames, the lane, properties, acknowledgements, breaker, guard."""

import asyncio
import random
import struct
from datetime import UTC, datetime

import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from tests.support.buses import PATIENCE_S, message

from headwater.bus.dispatcher import Delivery
from headwater.bus.envelope import ATTEMPT_HEADER, QUEUE_HEADER, REASON_HEADER, USER_HEADER
from headwater.bus.port import MAX_BODY_BYTES
from headwater.bus.rabbitmq.breaker import PROBE_EVERY_S, Breaker
from headwater.bus.rabbitmq.consumer import Consumer, Session
from headwater.bus.rabbitmq.frames import Place, publication
from headwater.bus.rabbitmq.inlet import Inlet
from headwater.bus.rabbitmq.lane import Lane
from headwater.bus.rabbitmq.properties import MALFORMED_HEADER, Arrival, decode
from headwater.bus.rabbitmq.reader import mended
from headwater.bus.topology import load_topology
from headwater.model.errors import BusFull, BusUnavailable, ContractError

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def arrived(
    properties: Basic.Properties, key: str = "run.due", body: bytes = b"{}", redelivered: bool = False
) -> Arrival:
    return Arrival(
        key, redelivered, properties.headers or {}, properties.message_id, properties.user_id, body
    )


def over_the_wire(*frames: object) -> list[tuple[int, Arrival]]:
    """What an inlet makes of frames: the same one by one and in a row, wherever the row is cut."""
    raw = [frame if isinstance(frame, bytes) else pamqp.frame.marshal(frame, 1) for frame in frames]
    got = in_parts(raw)
    wire = b"".join(raw)
    for cut in {0, len(wire), *range(1, len(wire), max(1, len(wire) // 40))}:
        assert in_a_row(wire, cut) == got
    return got


def in_parts(raw: list[bytes]) -> list[tuple[int, Arrival]]:
    got: list[tuple[int, Arrival]] = []
    inlet = Inlet(lambda tag, arrival: got.append((tag, arrival)))
    for frame in raw:
        assert inlet.take(frame[0], frame[7:-1])
    return got


def in_a_row(wire: bytes, cut: int) -> list[tuple[int, Arrival]]:
    """As the reader hands frames over of which those behind `cut` come later."""
    got: list[tuple[int, Arrival]] = []
    inlet = Inlet(lambda tag, arrival: got.append((tag, arrival)))
    at = 0
    for end in (cut, len(wire)):
        come = wire[:end]
        while True:
            behind = inlet.take_row(come, at)
            if behind == at:
                size = int.from_bytes(come[at + 3 : at + 7], "big") if at + 7 <= end else end
                behind = at + 8 + size
                if behind > end:
                    break
                assert inlet.take(come[at], come[at + 7 : behind - 1])
            at = behind
    assert at == len(wire)
    return got


def frames_of(sent, to: Place, frame_bytes: int = 131_072) -> list:
    """What publishes a message, as the protocol layer reads it."""
    wire = publication(
        sent, to, own_user="headwater", at_s=int(AT.timestamp()), channel=7, frame_bytes=frame_bytes
    )
    frames = []
    while wire:
        size, channel, frame = pamqp.frame.unmarshal(wire)
        assert channel == 7
        frames.append(frame)
        wire = wire[size:]
    return frames


def read_arrival(arrival: Arrival):
    return decode(arrival, queue="headwater.run.due", own_user="headwater", number="unnamed")


def read(properties: Basic.Properties, queue: str = "headwater.run.due", **more):
    return decode(arrived(properties, **more), queue=queue, own_user="headwater", number="unnamed")


HANDED_IN = {
    "few properties": Basic.Properties(content_type="application/xml", message_id="m", user_id="u"),
    "headers of all kinds": Basic.Properties(
        content_type="application/xml", message_id="m", headers={"n": 5, "x-death": []}
    ),
    "the properties that we write ourselves": Basic.Properties(
        content_type="application/xml", headers={}, delivery_mode=2, message_id="m", timestamp=AT,
        message_type="event.e", app_id="shop",
    ),
    "its header wins": Basic.Properties(
        content_type="text/plain", message_id="m", headers={"content-type": "application/xml"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDED_IN)
def test_what_other_programs_hand_in_keeps_the_type_of_its_body(name):
    header = ContentHeader(body_size=2, properties=HANDED_IN[name])
    deliver = Basic.Deliver("tag", 4, False, "headwater.in", "event.e")
    ((_, arrival),) = over_the_wire(deliver, header, ContentBody(b"{}"))

    asked, ours = (
        decode(arrival, queue=queue, own_user="headwater", number="unnamed").message.headers
        for queue in ("headwater.in", "headwater.run.due")
    )

    assert asked["content-type"] == "application/xml"
    assert ("content-type" in ours) == (name == "its header wins")


@pytest.mark.parametrize(
    "sent",
    [
        message(headers={"tenant": "acme", "note": "größer €"}),
        message(attempt=3),
        message(user_id="acme"),
        message(user_id="headwater"),
        message("webhook.received", b"\x00\xff", headers={"content-type": "text/plain"}),
    ],
    ids=["headers", "attempt", "foreign user", "own user", "bytes"],
)
def test_a_message_is_the_same_after_the_way_there_and_back(sent):
    publish, *content = frames_of(sent, Place("headwater", sent.type, mandatory=True))

    deliver = Basic.Deliver("tag", 4, False, publish.exchange, publish.routing_key)
    ((tag, arrival),) = over_the_wire(deliver, *content)
    got = decode(arrival, queue="headwater.run.due", own_user="headwater", number="unnamed")

    assert tag == 4

    assert got.fault is None
    assert got.message == sent


def test_only_our_own_property_user_makes_the_users_header_believed():
    claimed = read(Basic.Properties(message_id="m", user_id="tenant", headers={USER_HEADER: "admin"}))
    nameless = read(Basic.Properties(message_id="m", headers={USER_HEADER: "admin"}))
    ours = read(Basic.Properties(message_id="m", user_id="headwater", headers={USER_HEADER: "acme"}))

    assert (claimed.message.user_id, nameless.message.user_id, ours.message.user_id) == (
        "tenant",
        None,
        "acme",
    )
    assert all(USER_HEADER not in got.message.headers for got in (claimed, nameless, ours))


@pytest.mark.parametrize(
    ("properties", "more", "fault"),
    [
        (Basic.Properties(), {}, "message_id is missing"),
        (Basic.Properties(message_id="m", headers={ATTEMPT_HEADER: "many"}), {}, "is not a count"),
        (Basic.Properties(message_id="m", headers={ATTEMPT_HEADER: "9" * 400}), {}, "is not a count"),
        (Basic.Properties(message_id="m", headers={"x": b"\xff"}), {}, "not UTF-8"),
        (Basic.Properties(message_id="m"), {"body": b"x" * (MAX_BODY_BYTES + 1)}, "more than"),
        (Basic.Properties(message_id="m"), {"key": "event.\ufffd"}, "routing key"),
        (Basic.Properties(message_id="m", headers={MALFORMED_HEADER: "why"}), {}, "why"),
    ],
)
def test_what_no_handler_may_see_says_why(properties, more, fault):
    assert fault in (read(properties, **more).fault or "")


def test_dead_letters_are_shown_whatever_is_wrong_with_them():
    got = read(Basic.Properties(headers={"x": b"\xff"}), queue="headwater.dead", key="dead.run.due")

    assert got.fault is None
    assert (got.message.type, got.message.id) == ("run.due", "unnamed")


def test_a_dead_letter_of_the_broker_says_its_reason_and_queue():
    deaths = [
        {"reason": "delivery_limit", "queue": "headwater.page.due", "count": 1},
        {"reason": "expired", "queue": "headwater.wait.1", "count": 3},
    ]
    headers = {"x-death": deaths, "x-first-death-queue": "headwater.wait.1", "tenant": "acme"}

    got = read(Basic.Properties(message_id="m", headers=headers), queue="headwater.dead", key="page.due")

    assert dict(got.message.headers) == {
        "tenant": "acme",
        REASON_HEADER: "given up by the broker: delivery_limit",
        QUEUE_HEADER: "headwater.page.due",
    }


@pytest.mark.parametrize(
    ("headers", "redelivered", "count"),
    [
        ({}, False, 0),
        ({}, True, 1),
        ({"x-delivery-count": 7}, True, 7),
        ({"x-delivery-count": "no"}, True, 1),
    ],
)
def test_redeliveries_are_counted_by_the_broker(headers, redelivered, count):
    got = read(Basic.Properties(message_id="m", headers=headers), redelivered=redelivered)

    assert got.message.redelivered == count
    assert "x-delivery-count" not in got.message.headers


class BooksOfTheBroker:
    """A channel that does what the broker does with acknowledgements (AMQP 0-9-1 §1.8.3.13)."""

    def __init__(self, tags: range) -> None:
        self.open = list(tags)
        self.acknowledged: list[int] = []
        self.given_back: list[int] = []
        self.frames = 0

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool) -> None:
        await asyncio.sleep(0)
        self.frames += 1
        covered = [one for one in self.open if one == tag or (multiple and one <= tag)]
        assert covered, "acknowledging an unknown tag closes the channel"
        self.open = [one for one in self.open if one not in covered]
        self.acknowledged += covered

    async def basic_nack(self, tag: int, *, requeue: bool, wait: bool) -> None:
        await asyncio.sleep(0)
        assert tag in self.open
        self.open.remove(tag)
        self.given_back.append(tag)


@pytest.mark.parametrize("seed", range(50))
async def test_acknowledging_several_at_once_never_covers_what_is_open_or_given_back(seed: int):
    drawn = random.Random(seed)
    tags = range(1, 61)
    channel = BooksOfTheBroker(tags)
    session = Session(channel, dict.fromkeys(tags))
    waiting = list(tags)
    settled, back = set(), set()

    async with asyncio.TaskGroup() as group:
        while waiting:
            size = min(drawn.randrange(1, 12), len(waiting))
            taken = waiting[:size] if drawn.random() < 0.6 else drawn.sample(waiting, size)
            waiting = [tag for tag in waiting if tag not in taken]
            if drawn.random() < 0.7:
                settled |= set(taken)
                group.create_task(session.ack(taken))
            else:
                back |= set(taken)
                group.create_task(session.give_back(taken))
            for _ in range(drawn.randrange(3)):
                await asyncio.sleep(0)

    assert set(channel.acknowledged) == settled
    assert set(channel.given_back) == back
    assert channel.open == []
    assert not session.open


async def test_batches_in_order_cost_one_frame_each():
    channel = BooksOfTheBroker(range(1, 101))
    session = Session(channel, dict.fromkeys(range(1, 101)))

    for start in range(1, 101, 20):
        await session.ack(list(range(start, start + 20)))

    assert channel.frames == 5


def test_a_delivery_of_a_lost_channel_is_no_longer_had():
    session = Session(BooksOfTheBroker(range(1, 2)), {1: None})
    had = session.has(Delivery(message(), 1, session))
    session.is_lost = True

    assert had
    assert not session.has(Delivery(message(), 1, session))


class StuckChannel:
    """Frames go nowhere."""

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool) -> None:
        raise TimeoutError


async def test_a_channel_on_which_nothing_can_be_settled_is_given_up_so_that_its_messages_come_again():
    session = Session(StuckChannel(), {1: None, 2: None})
    consumer = Consumer("headwater.in", None, None, load_topology(), "user", lambda: datetime.now(UTC))

    await consumer.ack([Delivery(message(), 1, session)])

    assert not session.has(Delivery(message(), 2, session))
    assert session.ended.is_set()


def test_the_breaker_refuses_after_three_time_outs_in_ten_seconds_but_for_a_probe_a_second():
    breaker = Breaker()
    for now in (100.0, 104.0):
        breaker.timed_out(now)
    before = breaker.admits(105.0)
    breaker.timed_out(109.0)

    assert before
    assert not breaker.admits(109.5)
    assert breaker.admits(109.0 + PROBE_EVERY_S)
    assert not breaker.admits(109.5 + PROBE_EVERY_S)
    assert breaker.is_open
    breaker.confirmed()
    assert breaker.admits(110.6)


def test_time_outs_far_apart_do_not_open_the_breaker():
    breaker = Breaker()
    for now in (100.0, 106.0, 112.0, 118.0):
        breaker.timed_out(now)

    assert breaker.admits(118.0)


def header_frame(payload: bytes, channel: int = 3) -> bytes:
    return struct.pack(">BHI", 2, channel, len(payload)) + payload + b"\xce"


def test_a_readable_frame_passes_the_guard_untouched():
    frame = pamqp.frame.marshal(ContentHeader(0, 5, Basic.Properties(message_id="m", headers={"a": 1})), 3)

    assert mended(frame) is frame


@pytest.mark.parametrize("seed", range(200))
def test_any_bytes_in_place_of_properties_leave_the_body_size_and_a_note(seed: int):
    drawn = random.Random(seed)
    payload = struct.pack(">HHQ", 60, 0, 1234) + drawn.randbytes(drawn.randrange(60))

    after = mended(header_frame(payload))

    consumed, channel, header = pamqp.frame.unmarshal(after)
    assert (consumed, channel, header.body_size) == (len(after), 3, 1234)


@pytest.mark.parametrize("key", [b"\xff", b"event.\xc3", b"\xff" * 255], ids=["one", "cut", "longest"])
def test_a_routing_key_that_is_not_text_becomes_readable_and_is_still_known_as_wrong(key: bytes):
    payload = (
        struct.pack(">HH", 60, 60)
        + b"\x03tag"
        + struct.pack(">QB", 9, 1)
        + b"\x02ex"
        + bytes([len(key)])
        + key
    )
    frame = struct.pack(">BHI", 1, 4, len(payload)) + payload + b"\xce"

    consumed, channel, deliver = pamqp.frame.unmarshal(mended(frame))

    assert consumed > 0
    assert (channel, deliver.delivery_tag, deliver.consumer_tag, deliver.exchange) == (4, 9, "tag", "ex")
    assert "\ufffd" in deliver.routing_key
    assert len(deliver.routing_key.encode()) <= 255


def test_a_body_larger_than_a_frame_is_split_at_its_limit_and_an_empty_one_has_none():
    to = Place("headwater", "run.due", mandatory=False)
    body = bytes(range(256)) * 20

    publish, header, *pieces = frames_of(message(body=body), to, frame_bytes=4096)
    bare = frames_of(message(body=b""), to)

    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("headwater", "run.due", False)
    assert header.body_size == len(body)
    assert [len(piece.value) + 8 for piece in pieces] == [4096, len(body) - 4088 + 8]
    assert b"".join(piece.value for piece in pieces) == body
    assert [type(frame).__name__ for frame in bare] == ["Publish", "ContentHeader"]


def test_a_message_is_persistent_dated_and_names_itself():
    frame = frames_of(message(id="m-1"), Place("headwater", "run.due", mandatory=True))[1]

    properties = frame.properties

    assert (properties.delivery_mode, properties.timestamp, properties.app_id) == (2, AT, "headwater")
    assert (properties.message_id, properties.message_type) == ("m-1", "run.due")
    assert properties.user_id is None


class Wire:
    """A lane whose broker is the test."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.lane = Lane(1, 131_072, self.written.append, Breaker())

    def publish(self, identity: str = "m", timeout_s: float = 5.0) -> "asyncio.Future[None]":
        to = Place("headwater", "run.due", mandatory=True)
        return self.lane.publish(
            identity.encode(), identity=identity, to=to, taker="headwater.run.due", timeout_s=timeout_s
        )

    def say(self, frame: object) -> bool:
        raw = pamqp.frame.marshal(frame, 1)
        return self.lane.take(raw[0], raw[7:-1])


async def test_frames_of_one_turn_leave_in_one_write():
    wire = Wire()

    for name in ("a", "b", "c"):
        wire.publish(name)
    await asyncio.sleep(0)

    assert wire.written == [b"abc"]


@pytest.mark.parametrize("seed", range(20))
async def test_each_publish_gets_the_brokers_answer_to_it_whatever_their_order(seed: int):
    random_ = random.Random(seed)
    wire = Wire()
    count = 30
    published = [wire.publish(str(number)) for number in range(1, count + 1)]
    refused = {tag for tag in range(1, count + 1) if random_.random() < 0.2}
    open_tags = list(range(1, count + 1))

    while open_tags:
        tag = random_.choice(open_tags)
        before = [each for each in open_tags if each <= tag]
        together = not refused.intersection(before) and random_.random() < 0.5
        kind = Basic.Nack if tag in refused else Basic.Ack
        assert wire.say(kind(tag, together))
        open_tags = [each for each in open_tags if each not in (before if together else [tag])]

    for tag, done in enumerate(published, 1):
        assert done.done()
        assert isinstance(done.exception(), BusFull) == (tag in refused)


async def test_a_message_that_came_back_is_refused_when_it_is_confirmed_and_its_neighbours_are_not():
    wire = Wire()
    published = [wire.publish(name) for name in ("a", "same", "same", "b")]
    back = ContentHeader(0, 5, Basic.Properties(message_id="same"))

    for _ in range(2):
        assert wire.say(Basic.Return(312, "NO_ROUTE", "headwater", "run.due"))
        assert wire.say(back)
        assert wire.say(ContentBody(b"12"))
        assert wire.say(ContentBody(b"345"))
    wire.say(Basic.Ack(4, True))

    kinds = [type(done.exception()) for done in published]
    assert kinds == [type(None), ContractError, ContractError, type(None)]


async def test_losing_the_channel_ends_what_is_open_and_what_comes_later_as_unknown():
    wire = Wire()
    confirmed, open_, given_up = wire.publish("a"), wire.publish("b"), wire.publish("c")
    wire.say(Basic.Ack(1, False))
    given_up.cancel()

    wire.lane.lose("the connection was lost")
    later = wire.publish("d")
    await asyncio.sleep(0)

    assert confirmed.exception() is None
    for done in (open_, later):
        assert isinstance(done.exception(), BusUnavailable)
    assert wire.written == []  # nothing is sent on a channel that is gone


async def test_an_answer_that_does_not_come_in_time_is_unknown_and_may_come_later():
    wire = Wire()
    late, quick = wire.publish("a", timeout_s=0.05), wire.publish("b", timeout_s=0.05)
    wire.say(Basic.Ack(2, False))

    with pytest.raises(BusUnavailable, match="unknown"):
        async with asyncio.timeout(PATIENCE_S):
            await late
    wire.say(Basic.Ack(1, False))
    again = wire.publish("c")
    wire.say(Basic.Ack(3, False))
    assert wire.lane.open_bytes == 0

    assert quick.exception() is None
    assert again.exception() is None


async def test_frames_that_are_none_of_the_lanes_are_left_to_the_protocol_layer():
    wire = Wire()

    assert not wire.say(Channel.Close(404, "NOT_FOUND", 0, 0))
    assert not wire.say(ContentBody(b"x"))


_VALUES = ["text", "größer €", "", 7, -1, 2**40, 1.5, True, None, AT, [1, "two"], {"deep": {"er": 1}}, b""]


@pytest.mark.parametrize("seed", range(200))
def test_what_comes_in_is_read_as_the_protocol_library_reads_it(seed: int):
    random_ = random.Random(seed)
    kinds = _VALUES[:3] if seed % 2 else _VALUES[:-1]
    given = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {f"h{n}": random_.choice(kinds) for n in range(random_.randrange(5))},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m-ü",
        "timestamp": AT,
        "message_type": "t",
        "user_id": "guest",
        "app_id": "a",
    }
    chosen = {name: value for name, value in given.items() if random_.random() < 0.6}
    body = random_.randbytes(random_.choice([0, 1, 5000]))
    pieces = [ContentBody(body[start : start + 2000]) for start in range(0, len(body), 2000)]
    header = pamqp.frame.marshal(ContentHeader(0, len(body), Basic.Properties(**chosen)), 1)
    known = pamqp.frame.unmarshal(header)[2].properties

    ((tag, arrival),) = over_the_wire(Basic.Deliver("ctag", 9, True, "x", "a.b"), header, *pieces)

    assert (tag, arrival.key, arrival.is_redelivered, arrival.body) == (9, "a.b", True, body)
    assert arrival.headers == (known.headers or {})
    assert (arrival.message_id, arrival.user_id) == (known.message_id, known.user_id)


@pytest.mark.parametrize("seed", range(200))
def test_no_properties_however_broken_keep_a_message_from_arriving(seed: int):
    random_ = random.Random(seed)
    properties = Basic.Properties(message_id="m", headers={"a": "b", "c": "d"}, user_id="u", app_id="x")
    header = bytearray(pamqp.frame.marshal(ContentHeader(0, 2, properties), 1))
    for _ in range(random_.randrange(1, 6)):
        header[random_.randrange(7 + 12, len(header) - 1)] = random_.randrange(256)
    deliver = Basic.Deliver("ctag", 1, False, "x", "run.due")

    ((_, arrival),) = over_the_wire(deliver, bytes(header), ContentBody(b"ok"))

    assert arrival.body == b"ok"
    assert read_arrival(arrival).message.body == b"ok"


def test_a_message_without_a_body_arrives_with_its_header():
    ((tag, arrival),) = over_the_wire(
        Basic.Deliver("", 3, False, "", "run.due"), ContentHeader(0, 0, Basic.Properties(message_id="m"))
    )

    assert (tag, arrival.body, arrival.message_id) == (3, b"", "m")


def test_an_inlet_leaves_what_is_no_message_to_the_protocol_layer():
    inlet = Inlet(lambda *_: pytest.fail("nothing arrived"))

    for frame in (Basic.Cancel("tag"), Channel.Close(406, "", 0, 0), Basic.QosOk()):
        raw = pamqp.frame.marshal(frame, 1)
        assert not inlet.take(raw[0], raw[7:-1])
        assert inlet.take_row(raw + raw, 0) == 0


def test_a_row_ends_where_another_channels_frame_stands_between() -> None:
    got: list[tuple[int, Arrival]] = []
    inlet = Inlet(lambda tag, arrival: got.append((tag, arrival)))
    message = [
        pamqp.frame.marshal(frame, 1)
        for frame in (
            Basic.Deliver("", 3, False, "", "run.due"),
            ContentHeader(0, 2, Basic.Properties(message_id="m")),
            ContentBody(b"{}"),
        )
    ]
    other = pamqp.frame.marshal(Basic.Ack(1, False), 2)
    whole = b"".join(message)
    of_another = b"".join(frame[:1] + b"\x00\x02" + frame[3:] for frame in message)

    assert inlet.take_row(whole + of_another + whole, 0) == len(whole)
    assert inlet.take_row(whole + message[0] + other + message[1] + message[2], 0) == len(whole)
    assert inlet.take_row(whole + message[0] + message[1] + other + message[2], 0) == len(whole)
    assert [tag for tag, _ in got] == [3, 3, 3]
