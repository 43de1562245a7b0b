"""The catalogue for people: as a list with the right outcomes, and as a manifest that walks all of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.app.hostile.case import Case
from headwater.app.hostile.catalogue import CASES

_CUT = frozenset({"loop", "limit", "error"})
_PARTS_MISSING = frozenset({"total_not_met", "graphql_partial", "partial_content"})


def manifest_of(base: str, names: Iterable[str] = CASES) -> dict[str, Any]:
    """A manifest with a source for each behaviour, for the API at `base`; each has one stream `items`."""
    return {"version": 1, "sources": [_source(base, name, CASES[name]) for name in names]}


def _source(base: str, name: str, case: Case) -> dict[str, Any]:
    address = f"{base}/{name}"
    return {
        "name": name,
        "base_url": address,
        "network": {"allow": ["127.0.0.0/8"]},
        **case.source_options(address),
        "streams": [{"name": "items", **case.stream(), "destination": {"table": f"hostile_{name}"}}],
    }


def outcome_of(case: Case) -> dict[str, Any]:
    """How a run of the case is right to end. `rows` of a run that fails are at most those of the pages before."""
    reason, _, error = case.ends.partition(":")
    rejected = case.rejected + len(case.unstorable)
    is_partial = reason in _CUT or not _PARTS_MISSING.isdisjoint(case.warnings)
    state = "failed" if error else "partial" if is_partial else "succeeded"
    warnings = sorted(case.warnings | ({"rows_rejected"} if rejected else set()))
    return {
        "state": state,
        "stop_reason": reason,
        "error": error or None,
        "warnings": warnings,
        "rows": len(set(case.wanted_ids) - set(case.unstorable)),
        "rejected": rejected,
    }


def catalogue_of(base: str) -> list[Mapping[str, Any]]:
    """Every behaviour: its name, its address, the options of source and stream, and the right outcome."""
    return [
        {
            "name": name,
            "url": f"{base}/{name}/items",
            "source": case.source_options(f"{base}/{name}"),
            "stream": case.stream(),
            "outcome": outcome_of(case),
        }
        for name, case in CASES.items()
    ]
