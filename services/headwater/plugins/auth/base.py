"""What an auth plug-in is: it adds to a request what proves who asks, bound to the origin of the source."""

from typing import Protocol

from headwater.model.http import HttpRequest
from headwater.plugins.secret_text import Secrets


class Authenticator(Protocol):
    """One way to prove who is asking.

    `query_names` are the query parameters it adds: they are taken out of the URLs an API sends back.
    """

    @property
    def query_names(self) -> frozenset[str]: ...

    def apply(self, request: HttpRequest, secrets: Secrets) -> HttpRequest:
        """`request` with credentials, bound to `request.credentials.origin`.

        Raises: SecretError when a secret it names is not in `secrets`.
        """
        ...
