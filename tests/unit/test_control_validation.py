"""The checks of a manifest beyond its form: each mistake at its place, with a mend."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.problem import Problem
from headwater.control.export import lean
from headwater.control.finding import Surroundings, header_fault
from headwater.control.validation import check

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = """
version: 1
sources:
  - name: shop
    base_url: https://api.example.com/v1
    auth: {type: bearer, token: abc}
    headers: {X-Shop: one}
    network: {allow: [10.0.0.0/8]}
    streams:
      - name: orders
        request: {path: /orders, headers: {Accept: application/json}}
        pagination: {type: cursor, cursor_path: meta.next}
        records: {path: data}
        incremental: {field: updated_at, param: since}
        destination: {table: orders, mode: merge, key: [id]}
      - {name: refunds, destination: {table: refunds}}
schedules:
  - {name: nightly, streams: [shop.orders], cron: "0 2 * * *"}
  - {name: often, streams: [shop.refunds], interval: 5m}
endpoints:
  - {name: hooks, scheme: github, secrets: [secret], destination: {table: hooks}}
  - name: own
    definition: {signature: {header: X-Sign}}
    secrets: [secret]
    filter: "body.kind == 'x'"
    starts: [{stream: shop.orders}]
"""


def problems(text: str, around: Surroundings | None = None) -> list[Problem]:
    manifest, document = parse_manifest(text, "test.yml", {})
    return check(manifest, document, around or Surroundings(), NOW)


def test_a_good_manifest_has_no_problems() -> None:
    assert problems(GOOD) == []
    assert problems(GOOD, Surroundings(frozenset(), frozenset())) == []


@pytest.mark.parametrize(
    ("old", "new", "pointer", "words"),
    [
        ("field: updated_at", 'field: updated_at, id: "b["', "/sources/0/streams/0/incremental/id", "no JMESPath"),
        ("token: abc", 'token: "${secrets:A}"', "/sources/0/auth/token", "sent as it stands"),
        ("pagination: {type: cursor, cursor_path: meta.next}", "pagination: {type: window, start: 2024-02-01, end: 2024-01-01, step_s: 9, start_param: a}", "/sources/0/streams/0/pagination/end", "after `start`"),
        ("pagination: {type: cursor, cursor_path: meta.next}", "pagination: {type: window, start: 2024-02-01, step_s: 9000, start_param: a, end_param: a}", "/sources/0/streams/0/pagination/end_param", "beginning too"),
        ("pagination: {type: cursor, cursor_path: meta.next}", "pagination: {type: window, start: 1970-01-01, step_s: 1, start_param: a}", "/sources/0/streams/0/pagination/step_s", " slices"),
        ("records: {path: data}", "records: {format: csv}", "/sources/0/streams/0/pagination/cursor_path", "no place beside"),
        ("records: {path: data}", 'records: {path: data, delimiter: ";"}', "/sources/0/streams/0/records/delimiter", "no delimiter"),
        ("- {name: refunds,", "- {name: orders, destination: {table: o}}\n      - {name: refunds,", "/sources/0/streams/1/name", "given twice"),
        ("name: often", "name: nightly", "/schedules/1/name", "given twice"),
        ("name: own", "name: hooks", "/endpoints/1/name", "given twice"),
        ("scheme: github", "scheme: githb", "/endpoints/0/scheme", "no preset"),
        ("header: X-Sign", "header: X-Sign, format: kv", "/endpoints/1/definition/signature/sig_key", ""),
        ("{signature: {header: X-Sign}}", "{signature: {header: X-Sign}, signed: '{nothing}'}", "/endpoints/1/definition/signed", "nothing"),
        ("scheme: github, secrets: [secret]", "scheme: github", "/endpoints/0/secrets", "needs a secret"),
        ("scheme: github, secrets: [secret]", "scheme: standard_webhooks, secrets: ['whsec_@']", "/endpoints/0/secrets/0", "base64"),
        ("scheme: github, secrets: [secret]", "scheme: discord, secrets: [{value: zz}]", "/endpoints/0/secrets/0/value", "hex"),
        ("filter: \"body.kind == 'x'\"", 'filter: "body.["', "/endpoints/1/filter", "JMESPath"),
        ("starts: [{stream: shop.orders}]", "starts: [{stream: shop.none}]", "/endpoints/1/starts/0/stream", "no stream"),
        ("0 2 * * *", "0 25 * * *", "/schedules/0/cron", "hour, character 3: 25 is outside"),
        ('cron: "0 2 * * *"', 'crons: ["0 2 * * *", "0 0 30 2 *"]', "/schedules/0/crons/1", ""),
        ("interval: 5m", "interval: 1.5h", "/schedules/1/interval", "fraction"),
        ("interval: 5m", "interval: 59s", "/schedules/1/interval", "minimum is 1m"),
        ("interval: 5m", 'cron: "*/30 * * * * *"', "/schedules/1/cron", "30s apart"),
        ("interval: 5m", "preset: dayly_2am", "/schedules/1/preset", "no preset"),
        ("interval: 5m", "interval: 5m, timezone: Mars", "/schedules/1/timezone", "time zone"),
        ("interval: 5m", "timezone: Mars", "/schedules/1/timezone", "time zone"),
        ("interval: 5m", "cron: '0 0 1 1 * 2020'", "/schedules/1/cron", ""),
        ("[shop.orders], cron", "[shop.none], cron", "/schedules/0/streams/0", "no stream shop.none"),
        ("{table: refunds}", "{table: orders}", "/sources/0/streams/1/destination", "mode merge by id"),
        ("{table: hooks}", "{table: orders, mode: merge, key: sku}", "/endpoints/0/destination", "by sku"),
        ("path: data}", "path: 'data['}", "/sources/0/streams/0/records/path", "JMESPath"),
        ("cursor_path: meta.next", "cursor_path: 'a..b'", "/sources/0/streams/0/pagination/cursor_path", "JMESPath"),
        ("cursor_path: meta.next", "cursor_params: {a: b, 'c d': 'a..b'}", "/sources/0/streams/0/pagination/cursor_params/c d", "JMESPath"),
        ("field: updated_at", "field: 'x('", "/sources/0/streams/0/incremental/field", "JMESPath"),
        ("allow: [10.0.0.0/8]", "allow: [10.0.0.1/8]", "/sources/0/network/allow/0", "no address range"),
        ("allow: [10.0.0.0/8]", "allow: [localhost]", "/sources/0/network/allow/0", "no address range"),
        ("{X-Shop: one}", "{'X Shop': one}", "/sources/0/headers/X Shop", "no header's name"),
        ("{X-Shop: one}", '{X-Shop: "one\\r\\nHost: x"}', "/sources/0/headers/X-Shop", "line end"),
        ("{X-Shop: one}", "{X-Shop: \u20ac}", "/sources/0/headers/X-Shop", "no header can carry"),
        ("{X-Shop: one}", "{Content-Length: '7'}", "/sources/0/headers/Content-Length", "connection"),
        ("headers: {Accept: application/json}", "headers: {Host: x}", "/sources/0/streams/0/request/headers/Host", "connection"),
        ("token: abc", 'token: "a\\nb"', "/sources/0/auth/token", "line end"),
        ("https://api.example.com/v1", "https://user:word@api.example.com", "/sources/0/base_url", "user name"),
        ("https://api.example.com/v1", "https://api.example.com:99999", "/sources/0/base_url", ""),
        ("records: {path: data}", "records: {path: data, filter: 'a['}", "/sources/0/streams/0/records/filter", "JMESPath"),
        ("records: {path: data}", "fields: [id, id]", "/sources/0/streams/0/fields/1", "given twice"),
        ("records: {path: data}", "fields: [{name: id, path: 'x['}]", "/sources/0/streams/0/fields/0/path", "JMESPath"),
        ("records: {path: data}", "fields: {id: 'x['}", "/sources/0/streams/0/fields/id/path", "JMESPath"),
        ("records: {path: data}", "fields: [name]", "/sources/0/streams/0/destination/key", "no field 'id'"),
        ("mode: merge, key: [id]}", "mode: replace}", "/sources/0/streams/0/destination/mode", "only what is new"),
        ("{table: refunds}", "{table: orders, mode: merge, key: id, delete_missing: 0.1}", "/sources/0/streams/1/destination", "take the other's rows away"),
        ("{table: refunds}", "{table: orders, mode: merge, key: id, order_by: at}", "/sources/0/streams/1/destination", "order_by differs"),
        ("path: /orders", "path: 'https://elsewhere.example/x'", "/sources/0/streams/0/request/path", "names a host"),
        ("path: /orders", "path: '/orders/{id}'", "/sources/0/streams/0/request/path", "nothing fills {id}"),
        ("cursor_path: meta.next", "cursor_path: meta.next, in: json", "/sources/0/streams/0/pagination", "JSON body"),
        ("cursor_path: meta.next", "cursor_path: '@odata.nextLink'", "/sources/0/streams/0/pagination/cursor_path", "JMESPath"),
        ("path: /orders, headers: {Accept: application/json}}\n        pagination: {type: cursor, cursor_path: meta.next}", "path: /orders, method: POST, json: {filter: a}}\n        pagination: {type: cursor, cursor_path: meta.next, cursor_param: filter.after, in: json}", "/sources/0/streams/0/pagination/cursor_param", "leads nowhere in the body"),
        ("path: /orders", "path: /orders, params: {since: 1}", "/sources/0/streams/0/request/params/since", "from the second run on"),
        ("{path: /orders, headers: {Accept: application/json}}\n        pagination: {type: cursor, cursor_path: meta.next}", "{path: /orders, params: {page: 1}}\n        pagination: {type: page}", "/sources/0/streams/0/request/params/page", "on every page"),
        ("{type: cursor, cursor_path: meta.next}", "{type: page, page_param: since}", "/sources/0/streams/0/incremental/param", "sets 'since' too"),
        ("field: updated_at", "field: updated_at, start: soon, format: iso", "/sources/0/streams/0/incremental/start", "format iso"),
        ("field: updated_at", "field: updated_at, start: x1, format: integer", "/sources/0/streams/0/incremental/start", "format integer"),
        ("destination: {table: refunds}", "fields: [v, {name: id, mask: true}], destination: {table: refunds, mode: merge, key: id}", "/sources/0/streams/1/fields/1/mask", "one row"),
        ("destination: {table: refunds}", "fields: [id, {name: at, hash: true}], destination: {table: refunds, mode: merge, key: id, order_by: at}", "/sources/0/streams/1/fields/1/hash", "goes by 'at'"),
        ("scheme: github, secrets: [secret], destination: {table: hooks}", "scheme: github, secrets: [secret], fields: [{name: id, mask: true}], destination: {table: hooks, mode: merge, key: id}", "/endpoints/0/fields/0/mask", "one row"),
        ("field: updated_at, param: since}\n        destination: {table: orders, mode: merge, key: [id]}", "field: updated_at, param: since, id_param: after}\n        destination: {table: orders}", "/sources/0/streams/0/incremental/id_param", "never be sent"),
        ("field: updated_at", "field: updated_at, format: integer, lookback_s: 5", "/sources/0/streams/0/incremental/lookback_s", "means nothing"),
        ("mode: merge, key: [id]}\n      - {name: refunds, destination: {table: refunds}}", "mode: merge, key: [id], children: lines}\n      - {name: refunds, destination: {table: orders__lines}}", "/sources/0/streams/0/destination/children/0", "another destination's"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(old: str, new: str, pointer: str, words: str) -> None:
    assert old in GOOD

    found = problems(GOOD.replace(old, new, 1))

    assert [problem.pointer for problem in found] == [pointer]
    assert words in found[0].what
    assert found[0].line > 1
    assert not found[0].what.endswith((";", ":"))


def test_what_only_the_database_knows_is_judged_against_it() -> None:
    text = "version: 1\nschedules: [{name: a, streams: [shop.orders], interval: 1h}]"

    assert problems(text) == []
    assert problems(text, Surroundings(frozenset({"shop.orders"}))) == []
    assert [p.pointer for p in problems(text, Surroundings(frozenset()))] == ["/schedules/0/streams/0"]


def test_a_stream_that_its_source_drops_here_cannot_be_scheduled_whatever_the_database_has() -> None:
    text = GOOD.replace("[shop.orders], cron", "[shop.old], cron")

    for around in (Surroundings(frozenset({"shop.old"})), Surroundings()):
        assert [p.pointer for p in problems(text, around)] == ["/schedules/0/streams/0"]


def test_a_secret_that_is_not_there_is_told_where_the_secrets_are_known() -> None:
    text = GOOD.replace("token: abc", 'token: "${secret:shop}"')

    assert problems(text) == []
    assert problems(text, Surroundings(secrets=frozenset({"shop"}))) == []
    assert [p.pointer for p in problems(text, Surroundings(secrets=frozenset()))] == ["/sources/0/auth/token"]


def test_the_minimum_interval_is_the_tenants() -> None:
    text = GOOD.replace("interval: 5m", "interval: 10s")

    assert problems(text, Surroundings(minimum_interval_s=10)) == []
    assert [p.pointer for p in problems(text, Surroundings(minimum_interval_s=11))] == [
        "/schedules/1/interval"
    ]


def test_problems_come_in_the_order_of_the_text_and_never_show_a_secret() -> None:
    text = GOOD.replace("0 2 * * *", "0 25 * * *").replace("token: abc", 'token: "hidden\\nvalue"')
    text = text.replace("scheme: github, secrets: [secret]", "scheme: discord, secrets: [hidden-word]")

    found = problems(text)

    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert len(found) == 3
    assert "hidden" not in "".join(map(str, found))


def test_headers_that_can_be_sent() -> None:
    for value in ("", "a", "a b", "a\tb", "caf\xe9"):
        assert header_fault("X-A", value) is None
    for value in (" a", "a ", "a\x7fb", "a\0"):
        assert header_fault("X-A", value) is not None


def test_a_manifest_without_its_defaults_is_the_same_manifest() -> None:
    texts = [GOOD, *(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yml")))]

    assert len(texts) > 1
    for text in texts:
        manifest = parse_manifest(text, "test.yml", AnyEnvironment())[0]
        told = yaml.safe_load(yaml.safe_dump(lean(manifest)))
        assert Manifest.model_validate(told) == manifest


class AnyEnvironment(dict[str, str]):
    def get(self, name: str, default: str | None = None) -> str:
        return "https://api.example.com" if name.endswith("URL") else f"value of {name}"


def test_a_query_that_does_not_take_the_cursor_is_found() -> None:
    query = 'request: {path: /orders, graphql: {query: "query($first: Int) { orders { id } }"}}'
    text = GOOD.replace("request: {path: /orders, headers: {Accept: application/json}}", query).replace(
        "pagination: {type: cursor, cursor_path: meta.next}",
        "pagination: {type: graphql_relay, page_info: data.orders}",
    )

    (problem,) = problems(text)
    assert (problem.pointer, "$after" in problem.what) == ("/sources/0/streams/0/request/graphql/query", True)


@pytest.mark.parametrize(
    ("when", "mend"),
    [
        ("!parameters.off", "write !(parameters.off)"),
        ("last_run == `null` || ! last_run.error", "write !(last_run.error)"),
        ("!(parameters.off)", None),
        ("!last_run || last_run.counts.inserted > `0`", None),
        ("parameters.word != '!a.b' && parameters.a != last_run.state", None),
    ],
)
def test_a_not_that_binds_closer_than_the_dot_is_refused(when: str, mend: str | None) -> None:
    with_condition = GOOD.replace('cron: "0 2 * * *"', f'cron: "0 2 * * *", when: "{when}"')

    found = [(problem.pointer, problem.mend) for problem in problems(with_condition)]

    assert found == ([] if mend is None else [("/schedules/0/when", mend)])
