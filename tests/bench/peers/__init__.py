"""Receivers as others write them, to be measured in the same run. Their libraries are the bench's alone."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = Path("var/bench/peers")
PYTHON = FOLDER / "venv" / "bin" / "python"
WANTED = {"fastapi_aio_pika": ">= 4", "fastapi_faststream": ">= 5", "fastify_amqplib": ">= 1.0"}


def commands() -> dict[str, list[str]]:
    """How each peer is started, without its arguments; installs what is missing. One that cannot be had is left out."""
    found: dict[str, list[str]] = {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        _install_python()
        found |= {
            name: [str(PYTHON), str(HERE / f"{name}.py")]
            for name in ("fastapi_aio_pika", "fastapi_faststream")
        }
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without the peers in Python: {error}", file=sys.stderr)
    try:
        _install_node()
        found["fastify_amqplib"] = ["node", str(FOLDER / "fastify_amqplib.mjs")]
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without the peer in Node: {error}", file=sys.stderr)
    return found


def _install_python() -> None:
    wanted = (HERE / "requirements.txt").read_text()
    stamp = FOLDER / "venv" / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER / "venv")], check=True)
    install = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r"]
    subprocess.run([*install, str(HERE / "requirements.txt")], check=True, stderr=subprocess.DEVNULL)
    stamp.write_text(wanted)


def _install_node() -> None:
    """Node finds modules beside the program, so that stands beside them."""
    shutil.copy(HERE / "fastify_amqplib.mjs", FOLDER)
    wanted = (HERE / "package.json").read_text()
    stamp = FOLDER / "node_modules" / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.copy(HERE / "package.json", FOLDER)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(install, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stamp.write_text(wanted)
