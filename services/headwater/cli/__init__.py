"""The command line: `headwater`. It starts things and prints things; what it does stands below it."""

from headwater.cli.main import main

__all__ = ["main"]
