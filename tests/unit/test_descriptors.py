"""A process takes as many open files as its system lets it have."""

import subprocess
import sys

PROGRAM = """
import resource, sys
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from headwater.app.descriptors import allow_connections
allow_connections()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def _limits(soft: int, hard: int) -> str:
    """The limits of a process that began with these."""
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_a_low_limit_is_raised_as_far_as_the_system_lets() -> None:
    assert _limits(128, 900) == "900 900"


def test_a_limit_that_cannot_be_raised_is_left() -> None:
    assert _limits(256, 256) == "256 256"
