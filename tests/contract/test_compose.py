"""docker-compose.yml, .env.example and Dockerfile, judged without an engine: what is said there holds together."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from headwater.settings import read_settings

ROOT = Path(__file__).parents[2]
SERVICES = ("receiver", "timer", "fetcher", "persister", "notifier", "control")
FILLED = {
    "HEADWATER_POSTGRES_PASSWORD": "0a1b2c3d",
    "HEADWATER_RABBITMQ_PASSWORD": "4e5f6a7b",
    "HEADWATER_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "HEADWATER_ADMIN_KEY": "hw_admin_0123456789abcdef0123456789abcdef",
}
VARIABLE = re.compile(r"\$\{(\w+)(:-([^}]*)|:\?[^}]*)?\}")


def interpolated(text: str, values: dict[str, str]) -> str:
    """The text as docker compose reads it with these values in `.env`."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        if values.get(name):
            return values[name]
        assert not (operator or "").startswith(":?"), f"{name} is required"
        return default or ""

    return VARIABLE.sub(value, text)


@pytest.fixture(scope="module")
def source() -> str:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


@pytest.fixture(scope="module")
def compose(source) -> dict:
    return yaml.safe_load(interpolated(source, FILLED))


class Recorder(dict):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def test_there_is_one_container_for_each_service_from_one_image(compose):
    commands = {name: compose["services"][name]["command"] for name in SERVICES}
    images = {compose["services"][name]["image"] for name in (*SERVICES, "migrate")}

    assert commands == {name: ["headwater", "run", name] for name in SERVICES}
    assert len(images) == 1


def test_there_is_nothing_else_but_the_migration_the_database_and_the_broker(compose):
    assert set(compose["services"]) == {*SERVICES, "migrate", "postgres", "rabbitmq"}


def test_the_migration_runs_once_before_any_service(compose):
    assert compose["services"]["migrate"]["command"] == ["headwater", "db", "migrate"]
    assert compose["services"]["migrate"]["restart"] == "no"
    for name in SERVICES:
        waits = {other: on["condition"] for other, on in compose["services"][name]["depends_on"].items()}
        assert waits == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "rabbitmq": "service_healthy",
        }


def test_every_image_names_its_version(compose):
    for name, service in compose["services"].items():
        assert re.search(r":\d[\w.-]*$", service["image"]), f"{name}: {service['image']}"


def test_the_broker_is_rabbitmq_4_with_management_and_the_database_postgresql_18(compose):
    assert compose["services"]["rabbitmq"]["image"] == "rabbitmq:4-management"
    assert compose["services"]["postgres"]["image"] == "postgres:18"


def test_every_lasting_container_has_a_health_check(compose):
    for name in set(compose["services"]) - {"migrate"}:
        check = compose["services"][name]["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert {"interval", "timeout", "retries", "start_period"} <= set(check), name


def test_no_container_runs_as_root(compose):
    for name, service in compose["services"].items():
        assert service["user"].partition(":")[0] not in {"", "0", "root"}, name


def test_our_containers_can_write_nothing_and_gain_nothing(compose):
    for name in (*SERVICES, "migrate"):
        service = compose["services"][name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_every_published_port_is_for_this_machine_alone_unless_the_operator_says_otherwise(compose):
    published = {name: service.get("ports", []) for name, service in compose["services"].items()}

    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert {name for name, ports in published.items() if ports} == {"receiver", "control", "rabbitmq"}


def test_every_variable_that_a_service_gets_is_one_that_the_settings_read(compose):
    for name in (*SERVICES, "migrate"):
        environment = Recorder({})
        read_settings(environment)

        unknown = set(compose["services"][name]["environment"]) - environment.asked

        assert not unknown, name


def test_the_settings_accept_what_each_service_gets(compose):
    for name in (*SERVICES, "migrate"):
        settings = read_settings(compose["services"][name]["environment"])

        assert settings.database_url is not None, name
        assert settings.amqp_url is not None, name
        assert urlsplit(settings.database_url.text()).hostname == "postgres", name
        assert urlsplit(settings.amqp_url.text()).hostname == "rabbitmq", name
        assert settings.bind_port == 8080, name


def test_only_control_is_given_the_admin_key(compose):
    having = {
        name for name, it in compose["services"].items() if "HEADWATER_ADMIN_KEY" in it.get("environment", {})
    }

    assert having == {"control"}


@pytest.mark.parametrize("missing", sorted(FILLED))
def test_a_value_that_is_not_filled_in_is_asked_for_by_name(source, missing):
    with pytest.raises(AssertionError, match=f"{missing} is required"):
        interpolated(source, FILLED | {missing: ""})


def test_the_example_names_every_variable_of_the_compose_file_and_no_other(source):
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    named = set(re.findall(r"^#?(HEADWATER_\w+)=", example, re.MULTILINE))

    assert named == {match.group(1) for match in VARIABLE.finditer(source)}


def test_the_example_holds_no_secret():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")

    for name in FILLED:
        assert re.search(rf"^{name}=$", example, re.MULTILINE), name


def test_the_env_file_is_kept_out_of_git_and_out_of_the_image():
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!.") for line in ignored)


def test_what_is_mounted_is_there(compose):
    for mount in compose["services"]["rabbitmq"]["volumes"]:
        place = mount.partition(":")[0]
        if place.startswith("."):
            assert (ROOT / place).is_file(), place
        else:
            assert place in compose["volumes"]


def test_the_brokers_definitions_and_user_lie_where_its_configuration_looks_for_them(compose):
    configuration = (ROOT / "rabbitmq/rabbitmq.conf").read_text(encoding="utf-8")
    folder = (
        re.search(r"^(?:load_definitions|definitions\.local\.path) = (.+)$", configuration, re.MULTILINE)
        .group(1)
        .rstrip("/")
    )
    broker = compose["services"]["rabbitmq"]

    places = {mount.split(":")[1] for mount in broker["volumes"]} | {
        config["target"] for config in broker["configs"]
    }

    assert {f"{folder}/definitions.json", f"{folder}/users.json"} <= places


def test_the_brokers_user_is_the_one_that_the_services_sign_in_as(compose):
    users = json.loads(compose["configs"]["rabbitmq-users"]["content"])
    address = urlsplit(compose["services"]["receiver"]["environment"]["HEADWATER_AMQP_URL"])

    (user,) = users["users"]

    assert (user["name"], user["password"]) == (address.username, address.password)
    assert [permission["user"] for permission in users["permissions"]] == [user["name"]]


def test_a_service_has_the_time_to_finish_its_page_before_it_is_killed(compose):
    for name in SERVICES:
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > 30, name


def test_the_image_runs_as_a_plain_user_from_the_lock_file():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = dockerfile.rpartition("\nFROM ")[2]

    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "--requirement requirements.lock" in dockerfile
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["python:3.13-slim", "python:3.13-slim"]
    assert "HEALTHCHECK" in final


def test_the_image_gets_every_file_that_the_build_copies():
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    for words in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE):
        for path in words.split()[:-1]:
            assert f"!{path}" in allowed
            assert (ROOT / path).exists(), path


class Health(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *words):
        """Nothing to say."""


def healthcheck(bind: str) -> int:
    command = [sys.executable, "-I", str(ROOT / "tools/healthcheck.py")]
    return subprocess.run(
        command, env=os.environ | {"HEADWATER_BIND": bind}, timeout=20, check=False
    ).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_service_says(status, code):
    handler = type("Handler", (Health,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()

        answer = healthcheck(f"0.0.0.0:{server.server_port}")

        server.shutdown()
        serving.join()
    assert answer == code


def test_the_health_check_fails_where_nothing_answers():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        port = server.server_port

    assert healthcheck(f"0.0.0.0:{port}") == 1
