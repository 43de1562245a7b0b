"""Settings from the environment. Every one has a default and is listed by `headwater config show`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
NAMES = (
    *("DATABASE_URL", "AMQP_URL", "RABBITMQ_MANAGEMENT_URL", "SECRET_KEY", "SECRET_KEY_FILE", "ADMIN_KEY"),
    *(
        "URL",
        "API_KEY",
        "BIND",
        "PUBLIC_URL",
        "TRUSTED_PROXIES",
        "SNAPSHOT_MAX_AGE_S",
        "SMTP_URL",
        "SMTP_FROM",
    ),
    *("CALLBACK_ALLOW", "RETENTION_RUNS_DAYS", "RETENTION_NOTIFICATIONS_DAYS", "RETENTION_DEAD_LETTERS_DAYS"),
    *("RETENTION_AUDIT_DAYS", "DATA_DIR", "LOG_LEVEL", "LOG_FORMAT", "START_TIMEOUT_S"),
)
_OF_TESTS = ("TEST_", "CHAOS_", "BENCH_")
_NEAR = 0.75
_ENDS = {"postgresql": "/name", "amqp": "/vhost"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set by environment variable (`HEADWATER_` + the name in capitals).

    `database_url` and `amqp_url` are None for the embedded default. `bind` is host and port of the HTTP services;
    `public_url` is the address under which third parties reach them, for schemes that sign it. `trusted_proxies` are
    address ranges whose forwarded headers count; `snapshot_max_age_s` is how long endpoints serve from memory.
    `smtp_url` and `smtp_from` are for notifications by mail, `callback_allow` private ranges that schedules' callbacks
    may reach. `retention_…_days` hold for tenants that say nothing else.
    """

    database_url: Secret | None
    amqp_url: Secret | None
    management_url: Secret | None
    secret_key: Secret | None
    admin_key: Secret | None
    bind_host: str
    bind_port: int
    public_url: str
    log_level: str
    log_format: str
    data_dir: Path
    start_timeout_s: float
    public_url_is_set: bool = False
    data_dir_is_set: bool = False
    trusted_proxies: tuple[str, ...] = ()
    snapshot_max_age_s: float = 86_400.0
    smtp_url: Secret | None = None
    smtp_from: str | None = None
    callback_allow: tuple[str, ...] = ()
    retention_runs_days: int = 90
    retention_notifications_days: int = 90
    retention_dead_letters_days: int = 90
    retention_audit_days: int = 365

    @property
    def bind(self) -> str:
        """Host and port as they are written in HEADWATER_BIND and in a URL."""
        return host_and_port(self.bind_host, self.bind_port)


def local_address(host: str, port: int) -> str:
    """The URL under which this machine reaches what listens on `host`, which may be every address."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where it listens, not we
    return f"http://{host_and_port(here, port)}"


def host_and_port(host: str, port: int) -> str:
    """`127.0.0.1:8080`, `[::1]:8080`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def data_dir(environment: Mapping[str, str]) -> Path:
    """Where the embedded database, the private broker and generated keys live."""
    chosen = environment.get("HEADWATER_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environment.get("XDG_DATA_HOME") or str(
        Path(environment.get("HOME", "~")).expanduser() / ".local/share"
    )
    return Path(base) / "headwater"


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigError(f"HEADWATER_BIND={text!r}: give host:port, for example 127.0.0.1:8080")
    return (host.strip("[]") or "127.0.0.1"), int(port)


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> str:
    if text.lower() not in allowed:
        raise ConfigError(f"{name}={text!r}: give one of {', '.join(allowed)}")
    return text.lower()


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):  # NaN is in no order
        raise ConfigError(f"{name}={text!r}: give a number of seconds")
    return seconds


def _days(environment: Mapping[str, str], name: str, default: int = 90) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 36_500:
        raise ConfigError(f"{name}={text!r}: give a whole number of days, 1 to 36500")
    return int(text)


def _ranges(name: str, text: str) -> tuple[str, ...]:
    ranges = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in ranges:
        try:
            ip_network(part)
        except ValueError:
            raise ConfigError(
                f"{name}={part!r}: give addresses or ranges such as 10.0.0.0/8, separated by commas"
            ) from None
    return ranges


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    value = environment.get(name)
    return Secret.of(value) if value else None


def _address(environment: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> Secret | None:
    """The address, whose password stays unseen: a message never repeats a part of it."""
    value = environment.get(name)
    if not value:
        return None
    try:
        parsed = urlsplit(value)
        is_sound = parsed.scheme in schemes and (
            "," in parsed.netloc or parsed.port is None or parsed.port > 0
        )
    except ValueError:  # often a password with `/` or `#` in it
        is_sound = False
    if not is_sound:
        raise ConfigError(
            f"{name}: give {schemes[0]}://user:password@host:port{_ENDS.get(schemes[0], '')}, "
            "special characters of the password as %XX"
        )
    return Secret.of(value)


def _secret_key(environment: Mapping[str, str]) -> Secret | None:
    path = environment.get("HEADWATER_SECRET_KEY_FILE")
    if not path:
        return _secret(environment, "HEADWATER_SECRET_KEY")
    try:
        return Secret.of(Path(path).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ConfigError(
            f"HEADWATER_SECRET_KEY_FILE={path!r}: {error.strerror}; name a readable file"
        ) from error


def _public_url(environment: Mapping[str, str], bind: str) -> str:
    """Without a slash at its end. A path before `/in/…` may be a proxy's."""
    text = environment.get("HEADWATER_PUBLIC_URL") or f"http://{bind}"
    try:
        parsed = urlsplit(text)
        is_sound = parsed.scheme in ("http", "https") and bool(parsed.hostname)
        is_sound = is_sound and (parsed.port is None or bool(parsed.netloc))
    except ValueError:
        is_sound = False
    if not is_sound or parsed.query or parsed.fragment or parsed.username is not None:
        raise ConfigError(f"HEADWATER_PUBLIC_URL={text!r}: give an address such as https://hooks.example.com")
    return text.rstrip("/")


def _sender(environment: Mapping[str, str]) -> str | None:
    text = environment.get("HEADWATER_SMTP_FROM") or None
    if text is not None and "@" not in parseaddr(text)[1]:
        raise ConfigError(f"HEADWATER_SMTP_FROM={text!r}: give hw@example.com or Headwater <hw@example.com>")
    return text


def misspelt(environment: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that is no setting and looks like one. Others are somebody else's: a cluster sets
    variables that begin with the names of its services.
    """
    found = []
    for variable in sorted(os.environ if environment is None else environment):
        name = variable.removeprefix("HEADWATER_")
        if name in (variable, *NAMES) or name.startswith(_OF_TESTS):
            continue
        if near := get_close_matches(name, NAMES, n=1, cutoff=_NEAR):
            found.append(f"{variable} is no setting: is HEADWATER_{near[0]} meant?")
    return found


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in `environment` (default: the process's own). Raises: ConfigError, naming the variable."""
    env = os.environ if environment is None else environment
    host, port = _bind(env.get("HEADWATER_BIND") or "127.0.0.1:8080")
    return Settings(
        database_url=_address(env, "HEADWATER_DATABASE_URL", ("postgresql", "postgres")),
        amqp_url=_address(env, "HEADWATER_AMQP_URL", ("amqp", "amqps")),
        management_url=_address(env, "HEADWATER_RABBITMQ_MANAGEMENT_URL", ("http", "https")),
        secret_key=_secret_key(env),
        admin_key=_secret(env, "HEADWATER_ADMIN_KEY"),
        bind_host=host,
        bind_port=port,
        public_url=_public_url(env, host_and_port(host, port)),
        log_level=_one_of("HEADWATER_LOG_LEVEL", env.get("HEADWATER_LOG_LEVEL") or "info", LOG_LEVELS),
        log_format=_one_of("HEADWATER_LOG_FORMAT", env.get("HEADWATER_LOG_FORMAT") or "text", LOG_FORMATS),
        data_dir=data_dir(env),
        start_timeout_s=_seconds("HEADWATER_START_TIMEOUT_S", env.get("HEADWATER_START_TIMEOUT_S") or "60"),
        public_url_is_set=bool(env.get("HEADWATER_PUBLIC_URL")),
        data_dir_is_set=bool(env.get("HEADWATER_DATA_DIR")),
        trusted_proxies=_ranges("HEADWATER_TRUSTED_PROXIES", env.get("HEADWATER_TRUSTED_PROXIES") or ""),
        snapshot_max_age_s=_seconds(
            "HEADWATER_SNAPSHOT_MAX_AGE_S", env.get("HEADWATER_SNAPSHOT_MAX_AGE_S") or "86400"
        ),
        smtp_url=_address(env, "HEADWATER_SMTP_URL", ("smtp", "smtps")),
        smtp_from=_sender(env),
        callback_allow=_ranges("HEADWATER_CALLBACK_ALLOW", env.get("HEADWATER_CALLBACK_ALLOW") or ""),
        retention_runs_days=_days(env, "HEADWATER_RETENTION_RUNS_DAYS"),
        retention_notifications_days=_days(env, "HEADWATER_RETENTION_NOTIFICATIONS_DAYS"),
        retention_dead_letters_days=_days(env, "HEADWATER_RETENTION_DEAD_LETTERS_DAYS"),
        retention_audit_days=_days(env, "HEADWATER_RETENTION_AUDIT_DAYS", 365),
    )
