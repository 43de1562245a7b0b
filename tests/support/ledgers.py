"""Where the long forms keep their books: one JSON file each in the folder that `make chaos` names."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = "HEADWATER_LEDGERS"


def keep(name: str, ledger: Mapping[str, Any]) -> None:
    """Write the ledger down, where a folder for it was named."""
    folder = os.environ.get(FOLDER)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(ledger, indent=2, default=str, ensure_ascii=False)
        (Path(folder) / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def kept(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every ledger in `folder`."""
    for path in sorted(folder.glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))
