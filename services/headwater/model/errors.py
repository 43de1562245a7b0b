"""One tree of errors. Callers catch by what they can do about it; messages name the thing, the fault, the mend."""

from headwater.model.storable import storable


class HeadwaterError(Exception):
    """Something headwater could not do."""


class ConfigError(HeadwaterError):
    """A setting or definition is wrong; the message says where and how to mend it."""


class ContractError(HeadwaterError):
    """A message or document does not follow its schema."""


class BusError(HeadwaterError):
    """The bus could not do its work."""


class SourceError(HeadwaterError):
    """A remote API answered in a way that ends the walk, or could not be asked.

    `kind` is the class shown in the run's error (for example `http_404`, `records_missing`);
    `retryable` tells whether the same request may succeed later; `delay_s` is how long the API asked us to wait
    (None: it did not say, back off); `restart` tells that a new attempt from the first page may succeed where
    this page never will (an expired cursor); `sample` is a short masked piece of the answer for people, where it helps.
    `request_count`: the requests that were made for it.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool = False,
        delay_s: float | None = None,
        restart: bool = False,
        sample: str | None = None,
    ) -> None:
        message = storable(message)  # what an API says stands in it
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable
        self.delay_s = delay_s
        self.restart = restart
        self.sample = sample
        self.request_count = 1


class DestinationError(HeadwaterError):
    """A destination table cannot take what it was given."""


class SecretError(HeadwaterError):
    """A secret is missing or cannot be opened."""


class Answer(HeadwaterError):
    """What a handler may raise to say how its message goes on (never an acknowledgement)."""


class Later(Answer):
    """Again after `delay_s` seconds; costs no attempt."""

    def __init__(self, delay_s: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {delay_s:g} s")
        self.delay_s = delay_s
        self.reason = reason


class Reject(Answer):
    """Give the message up: it goes to the dead letters with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unavailable(Answer):
    """Our own means (database, broker, disk) are away: no attempt is spent, the consumer pauses and probes."""


class BusUnavailable(BusError, Unavailable):
    """The broker cannot be reached or did not confirm in time; whether the message was taken is unknown."""


class BusFull(BusError, Later):
    """The queue's byte limit refused the message; nothing was taken."""

    def __init__(self, queue: str, delay_s: float = 1.0) -> None:
        Later.__init__(self, delay_s, f"queue {queue} is at its limit")
        self.queue = queue
