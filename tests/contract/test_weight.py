"""A process holds what it runs: the large libraries, and the models of other rooms, are not imported by the way."""

import json
import subprocess
import sys

CRYPTOGRAPHY, FRAMEWORK, MODELS, YAML = "cryptography", "aiohttp", "pydantic", "yaml"
SERVER = "http.server"  # of the standard library, which comes along with libraries that offer one
CLIENT = "urllib.request"  # likewise
MANIFEST, WALK, SIGNATURES = (
    "headwater.contracts.manifest",
    "headwater.plugins.walk.walk",
    "headwater.plugins.signatures",
)
# In this order in one process, which is quicker: the first ones hold least.
NOT_HELD = {
    "timer": {CRYPTOGRAPHY, SERVER, CLIENT, FRAMEWORK, YAML, MANIFEST, WALK, SIGNATURES},
    "persister": {CRYPTOGRAPHY, SERVER, CLIENT, FRAMEWORK, YAML, MANIFEST, SIGNATURES},
    "notifier": {CRYPTOGRAPHY, SERVER, YAML, MANIFEST, SIGNATURES},
    "fetcher": {CRYPTOGRAPHY, SERVER, YAML, MANIFEST, SIGNATURES},
    "receiver": {CRYPTOGRAPHY, SERVER, YAML, MANIFEST},
}
WITHOUT_ENDPOINTS = {MODELS, "headwater.contracts.endpoint", "headwater.contracts.signatures"}
PROGRAM = """
import importlib, json, sys
import headwater.cli.serve, headwater.app.run, headwater.bus.rabbitmq
held = {}
for room in sys.argv[1:]:
    importlib.import_module(f"headwater.{room}.service")
    held[room] = sorted(sys.modules)
print(json.dumps(held))
"""


def _held(*rooms: str) -> dict[str, set[str]]:
    """By room: the modules that a process holds which runs it, and those before it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *rooms], capture_output=True, check=True, text=True)
    return {room: set(modules) for room, modules in json.loads(done.stdout).items()}


def test_a_service_holds_no_library_and_no_room_that_it_does_not_use() -> None:
    held = _held(*NOT_HELD)

    assert {room: held[room] & heavy for room, heavy in NOT_HELD.items()} == {
        room: set() for room in NOT_HELD
    }


def test_the_receiver_holds_nothing_of_other_rooms_and_of_what_few_endpoints_need() -> None:
    others = {
        WALK,
        "headwater.store.retention",
        "headwater.plugins.notifiers.base",
        "headwater.app.probe_server",
    }
    of_few_endpoints = {
        "headwater.http.client",
        "headwater.plugins.webhooks.parsing",
        "jmespath",
        "xml.parsers.expat",
    }

    assert _held("receiver")["receiver"] & (others | of_few_endpoints) == set()


def test_a_receiver_without_endpoints_holds_nothing_that_reads_them() -> None:
    assert _held("receiver")["receiver"] & WITHOUT_ENDPOINTS == set()


def test_a_command_that_looks_holds_nothing_of_what_reads_and_checks_manifests() -> None:
    program = "import sys, headwater.cli.commands, headwater.cli.looking; print(*sys.modules)"

    held = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout

    checks = {"headwater.control.validation", MANIFEST, FRAMEWORK, CRYPTOGRAPHY}
    assert set(held.split()) & checks == set()
