"""A browser without a screen: it keeps cookies, follows redirects, fills in forms and reads what a page says."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
from tests.support.office import ADMIN, Office
from yarl import URL

_VOID = {"input", "meta", "br", "hr", "link"}


@dataclass
class Form:
    """A form as it stands on the page; `fields` are what it would send."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.action.rpartition("/")[2]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.faults: list[str] = []
        self.texts: list[str] = []
        self.refresh: str | None = None
        self._open: list[tuple[str, dict[str, str]]] = []
        self._select: str | None = None
        self._area: str | None = None
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= given.keys()
        if tag not in _VOID:
            self._open.append((tag, given))
        if tag == "form":
            self._form = Form(given["method"], given["action"])
            self.forms.append(self._form)
        if tag == "meta" and given.get("http-equiv") == "refresh":
            self.refresh = given["content"]
        if self._form is None:
            return
        name, fields = given.get("name", ""), self._form.fields
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            fields[name] = given.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select is not None:
            if "selected" in given or self._select not in fields:
                fields[self._select] = given["value"]
        elif tag == "textarea":
            self._area, fields[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            raise AssertionError(f"</{tag}> closes another element")
        if tag == "form":
            self._form = None
        if tag == "select":
            self._select = None
        if tag == "textarea":
            assert self._form is not None
            assert self._area is not None
            self._form.fields[self._area] = self._form.fields[self._area].removeprefix("\n")
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None and self._form is not None:
            self._form.fields[self._area] += data
        tag, given = self._open[-1] if self._open else ("", {})
        if tag == "style":
            return
        self.texts.append(data)
        for name, attributes in self._open:
            if name == "a":
                self.links[data] = attributes["href"]
        if "fault" in given.get("class", "").split() or given.get("role") == "alert":
            self.faults.append(data)


@dataclass
class Shown:
    """A page as it came."""

    status: int
    headers: Any
    path: str
    html: str

    def __post_init__(self) -> None:
        self._reader = _Reader()
        if self.headers.get("Content-Type", "").startswith("text/html"):
            self._reader.feed(self.html)
            self._reader.close()

    @property
    def text(self) -> str:
        return " ".join("".join(f"{each} " for each in self._reader.texts).split())

    @property
    def faults(self) -> list[str]:
        return self._reader.faults

    @property
    def links(self) -> dict[str, str]:
        return self._reader.links

    @property
    def item(self) -> str:
        """Where the first thing of a list leads; their ids are shortened."""
        return next(address for name, address in self.links.items() if "…" in name[:-1])

    @property
    def tags(self) -> set[str]:
        return self._reader.tags

    @property
    def attributes(self) -> set[str]:
        return self._reader.attributes

    @property
    def refresh(self) -> str | None:
        return self._reader.refresh

    @property
    def forms(self) -> list[str]:
        return [form.name for form in self._reader.forms]

    @property
    def deeds(self) -> list[str]:
        """The forms that do something."""
        return [form.name for form in self._reader.forms if form.method == "post"]

    def form(self, name: str) -> Form:
        """The form whose address ends so; where one asks and one does something, the latter."""
        found = [form for form in self._reader.forms if form.name == name]
        found = [form for form in found if form.method == "post"] or found
        assert len(found) == 1, f"{name} is {len(found)} of {self.forms} on {self.path}:\n{self.text[:500]}"
        return found[0]


class Browser:
    """Somebody in front of the UI."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.cookies: dict[str, str] = {}

    async def ask(
        self,
        method: str,
        path: str,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Shown:
        """One request, whose redirects are not followed."""
        sent = {"Sec-Fetch-Site": "same-origin"} if headers is None else dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = None
        if fields is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            data = urlencode(fields).encode()
        url = URL(self.office.address + path, encoded=True)
        async with self.office.session.request(
            method,
            url,
            data=data,
            headers=sent,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=20),
        ) as response:
            self._keep(response.headers.getall("Set-Cookie", []))
            return Shown(response.status, response.headers.copy(), path, (await response.read()).decode())

    def _keep(self, given: list[str]) -> None:
        for line in given:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value

    async def go(self, path: str, **more: Any) -> Shown:
        """The page there, wherever redirects lead."""
        return await self.follow(await self.ask("GET", path, **more))

    async def follow(self, shown: Shown) -> Shown:
        """To where a page leads on."""
        for _ in range(5):
            if shown.status not in {302, 303}:
                return shown
            shown = await self.ask("GET", urljoin(shown.path, shown.headers["Location"]))
        raise AssertionError("it leads in circles")

    async def send(self, form: Form, **given: str | None) -> Shown:
        """Fill in and send; None leaves a field out. The answer itself, which is a redirect when all went well."""
        fields = {name: value for name, value in {**form.fields, **given}.items() if value is not None}
        if form.method == "get":
            return await self.ask("GET", f"{form.action}?{urlencode(fields)}")
        return await self.ask("POST", form.action, fields)

    async def submit(self, shown: Shown, name: str, **given: str | None) -> Shown:
        """Fill in and send the form of that name, and see where it leads."""
        return await self.follow(await self.send(shown.form(name), **given))

    async def log_in(self, key: str = ADMIN, path: str = "/ui/") -> Shown:
        """By the form that shows instead of `path`."""
        return await self.submit(await self.go(path), "login", key=key)
