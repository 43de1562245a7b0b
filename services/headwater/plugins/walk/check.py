"""Parts of a stream that do not fit together, found before the first request."""

from headwater.contracts.source import StreamDefinition
from headwater.model.errors import ConfigError
from headwater.plugins.paginators import Begin, Paginator
from headwater.plugins.walk.request import names_in_path


def check_fit(definition: StreamDefinition, paginator: Paginator, begin: Begin) -> None:
    """Raises: ConfigError, with the mend, when the paginator's parameters have no place in the request."""
    request = definition.stream.request
    pagination = definition.stream.pagination
    pages = pagination.pages if pagination.type == "window" else pagination
    if pages.type == "graphql_relay" and request.graphql is None:
        raise ConfigError("pagination graphql_relay needs a query: give `request.graphql`")
    has_body = request.method == "POST" or request.graphql is not None
    if getattr(pages, "place", "query") == "json" and not has_body:
        raise ConfigError("pagination puts its parameters into a JSON body: set `request.method: POST`")
    for place, name, _ in paginator.asked(paginator.first(begin)).parameters:
        if place == "json" and not has_body:
            raise ConfigError(f"pagination puts {name!r} into a JSON body: set `request.method: POST`")
        if place == "path" and name not in names_in_path(request.path):
            raise ConfigError(f"pagination puts {name!r} into the path: write {{{name}}} in `request.path`")
