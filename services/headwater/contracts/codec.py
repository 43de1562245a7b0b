"""JSON without loss: big integers and long decimals stay exact; the fast way is taken when nothing is at stake.

orjson turns integers above 64 bits and long decimals into floats; a document in which a run of 17 or more digits
occurs is therefore read by the standard library into int and Decimal, and written back digit for digit.
"""

import json
import math
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from headwater.model.errors import ContractError

# every digit and point becomes 0 and all else a blank, so that looking for a long number is one search for a text
# (a regular expression takes ten times as long as parsing the document)
_DIGITS = bytes(0x30 if chr(code) in "0123456789." else 0x20 for code in range(256))
_LONG_NUMBER = b"0" * 17
# of such a number every fourth character is looked at first: four of these in a row are of it
_STRIDE = 4
_LONG_IN_STRIDES = b"0" * (len(_LONG_NUMBER) // _STRIDE)
_BOM = b"\xef\xbb\xbf"
_PADDED = re.compile(rb"\.[0-9]*0[\s,}\]]")


def _integer(text: str) -> int | Decimal:
    number = int(text) if len(text) < 4300 else Decimal(text)
    return number if isinstance(number, int) and -(2**63) <= number < 2**63 else Decimal(text)


def _decimal(text: str) -> float | Decimal:
    """A number is the same whatever stands beside it: where it may be, a float, as in documents that are plain."""
    digits = text.lower().partition("e")[0].removeprefix("-")
    number = float(text)
    return number if len(digits) < len(_LONG_NUMBER) and math.isfinite(number) else Decimal(text)


def _padded(text: str) -> float | Decimal:
    return Decimal(text) if text.endswith("0") and "." in text else _decimal(text)


def loads(body: bytes, *, is_plain: bool | None = None, keeps_scale: bool = False) -> Any:
    """The JSON document in `body` (UTF-8, a BOM is passed over). Numbers that a float or 64 bits cannot hold come
    as Decimal; `is_plain` says that there are none, as `is_plain_json` has found (None: it is to be looked for).
    With `keeps_scale` so do those that end in zeros behind the point (`1.50`), which takes longer.

    Raises: ContractError, with the place, when it is not JSON.
    """
    body = body.removeprefix(_BOM)
    keeps_scale = keeps_scale and is_padded(body)
    if not keeps_scale and (is_plain_json(body) if is_plain is None else is_plain):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the slow way decides: it takes lone surrogates, and says where the fault is
    try:
        parse_float = _padded if keeps_scale else _decimal
        return json.loads(body, parse_float=parse_float, parse_int=_integer, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise ContractError(f"not JSON: byte {error.start + 1} is not UTF-8") from error
    except RecursionError as error:
        raise ContractError("not JSON: it is nested too deeply") from error
    except ValueError as error:
        raise ContractError(f"not JSON: {error}") from error


def is_padded(body: bytes) -> bool:
    """Whether a number in `body` may end in zeros behind the point."""
    return _PADDED.search(body) is not None


def is_plain_json(body: bytes) -> bool:
    """Whether a float and 64 bits hold every number that stands in `body`, to the last digit."""
    is_suspect = _LONG_IN_STRIDES in body[::_STRIDE].translate(_DIGITS)
    return not (is_suspect and _LONG_NUMBER in body.translate(_DIGITS))


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _exact(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode())
    if isinstance(value, UUID):
        return str(value)  # the database's own kind of UUID
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: Any) -> bytes:
    """`value` as JSON; Decimals digit for digit. Raises: ContractError when it has no JSON form."""
    try:
        return orjson.dumps(value, default=_exact)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise ContractError(f"cannot be written as JSON: {error}") from error
