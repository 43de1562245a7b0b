"""Providers' packages in environments of their own under var/chaos/senders: one for Python, one for Node.

A task is `{"scheme", "act": "sign" | "verify", "secret", "url", "body": base64, "headers": {lower-case name: text}}`;
the result is the headers that the package adds, or whether it takes the request.
"""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOLDER = Path("var/chaos/senders")
PYTHON = FOLDER / "venv" / "bin" / "python"
NODE_SCHEMES = ("github",)


def install() -> None:
    """What is missing of both environments, from PyPI and npm. Raises CalledProcessError where that fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _install_python()
    _install_node()


def _install_python() -> None:
    wanted, stamp = (HERE / "requirements.txt").read_text(), FOLDER / "venv" / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER / "venv")], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r"]
    subprocess.run([*pip, str(HERE / "requirements.txt")], check=True)
    stamp.write_text(wanted)


def _install_node() -> None:
    """Node finds modules beside the program, so that stands beside them."""
    shutil.copy(HERE / "github.mjs", FOLDER)
    wanted, stamp = (HERE / "package.json").read_text(), FOLDER / "node_modules" / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.copy(HERE / "package.json", FOLDER)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(npm, cwd=FOLDER, check=True)
    stamp.write_text(wanted)


def task(scheme: str, act: str, secret: str, url: str, body: bytes, **more: Any) -> dict[str, Any]:
    """One task; `more` are headers, and what only one provider's way needs."""
    text = base64.b64encode(body).decode()
    return {"scheme": scheme, "act": act, "secret": secret, "url": url, "body": text} | more


def done(tasks: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The results in the order of the tasks."""
    programs = {False: [str(PYTHON), str(HERE / "providers.py")], True: ["node", str(FOLDER / "github.mjs")]}
    results: dict[int, Any] = {}
    for is_node, program in programs.items():
        chosen = [number for number, each in enumerate(tasks) if (each["scheme"] in NODE_SCHEMES) == is_node]
        given = json.dumps([tasks[number] for number in chosen])
        ran = subprocess.run(program, input=given, capture_output=True, text=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stderr[-2000:]
        results |= dict(zip(chosen, json.loads(ran.stdout), strict=True))
    return [results[number] for number in range(len(tasks))]
