"""An API of users, their posts and the comments of these, that says what it was asked."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

PAGE = 3


class FamilyApi:
    """`posts` by user, `comments` by (user, post). Statuses in `status` (by path) are answered as they are.

    `before` is called with each path before it is answered. `most`: the highest number of posts requests under way.
    """

    def __init__(self, users: int = 5, posts: int = 4) -> None:
        self.users: list[dict[str, Any]] = [
            {"id": number, "name": f"user {number}", "team": {"code": f"t/{number}"}}
            for number in range(1, users + 1)
        ]
        self.posts: dict[str, list[dict[str, Any]]] = {
            str(user["id"]): [
                {
                    "id": 100 * user["id"] + number,
                    "title": f"p{number}",
                    "at": f"2024-01-0{number + 1}T00:00:00Z",
                }
                for number in range(posts)
            ]
            for user in self.users
        }
        self.status: dict[str, int] = {}
        self.circles: set[str] = set()  # cursors of pages that lead to themselves
        self.holes: set[str] = set()  # offsets of pages that are empty
        self.asked: list[str] = []
        self.before: Callable[[str], Any] | None = None
        self.under_way: Counter[str] = Counter()
        self.most = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/users", self._users)
        app.router.add_get("/users/{user}/posts", self._posts)
        app.router.add_get("/users/{user}/posts/{post}/comments", self._comments)
        app.router.add_route("*", "/search", self._search)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))

    def _paged(self, request: web.Request, records: list[Any]) -> web.Response:
        place = request.query.get("cursor") or request.query.get("offset") or "0"
        at = int(place)
        following = str(at + PAGE) if at + PAGE < len(records) else None
        following = str(at) if str(at) in self.circles else following
        items = [] if place in self.holes else records[at : at + PAGE]
        return web.json_response({"items": items, "next": following, "total": len(records)})

    async def _seen(self, request: web.Request) -> web.Response | None:
        self.asked.append(str(request.rel_url))
        if self.before is not None:
            await self.before(request.path)
        status = self.status.get(request.path)
        return None if status is None else web.json_response({"error": "no"}, status=status)

    async def _users(self, request: web.Request) -> web.Response:
        return await self._seen(request) or self._paged(request, self.users)

    async def _posts(self, request: web.Request) -> web.Response:
        self.under_way["posts"] += 1
        self.most = max(self.most, self.under_way["posts"])
        try:
            refused = await self._seen(request)
        finally:
            self.under_way["posts"] -= 1
        if refused is not None:
            return refused
        since = request.query.get("since", "")
        posts = self.posts.get(request.match_info["user"], [])
        return self._paged(request, [post for post in posts if post["at"] >= since])

    async def _comments(self, request: web.Request) -> web.Response:
        refused = await self._seen(request)
        user, post = request.match_info["user"], request.match_info["post"]
        return refused or web.json_response(
            {"items": [{"id": f"{user}-{post}-{n}"} for n in range(2)], "next": None}
        )

    async def _search(self, request: web.Request) -> web.Response:
        refused = await self._seen(request)
        body = await request.json() if request.can_read_body else None
        told = {
            "id": len(self.asked),
            "body": body,
            "query": dict(request.query),
            "tag": request.headers.get("X-Tag"),
        }
        return refused or web.json_response({"items": [told], "next": None})


PAGES = {"type": "cursor", "cursor_path": "next"}
USERS = {"name": "users", "request": {"path": "users"}, "pagination": PAGES, "records": {"path": "items"}}
POSTS = {
    "name": "posts",
    "parent": {"stream": "users", "include": ["id"]},
    "request": {"path": "users/{parent.id}/posts"},
    "pagination": PAGES,
    "records": {"path": "items"},
    "destination": {"table": "posts", "mode": "merge", "key": ["parent_id", "id"]},
}
COMMENTS = {
    "name": "comments",
    "parent": {"stream": "posts", "include": {"post": "id", "user": "_parent.id"}},
    "request": {"path": "users/{parent._parent.id}/posts/{parent.id}/comments"},
    "pagination": PAGES,
    "records": {"path": "items"},
    "destination": {"table": "comments", "mode": "merge", "key": "id"},
}


def manifest(url: str, *streams: dict[str, Any]) -> dict[str, Any]:
    """A manifest of these streams of the source `blog`."""
    source = {
        "name": "blog",
        "base_url": url,
        "network": {"allow": ["127.0.0.0/8"]},
        "streams": list(streams),
    }
    return {"version": 1, "sources": [source]}
