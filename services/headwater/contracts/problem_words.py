"""What is wrong with a value of a manifest, and the mend, in words for people who write YAML."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from headwater.contracts.durations import seconds_of
from headwater.contracts.problem_places import belongs, keys, keys_of, keys_of_type
from headwater.model.schedule_error import ScheduleError

Path = tuple[str | int, ...]
_SECRET_WORDS = (
    "token",
    "password",
    "secret",
    "secrets",
    "value",
    "url",
    "client_secret",
    "refresh_token",
    "key",
)
_SHOWN_CHARACTERS = 80
_NAME = "use lower-case letters, digits, - and _, 63 at most, with a letter or digit at both ends"
_HEADER = "names of headers are of letters, digits and -, without blanks, such as X-Signature"
_ADDRESS = "write an absolute address, such as https://login.example.com/token"
_STREAM = "write SOURCE.STREAM, such as shop.orders"
_FORMS: Mapping[str, str] = {  # what a text looks like, by the key that it stands at
    "table": "use letters, digits and _, 63 at most, with a letter or _ first; the schema is the tenant's",
    "schema": "use letters, digits and _, 63 at most, with a letter or _ first",
    "token_url": _ADDRESS,
    "login_url": _ADDRESS,
    "exchange": "use letters, digits and . _ - :, 127 at most",
    "status": "write a status such as 404",
    "stop_on_status": "write a status such as 404",
    "header": _HEADER,
    "alt_headers": _HEADER,
    "headers": f"{_HEADER}; values are of visible ASCII characters",
    "stream": _STREAM,
    "streams": _STREAM,
    "from": "write header:NAME, body:PATH, claim:NAME or sig",
    "scheme": "write the name of a preset, see `headwater presets list`",
}
KINDS: Mapping[str, str] = {
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {  # what is said, and the member of the context that is the bound
    "greater_than_equal": ("must be {} or more", "ge"),
    "greater_than": ("must be more than {}", "gt"),
    "less_than_equal": ("must be {} or less", "le"),
    "less_than": ("must be less than {}", "lt"),
    "string_too_short": ("must have {} characters or more", "min_length"),
    "string_too_long": ("must have {} characters or fewer", "max_length"),
    "too_short": ("must have {} items or more", "min_length"),
    "too_long": ("must have {} items or fewer", "max_length"),
}
_MANY_KEYS = 30  # are no help in a line
_FEW = 2  # letters that say nothing yet
_SAME: Mapping[str, Sequence[str]] = {  # what others call it
    "upsert": ("merge",),
    "overwrite": ("replace",),
    "truncate": ("replace",),
    "insert": ("append",),
    "string": ("text",),
    "str": ("text",),
    "int": ("integer",),
    "bigint": ("integer",),
    "float": ("number",),
    "double": ("number",),
    "numeric": ("decimal",),
    "bool": ("boolean",),
    "datetime": ("timestamp",),
    "object": ("json",),
    "unix": ("epoch_s",),
    "epoch": ("epoch_s",),
    "iso8601": ("iso",),
    "strict": ("freeze",),
}
_AS_MAPPING = "write its keys below it, or in braces"
_TIME = "write a time such as 2026-12-04T18:00:00Z"
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?%", re.ASCII)
OTHER_FORMS = frozenset(  # faults that say of a value that may be of several forms which one it does not have
    {
        "string_type",
        "model_type",
        "model_attributes_type",
        "dict_type",
        "tuple_type",
        "list_type",
        "literal_error",
    }
)
FORMS = frozenset({*KINDS, "literal_error"})


def words(item: Any, path: Path, root: type[BaseModel]) -> tuple[str, str]:
    """What and mend for one error of pydantic's, for the value at `path` of a document of the model `root`."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "extra_forbidden":
        return _unknown_key(item, path, root)
    if kind == "missing":
        return "is missing", "begin with `version: 1`" if path == ("version",) else "add it"
    given = _given(item.get("input"), path)
    if kind == "union_tag_invalid":
        return _unknown_tag(context)
    if kind == "union_tag_not_found":
        return f"has no {context.get('discriminator', 'type')}", f"add {context.get('discriminator', 'type')}"
    if kind == "string_pattern_mismatch":
        key = next((part for part in reversed(path) if part in _FORMS or part == "name"), None)
        return f"is not of the form that is needed{given}", _FORMS.get(str(key), _NAME)
    if kind == "literal_error":
        return _unknown_word(item, context, given)
    if kind in _BOUNDS:
        return _beyond(kind, context) + given, ""
    if kind.startswith(("datetime_", "timezone_")):
        return f"is no time{given}", _TIME
    if kind in KINDS:
        mend = _mend_of_kind(item.get("input"), kind, str(path[-1]) if path else "", may_show=bool(given))
        return KINDS[kind] + given, f"{mend}{_which(path, root)}" if mend == _AS_MAPPING else mend
    what = item["msg"].removeprefix("Value error, ")
    return what[:1].lower() + what[1:] + given if given else what, ""


def plain_words(item: Any, path: Path) -> str | None:
    """One sentence for an error of pydantic's about the value at `path`, without the value; None where it has none of
    ours.
    """
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "literal_error":
        return _unknown_word({}, context, "")[0]
    if kind in _BOUNDS:
        return _beyond(kind, context)
    if kind == "string_pattern_mismatch":
        key = next((part for part in reversed(path) if part in _FORMS or part == "name"), None)
        return f"is not of the form that is needed; {_FORMS.get(str(key), _NAME)}" if key else None
    return None


def unknown_word(name: str, known: Sequence[str]) -> str:
    """What is said of a key that is not known where `known` are."""
    close = _closest(name, known)
    if close is not None:
        return f"is not known here; did you mean `{close}`?"
    shown = f"; there are {', '.join(known)}" if 0 < len(known) <= _MANY_KEYS else ""
    return f"is not known here{shown}"


def _unknown_key(item: Any, path: Path, root: type[BaseModel]) -> tuple[str, str]:
    name = str(path[-1]) if path else ""
    typed = keys_of_type(path, item["loc"][:-1], root) if path else None
    takes = "" if typed is None else f"type {typed[0]} takes {', '.join(typed[1]) or 'nothing else'}"
    near = keys_of(path[:-1], root) if path else ()
    if not takes and (close := _closest(name, near)):
        return "is not known here", f"did you mean `{close}`?"
    places = belongs(path, root) if path else None
    if places is not None and (places.distance <= 1 or not takes):
        more = takes if places.distance == 0 else "look at the indentation"
        return "has no place here", f"it belongs {places.words}; {more or 'see the reference'}"
    close = _closest(name, typed[1] if typed else keys(root))
    mend = (
        f"did you mean `{close}`?"
        if close
        else ""
        if takes
        else f"there are {', '.join(near)}"
        if 0 < len(near) <= _MANY_KEYS
        else "remove it, or check its spelling in the reference"
    )
    return "is not known here", "; ".join(filter(None, (mend, takes)))


def _beyond(kind: str, context: Mapping[str, Any]) -> str:
    text, name = _BOUNDS[kind]
    bound = context.get(name)
    if (kind, bound) in {("string_too_short", 1), ("too_short", 1)}:
        return "must not be empty"
    return text.format(f"{bound:.15g}" if isinstance(bound, float) else bound)


def _mend_of_kind(value: Any, kind: str, name: str, *, may_show: bool) -> str:
    if value is None:
        return "give it a value, or remove it"
    if kind in {"model_type", "model_attributes_type", "dict_type"} and isinstance(
        value, str | int | float | list
    ):
        return _AS_MAPPING
    if kind.startswith(("int_", "float_")) and isinstance(value, bool):
        return "on, off, yes and no are true and false to YAML"
    if kind.startswith("float_") and isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        return f"it is a share: {float(percent[1]) / 100:.15g}"
    if kind.startswith(("int_", "float_")) and name.endswith(("_s", "_seconds")) and isinstance(value, str):
        return _in_seconds(value)
    if kind == "string_type" and isinstance(value, bool):
        return "put it in quotes: YAML takes on, off, yes and no for true and false"
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in quotes"
    if kind in {"tuple_type", "list_type"} and isinstance(value, bool):
        return "on, off, yes and no are true and false to YAML: put it in quotes where it is a name"
    if kind in {"tuple_type", "list_type"} and isinstance(value, str | int | float):
        shown = str(value)[:_SHOWN_CHARACTERS] if may_show or not isinstance(value, str) else "…"
        return f"write it as a list: [{shown}]"
    if kind in {"tuple_type", "list_type"} and isinstance(value, dict):
        return "begin each of its items with - and a blank"
    return ""


def _which(path: Path, root: type[BaseModel]) -> str:
    """The keys that a mapping may have, where they are few."""
    found = keys_of(path, root)
    return f": {', '.join(found)}" if 0 < len(found) <= _MANY_KEYS else ""


def _in_seconds(text: str) -> str:
    try:
        return f"it is in seconds: {seconds_of(text)}"
    except ScheduleError:
        return "it is in seconds"


def one_of(items: Sequence[Any], path: Path) -> tuple[str, str]:
    """What and mend for a value that may be of several forms and is of none."""
    wanted: dict[str, str] = {}  # a form, and the mend where it is one of some words
    for item in items:
        if item["type"] in KINDS:
            wanted.setdefault(KINDS[item["type"]].removeprefix("must be "), "")
        else:
            words, mend = _unknown_word(item, item.get("ctx") or {}, "")
            wanted[words.removeprefix("must be ")] = mend
    *others, last = wanted
    return f"must be {', '.join(others)} or {last}{_given(items[0].get('input'), path)}", "".join(
        wanted.values()
    )


def _unknown_tag(context: Mapping[str, Any]) -> tuple[str, str]:
    name = str(context.get("discriminator", "'type'")).strip("'")
    known = [part.strip().strip("'") for part in str(context.get("expected_tags", "")).split(",")]
    tag = str(context.get("tag", ""))
    close = _closest(tag, known)
    mend = f"did you mean {close}?" if close else f"use one of {', '.join(known)}"
    return f"{name} {tag[:_SHOWN_CHARACTERS]!r} is not known; there are {', '.join(known)}", mend


def _unknown_word(item: Any, context: Mapping[str, Any], given: str) -> tuple[str, str]:
    expected = str(context.get("expected", ""))
    known = [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]
    text = str(item.get("input"))
    same = next((word for word in _SAME.get(text.lower(), ()) if word in known), None)
    begun = [word for word in known if len(text) > _FEW and word.startswith(text.lower())]
    close = same or _closest(text, known) or (begun[0] if len(begun) == 1 else None)
    return f"must be {expected}{given}", f"did you mean {close}?" if close else ""


def _given(value: Any, path: Path) -> str:
    """What stands there, unless it may be a secret."""
    if not isinstance(value, str | int | float | bool) or any(part in _SECRET_WORDS for part in path):
        return ""
    return f" (given: {json.dumps(value)[:_SHOWN_CHARACTERS]})"


def _closest(text: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(text, known, n=1, cutoff=0.75)), None)
