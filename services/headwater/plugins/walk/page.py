"""What one answer means for a walk."""

from dataclasses import dataclass
from typing import Any

from headwater.model.run import StopReason
from headwater.model.storable import storable
from headwater.plugins.walk.select import Rejected


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer means for the walk. `highest` and `below` are boundaries where more than a value is kept.

    `records` are to be loaded; `received_count` counts what the API sent (rejected and repeated ones too).
    Exactly one of `next_token` and `stop_reason` is None. `content_digest` is equal for pages of equal
    records ("" for empty ones). `highest` is the highest cursor value on the page, where the stream has a
    cursor; `below` the highest one below that, where the stream's records ascend. `pause_s` is how long the API wants
    no further request, although it served this one. `total` is the number of records that the API last said there
    are. `sample` is the beginning of the answer, secrets starred out, where the stream has no destination.
    `resume_token` is there when a limit ended the walk: see `Walk.resumed`. `body` are the records as a JSON list,
    where they were written already; `is_plain`: that is plain (`is_plain_json`).
    """

    number: int
    records: list[Any]
    received_count: int
    next_token: dict[str, Any] | None
    stop_reason: StopReason | None = None
    warnings: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    content_digest: str = ""
    highest: Any = None
    pause_s: float = 0.0
    total: int | None = None
    sample: str | None = None
    below: Any = None
    resume_token: dict[str, Any] | None = None
    body: bytes | None = None
    is_plain: bool = False

    def __post_init__(self) -> None:
        if any(not text.isprintable() for text in self.warnings):  # names that an API uses stand in some
            object.__setattr__(self, "warnings", tuple(map(storable, self.warnings)))
