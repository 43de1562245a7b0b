"""Forms: each with the session's token; one that comes back shows what was given and, at its field, what was wrong."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headwater.contracts import codec
from headwater.control.problems import Fault, invalid_at
from headwater.control.ui.markup import NOTHING, Content, Markup, element
from headwater.control.ui.visit import Given, Visit
from headwater.model.errors import ContractError

TOKEN: Final = "token"  # noqa: S105 - a field's name
ONCE: Final = "once"
ALERT: Final = (
    'role="alert"'  # stands where a form says what went wrong, and in no text: there quotes are escaped
)


def hidden(name: str, value: str) -> Markup:
    return element("input", type="hidden", name=name, value=value)


class Sheet:
    """A form of a page. `name` is the last part of its address, by which it is known when it comes back."""

    def __init__(self, visit: Visit, name: str, *, at: str = "") -> None:
        self._visit = visit
        self._name = name
        self._action = at or name
        failed = visit.failed
        self._failed = failed if failed is not None and failed.form == name else None
        self._told: set[int] = set()

    def value(self, name: str, default: str = "") -> str:
        """What was given, when it comes back; else `default`."""
        return default if self._failed is None else self._failed.given.get(name, "")

    def _field(self, name: str, label: str, control: Markup, hint: Content) -> Markup:
        said = [element("div", fault, class_="fault") for fault in self._faults(name)]
        shown = element("div", hint, class_="hint") if hint else NOTHING
        return element(
            "div", element("label", label, for_=self._id(name)), control, shown, said, class_="field"
        )

    def _id(self, name: str) -> str:
        return f"{self._name}-{name}"

    def text(
        self,
        name: str,
        label: str,
        default: str = "",
        *,
        hint: Content = None,
        kind: str = "text",
        size: int = 30,
    ) -> Markup:
        control = element(
            "input", type=kind, name=name, id=self._id(name), value=self.value(name, default), size=size
        )
        return self._field(name, label, control, hint)

    def area(
        self, name: str, label: str, default: str = "", *, hint: Content = None, rows: int = 4
    ) -> Markup:
        shown = self.value(name, default)
        # A browser takes a line break behind the tag for none of the text.
        control = element(
            "textarea",
            "\n" + shown,
            name=name,
            id=self._id(name),
            rows=rows,
            class_="code",
            spellcheck="false",
        )
        return self._field(name, label, control, hint)

    def choice(
        self,
        name: str,
        label: str,
        options: Sequence[tuple[str, str]],
        default: str = "",
        *,
        hint: Content = None,
    ) -> Markup:
        chosen = self.value(name, default)
        shown = [element("option", word, value=value, selected=value == chosen) for value, word in options]
        return self._field(name, label, element("select", shown, name=name, id=self._id(name)), hint)

    def check(self, name: str, label: str, *, hint: Content = None) -> Markup:
        box = element(
            "input",
            type="checkbox",
            name=name,
            value="yes",
            id=self._id(name),
            checked=self.value(name) == "yes",
        )
        said = [element("div", fault, class_="fault") for fault in self._faults(name)]
        shown = element("div", hint, class_="hint") if hint else NOTHING
        return element("div", element("label", box, label, class_="check"), shown, said, class_="field")

    def _faults(self, name: str) -> list[str]:
        if self._failed is None:
            return []
        found = []
        for number, fault in enumerate(self._failed.refusal.faults):
            head, _, rest = _place(fault).partition("/")
            if head == name:
                self._told.add(number)
                found.append(f"{rest}: {fault['detail']}" if rest else str(fault["detail"]))
        return found

    def whole(
        self, button: str, *fields: Content, look: str = "", style: str = "sheet", once: bool = False
    ) -> Markup:
        """The form. `once`: sent twice it does its work once."""
        return element(
            "form",
            self._trouble(),
            hidden(TOKEN, self._visit.session.token),
            hidden(ONCE, self._key()) if once else NOTHING,
            fields,
            element("button", button, type="submit", class_=look or None),
            method="post",
            action=self._address(),
            class_=style,
        )

    def _address(self) -> str:
        return self._action if self._action.startswith("/") else self._visit.here(self._action)

    def _key(self) -> str:
        """The same when a form comes back, since nobody may know what became of it; a new one where it was used."""
        kept = self.value(ONCE)
        return kept if kept and not self._is_used() else secrets.token_urlsafe(18)

    def _is_used(self) -> bool:
        return self._failed is not None and any("header" in fault for fault in self._failed.refusal.faults)

    def _trouble(self) -> Markup:
        """What went wrong as a whole, and what belongs to no field of this form."""
        if self._failed is None:
            return NOTHING
        refusal = self._failed.refusal
        if self._is_used():
            return element("p", "This form was sent before with other values. Look at what it did, then send it again.",
                           class_="note bad", role="alert")  # fmt: skip
        rest = [fault for number, fault in enumerate(refusal.faults) if number not in self._told]
        said = [element("li", told(fault)) for fault in rest]
        items = element("ul", said) if said else NOTHING
        why = "Nothing was done: mend what is marked." if refusal.faults else refusal.detail
        return element("div", why, items, class_="note bad", role="alert")


def _place(fault: Fault) -> str:
    return str(fault.get("pointer") or fault.get("parameter") or "").removeprefix("/")


def told(fault: Fault) -> str:
    """A fault with its place."""
    place, detail = _place(fault), str(fault["detail"])
    return f"{place}: {detail}" if place and detail[:1].isupper() else f"{place} {detail}".strip()


def confirmed(visit: Visit, name: str, title: str, form: Markup) -> Markup:
    """A form that only shows once it was asked for: what it does cannot be taken back."""
    is_asked = visit.query.get("ask") == name or (visit.failed is not None and visit.failed.form == name)
    return form if is_asked else element("a", title, href=f"?ask={name}")


def filters(visit: Visit, *fields: Markup, button: str = "Filter", at: str | None = None) -> Markup:
    """A form that only asks; of this page, or of the one `at` an address."""
    return element("form", fields, element("button", button, type="submit"), method="get",
                   action=at or visit.here(), class_="line")  # fmt: skip


def asked(
    visit: Visit,
    name: str,
    label: str,
    options: Sequence[str] | None = None,
    *,
    size: int = 16,
    kind: str = "text",
    value: str | None = None,
    other: str = "any",
) -> Markup:
    """A field of such a form: a text, or one of `options` or none of them (`other`)."""
    given, identifier = value or visit.query.get(name, ""), f"filter-{name}"
    if options is None:
        example = "2026-11-30T06:00" if name in {"since", "until"} else None
        control = element(
            "input", type=kind, name=name, id=identifier, value=given, size=size, placeholder=example
        )
    else:
        shown = [element("option", other, value="")]
        shown += [element("option", word, value=word, selected=word == given) for word in options]
        control = element("select", shown, name=name, id=identifier)
    return element("div", element("label", label, for_=identifier), control, class_="field")


def in_utc(written: str) -> str:
    """The time in a field of local times, which has no zone: it means UTC."""
    written = written.strip()
    return f"{written}Z" if written and not {"Z", "z", "+"} & set(written) else written


def json_object(given: Given, name: str) -> dict[str, Any]:
    """The JSON object in a field; {} when it is empty. Raises: Refusal 422 at the field."""
    written = given.get(name, "").strip()
    if not written:
        return {}
    try:
        found = codec.loads(written.encode())
    except ContractError as error:
        raise invalid_at(f"/{name}", f"is {error}") from error
    if not isinstance(found, Mapping):
        raise invalid_at(f"/{name}", 'is no JSON object; write one such as {"day": "2026-11-30"}')
    return dict(found)
