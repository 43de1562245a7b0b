"""What an auth plug-in is: it adds to a request what proves who asks, bound to the origin of the source."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from headwater.model.http import HttpRequest, Response
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets

ACCESS_TOKEN: Final = "@access_token"  # noqa: S105 - the name under which a held token stands among the secrets
_AHEAD = timedelta(seconds=60)


class Authenticator(Protocol):
    """One way to prove who is asking.

    `query_names` are the query parameters it adds: they are taken out of the URLs an API sends back.
    """

    @property
    def query_names(self) -> frozenset[str]: ...

    def apply(self, request: HttpRequest, secrets: Secrets, now: datetime, /) -> HttpRequest:
        """`request` with credentials, bound to `request.credentials.origin`.

        Raises: SecretError when a secret it names is not in `secrets`.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token that an API gave for a while. `expires_at` None: it did not say, so until it is refused.

    `refresh` is the token that the next one is asked for with; it may be another each time (rotation), so it is
    stored before it is used.
    """

    access: Secret
    obtained_at: datetime
    expires_at: datetime | None = None
    refresh: Secret | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether a new one should be asked for: a minute, or a tenth of its life, ahead of its end."""
        if self.expires_at is None:
            return False
        return now >= self.expires_at - min(_AHEAD, (self.expires_at - self.obtained_at) / 10)


@runtime_checkable
class TokenAuthenticator(Protocol):
    """An authenticator that shows a token which it must first ask for.

    Whoever keeps the token asks for it (one at a time over all workers, outside any transaction), stores it, and
    puts its `access` among the secrets under ACCESS_TOKEN; a 401 means: ask once more, then fail.
    """

    @property
    def query_names(self) -> frozenset[str]: ...

    def apply(self, request: HttpRequest, secrets: Secrets, now: datetime, /) -> HttpRequest: ...

    def token_request(self, secrets: Secrets, held: HeldToken | None, now: datetime, /) -> HttpRequest:
        """The request for a token; `held` is the one before, whose refresh token is used where there is one."""
        ...

    def token_of(self, response: Response, held: HeldToken | None, now: datetime, /) -> HeldToken:
        """The token in the answer.

        Raises: SourceError `token_failed`, retryable for answers that mean "later", with `restart` false.
        """
        ...
