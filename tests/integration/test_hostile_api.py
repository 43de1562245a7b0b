"""The hostile API as it ships: a command that serves it, its list, its manifest."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.support.processes import free_port

from headwater.app.hostile import CASES
from headwater.app.hostile.manifest import manifest_of, outcome_of
from headwater.contracts.manifest_text import parse_manifest
from headwater.control.validation import check


async def command(*arguments: str, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater", "hostile-api", *arguments,
        env={**os.environ, "HEADWATER_DATA_DIR": str(folder)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def test_the_manifest_of_the_catalogue_is_valid() -> None:
    text = json.dumps(manifest_of("http://127.0.0.1:8099"))

    assert check(*parse_manifest(text, "hostile.yml", {})) == []


def test_every_behaviour_has_an_outcome_and_no_failure_is_called_a_success() -> None:
    outcomes = {name: outcome_of(case) for name, case in CASES.items()}

    assert len(outcomes) >= 110
    assert {one["state"] for one in outcomes.values()} == {"succeeded", "partial", "failed"}
    assert all((one["state"] == "failed") == (one["error"] is not None) for one in outcomes.values())


async def test_the_command_serves_every_behaviour_until_it_is_ended(tmp_path: Path) -> None:
    port = free_port()
    child = await command("--port", str(port), folder=tmp_path)
    assert child.stdout is not None
    async with asyncio.timeout(30):
        line = await child.stdout.readline()
    async with aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{port}"
        listed = await (await session.get(f"{base}/")).json()
        statuses = []
        for _ in range(2):
            answer = await session.get(f"{base}/fault_503_once/items?offset=100")
            statuses.append(answer.status)
        await session.post(f"{base}/fault_503_once/again")
        statuses.append((await session.get(f"{base}/fault_503_once/items?offset=100")).status)
    child.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        code = await child.wait()

    assert line.startswith(f"{len(CASES)} behaviours".encode())
    assert set(listed) == set(CASES)
    assert statuses == [503, 200, 503]
    assert code == 0


@pytest.mark.parametrize("option", ["--list", "--manifest"])
async def test_list_and_manifest_are_json_where_that_is_asked_for(tmp_path: Path, option: str) -> None:
    child = await command(option, "--json", folder=tmp_path)
    output, _ = await child.communicate()

    told = json.loads(output)
    names = [one["name"] for one in (told if option == "--list" else told["sources"])]
    assert names == list(CASES)
