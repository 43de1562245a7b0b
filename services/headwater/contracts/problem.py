"""A mistake in a document, with its place, and the error that lists them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from headwater.model.errors import ConfigError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an expression that is at fault: its name, the character (from 1; None: the whole), and why."""

    field: str
    position: int | None
    cause: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where, what, why, and how to mend it. Lines and columns count from 1."""

    pointer: str
    what: str
    mend: str
    line: int = 1
    column: int = 1
    file: str = "manifest"
    part: Part | None = None

    @property
    def of_part(self) -> dict[str, Any]:
        """What programs read of the part of an expression; empty where none is at fault."""
        return {} if self.part is None else asdict(self.part)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        at = f" {self.pointer}:" if self.pointer else ""
        return f"{where}:{at} {self.what}" + (f"; {self.mend}" if self.mend else "")


class ManifestError(ConfigError):
    """A manifest has mistakes; `problems` lists each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def pointer(path: Path) -> str:
    """RFC 6901 pointer of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
