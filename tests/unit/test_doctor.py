"""`headwater doctor`: what it says about an address that no sender uses."""

import argparse
import json

import pytest

from headwater.cli.doctor import examine
from headwater.settings import read_settings


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
