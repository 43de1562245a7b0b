"""What PostgreSQL's errors mean for the work in hand."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from headwater.contracts.destinations import DATABASE_FORM
from headwater.model.errors import ConfigError, DestinationError, Later, Unavailable

# The rows are at fault, or some of them.
ROW_FAULTS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.RaiseError,  # a trigger of the table's users
)
_LATER = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
LOCK_DELAY_S = 1.0
AWAY_S = 5.0  # until a database of somebody else's that is away is asked again


@contextmanager
def translated(table: str) -> Iterator[None]:
    """Database errors inside as ours: Later (locks), Unavailable (the database is away), else
    DestinationError.
    """
    try:
        yield
    except _LATER as error:
        raise Later(LOCK_DELAY_S, f"table {table} is busy: {error}") from error
    except _AWAY as error:
        raise Unavailable(f"the database of table {table} is away: {error}") from error
    except asyncpg.PostgresError as error:
        raise DestinationError(f"table {table}: {error}") from error


class AwayError(Later):
    """A database of somebody else's cannot be reached."""


@contextmanager
def told_of(name: str) -> Iterator[None]:
    """Faults of the database of destination `name`, which is somebody else's: AwayError while it cannot be reached,
    Later for locks, DestinationError for what somebody must mend.
    """
    try:
        yield
    except ConfigError:
        raise DestinationError(
            f"destination {name}: its url is no address of a PostgreSQL: write {DATABASE_FORM}"
        ) from None  # the client's words repeat parts of it
    except Unavailable as error:
        if isinstance(error.__cause__, _REFUSED):
            raise DestinationError(f"destination {name}: {error.__cause__}") from error
        if isinstance(error.__cause__, _LATER):
            raise Later(LOCK_DELAY_S, f"destination {name} is busy: {error.__cause__}") from error
        raise AwayError(AWAY_S, f"destination {name}: {error}") from error
    except asyncpg.PostgresError as error:
        raise DestinationError(f"destination {name}: {error}") from error
