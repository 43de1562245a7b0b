"""What every test may ask for: the fixtures of the modules in tests/support, one line each."""

pytest_plugins = [
    "tests.support.destination",
    "tests.support.no_skips",
    "tests.support.postgres",
    "tests.support.rabbitmq",
    "tests.support.buses",
    "tests.support.flights",
]
