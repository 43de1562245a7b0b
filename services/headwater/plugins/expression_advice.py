"""What is likely meant by a JMESPath expression that is wrong, or that says something else than it looks like."""

import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.lexer import Lexer

RULES = "see https://jmespath.org for its rules"
_COMPARES = frozenset({"eq", "ne"})
_WORDS = frozenset({"true", "false", "null"})
_LITERAL = re.compile(r"(?:==|!=|[<>]=?)\s*(?:-?[0-9]|true\b|false\b|null\b)")
_SINGLE_EQUALS = re.compile(r"(?<![=!<>])=(?!=)")
_ODD_NAME = re.compile(
    r"""(?:^|[.\s(,{[!&|])([A-Za-z_@][A-Za-z0-9_]*(?:[-:/][A-Za-z0-9_]+)+|[0-9]+[A-Za-z_][A-Za-z0-9_]*)"""
)
_AT_NAME = re.compile(r"@[A-Za-z_][A-Za-z0-9_.]*")  # of OData


def mend_of(expression: str) -> str:
    """How an expression that is no JMESPath is mended, as far as that can be told by its look."""
    if expression.lstrip().startswith("$"):
        return "that is JSONPath; JMESPath begins with the name itself: leave out `$.`"
    if (odd := _ODD_NAME.search(expression)) is not None:
        return f"put names of other characters in double quotes within the expression: '\"{odd[1]}\"'"
    if (at := _AT_NAME.search(expression)) is not None:
        return f"put names of other characters in double quotes within the expression: '\"{at[0]}\"'"
    if _SINGLE_EQUALS.search(expression):
        return "compare by =="
    if _LITERAL.search(expression):
        return "put numbers, true, false and null in backticks: `5`"
    if ".." in expression:
        return "there is no search at all depths: name each level"
    return RULES


def doubt_in(expression: str) -> tuple[str, str] | None:
    """What is compared with a field that is rarely meant to be one, and the mend: a text in double quotes, true, false,
    null.
    """
    try:
        tokens = [(token["type"], token["value"]) for token in Lexer().tokenize(expression)]
    except JMESPathError:
        return None
    for this, after in pairwise(tokens):
        if this[0] in _COMPARES and after[0] == "quoted_identifier":
            return f"compares with the field {after[1]}", f"a text stands in single quotes: '{after[1]}'"
        if this[0] in _COMPARES and after[0] == "unquoted_identifier" and after[1] in _WORDS:
            return (
                f"compares with the field {after[1]}",
                f"{after[1]} itself stands in backticks: `{after[1]}`",
            )
    return None


def fault_of_functions(parsed: Mapping[str, Any], table: Mapping[str, Any]) -> str | None:
    """What is wrong with the functions that a parsed expression calls: their names, the number of arguments."""
    for call in _calls(parsed):
        name, given = str(call["value"]), len(call["children"])
        if name not in table:
            close = difflib.get_close_matches(name, sorted(table), n=1)
            mend = f"did you mean {close[0]}()?" if close else f"there are {', '.join(sorted(table))}"
            return f"there is no function {name}(); {mend}"
        signature = table[name]["signature"]
        is_open = bool(signature) and bool(signature[-1].get("variadic"))
        if given < len(signature) or (given > len(signature) and not is_open):
            few = "or more " if is_open else ""
            return f"{name}() takes {len(signature)} {few}argument{'s' * (len(signature) != 1)}, not {given}"
    return None


def _calls(node: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, Mapping):
            continue
        if one.get("type") == "function_expression":
            yield one
        waiting += one.get("children", ())
        if isinstance(one.get("value"), Mapping):
            waiting.append(one["value"])
