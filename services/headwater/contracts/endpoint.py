"""An endpoint as people write it: an address that accepts webhooks. Its parts stand in `endpoints.py`."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.destination import Destination
from headwater.contracts.endpoints import (
    AddressRange,
    Alarms,
    Dedupe,
    DeliveryRecords,
    EndpointLimits,
    Form,
    Method,
    Publish,
    Respond,
    Retention,
    SecretWindow,
    Start,
    spelled_out,
)
from headwater.contracts.fields import FieldsForm, RecordFields, spelled_out_fields
from headwater.contracts.naming import Expression, HttpUrl, Name, SecretText
from headwater.contracts.signatures import SchemeDefinition


class EndpointTable(Closed):
    """A table that deliveries go to: which (`when`), which records of theirs, which fields of these.

    `fields` and `rest` as for a stream; in their paths `_` is the request.
    """

    when: Expression | None = None
    records: DeliveryRecords = DeliveryRecords()
    fields: RecordFields = ()
    rest: Literal["drop", "keep"] = "drop"
    destination: Destination

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)


class Endpoint(Closed):
    """An address that accepts webhooks: `/in/{tenant}/{name}`.

    The signature scheme is a preset's name (`scheme`) or written out (`definition`). `handshake` is one of the
    providers' by its id, `{when, answer, methods, signed}`, or `none`; by default the preset's.
    `records`, `fields` and `destination` make one table; `tables` several.
    """

    name: Name
    scheme: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")] | None = None
    definition: SchemeDefinition | None = None
    handshake: str | dict[str, Any] | None = None
    secrets: tuple[SecretText | SecretWindow, ...] = ()
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] | None = None  # None: the provider's advice, else 300
    context: dict[str, str] = {}  # what a scheme or handshake names besides the request, such as `webhook_id`
    methods: tuple[Method, ...] = Field(default=("POST",), min_length=1)
    allow: tuple[AddressRange, ...] = ()  # senders' addresses; empty: everyone
    public_url: HttpUrl | None = (
        None  # scheme and host that this endpoint's senders use; None: HEADWATER_PUBLIC_URL
    )
    limits: EndpointLimits = EndpointLimits()
    respond: Respond = Respond()
    dedupe: Dedupe = Dedupe()
    order_by: Expression | None = (
        None  # deliveries for which it gives the same value are loaded one after another
    )
    parse: Form = "auto"
    filter: Expression | None = None
    records: DeliveryRecords = DeliveryRecords()
    fields: RecordFields = ()
    rest: Literal["drop", "keep"] = "drop"
    destination: Destination | None = None
    tables: tuple[EndpointTable, ...] = Field(default=(), max_length=20)
    starts: tuple[Start, ...] = Field(default=(), max_length=20)
    publish: Publish | None = None
    retention: Retention = Retention()
    alarms: Alarms = Alarms()

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)

    @field_validator("public_url")
    @classmethod
    def _a_path_follows(cls, url: str | None) -> str | None:
        return None if url is None else url.rstrip("/")

    @field_validator("dedupe", mode="before", json_schema_input_type=Dedupe | Literal["none"])
    @classmethod
    def _dedupe_none(cls, value: object) -> object:
        return spelled_out(value, "none")

    @field_validator("publish", mode="before", json_schema_input_type=Publish | bool | None)
    @classmethod
    def _publish_true(cls, value: object) -> object:
        return {} if value is True else None if value is False else value

    @model_validator(mode="after")
    def _one_scheme(self) -> Self:
        if (self.scheme is None) == (self.definition is None):
            raise ValueError("give `scheme` (a preset's name) or `definition`, one of them")
        return self

    @model_validator(mode="after")
    def _fields_have_a_table(self) -> Self:
        if self.destination is None and (self.fields or self.records != DeliveryRecords()):
            raise ValueError("`records` and `fields` need a `destination`; in `tables` each has its own")
        return self
