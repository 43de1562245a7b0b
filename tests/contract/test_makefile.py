"""The Makefile and the scripts behind it: what `make` promises, and what it says when something is missing."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
TARGETS = ("help", "up", "test", "check", "lint", "format", "bench", "chaos", "lock", "clean")
LOCK_LINE = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?==[^\s;]+( ; .+)?$")


def make(*words: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(["make", *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def runnable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path) -> Path:
    """The set-up's own files in a folder of their own, without an environment."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    return tmp_path


def set_up(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["tools/setup.sh", *words],
        cwd=clone,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_make_alone_tells_what_there_is():
    shown = [line.split()[1] for line in make().splitlines()]

    assert tuple(shown) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target):
    assert make("--dry-run", target)


def test_up_hands_over_to_headwater_with_the_demo_and_a_folder_for_its_data(clone):
    shell = runnable(clone / ".venv/bin/headwater", '#!/bin/sh\necho "$HEADWATER_DATA_DIR" "$@"\n')
    runnable(clone / "tools/setup.sh", "#!/bin/sh\n")

    assert make("up", cwd=clone) == f"{clone}/.headwater up --demo\n"
    assert shell.exists()


def test_up_respects_the_operators_data_folder(clone, monkeypatch):
    runnable(clone / ".venv/bin/headwater", '#!/bin/sh\necho "$HEADWATER_DATA_DIR"\n')
    runnable(clone / "tools/setup.sh", "#!/bin/sh\n")
    monkeypatch.setenv("HEADWATER_DATA_DIR", "/elsewhere")

    assert make("up", cwd=clone) == "/elsewhere\n"


def test_ctrl_c_reaches_headwater_and_make_waits_for_its_end_without_a_complaint(clone):
    runnable(clone / "tools/setup.sh", "#!/bin/sh\n")
    runnable(
        clone / ".venv/bin/headwater",
        "#!/usr/bin/env python3\n"
        "import signal, sys, time\n"
        "def end(number, frame):\n"
        "    time.sleep(0.2)\n"
        "    print('drained', flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end)\n"
        "print('up', flush=True)\n"
        "signal.pause()\n",
    )
    running = subprocess.Popen(
        ["make", "up"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    assert running.stdout.readline() == "up\n"

    os.killpg(running.pid, signal.SIGINT)
    rest, _ = running.communicate(timeout=20)

    assert rest == "drained\n"


def test_a_second_set_up_does_nothing_and_at_once(clone):
    wanted = subprocess.run(
        'printf \'%s %s\\n\' "$(cat requirements.lock requirements-dev.lock pyproject.toml | cksum)" "$PWD"',
        shell=True,
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    runnable(clone / ".venv/bin/python", "#!/bin/sh\nexit 1\n")
    (clone / ".venv/.stamp-run").write_text(wanted)
    started = time.monotonic()

    done = set_up(clone, "run")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 2


def test_a_changed_lock_file_is_installed_anew(clone):
    log = clone / "asked"
    runnable(clone / ".venv/bin/python", f'#!/bin/sh\necho "$@" >>"{log}"\n')
    first = set_up(clone, "run")
    assert first.returncode == 0
    log.unlink()
    assert set_up(clone, "run").returncode == 0
    assert not log.exists()

    with (clone / "requirements.lock").open("a") as lock:
        lock.write("another==1\n")
    set_up(clone, "run")

    assert "install --requirement requirements.lock" in log.read_text()


def test_the_environment_for_development_serves_make_up_too(clone):
    runnable(clone / ".venv/bin/python", "#!/bin/sh\n")
    assert set_up(clone, "dev").returncode == 0
    runnable(clone / ".venv/bin/python", "#!/bin/sh\nexit 1\n")

    assert set_up(clone, "run").returncode == 0


def test_an_old_python_is_refused_with_what_to_do(clone):
    old = runnable(clone / "old/python3", "#!/bin/sh\nexit 1\n")

    done = set_up(clone, "run", PYTHON=str(old))

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_a_python_without_venv_is_refused_with_what_to_do(clone):
    bare = runnable(clone / "bare/python3", '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n')

    done = set_up(clone, "run", PYTHON=str(bare))

    assert done.returncode == 1
    assert "no venv module" in done.stderr
    assert "apt-get install python3-venv" in done.stderr


def test_the_first_line_comes_before_anything_is_installed(clone):
    runnable(clone / ".venv/bin/python", '#!/bin/sh\ncase "$*" in *" install "*) exit 7 ;; esac\n')

    done = set_up(clone, "run")

    assert done.returncode == 7
    assert done.stdout.startswith("headwater: installing")
    assert not (clone / ".venv/.stamp-run").exists()


def test_a_given_broker_is_used_and_the_command_runs():
    done = subprocess.run(
        ["tools/rabbitmq.sh", "sh", "-c", "exit 3"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HEADWATER_TEST_AMQP_URL": "amqp://user:hidden@host/"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 3
    assert "HEADWATER_TEST_AMQP_URL" in done.stdout
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "tools").glob("*.sh")))
def test_every_script_is_runnable_and_readable_by_a_plain_shell(script):
    path = ROOT / "tools" / script

    assert path.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_holds_exact_versions_and_no_address(lock):
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()

    assert lines
    assert [line for line in lines if not LOCK_LINE.match(line)] == []


def test_both_lock_files_agree_and_the_smaller_is_part_of_the_larger():
    small, large = (
        (ROOT / name).read_text().splitlines() for name in ("requirements.lock", "requirements-dev.lock")
    )

    assert set(small) <= set(large)


def asked_for(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("lock", "extras"), [("requirements.lock", ["embedded"]), ("requirements-dev.lock", ["embedded", "dev"])]
)
def test_a_lock_file_gives_everything_that_the_project_asks_for(lock, extras):
    locked = [Requirement(line) for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()]
    versions = {it.name: next(iter(it.specifier)).version for it in locked}

    for requirement in asked_for(*extras):
        assert requirement.name in versions, f"{requirement}: make lock"
        assert requirement.specifier.contains(versions[requirement.name]), f"{requirement}: make lock"


@pytest.mark.parametrize(
    ("environment", "closing"),
    [({"CI": "true"}, "1 failed, 1 xfailed, 1 error"), ({"CI": ""}, "2 skipped, 1 xfailed")],
)
def test_where_everything_must_run_a_skipped_test_fails_with_what_is_missing(tmp_path, environment, closing):
    (tmp_path / "test_skips.py").write_text(
        "import pytest\n"
        "def test_that_skips():\n    pytest.skip('no broker here')\n"
        "@pytest.mark.skipif(True, reason='no broker here')\ndef test_that_is_skipped(): pass\n"
        "@pytest.mark.xfail(strict=True)\ndef test_that_is_known_to_fail(): assert False\n"
    )
    options = ["-q", "-ra", "-p", "tests.support.no_skips", "--rootdir", tmp_path]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert closing in done.stdout
    assert "no broker here" in done.stdout
