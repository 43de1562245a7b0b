"""Schedules of other systems on their way to a manifest."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_VALUE_OPTIONS = {
    "-X": "method", "--request": "method", "-H": "header", "--header": "header", "-d": "data", "--data": "data",
    "--data-raw": "data", "--data-binary": "data", "--json": "json", "--post-data": "data", "--url": "url",
    "-u": "secret", "--user": "secret", "--password": "secret", "--method": "method", "--body-data": "data",
    "-o": "", "--output": "", "-O": "", "--output-document": "", "-m": "", "--max-time": "", "-A": "", "-U": "",
    "--user-agent": "", "--retry": "", "--connect-timeout": "", "-T": "", "--timeout": "", "-t": "", "--tries": "",
    "-w": "", "--write-out": "", "-c": "", "-b": "", "-e": "", "--referer": "",
}  # fmt: skip
_SECRET_HEADER = re.compile(r"authorization|api-?key|token|secret|cookie", re.IGNORECASE)
_OPERATORS = ("|", "&&", ";", "||")
_FILLED_IN = re.compile(r"\$\(|`|\$\{|\$[A-Z_][A-Z0-9_]*")  # `$filter` and the like are names of parameters


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was not taken, or not as it was."""

    line: int
    text: str


@dataclass(slots=True)
class Web:
    """The web request that a command makes. `is_whole`: no part of it is filled in by a shell."""

    base_url: str
    request: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_whole: bool = True


@dataclass(slots=True)
class Foreign:
    """One schedule of another system: the manifest's words for it, and the request of its command (None: none)."""

    line: int
    name: str
    words: dict[str, Any]
    command: str
    web: Web | None = None


def slug(text: str, default: str = "job") -> str:
    """A name of the manifest made of `text`."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50].strip("-")
    return found or default


def name_of_command(command: str) -> str:
    """What a command line is best called by: its script, or the host that it asks."""
    web = request_of(command)
    if web is not None:
        path = str(web.request.get("path", "")).strip("/").replace("/", "-")
        return slug(f"{urlsplit(web.base_url).hostname or ''}-{path}")
    words = command.split()
    plain = [word for word in words if "=" not in word and not word.startswith(("-", "cd", "&&"))]
    program = (plain or words or ["job"])[0].rsplit("/", 1)[-1]
    if program in {"python", "python3", "php", "bash", "sh", "perl", "ruby", "node"} and len(plain) > 1:
        program = plain[1].rsplit("/", 1)[-1]
    return slug(program.rpartition(".")[0] or program)


def request_of(command: str | list[str]) -> Web | None:
    """The request of a `curl` or `wget` command; None for any other."""
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError:
        return None
    while words and (
        words[0] in {"/bin/sh", "sh", "/bin/bash", "bash", "-c", "exec", "nice"}
        or "=" in words[0].split("/")[0]
    ):
        if words[0] == "-c" and len(words) == 2:
            return request_of(words[1])
        words = words[1:]
    if not words or words[0].rsplit("/", 1)[-1] not in {"curl", "wget"}:
        return None
    given: dict[str, list[str]] = {}
    rest: list[str] = []
    notes: list[str] = []
    index = 1
    while index < len(words):
        word = words[index]
        index += 1
        if word in _OPERATORS or word.endswith(";"):
            notes.append("only the request is taken, not what the shell does with its answer")
            break
        name, sign, value = word.partition("=")
        if word.startswith("--") and sign and name in _VALUE_OPTIONS:
            given.setdefault(_VALUE_OPTIONS[name], []).append(value)
        elif word in _VALUE_OPTIONS:
            given.setdefault(_VALUE_OPTIONS[word], []).append(words[index] if index < len(words) else "")
            index += 1
        elif not word.startswith("-") and not re.match(r"^[0-9&]*[<>]", word):
            rest.append(word)
    urls = [url for url in (*given.get("url", []), *rest) if re.match(r"^https?://", url)]
    return _web(urls, given, notes) if urls else None


def _web(urls: list[str], given: Mapping[str, list[str]], notes: list[str]) -> Web | None:
    parts = urlsplit(urls[0])
    if not parts.hostname:
        return None
    if len(urls) > 1:
        notes.append(f"only the first of {len(urls)} addresses is taken")
    request: dict[str, Any] = {}
    bodies = [*given.get("data", []), *given.get("json", [])]
    method = (given.get("method") or ["POST" if bodies else "GET"])[0].upper()
    if method not in {"GET", "POST"}:
        notes.append(f"{method} cannot be asked: it became a GET")
    elif method == "POST":
        request["method"] = method
    request["path"] = parts.path or "/"
    if parts.query:
        request["params"] = dict(parse_qsl(parts.query, keep_blank_values=True))
    headers = {}
    for header in given.get("header", []):
        name, _, value = header.partition(":")
        if _SECRET_HEADER.search(name):
            notes.append(f"the header {name.strip()} holds a secret: give it in the source's `auth`")
        elif name.strip().lower() != "content-type":
            headers[name.strip()] = value.strip()
    if headers:
        request["headers"] = headers
    if "secret" in given:
        notes.append("the user and password are not taken: give them in the source's `auth`")
    _take_body(request, bodies, notes)
    filled_in = _FILLED_IN.search(" ".join((urls[0], *given.get("header", []), *bodies)))
    if filled_in:
        notes.append(
            f"`{filled_in[0]}…` is filled in by a shell, which is not asked here: write a {{parameters.…}} there"
        )
    port = f":{parts.port}" if parts.port else ""
    return Web(f"{parts.scheme}://{parts.hostname}{port}", request, notes, is_whole=filled_in is None)


def _take_body(request: dict[str, Any], bodies: list[str], notes: list[str]) -> None:
    if not bodies or request.get("method") != "POST":
        return
    try:
        value = json.loads(bodies[0])
    except ValueError:
        value = None
    if isinstance(value, dict) and len(bodies) == 1:
        request["json"] = value
    else:
        notes.append("its body is no JSON object and is not taken: write it in `request.json`")


def manifest_of(
    jobs: list[Foreign], notes: list[Note], *, source: str, base_url: str, tenant: str, applies: bool
) -> dict[str, Any]:
    """The manifest of the schedules, with the notes that it gives rise to added to `notes`.

    What is no web request becomes a stream of `source` that has to be pointed somewhere. It is disabled when the
    manifest is to be applied at once, and so is a request that a shell has a part in.
    """
    sources: dict[str, dict[str, Any]] = {}
    schedules = []
    taken: set[str] = set()
    for job in jobs:
        name = _unique(job.name, taken)
        words = dict(job.words)
        if job.web is None:
            notes.append(
                Note(
                    job.line,
                    f"{name}: `{job.command.split()[0][:80]}` is no web request: point stream {source}.{name} at one",
                )
            )
            where = sources.setdefault(source, {"name": source, "base_url": base_url, "streams": []})
            where["streams"].append({"name": name, "request": {"path": f"/{name}"}})
        else:
            notes += [Note(job.line, f"{name}: {text}") for text in job.web.notes]
            where = _source_of(sources, job.web.base_url)
            where["streams"].append({"name": name, "request": job.web.request})
        if applies and (job.web is None or not job.web.is_whole):
            words["enabled"] = False
        schedules.append({"name": name, "streams": [f"{where['name']}.{name}"], **words})
    return {"version": 1, "tenant": tenant, "sources": list(sources.values()), "schedules": schedules}


def _source_of(sources: dict[str, dict[str, Any]], base_url: str) -> dict[str, Any]:
    for each in sources.values():
        if each["base_url"] == base_url:
            return each
    name = _unique(slug(urlsplit(base_url).hostname or "web"), set(sources))
    sources[name] = {"name": name, "base_url": base_url, "streams": []}
    return sources[name]


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found
