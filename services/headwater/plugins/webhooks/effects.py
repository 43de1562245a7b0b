"""What a delivery does: whether it is wanted, which rows it is, which runs it starts, which event tells of it.

A fault of content is an answer (`dead`, with its reason), never an exception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from headwater.contracts.codec import dumps
from headwater.contracts.destination import Destination
from headwater.contracts.endpoint import Endpoint, EndpointTable
from headwater.contracts.webhook import Receipt
from headwater.model.errors import ConfigError, ContractError, SecretError, SourceError
from headwater.plugins.expressions import MISSING, Getter, compile_path, is_true
from headwater.plugins.mapping import Kinds, Mapper, kinds_of
from headwater.plugins.secret_text import Secrets, names_in
from headwater.plugins.webhooks.parsing import Parsed, parse
from headwater.plugins.webhooks.request import request_document

DONE: Final = "done"
FILTERED: Final = "filtered"
DEAD: Final = "dead"
REQUEST_NAME: Final = "_"  # the request, in expressions over a record
NO_KEYS: Final[Secrets] = {}
_UNTYPED: Final = "received"
_EVENT_CHARACTERS = 200
_NOTED_FAULTS = 3
_TABLE_MODES = frozenset({"append", "merge", "delete_insert", "scd2"})  # replace needs a run that closes


class Load(NamedTuple):
    """Records of one delivery on their way to one table; `rejected_count` of them could not be mapped."""

    destination: Destination
    records: tuple[Any, ...]
    rejected_count: int = 0
    kinds: Kinds = ()


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that the delivery starts; `number` is its place in `starts`."""

    number: int
    source: str
    stream: str
    mode: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event for subscribers; its body is the raw one."""

    type: str


class Judgement(NamedTuple):
    """What becomes of a delivery. `reason` says why it is dead or filtered, or what of it could not be read.

    `form` is what the body was read as, None when nothing needed it.
    """

    state: str
    reason: str | None = None
    form: str | None = None
    loads: tuple[Load, ...] = ()
    runs: tuple[StartedRun, ...] = ()
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class _TableWay:
    place: str
    when: Getter | None
    records: Getter | None
    mapper: Mapper
    maps_nothing: bool  # fields may come from the request alone
    destination: Destination
    kinds: Kinds


@dataclass(frozen=True, slots=True)
class _StartWay:
    place: str
    when: Getter | None
    parameters: tuple[tuple[str, Getter], ...]
    source: str
    stream: str
    mode: str


@dataclass(frozen=True, slots=True)
class Effects:
    """An endpoint's effects, compiled."""

    endpoint: Endpoint
    filter: Getter | None
    tables: tuple[_TableWay, ...]
    starts: tuple[_StartWay, ...]
    event_type: Getter | None
    is_read: bool  # whether the body is parsed at all
    filter_first: bool  # whether the filter can say no before that
    asks_request: bool  # whether more than the body is asked for
    is_plain: bool  # whether all there is to do is to put the body's records into one table as they are

    @property
    def destinations(self) -> list[Destination]:
        """The tables that its deliveries may go to."""
        return [way.destination for way in self.tables]

    @property
    def key_names(self) -> list[str]:
        """The secrets that hashed fields need."""
        tables = [self.endpoint.fields, *(table.fields for table in self.endpoint.tables)]
        return [
            name
            for fields in tables
            for rule in fields
            if isinstance(rule.hash, str)
            for name in names_in(rule.hash)
        ]


_KEPT: Final = Judgement(DONE)


class _FaultError(Exception):
    """A place of the endpoint's definition, and what was wrong there with a delivery."""


def compile_effects(endpoint: Endpoint) -> Effects:
    """The effects of the endpoint's deliveries. Raises: ConfigError, `place: what is wrong`."""
    tables = [_table(f"tables.{index}.", table) for index, table in enumerate(endpoint.tables)]
    if endpoint.destination is not None:
        own = EndpointTable(
            records=endpoint.records,
            fields=endpoint.fields,
            rest=endpoint.rest,
            destination=endpoint.destination,
        )
        tables.insert(0, _table("", own))
    starts = tuple(
        _StartWay(
            f"starts.{index}.",
            _compiled(f"starts.{index}.when", start.when),
            tuple(
                (name, _compile(f"starts.{index}.parameters.{name}", text))
                for name, text in start.parameters.items()
            ),
            start.stream.partition(".")[0],
            start.stream.partition(".")[2],
            start.mode,
        )
        for index, start in enumerate(endpoint.starts)
    )
    publish = endpoint.publish
    event_type = None if publish is None else _compiled("publish.type", publish.type)
    asks_request = bool(
        starts or endpoint.filter or event_type or any(way.when or way.mapper.is_needed for way in tables)
    )
    has_effects = bool(tables or starts or endpoint.filter or event_type)
    return Effects(
        endpoint,
        _compiled("filter", endpoint.filter),
        tuple(tables),
        starts,
        event_type,
        is_read=endpoint.parse != "none" and (has_effects or endpoint.parse != "auto"),
        filter_first=endpoint.filter is not None and "body" not in endpoint.filter,
        asks_request=asks_request,
        is_plain=len(tables) == 1 and not asks_request and publish is None,
    )


def _table(place: str, table: EndpointTable) -> _TableWay:
    mode = str(table.destination.mode)
    if mode not in _TABLE_MODES:
        raise ConfigError(f"{place}destination.mode: {mode} needs runs that end; use append or merge")
    for index, rule in enumerate(table.fields):
        if rule.name == REQUEST_NAME:
            raise ConfigError(
                f"{place}fields.{index}: {REQUEST_NAME!r} stands for the request; rename the column"
            )
    try:
        mapper = Mapper(table.fields, keep_rest=table.rest == "keep", only=table.records.filter)
    except ConfigError as error:
        raise ConfigError(f"{place}{error}") from error
    return _TableWay(
        place,
        _compiled(f"{place}when", table.when),
        _compiled(f"{place}records.path", table.records.path),
        mapper,
        bool(table.fields),
        table.destination,
        kinds_of(table.fields),
    )


def _compiled(place: str, expression: str | None) -> Getter | None:
    return None if expression is None else _compile(place, expression)


def _compile(place: str, expression: str) -> Getter:
    try:
        return compile_path(expression)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def judge(effects: Effects, receipt: Receipt, keys: Secrets = NO_KEYS) -> Judgement:
    """What the delivery does. `keys` are those of hashed fields. Never raises for what a delivery holds."""
    try:
        return _judged(effects, receipt, keys)
    except _FaultError as fault:
        return Judgement(DEAD, str(fault)[:1000])
    except SecretError as error:
        return Judgement(DEAD, f"fields: {error}"[:1000])
    except Exception as error:  # noqa: BLE001 - whatever fails over a delivery's content is that delivery's end
        return Judgement(DEAD, f"it could not be judged: {type(error).__name__}")


def _judged(effects: Effects, receipt: Receipt, keys: Secrets) -> Judgement:
    endpoint = effects.endpoint
    if not (effects.is_read or effects.event_type or effects.filter):
        return _KEPT if endpoint.publish is None else Judgement(DONE, event=Event(receipt.type or _UNTYPED))
    request: dict[str, Any] = {}
    if effects.asks_request:
        request = request_document(receipt.method, receipt.url, receipt.headers, None, receipt.type)
    if (
        effects.filter is not None
        and effects.filter_first
        and not is_true(_ask("filter", effects.filter, request))
    ):
        return Judgement(FILTERED)
    parsed = _read(effects, receipt)
    request["body"] = parsed.document
    try:
        return _judged_by_body(effects, receipt, keys, request, parsed)
    except _FaultError as fault:
        return Judgement(DEAD, str(fault)[:1000], parsed.form)


def _judged_by_body(
    effects: Effects, receipt: Receipt, keys: Secrets, request: dict[str, Any], parsed: Parsed
) -> Judgement:
    if effects.is_plain and not parsed.faults:
        way = effects.tables[0]
        records = _records(way, request)
        return Judgement(DONE, None, parsed.form, (Load(way.destination, tuple(records)),) if records else ())
    if (
        effects.filter is not None
        and not effects.filter_first
        and not is_true(_ask("filter", effects.filter, request))
    ):
        return Judgement(FILTERED, form=parsed.form)
    notes = _noted(parsed.faults)
    loads = []
    for way in effects.tables:
        if _applies(way, request):
            load, faults = _load(way, request, keys)
            notes += faults
            loads.append(load)
    if any(load.rejected_count for load in loads) and not any(load.records for load in loads):
        raise _FaultError("; ".join(notes))
    runs = [
        _started(number, way, request) for number, way in enumerate(effects.starts) if _applies(way, request)
    ]
    return Judgement(
        DONE,
        "; ".join(notes)[:1000] or None,
        parsed.form,
        tuple([load for load in loads if load.records]),
        tuple(runs),
        _event(effects, receipt, request),
    )


def _read(effects: Effects, receipt: Receipt) -> Parsed:
    if not effects.is_read:
        return Parsed("none", None)
    endpoint = effects.endpoint
    try:
        return parse(receipt.body, receipt.headers, endpoint.parse, max_bytes=endpoint.limits.body_bytes)
    except ContractError as error:
        raise _FaultError(f"body: {error}") from error


def _noted(faults: Sequence[str]) -> list[str]:
    if not faults:
        return []
    return [f"{len(faults)} lines could not be read: {'; '.join(faults[:_NOTED_FAULTS])}"[:400]]


def _ask(place: str, getter: Getter, document: Any) -> Any:
    try:
        return getter(document)
    except SourceError as error:
        raise _FaultError(f"{place}: {error}") from error


def _applies(way: _TableWay | _StartWay, request: Mapping[str, Any]) -> bool:
    return way.when is None or is_true(_ask(f"{way.place}when", way.when, request))


def _load(way: _TableWay, request: Mapping[str, Any], keys: Secrets) -> tuple[Load, list[str]]:
    """The rows for a table, and what is to be said about records that have none."""
    records = _records(way, request)
    if not way.mapper.is_needed:
        return Load(way.destination, tuple(records)), []
    seen = [
        {**record, REQUEST_NAME: request}
        if isinstance(record, dict)
        else {"value": record, REQUEST_NAME: request}
        for record in records
    ]
    mapped = way.mapper.apply(seen, keys)
    for row in mapped.rows:
        row.pop(REQUEST_NAME, None)
    load = Load(way.destination, tuple(mapped.rows), len(mapped.rejected), way.kinds)
    if not mapped.rejected:
        return load, []
    table, first = way.destination.place, mapped.rejected[0][1]
    return load, [f"{len(mapped.rejected)} of {len(records)} records for {table} rejected: {first}"[:400]]


def _records(way: _TableWay, request: Mapping[str, Any]) -> Sequence[Any]:
    body = request["body"]
    found = body if way.records is None else _ask(f"{way.place}records.path", way.records, body)
    if found is MISSING:
        raise _FaultError(f"{way.place}records.path: leads to nothing in the body")
    if found is None:
        if way.records is None and way.maps_nothing:
            return ({},)  # an empty body: the fields may come from the request
        if way.records is None:
            raise _FaultError("body: it is empty, so there is no record in it")
        return ()
    return found if isinstance(found, list) else (found,)


def _started(number: int, way: _StartWay, request: Mapping[str, Any]) -> StartedRun:
    parameters = {}
    for name, getter in way.parameters:
        value = _ask(f"{way.place}parameters.{name}", getter, request)
        if value is not MISSING:
            parameters[name] = value
    try:
        text = dumps(parameters)
    except ContractError as error:
        raise _FaultError(f"{way.place}parameters: {error}") from error
    if b"\\u0000" in text:
        raise _FaultError(f"{way.place}parameters: hold a NUL character, which no run can keep")
    return StartedRun(number, way.source, way.stream, way.mode, parameters)


def _event(effects: Effects, receipt: Receipt, request: Mapping[str, Any]) -> Event | None:
    if effects.endpoint.publish is None:
        return None
    if effects.event_type is None:
        return Event(receipt.type or _UNTYPED)
    found = _ask("publish.type", effects.event_type, request)
    if isinstance(found, str | int) and not isinstance(found, bool):
        text = "".join(each for each in str(found) if each.isprintable())[:_EVENT_CHARACTERS]
        return Event(text or _UNTYPED)
    return Event(_UNTYPED)
