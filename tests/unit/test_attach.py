"""Finding what another headwater runs: its notes, its locks, its broker."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.app.attach import (
    answering_at,
    is_held,
    running_broker,
    running_database,
    running_elsewhere,
    serving_at,
    told_of,
)
from headwater.app.postgres_folder import take_folder
from headwater.app.sharing import Share
from headwater.settings import local_address, read_settings


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose database and broker this process holds."""
    folder = tmp_path / "held"
    locks = [take_folder(folder / part) for part in ("postgres", "rabbitmq")]
    yield folder
    for lock in locks:
        os.close(lock)


def test_a_folder_that_runs_is_told_of_until_it_ends_and_never_to_itself(held: Path, tmp_path: Path) -> None:
    home = {"XDG_STATE_HOME": str(tmp_path / "state")}

    with told_of(held, home):
        (found,) = running_elsewhere(tmp_path / "mine", home)
        own = running_elsewhere(held, home)

    assert (found.folder, found.process) == (held, str(os.getpid()))
    assert own == []
    assert running_elsewhere(tmp_path / "mine", home) == []


def test_the_note_of_a_killed_process_is_removed_by_who_looks(tmp_path: Path) -> None:
    home = {"XDG_STATE_HOME": str(tmp_path / "state")}
    notes = tmp_path / "state/headwater/running"

    with told_of(tmp_path / "gone", home):  # nobody holds that folder
        assert len(list(notes.iterdir())) == 1
        assert running_elsewhere(tmp_path / "mine", home) == []
        assert list(notes.iterdir()) == []


def test_a_note_that_cannot_be_written_keeps_nobody_from_running(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder would be")
    ran = False

    with told_of(tmp_path / "data", {"XDG_STATE_HOME": str(tmp_path / "state")}):
        ran = True

    assert ran


def test_the_address_of_what_runs_on_a_folder_is_found_as_long_as_it_runs(held: Path, tmp_path: Path) -> None:
    settings = read_settings({"HEADWATER_DATA_DIR": str(held), "HEADWATER_BIND": "127.0.0.1:1"})
    elsewhere = read_settings(
        {"HEADWATER_DATA_DIR": str(held), "HEADWATER_DATABASE_URL": "postgresql://db.example/x"}
    )

    with answering_at(held, local_address("::", 8099)):
        assert serving_at(settings) == "http://[::1]:8099"
        assert serving_at(elsewhere) is None  # whose database is another one
    assert serving_at(settings) is None

    (tmp_path / "address").write_text("http://127.0.0.1:8099")  # of one that was killed
    assert serving_at(read_settings({"HEADWATER_DATA_DIR": str(tmp_path)})) is None


def test_a_broker_is_found_where_it_is_held_and_has_told_its_ports(held: Path, tmp_path: Path) -> None:
    folder = held / "rabbitmq"
    assert running_broker(held) is None  # it is just starting for the first time
    (folder / "ports.json").write_text(json.dumps({"amqp": 5671, "management": 15671}))
    (folder / "password").write_text("s3cret\n")

    broker = running_broker(held)

    assert broker is not None
    assert broker.amqp_url.text() == "amqp://headwater:s3cret@127.0.0.1:5671/%2F"
    assert broker.management_url.text() == "http://headwater:s3cret@127.0.0.1:15671"
    assert "s3cret" not in repr(broker)
    assert running_broker(tmp_path / "other") is None


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_a_database_that_takes_no_connections_is_not_found(held: Path, state: str) -> None:
    data = held / "postgres/data"
    data.mkdir()
    lines = ["123", str(data), "0", "5432", "/tmp/socket", "", "0 0", f"{state} "]
    (data / "postmaster.pid").write_text("\n".join(lines))
    assert running_database(held / "postgres") is None

    (data / "postmaster.pid").write_text("\n".join([*lines[:-1], "ready   "]))

    assert running_database(held / "postgres") is not None
    assert is_held(held / "postgres")


async def test_who_started_a_database_ends_it_when_no_other_command_uses_it(tmp_path: Path) -> None:
    starter, other, late = Share(tmp_path), Share(tmp_path), Share(tmp_path)
    await starter.begin(1)
    await other.begin(1)

    other.close()
    await starter.alone()
    await late.begin(0)  # stands before a closed door, and goes on when its time is over

    starter.close()
    await late.begin(1)
    late.close()
