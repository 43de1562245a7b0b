"""Values that stand in a request's document, by an endpoint's own expressions or paths.

Apart from the facts that headers tell: with it come the parser of bodies, its formats and the language of expressions,
which a receiver need not hold for endpoints that look into no body.
"""

from typing import Any

from headwater.contracts.endpoint import Endpoint
from headwater.model.errors import ContractError
from headwater.plugins.expressions import MISSING, Getter, compile_path
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.webhooks.parsing import parse
from headwater.plugins.webhooks.request import request_document


class Values:
    """What `dedupe` and `order_by` of an endpoint name. Raises: ConfigError for an expression that is none."""

    def __init__(self, endpoint: Endpoint) -> None:
        dedupe = endpoint.dedupe
        self._endpoint = endpoint
        self._key: Getter | None = None
        if dedupe.expression is not None:
            self._key = compile_path(dedupe.expression)
        elif dedupe.path is not None:
            self._key = _dotted(tuple(dedupe.path.split(".")))
        self._order = None if endpoint.order_by is None else compile_path(endpoint.order_by)

    def read(self, request: SignedRequest, kind: str | None) -> tuple[Any, Any]:
        """Key and place in the order; None for what is not there."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        endpoint = self._endpoint
        try:
            body = parse(request.body, headers, endpoint.parse, max_bytes=endpoint.limits.body_bytes).document
        except ContractError:
            body = None
        document = request_document(request.method, request.url, headers, body, kind)
        return _value(self._key, document), _value(self._order, document)


def _dotted(names: tuple[str, ...]) -> Getter:
    def get(document: Any) -> Any:
        found = document["body"]
        for name in names:
            if not isinstance(found, dict):
                return MISSING
            found = found.get(name, MISSING)
        return found

    return get


def _value(getter: Getter | None, document: Any) -> Any:
    if getter is None:
        return None
    try:
        value = getter(document)
    except Exception:  # noqa: BLE001 - a key that cannot be read is not there, whatever the sender wrote
        return None
    return None if value is MISSING else value
