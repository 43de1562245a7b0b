"""What is wrong with a time specification, told so that its writer can mend it."""

from headwater.model.errors import ConfigError


class ScheduleError(ConfigError):
    """A time specification that cannot be kept.

    Attributes: `field` is the part at fault (`minute`, `day_of_month`, `cron`, `interval`, `timezone`, …);
    `position` counts characters of the specification's text from 1, None where there is no text to point
    into; `cause` says what is wrong, `mend` what to write instead; `specification` says which of several is
    meant (`cron`, `crons[1]`, `interval`, `anchor`, `preset`, `timezone`, `day_match`).
    """

    def __init__(
        self, field: str, position: int | None, cause: str, mend: str, *, specification: str = ""
    ) -> None:
        self.field = field
        self.position = position
        self.cause = cause
        self.mend = mend
        self.specification = specification or field
        place = field if position is None else f"{field}, character {position}"
        super().__init__(f"{place}: {cause}; {mend}")

    def within(self, specification: str) -> "ScheduleError":
        """The same fault, named as one of `specification`."""
        return ScheduleError(self.field, self.position, self.cause, self.mend, specification=specification)
