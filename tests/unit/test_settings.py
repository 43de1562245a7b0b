"""Settings from the environment: what is refused, by which sentence, and that no secret is in it."""

import re
from pathlib import Path

import pytest

from headwater.model.errors import ConfigError
from headwater.settings import NAMES, misspelt, read_settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADWATER_BIND", "here", "HEADWATER_BIND='here': give host:port"),
        ("HEADWATER_BIND", "127.0.0.1:66000", "host:port"),
        ("HEADWATER_BIND", "127.0.0.1:٨٠", "host:port"),
        ("HEADWATER_START_TIMEOUT_S", "soon", "HEADWATER_START_TIMEOUT_S='soon': give a number of seconds"),
        (
            "HEADWATER_LOG_LEVEL",
            "loud",
            "HEADWATER_LOG_LEVEL='loud': give one of debug, info, warning, error",
        ),
        ("HEADWATER_LOG_FORMAT", "xml", "HEADWATER_LOG_FORMAT='xml': give one of text, json"),
        ("HEADWATER_SECRET_KEY_FILE", "/nowhere/key", "HEADWATER_SECRET_KEY_FILE='/nowhere/key'"),
        ("HEADWATER_DATABASE_URL", "nonsense", "HEADWATER_DATABASE_URL: give postgresql://"),
        ("HEADWATER_DATABASE_URL", "mysql://u:hunter2@h/d", "HEADWATER_DATABASE_URL: give postgresql://"),
        (
            "HEADWATER_DATABASE_URL",
            "postgresql://u:hunter2/x@h/d",
            "special characters of the password as %XX",
        ),
        ("HEADWATER_AMQP_URL", "http://u:hunter2@h", "HEADWATER_AMQP_URL: give amqp://"),
        ("HEADWATER_AMQP_URL", "amqp://u:hunter2#x@h", "HEADWATER_AMQP_URL: give amqp://"),
        ("HEADWATER_AMQP_URL", "amqp://u:hunter2@[::1", "HEADWATER_AMQP_URL: give amqp://"),
        ("HEADWATER_RABBITMQ_MANAGEMENT_URL", "h:15672", "HEADWATER_RABBITMQ_MANAGEMENT_URL: give http://"),
        (
            "HEADWATER_PUBLIC_URL",
            "hooks.example.com",
            "HEADWATER_PUBLIC_URL='hooks.example.com': give an address",
        ),
        ("HEADWATER_PUBLIC_URL", "https://h:port", "give an address such as https://"),
        ("HEADWATER_PUBLIC_URL", "https://h/?a=1", "give an address such as https://"),
        ("HEADWATER_SMTP_FROM", "the team", "HEADWATER_SMTP_FROM='the team': give hw@example.com"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_without_a_secret(name: str, value: str, said: str):
    with pytest.raises(ConfigError) as refused:
        read_settings({name: value})

    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%2Fx@h:5433/d",
        "postgres://h/d",
        "postgresql://u@/d?host=%2Frun%2Fpostgresql&port=5432",
        "postgresql://u:p@h1:5432,h2:5433/d",
        "postgresql://u:p@[::1]:5432/d",
    ],
)
def test_an_address_as_the_client_takes_it_is_taken(url: str):
    settings = read_settings({"HEADWATER_DATABASE_URL": url})

    assert settings.database_url is not None
    assert settings.database_url.text() == url


def test_nothing_is_needed_and_an_empty_variable_is_none():
    bare = read_settings({})
    empty = read_settings(
        dict.fromkeys(
            ("HEADWATER_DATABASE_URL", "HEADWATER_AMQP_URL", "HEADWATER_BIND", "HEADWATER_LOG_LEVEL"), ""
        )
    )

    assert (bare.database_url, bare.amqp_url, bare.bind_host, bare.bind_port) == (
        None,
        None,
        "127.0.0.1",
        8080,
    )
    assert (empty.database_url, empty.amqp_url, empty.bind_port, empty.log_level) == (
        None,
        None,
        8080,
        "info",
    )


def test_a_setting_that_is_misspelt_is_told_and_what_is_another_programs_is_not():
    told = misspelt(
        {
            "HEADWATER_DATABSE_URL": "postgresql://h/d",
            "HEADWATER_BINDS": "x",
            "HEADWATER_BIND": "127.0.0.1:0",
            "HEADWATER_TEST_AMQP_URL": "amqp://h",
            "HEADWATER_PORT_8080_TCP_ADDR": "10.0.0.1",  # as a cluster sets it for a service of this name
            "HEADWATER_SERVICE_HOST": "10.0.0.1",
            "HEADWATER_RABBITMQ_PASSWORD": "x",
            "DATABASE_URL": "x",
        }
    )

    assert told == [
        "HEADWATER_BINDS is no setting: is HEADWATER_BIND meant?",
        "HEADWATER_DATABSE_URL is no setting: is HEADWATER_DATABASE_URL meant?",
    ]


def test_each_setting_has_its_line_in_the_reference():
    reference = (Path(__file__).parents[2] / "docs/settings.md").read_text(encoding="utf-8")

    rows = [line.split("|")[1] for line in reference.splitlines() if line.startswith("| `HEADWATER_")]

    assert sorted(re.findall(r"`HEADWATER_(\w+)`", "".join(rows))) == sorted(NAMES)
