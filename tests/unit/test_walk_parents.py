"""Streams of children: what is wrong with them is found before a run, and what their rows and requests are made of."""

import json
from typing import Any

import pytest

from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.pinning import pinned
from headwater.control.export import lean
from headwater.control.validation import check
from headwater.plugins.walk.family import Family
from headwater.plugins.walk.parents import ParentColumns

USERS = {"name": "users", "request": {"path": "users"}, "records": {"path": "items"}}
POSTS: dict[str, Any] = {
    "name": "posts",
    "parent": {"stream": "users"},
    "request": {"path": "users/{parent.id}/posts"},
    "destination": {"table": "posts"},
}


def text_of(*streams: dict[str, Any]) -> str:
    source = {"name": "blog", "base_url": "https://api.example.com", "streams": list(streams)}
    return json.dumps({"version": 1, "sources": [source]})


def problems(*streams: dict[str, Any]) -> list[tuple[str, str, str]]:
    manifest, document = parse_manifest(text_of(*streams), "test.yml", {})
    return [(each.pointer, each.what, each.mend) for each in check(manifest, document)]


def request(**parts: Any) -> dict[str, Any]:
    return POSTS | {"request": {"path": "posts"} | parts}


@pytest.mark.parametrize(
    "stream",
    [
        POSTS,
        request(params={"user": "{parent.id}"}),
        request(headers={"X-User": "u-{parent.owner.login}"}),
        request(method="POST", json={"filter": {"user": "{parent.id}"}}),
        request(
            graphql={"query": "query($id: ID) { user(id: $id) { id } }", "variables": {"id": "{parent.id}"}}
        ),
        request(path="posts/{parent.tags[0]}"),
        POSTS
        | {
            "parent": {"stream": "users", "include": {"user": "id"}},
            "fields": ["id"],
            "destination": {"table": "posts", "mode": "merge", "key": ["user", "id"]},
        },
        request(path="users/{parent.id}/posts/{page}") | {"pagination": {"type": "page", "in": "path"}},
    ],
)
def test_a_child_that_names_its_parent_is_valid_and_survives_its_export(stream: dict[str, Any]) -> None:
    assert problems(USERS, stream) == []
    manifest, _ = parse_manifest(text_of(USERS, stream), "test.yml", {})
    again, _ = parse_manifest(json.dumps(lean(manifest)), "test.yml", {})
    assert again == manifest


@pytest.mark.parametrize(
    ("streams", "pointer", "what", "mend"),
    [
        ((POSTS,), "/sources/0/streams/0/parent/stream", "no stream 'users'", "posts"),
        ((USERS, POSTS | {"parent": {"stream": "blog.users"}}), "/sources/0/streams/1/parent/stream", "blog.users", "users"),
        ((USERS, POSTS | {"parent": {"stream": "crm.users"}}), "/sources/0/streams/1/parent/stream", "crm.users", "same source"),
        ((USERS, POSTS | {"parent": {"stream": "posts"}}), "/sources/0/streams/1/parent/stream", "posts -> posts", "first"),
        (
            (POSTS | {"name": "users", "parent": {"stream": "posts"}, "destination": {"table": "u"}}, POSTS),
            "/sources/0/streams/0/parent/stream",
            "users -> posts -> users",
            "first",
        ),
        ((USERS, request()), "/sources/0/streams/1/parent", "nothing in the request", "{parent.id}"),
        ((USERS, request(path="users/{parent}/posts")), "/sources/0/streams/1/request/path", "{parent}", "{parent.id}"),
        ((USERS, request(path="users/{parent.}/posts")), "/sources/0/streams/1/request/path", "{parent.}", "{parent.id}"),
        ((USERS, request(path="users/{parent.a[}/p")), "/sources/0/streams/1/request/path", "JMESPath", "jmespath.org"),
        (
            (USERS | {"request": {"path": "users", "params": {"of": "{parent.id}"}}},),
            "/sources/0/streams/0/request/params/of",
            "the stream has none",
            "parent: {stream",
        ),
        (
            (USERS, request(graphql={"query": "{ user(id: {parent.id}) { id } }"})),
            "/sources/0/streams/1/request/graphql/query",
            "sent as it is",
            "variables",
        ),
        (
            (USERS, POSTS | {"parent": {"stream": "users", "include": {"id": "id"}}, "fields": ["id"]}),
            "/sources/0/streams/1/parent/include/id",
            "`fields` too",
            "otherwise",
        ),
        (
            (USERS, POSTS | {"parent": {"stream": "users", "include": ["id"]}, "destination": None}),
            "/sources/0/streams/1/parent/include",
            "into a table",
            "destination",
        ),
        (
            (USERS, POSTS | {"parent": {"stream": "users", "include": {"x": "a[["}}}),
            "/sources/0/streams/1/parent/include/x",
            "JMESPath",
            "jmespath.org",
        ),
    ],
)  # fmt: skip
def test_a_child_that_cannot_be_is_told_at_its_place_with_the_mend(
    streams: tuple[dict[str, Any], ...], pointer: str, what: str, mend: str
) -> None:
    found = problems(*streams)

    assert [each[0] for each in found][:1] == [pointer]
    assert what in found[0][1]
    assert mend in found[0][2]


def test_more_parents_above_one_another_than_can_be_are_told() -> None:
    chain = [USERS] + [
        POSTS
        | {
            "name": f"s{n}",
            "parent": {"stream": f"s{n - 1}" if n else "users"},
            "destination": {"table": f"t{n}"},
        }
        for n in range(4)
    ]

    (found,) = problems(*chain)

    assert found[0] == "/sources/0/streams/4/parent/stream"
    assert "more than 3" in found[1]


@pytest.mark.parametrize(("own", "is_told"), [("r1", True), (1, False), ("1", False)])
def test_a_field_of_its_own_that_include_takes_the_place_of_is_told(own: object, is_told: bool) -> None:
    posts = POSTS | {"parent": {"stream": "users", "include": ["id"]}}
    manifest, _ = parse_manifest(text_of(USERS, posts), "test.yml", {})
    columns = ParentColumns(manifest.sources[0].streams[1])

    told = columns.hidden([{"id": 7}, {"id": 8, "parent_id": own}], {"id": 1})

    assert bool(told) is is_told
    assert not told or "include: {users_id: id}" in told[0]


def test_the_key_of_a_parent_is_that_of_its_request() -> None:
    manifest, _ = parse_manifest(text_of(USERS, POSTS), "test.yml", {})
    source = manifest.sources[0]
    family = Family(pinned("default", source, source.streams[1]))

    keys = [
        family.key(1, {"id": value, "name": name}, b"") for value, name in ((1, "a"), (1, "b"), ("1", "a"))
    ]

    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
