"""What every test may ask for: the fixtures of the modules in tests/support, one line each."""

import os

# The tests may run under make, and run make themselves: theirs is not a part of ours.
for _name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(_name, None)
# Nor is the headwater that somebody's shell names: only what says how to test counts.
_TESTING = ("HEADWATER_TEST_", "HEADWATER_CHAOS_", "HEADWATER_LEDGERS")
for _name in [name for name in os.environ if name.startswith("HEADWATER_") and not name.startswith(_TESTING)]:
    del os.environ[_name]

pytest_plugins = [
    "tests.support.destination",
    "tests.support.limits",
    "tests.support.no_skips",
    "tests.support.postgres",
    "tests.support.rabbitmq",
    "tests.support.reports",
    "tests.support.browsing",
    "tests.support.buses",
    "tests.support.flights",
]
