"""Parts of a stream that do not fit together, found before the first request."""

from collections.abc import Collection, Iterator

from headwater.contracts.pagination import pages_of
from headwater.contracts.source import Stream, StreamDefinition
from headwater.model.errors import ConfigError
from headwater.plugins.paginators import Begin, Paginator
from headwater.plugins.paginators.base import Resuming
from headwater.plugins.walk.request import names_in_path
from headwater.plugins.walk.templates import LIKE_WALK, OF_WALK, WALK, texts_of

_WORDS = {
    "offset": ("offset", "last", "size"),
    "page": ("page", "size"),
    "cursor": ("cursor", "size"),
    "keyset": ("key", "size"),
    "graphql_relay": ("cursor", "size"),
    "next_url": ("size",),
    "link": ("size",),
}
_LATER = frozenset({"cursor", "key", "since", "since_id"})  # what a first page may well not be asked by


def check_fit(
    definition: StreamDefinition, paginator: Paginator, begin: Begin, words: Collection[str]
) -> None:
    """Raises: ConfigError, with the mend, when the paginator's parameters have no place in the request. `words` are
    what the request names of the walk.
    """
    _check_token(definition.stream, paginator)
    _check_words(definition.stream, words)
    request = definition.stream.request
    pagination = definition.stream.pagination
    pages = pages_of(pagination)
    if pages.type == "graphql_relay" and request.graphql is None:
        raise ConfigError("pagination graphql_relay needs a query: give `request.graphql`")
    has_body = request.method == "POST" or request.graphql is not None
    if getattr(pages, "place", "query") == "json" and not has_body:
        raise ConfigError("pagination puts its parameters into a JSON body: set `request.method: POST`")
    for place, name, _, word in paginator.asked(paginator.first(begin)).parameters:
        if not name or word in words:
            continue
        if place == "json" and not has_body:
            raise ConfigError(f"pagination puts {name!r} into a JSON body: set `request.method: POST`")
        if place == "path" and name not in names_in_path(request.path):
            raise ConfigError(f"pagination puts {name!r} into the path: write {{{name}}} in `request.path`")


def _check_token(stream: Stream, paginator: Paginator) -> None:
    """Whether a token for the next run can be asked by."""
    rule = stream.cursor_rule
    if rule is None or not rule.is_token:
        return
    if stream.pagination.type == "window":
        raise ConfigError(
            "incremental has a token for all, and pagination window asks by slices of time: use one of them"
        )
    if not stream.asks_for_new and not isinstance(paginator, Resuming):
        raise ConfigError(
            f"incremental has a token, and nothing to ask by it: name its `param` (pagination {stream.pagination.type} "
            "cannot begin at it; cursor, next_url and link can)"
        )


def _check_words(stream: Stream, words: Collection[str]) -> None:
    """Whether what the request names of the walk is there, and on the first page too where that needs it."""
    there = set(_words_of(stream))
    meant = (word for text in texts_of(stream.request) for word in LIKE_WALK.findall(text))
    for word in sorted({*words, *meant}):
        if word not in there:
            shown = ", ".join(f"{{walk.{one}}}" for one in sorted(there)) or "nothing"
            raise ConfigError(f"request names {{walk.{word}}}, which this walk does not have: it has {shown}")
    begins = _begun_by(stream)
    texts = {text: set(OF_WALK.findall(text)) for text in texts_of(stream.request)}
    for text, found in texts.items():
        late = sorted(name for name in found if name.removeprefix(WALK) in _LATER - begins)
        is_whole = text in {stream.request.path, stream.request.text}
        if late and (len(found) > len(late) or is_whole):
            word = late[0].removeprefix(WALK)
            mend = (
                "give its first value as incremental.start"
                if word == "since"
                else "give it a parameter of its own, which is left out there"
            )
            raise ConfigError(f"request names {{walk.{word}}} where the first page needs it: {mend}")
    named = {"key": ("key_param", "pagination.key_param"), "from": ("start_param", "pagination.start_param")}
    for pages in (stream.pagination, getattr(stream.pagination, "pages", None)):
        for word, (option, place) in named.items():
            if hasattr(pages, option) and getattr(pages, option) is None and word not in words:
                raise ConfigError(
                    f"{place} is missing: name the parameter, or write {{walk.{word}}} in the request"
                )


def _words_of(stream: Stream) -> Iterator[str]:
    pagination = stream.pagination
    pages = pages_of(pagination)
    for word in _WORDS.get(pages.type, ()):
        if word != "size" or getattr(pages, "size", None) is not None:
            yield word
    if pagination.type == "window":
        yield from ("from", "to")
    if stream.cursor_rule is not None:
        yield "since"
        if not stream.cursor_rule.is_token:
            yield from ("until", "since_id")


def _begun_by(stream: Stream) -> set[str]:
    """What the first page is asked by although it is the first."""
    rule = stream.cursor_rule
    pages = pages_of(stream.pagination)
    found = {"key"} if getattr(pages, "start", None) is not None else set()
    return found | ({"since"} if rule is not None and rule.start is not None else set())
