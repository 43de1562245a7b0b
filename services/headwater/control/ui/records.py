"""What is only read: secrets by their names, and who changed what."""

from typing import Any, Final, get_args

from headwater.control.audit import AuditKind, AuditVerb
from headwater.control.ui.markup import element, text
from headwater.control.ui.parts import badge, code, moment, pager, quiet, section, table
from headwater.control.ui.sheet import asked, filters
from headwater.control.ui.visit import View, Visit

_AUDIT: Final = ("kind", "name", "actor", "verb", "since", "until", "cursor")


async def show_secrets(visit: Visit) -> View:
    """Named secrets and the keys that seal them; never a value."""
    found = await visit.get("/secrets", cursor=visit.query.get("cursor"))
    keys = await visit.get("/secret-keys")
    rows = [
        (
            code(each["name"]),
            ", ".join(each["used_by"]) or quiet("nothing"),
            moment(each["updated_at"], visit.now),
            code(each["key_id"]) if each["is_current"] else (code(each["key_id"]), " ", badge("old key")),
        )
        for each in found["items"]
    ]
    empty = ("There is none. Set one with ", code("headwater secrets set NAME"), " and name it in a manifest: ",
             code("${secret:NAME}"), ".")  # fmt: skip
    uses = [
        (
            code(each["key_id"]),
            "seals" if each["is_active"] else "opens" if each["is_known"] else badge("not at hand"),
            each["secrets"],
            "yes" if each["safe_to_retire"] else "no",
        )
        for each in keys["items"]
    ]
    body = text(
        (
            element("h1", "Secrets"),
            table(("Name", "Used by", "Changed", "Sealed by"), rows, empty),
            pager(visit, found["next"]),
            section(
                "Keys of HEADWATER_SECRET_KEY",
                table(("Key", "Now", "Secrets#", "Safe to retire"), uses, "None."),
            ),
        )
    )
    return View("Secrets", body, "secrets")


async def show_audit(visit: Visit) -> View:
    """Changes, newest first."""
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in _AUDIT}
    found = await visit.get("/audit", **chosen)
    rows = [
        (
            moment(each["at"], visit.now),
            each["actor"],
            each["verb"],
            each["kind"],
            code(each["name"]),
            ", ".join(each["changed"]),
        )
        for each in found["items"]
    ]
    body = text(
        (
            element("h1", "Audit"),
            filters(
                visit,
                asked(visit, "kind", "Kind", get_args(AuditKind)),
                asked(visit, "verb", "Verb", get_args(AuditVerb)),
                asked(visit, "name", "Name"),
                asked(visit, "actor", "Who"),
                asked(visit, "since", "Since (UTC)"),
            ),
            table(("At", "Who", "Did", "To", "Name", "Fields"), rows, "No change is like that."),
            pager(visit, found["next"]),
        )
    )
    return View("Audit", body, "audit")
