"""From the records of a page to the rows of its table, or to what the streams below it are asked by."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headwater.contracts.source import Stream
from headwater.contracts.walking import Records
from headwater.model.errors import SourceError
from headwater.plugins.mapping import Mapped, Mapper
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.matching import ENOUGH, FirstPage
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.parents import WARNING_PARENTS_REJECTED, ParentColumns, ParentFields
from headwater.plugins.walk.select import Rejected
from headwater.plugins.walk.templates import Values


class Rows:
    """Makes rows of the records of one stream. With `gather` they are parents: pages give what their children are asked
    by instead, and `fits` raises CannotBeError where no child can be asked for. Raises: ConfigError.
    """

    def __init__(
        self,
        stream: Stream,
        form: Records,
        first_page: FirstPage,
        gather: ParentFields | None,
        fits: Callable[[Values], None] | None,
    ) -> None:
        self._gather, self._fits = gather, fits
        fields = () if gather is not None else stream.fields
        self._mapper = Mapper(fields, keep_rest=stream.rest == "keep", only=form.filter)
        self._columns = ParentColumns(stream) if stream.parent is not None else None
        self._first_page = first_page

    def of(self, page: Page, secrets: Secrets, parent: Values | None) -> Page:
        """The page with rows for records. Everything about the walk was read from the records themselves."""
        if not page.records:
            return page
        if self._columns is not None and parent is not None and self._gather is None:
            page = replace(page, records=self._columns.before(page.records, parent))
        if self._mapper.is_needed:
            doubt = self._first_page.fields(page.records) if page.number == 1 else ()
            mapped = self._mapper.apply(page.records, secrets)
            if page.number == 1:
                _check_fields(mapped, len(page.records))
                doubt += _doubt_of_filter(mapped, len(page.records))
            page = _without(page, mapped.rows, [Rejected(*one) for one in mapped.rejected])
            if doubt:
                page = replace(page, warnings=page.warnings + doubt)
        if self._gather is not None and self._fits is not None:
            return _gathered(page, self._gather, self._fits, parent)
        if self._columns is not None and parent is not None:
            hidden = self._columns.hidden(page.records, parent) if page.number == 1 else ()
            page = replace(
                page, records=self._columns.after(page.records, parent), warnings=page.warnings + hidden
            )
        if page.number > 1:
            return page
        return replace(page, warnings=page.warnings + self._first_page.rows(page.records))


def _check_fields(mapped: Mapped, count: int) -> None:
    """Raises: SourceError when not one of the first page's records can be a row: then it is not the records."""
    if count >= ENOUGH and len(mapped.rejected) == count:
        why = mapped.rejected[0][1]
        text = f"not one of the {count} records of the first page can be a row: {why}; correct it in `fields`"
        raise SourceError("fields_unmatched", text)


def _doubt_of_filter(mapped: Mapped, count: int) -> tuple[str, ...]:
    """A warning where the filter wants not one of the first page's records: it may name what they do not have."""
    if count < ENOUGH or mapped.rows or mapped.rejected:
        return ()
    return (f"filter_unmatched: records.filter keeps none of the {count} records of the first page",)


def _gathered(page: Page, gather: ParentFields, fits: Callable[[Values], None], above: Values | None) -> Page:
    """The page with what its children are asked by instead of its records."""
    values, rejected = gather.read(page.records, above, fits)
    page = _without(page, values, rejected)
    return replace(page, warnings=(*page.warnings, WARNING_PARENTS_REJECTED)) if rejected else page


def _without(page: Page, rows: list[Any], rejected: list[Rejected]) -> Page:
    """The page with `rows` for its records, those of `rejected` left out; a place counts among its records."""
    out = {item.index for item in page.rejected}
    places = [index for index in range(len(page.records) + len(out)) if index not in out]
    told = [Rejected(places[item.index], item.reason) for item in rejected]
    ordered = sorted((*page.rejected, *told), key=lambda item: item.index)
    return replace(page, records=rows, rejected=tuple(ordered))
