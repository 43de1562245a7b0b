"""Handshakes of users' own: `{when: EXPRESSION, answer: EXPRESSION}` in JMESPath.

Both see `{method, query, headers, body}`: query and headers (lower-case names) hold the values that came
once, body is the JSON or null. A request for which `when` is true is answered with what `answer` gives: text
as plain text, anything else as JSON.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import Field, StringConstraints, ValidationError

from headwater.contracts.base import Closed
from headwater.model.errors import ConfigError
from headwater.plugins.expressions import is_true
from headwater.plugins.signatures.handshake import (
    QUERY_FIELDS,
    Handshake,
    HandshakeAnswer,
    Question,
    echoable,
    json_answer,
    text_answer,
)

Expression = Annotated[str, StringConstraints(min_length=1, max_length=512)]  # bounds depth too


class ExpressionHandshake(Closed):
    """A handshake by expressions. Unless `signed` is false it is answered only if the signature was right."""

    when: Expression
    answer: Expression
    methods: tuple[Literal["GET", "HEAD", "OPTIONS", "POST", "PUT"], ...] = Field(
        default=("POST",), min_length=1
    )
    signed: bool = True


def compile_expression(definition: Mapping[str, Any]) -> Handshake:
    """The handshake of a definition. Raises ConfigError."""
    try:
        read = ExpressionHandshake.model_validate(definition)
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors(include_url=False)[0])) from None
    when, answer = _compiled("when", read.when), _compiled("answer", read.answer)

    def reply(question: Question) -> HandshakeAnswer | None:
        seen = _seen(question)
        if not is_true(when.search(seen)):
            return None
        found = answer.search(seen)
        if isinstance(found, str):
            return text_answer(echoable(found))
        return None if found is None else json_answer(found)

    return Handshake("expression", frozenset(read.methods), signed=read.signed, reply=reply)


def _sentence(fault: Mapping[str, Any]) -> str:
    place = ".".join(["handshake", *(str(part) for part in fault["loc"] if isinstance(part, str))])
    if fault["type"] == "missing":
        return f"{place}: is missing; write {{when: EXPRESSION, answer: EXPRESSION}}"
    if fault["type"] == "extra_forbidden":
        return f"{place}: is not known here; there are when, answer, methods and signed"
    return f"{place}: {fault['msg']}"


def _compiled(name: str, text: str) -> Any:
    try:
        return jmespath.compile(text)
    except (JMESPathError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"handshake.{name}: is no JMESPath: {said}; see https://jmespath.org for its rules"
        ) from None


def _seen(question: Question) -> dict[str, Any]:
    names = {key.lower() for key, _ in question.request.headers}
    headers = {name.decode("latin-1"): question.header(name) for name in names}
    url = urlsplit(question.request.url)
    pairs = parse_qsl(url.query, keep_blank_values=True, max_num_fields=QUERY_FIELDS)
    query = {name: question.query(name) for name, _ in pairs}
    return {
        "method": question.request.method,
        "query": query,
        "headers": headers,
        "body": question.document(),
    }
