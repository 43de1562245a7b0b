"""A behaviour, how it is declared to headwater, and its one right outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.app.hostile.behaviour import Behaviour

OFFSET: dict[str, Any] = {"type": "offset"}
PAGE: dict[str, Any] = {"type": "page", "size": 100, "size_param": "limit"}
CURSOR: dict[str, Any] = {"type": "cursor", "cursor_path": "next", "size_param": "limit", "size": 100}
NEXT_URL: dict[str, Any] = {"type": "next_url", "next_path": "next"}
LINK: dict[str, Any] = {"type": "link"}
KEYSET: dict[str, Any] = {
    "type": "keyset", "key_path": "id", "key_param": "after", "size": 100, "size_param": "limit",
}  # fmt: skip
RELAY: dict[str, Any] = {"type": "graphql_relay", "page_info": "data.shop.items.pageInfo"}
GRAPHQL: dict[str, Any] = {"graphql": {"query": "query($first: Int, $after: String) { shop { … } }"}}
BEARER: dict[str, Any] = {"auth": {"type": "bearer", "token": "very-secret"}}
REFRESH: dict[str, Any] = {
    "auth": {
        "type": "oauth2", "grant": "refresh_token", "token_url": "{base}/token", "client_id": "me",
        "refresh_token": "refresh-0",
    },
}  # fmt: skip
EDGES = "data.shop.items.edges[].node"
WINDOW: dict[str, Any] = {
    "type": "window", "start": "2024-03-01T00:00:00Z", "end": "2024-04-01T00:00:00Z", "step_s": 7 * 86_400,
    "start_param": "from", "end_param": "to", "pages": {"type": "offset", "size": 20},
}  # fmt: skip
BY_CHANGE = sorted(range(230), key=lambda number: (number % 28 // 7, number))


@dataclass(frozen=True, slots=True)
class Case:
    """`ids` are the records of the right outcome, in order (None: all of the collection).

    `ends` is the stop reason, or `error:<kind>`; a walk is complete unless `ends` says otherwise. `form` are further
    options of `records`, `source` those of the source, where `{base}` is the API's address. `waits_s`: how long the
    API asks to wait before each further try (None: it does not say). With `whole` it takes more than the walk's pure
    core to be right: the ledger that knows every token, or the keeper of access tokens. `unstorable` are records that
    arrive and that a table of PostgreSQL cannot hold: they are rejected, with their reason.
    """

    behaviour: Behaviour
    pagination: Mapping[str, Any]
    ends: str
    ids: range | tuple[int, ...] | None = None
    warnings: frozenset[str] = frozenset()
    records: str | None = "items"
    limits: Mapping[str, Any] = field(default_factory=dict)
    requests: int | None = None
    rejected: int = 0
    waits_s: tuple[float | None, ...] = ()
    received: int | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    unstorable: tuple[int, ...] = ()

    def source_options(self, base: str) -> dict[str, Any]:
        """The options of the source at the address `base`."""
        return _filled(dict(self.source), base)  # type: ignore[no-any-return]  # a mapping stays one

    def stream(self) -> dict[str, Any]:
        """The stream as a manifest has it, without name and destination."""
        made = {
            "request": {"path": "items", **self.request},
            "pagination": dict(self.pagination),
            "records": {**({} if self.records is None else {"path": self.records}), **self.form},
            "errors": dict(self.errors),
            "limits": dict(self.limits),
        }
        return {name: value for name, value in made.items() if value}

    @property
    def wanted_ids(self) -> list[int]:
        return list(range(self.behaviour.count) if self.ids is None else self.ids)


LOOP = frozenset({"pagination_loop"})
CUT = frozenset({"limit_reached"})


def _filled(value: Any, base: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(item, base) for name, item in value.items()}
    return value.replace("{base}", base) if isinstance(value, str) else value
