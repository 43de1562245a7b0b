"""The commands of README.md, run as a reader would run them, on a small shop of the test's own."""

import json
import re
import shlex
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.places import own_folder
from tests.support.processes import Child, Children, until
from tests.support.senders import stripe_headers

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
STRIPE = "whsec_readme"
ORDERS = [{"id": number, "updated_at": f"2026-01-01T00:00:{number:02}Z"} for number in range(1, 51)]
# Run elsewhere: by other tests as processes, or (docker) checked statically, since no engine is needed to test.
ELSEWHERE = ("make up", "make test", "headwater up --rabbitmq", "docker compose up")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """The lines of a block without comments."""
    return [line for line in (raw.partition(" #")[0].strip() for raw in block.splitlines()) if line]


def block_with(command: str) -> list[str]:
    return next(lines for lines in map(commands, blocks("sh")) if command in lines)


class Shop(BaseHTTPRequestHandler):
    """The orders of the README's manifest, twenty a page, each page naming the next."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        after = int(parse_qs(parts.query).get("after", ["0"])[0])
        page = ORDERS[after : after + 20]
        following = after + 20 if after + 20 < len(ORDERS) else None
        is_known = parts.path == "/v2/orders" and self.headers["Authorization"] == "Bearer shop-token"
        body = json.dumps({"data": page, "meta": {"next": following}} if is_known else {}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


@pytest.fixture
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v2"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def children() -> Iterator[Children]:
    with (
        own_folder("readme") as folder,
        Children(folder, SHOP_TOKEN="shop-token", STRIPE_SECRET=STRIPE) as children,
    ):
        yield children


def _run(children: Children, command: str) -> Child:
    program, *arguments = shlex.split(command)
    assert program == "headwater", command
    done = children.run(*arguments)
    assert done.code == 0, f"{command}: {done.code}\n{done.output}"
    return done


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        return int(answer.status)


def test_its_manifest_and_commands_bring_orders_and_payments(children: Children, shop: str):
    """The example address is replaced by the shop's, and the private network it is in is allowed."""
    manifest = next(text for text in blocks("yaml") if "https://api.example.com/v2" in text)
    given = f'{shop}\n    network: {{allow: ["127.0.0.0/8"]}}'
    (children.folder / "shop.yml").write_text(manifest.replace("https://api.example.com/v2", given))
    up = children.start("up").ready()

    validate, apply, start, runs, deliveries = block_with("headwater apply shop.yml")
    assert "valid" in _run(children, validate).output
    _run(children, apply)
    started = _run(children, start)
    body = b'{"id": "evt_readme", "type": "charge.succeeded", "amount": 5}'
    until(lambda: _is_known(up, body), "the endpoint to be known")

    assert re.search(r"state +succeeded", started.output), started.output
    assert re.search(r"received=50 ", started.output + " "), started.output
    assert "shop.orders" in _run(children, runs).output
    until(lambda: "done" in _run(children, deliveries).output, "the delivery to be done")
    assert "evt_readme" in _run(children, deliveries).output
    up.press_ctrl_c()
    assert up.wait(20) == 0


def _is_known(up: Child, body: bytes) -> bool:
    try:
        return _post(f"{up.address}/in/default/payments", body, stripe_headers(STRIPE, body)) == 202
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == 404
            return False


def test_its_commands_set_up_a_broker_and_a_database_for_single_services(
    children: Children, bare_database: str, rabbit: str
):
    export, *lines = block_with("headwater db migrate")
    names = re.findall(r"(HEADWATER_[A-Z_]+)=", export)
    assert names == ["HEADWATER_DATABASE_URL", "HEADWATER_AMQP_URL", "HEADWATER_SECRET_KEY"]
    children.environment |= {
        "HEADWATER_DATABASE_URL": bare_database,
        "HEADWATER_AMQP_URL": rabbit,
        "HEADWATER_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }

    *once, run = lines
    for command in once:
        _run(children, command)
    service = children.start(*shlex.split(run)[1:]).ready()

    assert shlex.split(run)[1] == "run"
    assert service.end() == 0


def test_every_command_it_shows_is_run_by_a_test():
    ran = {*block_with("headwater apply shop.yml"), *block_with("headwater db migrate")}

    shown = {command for block in blocks("sh") for command in commands(block)}

    assert shown - ran == set(ELSEWHERE)


def _table() -> list[tuple[str, ...]]:
    """The commands of the table, each with its verbs written out."""
    lines = [line.split(" | ")[0] for line in README.splitlines() if line.startswith("| `headwater ")]
    told = [command for line in lines for command in re.findall(r"`headwater ([^`]+)`", line)]
    found = []
    for command in told:
        words = [word for word in command.replace("\\|", "|").split() if not word.startswith(("[", "FILE"))]
        name = words[0]
        verbs = words[1].split("|") if len(words) > 1 and words[1].islower() else [""]
        found += [tuple(filter(None, (name, verb))) for verb in verbs]
    return found


@pytest.mark.parametrize("command", _table(), ids=" ".join)
def test_every_command_of_its_table_is_there(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    from headwater.cli.main import parser

    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command, "--help"])

    assert ended.value.code == 0
    assert command[0] in capsys.readouterr().out
