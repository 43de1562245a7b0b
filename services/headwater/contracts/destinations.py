"""Destinations with a name: where records go besides the tables of headwater's own database."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, StringConstraints, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import SecretText, SqlName

PUBLIC = "public"
OWN = "database"  # the destination that is always there: tables in headwater's own database
DestinationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
ExchangeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,127}$")]
RoutingTemplate = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_URL = {"amqp": re.compile(r"^amqps?://[^/\s]"), "postgres": re.compile(r"^postgres(?:ql)?://\S")}
_AMQP_ONLY = ("exchange", "declare", "routing_key", "message", "mandatory")


DATABASE_FORM = "postgresql://user:password@host:port/database"
_OF_THIS_MACHINE = ("passfile", "service", "servicefile", "sslcert", "sslkey")


def database_fault(url: str) -> str | None:
    """Why `url` is no address of somebody else's database: it would let a manifest do what this machine may and its
    author may not (local sockets, which trust their users; password files, keys and environment of the process).
    """
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        return f"cannot be read: write {DATABASE_FORM}"
    own = next((name for name in _OF_THIS_MACHINE if name in options), None)
    if own is not None:
        return f"may not name `{own}`, a file of headwater's machine: write {DATABASE_FORM}"
    credentials, _, netloc = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    hosts = [unquote(one) for one in netloc.split(",")] if netloc else []
    hosts += [one for value in options.get("host", ()) for one in value.split(",")]
    if not hosts or not all(re.match(r"[A-Za-z0-9\[]", one) for one in hosts):
        return f"names no host to reach over the network, or a local socket: write {DATABASE_FORM}"
    if not (user or any(options.get("user", ()))) or not (password or any(options.get("password", ()))):
        return f"names no user, or no password: write {DATABASE_FORM}"
    return None


class NamedDestination(Closed):
    """A destination that streams and endpoints name by `destination: {to: <name>}`.

    Kind `postgres`: tables of the database at `url`, in `schema` (default `public`), which the user of the `url` may
    make and change; streams load there, each page once. Without `url` they are in headwater's own database. Kind
    `amqp`: records become messages of an exchange. Without `url` that is an exchange on headwater's own broker, which
    must not begin with `headwater` or `amq.`; in other tenants than `default` its name begins with the tenant's name
    and a dot.

    `routing_key` may hold `{field}` (a field of the record, `{customer.country}` one within it) and `{_.tenant}`,
    `{_.source}`, `{_.stream}`, `{_.endpoint}`; each is one word of `[A-Za-z0-9_-]`, and what is missing is `_`. By
    default it is tenant, source and stream (or tenant and endpoint). `message`: one for each `record`, or one for a
    `page` of records, which is a list. `declare`: make the exchange, durable, where it is not there; without it the
    exchange must be there. `mandatory`: a record that no queue takes has not arrived: the run fails and names the
    routing key; a delivery's record is kept and tried again. With `false` the broker may drop it.
    """

    name: DestinationName
    description: str = ""
    kind: Literal["postgres", "amqp"] = "postgres"
    url: SecretText | None = None
    schema_: SqlName | None = Field(default=None, alias="schema")
    exchange: ExchangeName | None = None
    declare: Literal["topic", "direct", "fanout", "headers"] | None = None
    routing_key: RoutingTemplate | None = None
    message: Literal["record", "page"] = "record"
    mandatory: bool = True

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        fault = self._amqp_fault() if self.kind == "amqp" else self._postgres_fault()
        if fault is not None:
            raise ValueError(fault)
        return self

    def _amqp_fault(self) -> str | None:
        if self.exchange is None:
            return "kind amqp needs `exchange`: the exchange that the messages go to"
        if self.schema_ is not None:
            return "`schema` belongs to kind postgres: leave it out"
        if self.url is not None and "${" not in self.url and not _URL["amqp"].match(self.url):
            return (
                "`url` of kind amqp: write amqp://user:password@host:port/vhost (or amqps), or ${secret:NAME}"
            )
        return None

    def _postgres_fault(self) -> str | None:
        fields = type(self).model_fields
        extra = [name for name in _AMQP_ONLY if getattr(self, name) != fields[name].default]
        if extra:
            return f"`{extra[0]}` belongs to kind amqp: leave it out, or write `kind: amqp`"
        if self.url is None:
            return (
                None
                if self.schema_ is None
                else "`schema` is of another database: give its `url`, or leave it out"
            )
        if "${" not in self.url and not _URL["postgres"].match(self.url):
            return f"`url` of kind postgres: write {DATABASE_FORM}, or ${{secret:NAME}}"
        fault = None if "${" in self.url else database_fault(self.url)
        return None if fault is None else f"`url` of kind postgres {fault}"

    @property
    def is_far(self) -> bool:
        """Whether its tables are in another database than headwater's own."""
        return self.kind == "postgres" and self.url is not None

    @property
    def table_schema(self) -> str:
        """The schema of its tables, where they are in another database."""
        return self.schema_ or PUBLIC

    @model_validator(mode="after")
    def _is_not_our_own(self) -> Self:
        if self.name == OWN:
            raise ValueError(f"`{OWN}` is headwater's own database, which needs no entry: use another name")
        return self
