"""The parts of a manifest: each a text that is changed, planned, and brought into force.

Nothing is applied that was not planned: the form carries the digest of the text that its plan was made for, and the
ETag of what was there when the text was read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from headwater.contracts import codec
from headwater.contracts.calendars import Calendar
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.manifest_text import Document
from headwater.contracts.notifications import Notification
from headwater.contracts.schedules import Schedule
from headwater.contracts.source import Source, Stream
from headwater.control.export import as_yaml, lean
from headwater.control.problems import Fault, Refusal, conflict, forbidden, invalid
from headwater.control.ui.configuration_parts import example, plan_parts, problem_parts, read_part
from headwater.control.ui.markup import NOTHING, Content, Markup, element, is_shown_as_it_is, text
from headwater.control.ui.parts import link
from headwater.control.ui.sheet import TOKEN, hidden
from headwater.control.ui.visit import Deed, Given, Page, Row, View, Visit

TEXT: Final = "text"
_VERSION: Final = "version"
_MANY: Final = 500
_PLANNED: Final = "planned"
_NEW_PLAN: Final = (
    "The text is another than the one planned before: this is the plan of what stands there now."
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of parts. `part` is the manifest's list and the API's collection, `noun` the name of one in addresses.

    `home` is the page of the UI that lists them; `is_shown`: each has a page of its own below it. `done` tells that one
    was applied.
    """

    part: str
    noun: str
    model: type[BaseModel]
    home: str
    done: str
    is_shown: bool = True

    @property
    def at(self) -> str:
        return f"/{self.part}/{{{self.noun}}}"


@dataclass(frozen=True, slots=True)
class Editing:
    """The page of one part, or (`is_new`) of one that is to be made."""

    kind: Kind
    is_new: bool

    def rows(self) -> tuple[Row, ...]:
        """Its page and its deeds."""
        path = f"/new/{self.kind.part}" if self.is_new else f"{self.kind.at}/edit"
        return (
            Page(path, self.show),
            Deed(f"{path}/plan", self.plan, self.show),
            Deed(f"{path}/apply", self.apply, self.show),
        )

    async def show(self, visit: Visit) -> View:
        """The text as it is, or as it was sent with what is wrong in it. Raises: Refusal."""
        if not visit.may("write"):
            raise forbidden("The key's scopes do not include `write`")
        if visit.failed is not None:
            given = visit.failed.given
            return self._view(
                visit, given.get(TEXT, ""), given.get(_VERSION, ""), refusal=visit.failed.refusal
            )
        if self.is_new:
            return self._view(visit, example(self.kind.part), "")
        name = visit.path[self.kind.noun]
        version = await visit.version(self.kind.at, {self.kind.noun: name})
        return self._view(visit, as_text(await stored_part(visit, self.kind, name)), version)

    async def plan(self, visit: Visit, given: Given) -> View:
        """What the text would change, beside it."""
        return await self._planned(visit, given)

    async def apply(self, visit: Visit, given: Given) -> str | View:
        """Bring it into force, if it is what was planned and nobody changed the part meanwhile."""
        written = given.get(TEXT, "")
        if given.get(_PLANNED) != _digest(written):
            return await self._planned(visit, given, said=_NEW_PLAN)
        document = await read_part(visit, written, self.kind.part, self._name(visit))
        try:
            name = await self._write(visit, document.value, given.get(_VERSION, ""))
        except Refusal as refusal:
            raise _placed(refusal, document, "") from refusal
        shown = (name,) if self.kind.is_shown else ()
        return visit.link(self.kind.home, *shown, done=self.kind.done)

    async def _write(self, visit: Visit, part: Mapping[str, Any], version: str) -> str:
        if self.is_new:
            made = await visit.post(f"/{self.kind.part}", body=part)
        else:
            at = {self.kind.noun: visit.path[self.kind.noun]}
            made = await visit.put(self.kind.at, at, part, version)
        return str(made["name"])

    def _name(self, visit: Visit) -> str | None:
        return None if self.is_new else visit.path[self.kind.noun]

    async def _planned(self, visit: Visit, given: Given, said: str = "") -> View:
        written = given.get(TEXT, "")
        document = await read_part(visit, written, self.kind.part, self._name(visit))
        manifest = codec.dumps({"version": 1, self.kind.part: [document.value]}).decode()
        try:
            checked = await visit.send_text("/config/validate", manifest)
            plan = await visit.send_text("/config/plan", manifest)
        except Refusal as refusal:
            raise _placed(refusal, document, f"/{self.kind.part}/0") from refusal
        (change,) = plan["changes"]
        version = given.get(_VERSION, "")
        if self.is_new and change["action"] != "create":
            fault = {
                "pointer": "/name",
                "detail": f"there is one of this name in {self.kind.part}; take another",
            }
            raise _placed(invalid("The name is taken", [fault]), document, "")
        if not self.is_new:
            if change["action"] == "create":
                raise conflict("It was removed meanwhile; make it anew where new ones are made.")
            at = {self.kind.noun: visit.path[self.kind.noun]}
            if await visit.version(self.kind.at, at) != version:
                raise Refusal(
                    412, "It was changed by somebody else meanwhile, and this text has not got that change."
                )
        doubts = [_at_place(fault, document, f"/{self.kind.part}/0") for fault in checked["warnings"]]
        parts = plan_parts(change, doubts, written, said)
        planned = "" if change["action"] == "keep" else _digest(written)
        return self._view(visit, written, version, aside=parts, planned=planned)

    def _view(
        self,
        visit: Visit,
        written: str,
        version: str,
        *,
        aside: Content = None,
        planned: str = "",
        refusal: Refusal | None = None,
    ) -> View:
        title = f"New {self.kind.noun}" if self.is_new else f"Edit {visit.path[self.kind.noun]}"
        if refusal is not None:
            told = [problem_parts(refusal, written)]
            if refusal.status == 412:
                now = link(visit.here(), "Load what is there now")
                told.append(element("p", now, " (this text is lost then)"))
            aside = told
        body = (
            element("h1", title),
            element(
                "div",
                element("aside", _hint(self.kind) if aside is None else aside, id="said"),
                _form(visit, written, version, planned),
                class_="pair",
            ),
        )
        return View(title, text(body), self.kind.home)


def _form(visit: Visit, written: str, version: str, planned: str) -> Markup:
    area = element(
        "textarea",
        "\n" + written,  # a browser takes a line break behind the tag for none of the text
        name=TEXT,
        id=TEXT,
        rows=max(12, min(40, written.count("\n") + 3)),
        class_="code tall",
        spellcheck="false",
        autocapitalize="off",
        autocomplete="off",
        wrap="off",
        aria_describedby="said",
    )
    apply = element("button", "Apply", type="submit", class_="main", formaction=visit.here("apply"))
    return element(
        "form",
        hidden(TOKEN, visit.session.token),
        hidden(_VERSION, version),
        hidden(_PLANNED, planned),
        element("div", element("label", "YAML", for_=TEXT), area, class_="field"),
        element(
            "div",
            element(
                "button",
                "Plan" if not planned else "Plan anew",
                type="submit",
                class_="" if planned else "main",
            ),
            apply if planned else NOTHING,
            class_="acts",
        ),
        method="post",
        action=visit.here("plan"),
        class_="sheet",
    )


def _hint(kind: Kind) -> Markup:
    said = [
        element("p", "Change the text, then look at the plan. Nothing is written before you apply it."),
        element(
            "p",
            "Secrets are named, as in ",
            element("code", "${secret:NAME}"),
            "; what is written in their place is sealed when it is applied. Comments and the order of keys are lost.",
            class_="quiet",
        ),
    ]
    if kind.part == "sources":
        said.append(
            element(
                "p", "Streams that the text does not list go; their tables and history stay.", class_="quiet"
            )
        )
    return text(said)


async def stored_part(visit: Visit, kind: Kind, name: str) -> dict[str, Any]:
    """The part as a manifest has it, without what is default anyway. Raises: Refusal 404."""
    at = {kind.noun: name}
    found = await visit.get(kind.at, at)
    part = lean(kind.model.model_validate(found["definition"]))
    if kind.part != "sources":
        return part
    streams: list[dict[str, Any]] = []
    following: str | None = None
    while True:
        listed = await visit.get(f"{kind.at}/streams", at, limit=_MANY, cursor=following)
        streams += [lean(Stream.model_validate(each["definition"])) for each in listed["items"]]
        following = listed["next"]
        if following is None:
            return {**part, "streams": streams}


def as_text(part: Mapping[str, Any]) -> str:
    """The part as YAML that comes back from a form as it is: what pages show otherwise is escaped by YAML itself."""
    written = as_yaml(part).decode()
    return written if is_shown_as_it_is(written) else as_yaml(part, is_ascii=True).decode()


def _digest(written: str) -> str:
    """Of the text, whatever ends its lines: browsers send CRLF."""
    return hashlib.sha256("\n".join(written.splitlines()).encode("utf-8", "surrogatepass")).hexdigest()


def _placed(refusal: Refusal, document: Document, beginning: str) -> Refusal:
    """The refusal whose faults have their places in the text."""
    faults = [_at_place(fault, document, beginning) for fault in refusal.faults]
    return Refusal(refusal.status, refusal.detail, faults=faults, headers=refusal.headers)


def _at_place(fault: Fault, document: Document, beginning: str) -> dict[str, Any]:
    pointer = str(fault.get("pointer", "")).removeprefix(beginning)
    line, column = document.place_of(pointer)
    return {**fault, "pointer": pointer, "line": line, "column": column}


KINDS: Final = (
    Kind("sources", "source", Source, "streams", "applied", is_shown=False),
    Kind("destinations", "destination", NamedDestination, "destinations", "applied"),
    Kind("schedules", "schedule", Schedule, "schedules", "applied"),
    Kind("calendars", "calendar", Calendar, "calendars", "applied-calendar"),
    Kind("endpoints", "endpoint", Endpoint, "endpoints", "applied"),
    Kind(
        "notifications", "notification", Notification, "notifications", "applied-notification", is_shown=False
    ),
)


def rows() -> tuple[Row, ...]:
    """Every row of these pages."""
    return tuple(row for kind in KINDS for is_new in (False, True) for row in Editing(kind, is_new).rows())
