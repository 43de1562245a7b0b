"""The common form of every document that crosses a border: frozen, closed, strict."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_NUMBERS: Final = frozenset({"int", "float", "decimal"})
_NO_SCHEMAS: Final = frozenset({"default", "expected", "metadata", "serialization", "config"})


class Closed(BaseModel):
    """A document that refuses keys it does not know and never changes after it was read.

    A number may come as a text, since `${env:NAME}` is one; true and false are none, whatever Python holds them for:
    YAML has them for `on` and `off`, and `refusal_rate: off` does not mean 0.
    """

    # Built at first use: a service starts a quarter of a second sooner, since it uses few of all documents.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        for holder, place in list(_numbers_in(schema, cls)):
            number = holder[place]
            holder[place] = core_schema.no_info_before_validator_function(_no_truth(number["type"]), number)
        return schema


def _numbers_in(node: Any, model: type[BaseModel]) -> Iterator[tuple[Any, Any]]:
    """Where the schema of `model` has those of numbers; other models see to their own."""
    if isinstance(node, dict) and node.get("cls", model) is not model:
        return
    is_schema = isinstance(node, dict) and isinstance(node.get("type"), str)  # else fields by their names
    for place, each in list(node.items() if isinstance(node, dict) else enumerate(node)):
        if (is_schema and place in _NO_SCHEMAS) or not isinstance(each, dict | list | tuple):
            continue
        kind = each.get("type") if isinstance(each, dict) else None
        if isinstance(kind, str) and kind in _NUMBERS:
            yield node, place
        else:
            yield from _numbers_in(each, model)


def _no_truth(kind: str) -> Any:
    def refuse(value: Any) -> Any:
        if isinstance(value, bool):
            whole = "a valid integer" if kind == "int" else "a valid number"
            raise PydanticCustomError(
                "int_type" if kind == "int" else "float_type", f"Input should be {whole}"
            )
        return value

    return refuse
