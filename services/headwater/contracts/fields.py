"""Which fields a row has, where each comes from, and what it is turned into."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import Expression

FieldType = Literal["text", "integer", "number", "decimal", "boolean", "timestamp", "date", "json"]
MaskedName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_SECRET = re.compile(r"\$\{secret:[^}\s]{1,200}\}")


class RecordField(Closed):
    """One field of a row.

    `path` (JMESPath over the record) says where its value is (default: the field of that name), or `constant` is the
    value itself. `type`: the value becomes this, or the record is rejected alone; in all but `text` and `json` an
    empty text is null. `default` stands where nothing or null is found. `mask` shows only that there is a value;
    `hash` gives SHA-256 of it as text, with a key (`${secret:NAME}`) HMAC-SHA-256.
    """

    name: MaskedName
    path: Expression | None = None
    type: FieldType | None = None
    default: Any = None
    constant: Any = None
    mask: bool = False
    hash: bool | str = False

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.constant is not None and (self.path is not None or self.default is not None):
            raise ValueError("give `constant` alone, or `path` with its `default`")
        if self.mask and self.hash:
            raise ValueError("give one of `mask` and `hash`")
        if isinstance(self.hash, str) and not _SECRET.fullmatch(self.hash):
            raise ValueError("`hash` is true, or the key's name as ${secret:NAME}")
        return self


def spelled_out_fields(value: object) -> object:
    """The short forms written out: a list of names, or a mapping of names to paths."""
    if isinstance(value, Mapping):
        return [_named(name, rule) for name, rule in value.items()]
    if isinstance(value, list | tuple):
        return [{"name": item, "path": _quoted(item)} if isinstance(item, str) else item for item in value]
    return value


def _named(name: object, rule: object) -> object:
    if rule is None:
        return {"name": name}
    if isinstance(rule, str):
        return {"name": name, "path": rule}
    return {**rule, "name": name} if isinstance(rule, Mapping) and "name" not in rule else rule


def _quoted(name: str) -> str:
    """The path to the field of this very name, whatever is in it."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '\\"') + '"'


FieldsForm = tuple[RecordField | MaskedName, ...] | dict[MaskedName, Expression | dict[str, Any] | None]
RecordFields = Annotated[tuple[RecordField, ...], Field(max_length=1000)]
