"""One way of being an API, as data: what it answers where, and what goes wrong."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """Answers that come instead of page `page` (from 1), the first `times` times it is asked for.

    `kind` is a status, or a name of `breaking.py`: `cut` (the body ends early), `reset` (the connection ends without
    an answer) and others. In header values `@date+N`, `@epoch+N`, `@epoch_ms+N` stand for the time in N seconds.
    """

    page: int
    kind: int | str
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way of being an API. The words of each field are explained where they are read, in `Pages`."""

    style: str = "offset"  # offset, page, cursor, next_url, link, none, keyset, relay
    count: int = 230
    cap: int = 100  # the largest page the server gives, whatever it is asked for
    base: int = 0  # the position of the first record, where positions count from there
    past_end: str = "empty"  # empty, null, false, absent, 404, 204, last, first
    total: str = (
        ""  # number, text, float, zero, minus, null, first_page, grows, shrinks, high; own, left: see `Pages`
    )
    total_pages: str = ""  # number, text, first_page, shrinks
    has_more: str = ""  # bool, text, number, always
    totals_in_headers: bool = False
    # plain, absent, empty, false, text_null, text_false, zero, number, object, nul, self, same (the API keeps the place
    # itself), pair (of two values), cycle, foreign, relative, templated; of links also single_quotes, no_results,
    # no_brackets
    next: str = "plain"
    next_in_header: bool = False
    holes: tuple[int, ...] = ()  # pages that come empty in the middle
    thin: tuple[int, ...] = ()  # pages whose rows were filtered after paging
    same_page: bool = False  # the position is ignored
    inclusive: bool = False  # a keyset's pages begin with the record of the key
    twins: bool = (
        False  # every two records share the key that the pages go on from, which leaves out what shares it
    )
    envelope: str = "items"  # a dotted path; "" = the body is the list
    last_alone: bool = False  # a page of one record comes as the record itself, not as a list
    body: str = "plain"  # a way of `writing.py`
    records: str = "plain"  # a kind of `record`
    headers: Mapping[str, str] = field(default_factory=dict)  # of every page
    status: int = 200  # of every page
    faults: tuple[Fault, ...] = ()
    needs: str = ""  # the exact value of Authorization, else 401
    other: str = "http://127.0.0.1:9"  # base URL of another origin, for foreign links
    alone: bool = False  # a cursor is taken without any other parameter alone
    most: int = 0  # how far the records of one slice of time can be asked for (0: all of them)
    uses: int = 0  # how many requests an access token is good for (0: no token is asked for)
    refusal: int = 401  # the status that says that a token is used up, and the header that says so too
    challenge: str = ""
    errors_on: tuple[int, ...] = ()  # pages of a GraphQL connection that have errors beside their records
    rotates: bool = False  # each refresh token is good once, and the answer to it names the next


def record(number: int, kind: str = "plain") -> Any:
    """Record `number` of the collection, the same whenever it is asked for."""
    if kind == "numbers":
        return number
    if kind == "mixed" and number % 50 == 7:
        return f"record {number} is no object"
    made: Record = {
        "id": number,
        "name": f"Zoë {number}",
        "updated_at": f"2024-03-{1 + number % 28:02}T00:00:00Z",
    }
    made |= _MORE.get(kind, _nothing)(number)
    return made


def _nothing(_: int) -> Record:
    return {}


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


_MORE: Mapping[str, Callable[[int], Record]] = {
    "big": lambda number: {"big": 2**63 + number, "price": json.loads(f"{number}.25")},
    "long": lambda _: {"text": "x" * 100_000},
    "deep": lambda number: {"deep": _nested(300 if number == 7 else 30)},
    "twins": lambda number: {"pair": number // 2},
    "nul": lambda number: {"text": "a\0b" if number == 7 else "ab"},
    "surrogate": lambda number: {"text": "\ud800" if number == 7 else "ab"},
    "names": lambda number: {"Straße Nr.": number, "select": 1, "a b": 2, "a_b": 3, "x" * 80: 4, "": 5},
    "kinds": lambda number: {
        "value": (number, str(number), number / 4, None, True, [number], {"n": number})[number % 7]
    },
}
