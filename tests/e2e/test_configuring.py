"""Configuration as code on the command line: plan, apply, export."""

import base64
import os
from pathlib import Path

from tests.support.office import MANIFEST
from tests.support.processes import Children


def test_what_is_planned_is_applied_and_what_is_exported_changes_nothing(
    tmp_path: Path, database: str
) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    manifest = tmp_path / "shop.yml"
    manifest.write_text(MANIFEST)
    with Children(tmp_path, HEADWATER_DATABASE_URL=database, HEADWATER_SECRET_KEY=key) as children:
        planned = children.run("plan", str(manifest))
        applied = children.run("apply", str(manifest))
        exported = children.run("export")
        (tmp_path / "again.yml").write_text(exported.output)
        again = children.run("plan", str(tmp_path / "again.yml"))
        manifest.write_text(MANIFEST.replace("[shop.orders]", "[shop.nothing]"))
        unknown = children.run("apply", str(manifest))

    assert planned.code == 4, planned.output
    assert "+ sources shop" in planned.output
    assert applied.code == 0, applied.output
    assert "very-secret-token" not in planned.output + exported.output
    assert again.code == 0, again.output
    assert "0 to create, 0 to change, 3 as they are" in again.output
    assert unknown.code == 2
    assert "shop.nothing" in unknown.output
