"""From an answer to its document and the records in it, with the errors that hide there."""

from datetime import datetime
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.pagination import Paged, pages_of
from headwater.contracts.source import Stream, StreamDefinition
from headwater.contracts.walking import Records
from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.plugins.expressions import compile_path
from headwater.plugins.mapping import keeps_scale
from headwater.plugins.paginators.base import count_of
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.body import document_of
from headwater.plugins.walk.hidden import WARNING_GRAPHQL, HiddenErrors
from headwater.plugins.walk.matching import FirstPage
from headwater.plugins.walk.select import NOTHING, Selected, select_records
from headwater.plugins.walk.token import Token
from headwater.plugins.walk.waits import asked_wait_s, retry_after_s

ACCEPTED = 202


def given_answer(definition: StreamDefinition) -> Response | None:
    """What stands for the answer of a stream whose records its definition has; None: it must be asked for."""
    values = definition.stream.values
    return None if values is None else Response(200, (), dumps(values), definition.base_url)


class Reader:
    """Reads the answers of one stream. Raises: ConfigError for wrong expressions."""

    def __init__(self, stream: Stream, form: Records, first_page: FirstPage, *, has_records: bool) -> None:
        pages = pages_of(stream.pagination)
        self._form = form
        self._records = compile_path(form.path) if form.path else None
        self._has_records = has_records
        total = pages.total if isinstance(pages, Paged) else None
        self._total = compile_path(total) if total else None
        self._is_one_page = pages.type == "none"
        self._needs_document = (
            not self._is_one_page
            or stream.errors.when is not None
            or stream.errors.pending is not None
            or stream.request.graphql is not None
        )
        self._hidden_errors = HiddenErrors(stream)
        self._first_page = first_page
        self._keeps_scale = keeps_scale(stream.fields)

    def read(self, response: Response, now: datetime, secrets: Secrets, told: Token) -> tuple[Any, Selected]:
        """The document and its records, for the page at `told`. Raises: SourceError.

        202 without records is no answer yet (RFC 9110 §15.3.3).
        """
        if response.status != ACCEPTED or not self._has_records:
            try:
                return self._understood(response, secrets, told)
            except SourceError as error:
                if error.kind == "rate_limited" and error.delay_s is None:  # in an answer of status 200
                    error.delay_s = asked_wait_s(response, now)
                raise
        fault: SourceError | None = None
        try:
            document, selected = self._understood(response, secrets, told)
            if selected.received_count:
                return document, selected
        except SourceError as error:
            fault = error
        text = "the API has accepted the request (status 202), and has no records yet"
        raise SourceError("not_ready", text, retryable=True, delay_s=retry_after_s(response, now)) from fault

    def _understood(self, response: Response, secrets: Secrets, told: Token) -> tuple[Any, Selected]:
        """The document and its records. A stream that asks for none may be answered with anything."""
        if not (self._has_records or self._needs_document):
            return None, NOTHING
        found = document_of(
            response, tuple(secrets.values()), self._form, told.columns, keeps_scale=self._keeps_scale
        )
        document = found.content
        fault = self._hidden_errors.check(document, secrets)
        if not self._has_records:
            if fault is not None:
                raise fault
            return document, NOTHING
        selected = self._selected(document, secrets, fault, told)
        if told.progress.number == 0:
            doubts = self._first_page.selected(document, self._form.path, selected)
            selected = selected._replace(warnings=selected.warnings + doubts)
        elif not selected.received_count:
            selected = NOTHING
        if fault is not None:
            selected = selected._replace(warnings=(*selected.warnings, WARNING_GRAPHQL))
        elif selected.received_count and (beside := self._told_beside(document, secrets)):
            selected = selected._replace(warnings=selected.warnings + beside)
        return document, selected._replace(is_plain=found.is_plain, columns=found.columns)

    def _told_beside(self, document: Any, secrets: Secrets) -> tuple[str, ...]:
        """What an answer with records says of errors, where it is not itself the record."""
        return () if self._records is None else self._hidden_errors.beside(document, secrets)

    def _selected(self, document: Any, secrets: Secrets, fault: SourceError | None, told: Token) -> Selected:
        """The records of `document`. Where there are none, an error that the answer tells of is why: `fault`, which
        stands beside records, or another.
        """
        may_lack = self._form.format == "xml"
        try:
            selected = select_records(
                document, self._records, self._form.path, one_page=self._is_one_page, may_lack=may_lack
            )
        except SourceError:
            if fault is not None:
                raise fault from None
            self._hidden_errors.check_empty(document, secrets)
            if not self._says_none(document, told):
                raise
            return NOTHING
        if not selected.received_count:
            if fault is not None:
                raise fault
            self._hidden_errors.check_empty(document, secrets)
        return selected

    def _says_none(self, document: Any, told: Token) -> bool:
        """Whether there is no list since there are no records: the total is 0 (RFC 7644 §3.4.2), or a later page has
        an empty text or false in its place, as PHP writes it.
        """
        found = self._records(document) if self._records is not None and told.progress.number > 0 else None
        if found is False or found == "":
            return True
        return self._total is not None and count_of(self._total(document)) == 0
