"""What `validate` warns of: a manifest that can be applied, and is likely not meant so."""

import pytest

from headwater.contracts.manifest_text import parse_manifest
from headwater.control.finding import Surroundings
from headwater.control.validation import check, doubts

MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: https://api.example.com/v1
    streams:
      - name: orders
        pagination: {PAGES}
        records: {path: data}
        destination: {table: orders}
"""
WINDOW = "type: window, start: 2024-01-01, step_s: 86400, start_param: from"


def warnings(text: str, around: Surroundings | None = None) -> list[tuple[str, str]]:
    manifest, document = parse_manifest(text, "test.yml", {})
    assert check(manifest, document) == []
    return [(one.pointer, str(one)) for one in doubts(manifest, document, around or Surroundings())]


@pytest.mark.parametrize(
    ("pages", "count"),
    [
        ("type: page, size: 50", 1),
        ("type: cursor, cursor_path: next, size: 50", 1),
        ("type: page, size: 50, size_param: per_page", 0),
        ("type: offset, size: 50", 0),
    ],
)
def test_a_size_that_nothing_asks_for_is_told(pages: str, count: int) -> None:
    found = warnings(MANIFEST.replace("PAGES", pages))

    assert [pointer for pointer, _ in found] == ["/sources/0/streams/0/pagination/size"] * count
    assert all("size_param" in text for _, text in found)


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ("type: cursor, cursor_path: next, parallel: 4", "page by offset or page"),
        ("type: link, parallel: 4", "each page of type link tells the next one"),
        ("type: offset, parallel: 4", "total, total_pages, total_header or total_pages_header"),
        ("type: page, parallel: 4, has_more: more", "say where the answer has it"),
    ],
)
def test_pages_that_cannot_come_side_by_side_are_told(pages: str, words: str) -> None:
    [(pointer, text)] = warnings(MANIFEST.replace("PAGES", pages))

    assert pointer == "/sources/0/streams/0/pagination/parallel"
    assert words in text
    assert text.startswith("test.yml:8:")


def test_pages_of_a_slice_do_not_come_side_by_side_and_slices_do() -> None:
    inner = f"{WINDOW}, pages: {{type: offset, total: total, parallel: 4}}"

    [(pointer, text)] = warnings(MANIFEST.replace("PAGES", inner))

    assert pointer == "/sources/0/streams/0/pagination/pages/parallel"
    assert "move it to `pagination`" in text
    assert warnings(MANIFEST.replace("PAGES", f"{WINDOW}, parallel: 4")) == []


@pytest.mark.parametrize(
    "pages",
    [
        "type: offset, total: total, parallel: 4",
        "type: page, total_pages_header: X-Pages, parallel: 4",
        "type: link",
    ],
)
def test_what_can_be_is_no_matter_of_doubt(pages: str) -> None:
    assert warnings(MANIFEST.replace("PAGES", pages)) == []


def test_a_destination_that_only_a_database_may_know_is_told() -> None:
    text = MANIFEST.replace("PAGES", "type: link").replace("{table: orders}", "{to: lake, table: orders}")

    [(pointer, told)] = warnings(text)

    assert pointer == "/sources/0/streams/0/destination/to"
    assert "whether there is a destination lake cannot be told without the database" in told
    assert warnings(text, Surroundings(destinations={})) == []  # there it is an error of its own


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "[::1]"])
def test_an_address_that_is_not_public_asks_for_leave(host: str) -> None:
    text = MANIFEST.replace("PAGES", "type: link").replace("https://api.example.com", f"http://{host}:8000")
    leave = "    network: {allow: ['127.0.0.0/8', '10.0.0.0/8', '::1/128']}\n    streams:"

    [(pointer, told)] = warnings(text)

    assert pointer == "/sources/0/base_url"
    assert "allow it: network: {allow: [" in told
    assert warnings(text.replace("    streams:", leave)) == []


@pytest.mark.parametrize("token", ["$SHOP_TOKEN", "{{ secrets.shop }}", "<your-token>", "${env:}"])
def test_a_secret_that_only_a_shell_or_template_would_fill_in_is_told(token: str) -> None:
    text = MANIFEST.replace("PAGES", "type: link").replace(
        "    streams:", f"    auth: {{type: bearer, token: '{token}'}}\n    streams:"
    )

    [(pointer, told)] = warnings(text)

    assert pointer == "/sources/0/auth/token"
    assert "is taken as it stands; write ${env:" in told


def test_names_that_only_a_database_may_know_are_told() -> None:
    schedule = (
        "{name: s, streams: [shop.orders], cron: '0 2 * * *', notify: [ops], exclude: [{calendar: feasts}]}"
    )
    text = f"{MANIFEST.replace('PAGES', 'type: link')}schedules: [{schedule}]\n"

    told = dict(warnings(text))

    assert set(told) == {"/schedules/0/notify/0", "/schedules/0/exclude/0"}
    assert (
        "whether there is a notification ops cannot be told without the database"
        in told["/schedules/0/notify/0"]
    )
    assert warnings(text, Surroundings(notifications=frozenset(), calendars={})) == []


@pytest.mark.parametrize(
    ("more", "mode", "count"),
    [
        ("pages: {type: offset}", "append", 1),
        ("pages: {type: offset, total: total}", "append", 0),
        ("pages: {type: none}", "append", 0),
        ("pages: {type: offset}", "merge, key: id", 0),
    ],
)
def test_a_slice_that_is_halved_too_late_for_its_mode_is_told(more: str, mode: str, count: int) -> None:
    text = MANIFEST.replace("PAGES", f"{WINDOW}, capped_at: 1000, {more}").replace(
        "{table: orders}", f"{{table: orders, mode: {mode}}}"
    )

    found = warnings(text)

    assert [pointer for pointer, _ in found] == ["/sources/0/streams/0/pagination/capped_at"] * count


@pytest.mark.parametrize(
    ("endpoint", "needed"),
    [
        ("scheme: meta, secrets: [x]", "verify_token"),
        ("scheme: meta, secrets: [x], context: {verfy_token: t}", "verify_token"),
        ("scheme: github, secrets: [x], handshake: sns_subscription_confirmation", "topic_arn"),
        ("scheme: meta, secrets: [x], context: {verify_token: t}", None),
        ("scheme: github, secrets: [x]", None),
    ],
)
def test_a_handshake_that_can_only_refuse_is_told(endpoint: str, needed: str | None) -> None:
    found = warnings(f"version: 1\nendpoints:\n  - {{name: hooks, {endpoint}}}\n")

    if needed is None:
        assert found == []
        return
    [(pointer, text)] = found
    assert pointer == "/endpoints/0/context"
    assert f"{needed}: …" in text
