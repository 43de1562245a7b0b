"""JMESPath expressions, compiled once; plain dotted paths become getters, about twenty times as fast."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

import jmespath
from jmespath import functions, visitor
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from headwater.contracts.codec import dumps
from headwater.model.errors import ConfigError, SourceError
from headwater.plugins.expression_advice import fault_of_functions

_NAME = r'(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")'
_PLAIN = re.compile(rf"{_NAME}(?:\.{_NAME})*")
_NAMES = re.compile(_NAME)
_PREFIX = re.compile(rf"({_PLAIN.pattern})\s*(?:\[|\|(?!\|))")
_MAX_CHARACTERS = 2048
_MAX_DEPTH = 40  # brackets within brackets; the library answers with RecursionError at some hundreds


class _Functions(functions.Functions):  # type: ignore[misc]  # the library has no types
    """JMESPath's functions, for which a Decimal, as long numbers are read, is a number like others."""

    def _get_allowed_pytypes(self, types: Any) -> Any:
        names, of_items = super()._get_allowed_pytypes(types)
        return _with_decimal(names), [_with_decimal(each) for each in of_items]

    def _convert_to_jmespath_type(self, name: str) -> Any:
        return "number" if name == "Decimal" else super()._convert_to_jmespath_type(name)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, value: Any) -> Any:
        return value if isinstance(value, Decimal) else super()._func_to_number(value)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, value: Any) -> Any:
        return value if isinstance(value, str) else dumps(value).decode()

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_sum(self, values: Any) -> Any:
        return sum(_alike(values))

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_avg(self, values: Any) -> Any:
        return sum(_alike(values)) / len(values) if values else None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_type(self, value: Any) -> Any:
        return "number" if isinstance(value, Decimal) else super()._func_type(value)


def _alike(values: Sequence[Any]) -> Sequence[Any]:
    """Numbers that can be added: a float beside a Decimal becomes one, to the digits that it is written with."""
    if Decimal not in map(type, values):
        return values
    return [Decimal(repr(value)) if isinstance(value, float) else value for value in values]


def _with_decimal(names: Sequence[str]) -> list[str]:
    return [*names, "Decimal"] if "float" in names else list(names)


def _or_null(order: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    """JMESPath's orders of numbers: what is no such pair, say a text and a number, has none and gives null."""

    def ordered(left: Any, right: Any) -> bool | None:
        try:
            return order(left, right)
        except TypeError:  # the library compares texts as well, and fails where only one side is one
            return None

    return ordered


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]
    COMPARATOR_FUNC: ClassVar[Any] = {
        name: compare if name in ("eq", "ne") else _or_null(compare)
        for name, compare in visitor.TreeInterpreter.COMPARATOR_FUNC.items()
    }


_FUNCTIONS = _Functions()
_INTERPRETER = _Interpreter(jmespath.Options(custom_functions=_FUNCTIONS))  # holds nothing of what it visits


class _Missing:
    """Nothing at that place: no such key, which is not the same as null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
Getter = Callable[[Any], Any]


def compile_path(expression: str) -> Getter:
    """A function from a document to what `expression` finds there; MISSING when there is nothing.

    For plain paths null and MISSING are told apart; for others null is null when the plain beginning of
    the expression exists, else MISSING. Raises: ConfigError when it is no JMESPath or too deep; the function
    raises SourceError `expression_failed` when the document is not what the expression can work on.
    """
    if len(expression) > _MAX_CHARACTERS or _depth(expression) > _MAX_DEPTH:
        raise ConfigError(f"the expression {expression[:60]!r}… is too long or too deep")
    if _PLAIN.fullmatch(expression):
        return _plain(_names(expression))
    try:
        compiled = jmespath.compile(expression)
    except (JMESPathError, RecursionError) as error:
        raise ConfigError(f"{expression!r} is no JMESPath: {error}") from error
    fault = fault_of_functions(compiled.parsed, _FUNCTIONS.FUNCTION_TABLE)
    if fault is not None:
        raise ConfigError(f"{expression!r}: {fault}")
    prefix = _PREFIX.match(expression)
    return _search(
        expression,
        partial(_INTERPRETER.visit, compiled.parsed),
        _plain(_names(prefix[1])) if prefix else None,
    )


def _depth(expression: str) -> int:
    depth = deepest = 0
    for character in expression:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return max(deepest, expression.count("!") // 8, expression.count(".") // 8)


def _names(path: str) -> tuple[str, ...]:
    return tuple(name.strip('"') for name in _NAMES.findall(path))


def _plain(names: tuple[str, ...]) -> Getter:
    if len(names) == 1:
        (only,) = names
        return lambda document: document.get(only, MISSING) if isinstance(document, dict) else MISSING

    def get(document: Any) -> Any:
        for name in names:
            if not isinstance(document, dict):
                return MISSING
            document = document.get(name, MISSING)
        return document

    return get


def _search(expression: str, search: Getter, prefix: Getter | None) -> Getter:
    def get(document: Any) -> Any:
        if prefix is not None and prefix(document) is MISSING:
            return MISSING
        try:
            found = search(document)
        except (JMESPathError, RecursionError, TypeError, ValueError) as error:
            raise SourceError(
                "expression_failed", f"{expression[:80]!r} cannot be applied: {_why(error)}"
            ) from error
        return MISSING if found is None and prefix is None else found

    return get


def _why(error: Exception) -> str:
    """What is wrong, without the value that it is wrong about."""
    if isinstance(error, JMESPathTypeError):
        return (
            f"{error.function_name}() takes {' or '.join(error.expected_types)}, and got {error.actual_type}"
        )
    return type(error).__name__


def is_true(value: Any) -> bool:
    """JMESPath's truth: everything but false, null, nothing, and empty texts, lists and objects (0 is true)."""
    return value is not MISSING and value is not None and value is not False and value not in ("", [], {})
