"""The private RabbitMQ node: its own folder, its own ports, its own end."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.support.rabbitmq import end_at_once, require_binaries

from headwater.app import private_rabbitmq
from headwater.app.private_rabbitmq import PrivateRabbit, find_programs
from headwater.bus.rabbitmq import check_topology
from headwater.bus.topology import load_topology
from headwater.model.errors import ConfigError

PATIENCE_S = 60.0


async def management(node: PrivateRabbit, path: str) -> list[dict]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{node.management_url}/api/{path}") as response,
    ):
        assert response.status == 200
        return await response.json()


async def test_a_node_brings_the_topology_and_one_user_and_hides_its_password(rabbit_node: PrivateRabbit):
    folder = rabbit_node.password_file.parent
    queues = await management(rabbit_node, "queues")
    users = await management(rabbit_node, "users")
    password = rabbit_node.password_file.read_text()
    with pytest.raises(ConfigError, match="in use"):
        await PrivateRabbit(folder).start()

    assert {queue["name"] for queue in queues} >= set(load_topology().queues)
    assert {queue["type"] for queue in queues} == {"quorum"}
    assert "headwater" in {user["name"] for user in users}
    assert "guest" not in {user["name"] for user in users}
    for private in (rabbit_node.password_file, folder / "definitions" / "users.json"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert len(password) >= 32
    assert password in rabbit_node.amqp_url
    assert password not in rabbit_node.log_file.read_text(errors="replace")
    assert password not in rabbit_node.ui_address


LEAVE_BEHIND = """
import asyncio, os, sys
from pathlib import Path
from headwater.app import private_rabbitmq
from headwater.app.private_rabbitmq import PrivateRabbit
private_rabbitmq._end_with_parent = lambda: ()  # as on a system that cannot end a child with its parent
async def main():
    node = PrivateRabbit(Path(sys.argv[1]))
    await node.start()
    print(node.pid, node._epmd.pid, flush=True)
    os._exit(0)
asyncio.run(main())
"""


async def test_a_node_that_outlived_its_headwater_is_ended_before_another_starts_on_its_folder(
    tmp_path: Path,
):
    require_binaries()
    environment = os.environ | {"PYTHONPATH": str(Path(private_rabbitmq.__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAVE_BEHIND, str(tmp_path), stdout=subprocess.PIPE, env=environment
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    left, epmd = map(int, output.split())
    ports = json.loads((tmp_path / "ports.json").read_text())
    node = PrivateRabbit(tmp_path)
    try:
        os.kill(left, 0)  # it lives
        os.kill(epmd, signal.SIGKILL)

        await node.start()

        assert node.pid != left
        with pytest.raises(ProcessLookupError):
            os.kill(left, 0)
        assert f":{ports['amqp']}/" in node.amqp_url
        assert await check_topology(node.amqp_url) == []
    finally:
        await end_at_once(node)


async def test_a_node_that_cannot_start_says_why_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    require_binaries()
    spoilt = tmp_path / "rabbitmq.conf"
    spoilt.write_text("no.such.key = 1\n")
    real = private_rabbitmq.resource
    monkeypatch.setattr(
        private_rabbitmq, "resource", lambda *parts: spoilt if parts[-1] == spoilt.name else real(*parts)
    )

    with pytest.raises(ConfigError, match=r"private RabbitMQ ended at start") as refused:
        await PrivateRabbit(tmp_path / "node").start()

    assert "no.such.key" in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_without_binaries_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(private_rabbitmq, "_SERVER_PLACES", (str(tmp_path / "rabbitmq-server"),))

    with pytest.raises(ConfigError) as refused:
        find_programs({"PATH": str(tmp_path)})

    for mend in ("apt-get install rabbitmq-server", "docker compose up rabbitmq", "HEADWATER_AMQP_URL"):
        assert mend in str(refused.value)
