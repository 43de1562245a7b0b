"""What PostgreSQL's errors mean for the work in hand."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from headwater.model.errors import DestinationError, Later, Unavailable

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
LOCK_DELAY_S = 1.0


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
