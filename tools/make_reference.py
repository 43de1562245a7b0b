"""Writes docs/manifest.md, the reference of the manifest, from its models. `--check` only compares."""

import sys
from pathlib import Path
from typing import Any

from headwater.contracts.manifest import Manifest

TARGET = Path(__file__).resolve().parents[1] / "docs" / "manifest.md"
HEAD = """# Manifest reference

One YAML (or JSON) file says what is ingested. `headwater validate FILE` finds every mistake with line and column, and
warns of what is likely not meant so; `headwater apply FILE` brings it into force. Texts may hold `${env:NAME}` (read
when the file is applied) and `${secret:NAME}` (read at run time). Expressions are [JMESPath](https://jmespath.org).
Secrets written in place are sealed when the file is applied.

Made from the models by `tools/make_reference.py`; the JSON Schema is `schemas/config/manifest.v1.json`.
"""


def shown_type(field: dict[str, Any]) -> str:
    """A short name of what the field takes."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " \\| ".join(f"`{one}`" for one in field["enum"])
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " \\| ".join(dict.fromkeys(shown_type(one) for one in field[several]))
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {shown_type(field.get('items', {}))}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"names → {shown_type(field['additionalProperties'])}"
    return {"null": "null", "string": "text", "object": "mapping"}.get(kind, kind) + bounds(field)


def bounds(field: dict[str, Any]) -> str:
    least, above, most = (field.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    ends = (("from", least), ("more than", above), ("to" if above is None else "up to", most))
    parts = [f"{word} {bound:.15g}" for word, bound in ends if bound is not None]
    return f" ({' '.join(parts)})" if parts else ""


def shown_default(field: dict[str, Any], *, is_required: bool) -> str:
    if is_required:
        return "required"
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    return f"`{default}`"


def section(name: str, schema: dict[str, Any]) -> str:
    lines = [f"## {name}", ""]
    if schema.get("description"):
        lines += [schema["description"], ""]
    if not schema.get("properties"):
        return "\n".join(lines)
    lines += ["| key | takes | default | |", "|---|---|---|---|"]
    required = set(schema.get("required", ()))
    for key, field in schema["properties"].items():
        told = " ".join(str(field.get("description", "")).split())
        if field.get("x-secret"):
            told = f"{told} stored encrypted".strip()
        lines.append(
            f"| `{key}` | {shown_type(field)} | {shown_default(field, is_required=key in required)} | {told} |"
        )
    return "\n".join([*lines, ""])


def reference() -> str:
    schema = Manifest.model_json_schema(by_alias=True)
    parts = [HEAD, section("Manifest", schema)]
    parts += [section(name, part) for name, part in schema["$defs"].items()]
    return "\n".join(parts).rstrip() + "\n"


def main() -> int:
    text = reference()
    if "--check" in sys.argv:
        return 0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
