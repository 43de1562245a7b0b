"""`headwater doctor`: what it says about an address that no sender uses."""

import argparse
import json
from typing import Any

import pytest

from headwater.cli.doctor import examine
from headwater.settings import Settings, read_settings


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HEADWATER_BIND": "0.0.0.0:8080"}, "set HEADWATER_PUBLIC_URL"),
        ({"HEADWATER_BIND": "[::]:8080"}, "set HEADWATER_PUBLIC_URL"),
        (
            {"HEADWATER_BIND": "0.0.0.0:8080", "HEADWATER_PUBLIC_URL": "https://h.example"},
            "https://h.example",
        ),
        (
            {"HEADWATER_BIND": "0.0.0.0:8080", "HEADWATER_TRUSTED_PROXIES": "10.0.0.0/8"},
            "http://0.0.0.0:8080",
        ),
        ({"HEADWATER_BIND": "127.0.0.1:8080"}, "http://127.0.0.1:8080"),
    ],
)
async def test_a_receiver_on_every_address_asks_for_the_one_that_senders_use(
    environment: dict[str, str], says: str, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings({"HEADWATER_DATA_DIR": str(tmp_path), **environment})

    await examine(argparse.Namespace(json=True), settings)

    told = {check["check"]: check["said"] for check in json.loads(capsys.readouterr().out)}
    asks = "set HEADWATER_PUBLIC_URL" in told["public url"]
    assert says in told["public url"]
    assert asks == says.startswith("set")


async def test_a_node_of_this_machine_is_told_of(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rabbitmq").mkdir()

    await examine(argparse.Namespace(json=True), read_settings({"HEADWATER_DATA_DIR": str(tmp_path)}))

    told = {check["check"]: check["said"] for check in json.loads(capsys.readouterr().out)}
    assert f"the node in {tmp_path / 'rabbitmq'}" in told["broker"]


async def told_of(settings: Settings, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    await examine(argparse.Namespace(json=True), settings)
    return {check["check"]: check for check in json.loads(capsys.readouterr().out)}


async def test_a_folder_that_cannot_hold_data_is_told_of(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    own = {
        "HEADWATER_DATABASE_URL": "postgresql://127.0.0.1:1/x",
        "HEADWATER_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }

    file = await told_of(read_settings({"HEADWATER_DATA_DIR": str(tmp_path / "file" / "data")}), capsys)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    closed = await told_of(read_settings({"HEADWATER_DATA_DIR": str(tmp_path / "data")}), capsys)
    unneeded = await told_of(read_settings({"HEADWATER_DATA_DIR": str(tmp_path / "data"), **own}), capsys)

    assert (file["data folder"]["ok"], "is no folder" in file["data folder"]["said"]) == (False, True)
    assert (closed["data folder"]["ok"], "can be written" in closed["data folder"]["said"]) == (False, True)
    assert unneeded["data folder"]["ok"]


async def test_a_secret_key_is_kept_only_where_there_is_one(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = read_settings({"HEADWATER_DATA_DIR": str(tmp_path)})

    before = await told_of(settings, capsys)
    (tmp_path / "secret.key").write_text("x")
    after = await told_of(settings, capsys)

    assert before["secret key"]["said"].startswith("none yet: the first start makes one in ")
    assert after["secret key"]["said"].startswith("kept in ")
