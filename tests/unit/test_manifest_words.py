"""Mistakes as people make them: each is told at its place, in words that say how to mend it."""

import json

import pytest

from headwater.contracts.json_text import manifest_as_yaml
from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.problem import ManifestError
from headwater.control.finding import Surroundings
from headwater.control.validation import check, doubts

HEAD = """version: 1
sources:
  - name: shop
    base_url: https://api.example.com
    streams:
      - name: orders
"""
IN_STREAM = [
    ("paginaton: {type: offset}", "7:9", "is not known here; did you mean `pagination`?"),
    ("graphql: {query: '{a}'}", "7:9", "has no place here; it belongs in `request`; look at the indentation"),
    ("request: {pagination: {type: link}}", "7:19", "it belongs in `sources[].streams[]`"),
    (
        "pagination: {type: link, cursor_param: after}",
        "7:48",
        "has no place here; it belongs to another `type` of `pagination`; type link takes ",
    ),
    (
        "pagination: {type: cursor, cursor_pth: next}",
        "7:48",
        "did you mean `cursor_path`?; type cursor takes ",
    ),
    ("pagination: {type: none, param: page}", "7:41", "is not known here; type none takes "),
    ("path: data", "7:15", "it belongs in `records` or in `request`"),
    (
        "request: {params: {a: {b: 1}}}",
        "7:28",
        "must be a text, a whole number, a number, true or false or a list",
    ),
    ("request: {headers: {X-A: '1', x-a: '2'}}", "7:44", "x-a is given twice: headers know no upper case"),
    (
        "request: {params: {country: no}}",
        "7:37",
        "is False to YAML, whatever it says; write true or false, or put",
    ),
    ("request: {params: {at: 9:30}}", "7:32", "is 570 to YAML, which counts it in sixties; put it in quotes"),
    ("request: {<<: 5}", "7:19", "takes over the keys of a mapping, and this is none; write <<: *NAME"),
    ("pagination: {type: offset, size: 0100}", "7:42", "is 64 to YAML, for which a leading 0 is octal"),
    ("pagination: {type: offset, start: 99999999999999999999}", "7:43", "must be 1000000000000000 or less"),
    ("pagination: {type: offset, delay_s: .nan}", "7:45", "must be 3600 or less"),
    ("limits: {max_seconds: 1h}", "7:31", 'must be a whole number (given: "1h"); it is in seconds: 3600'),
    (
        "records: {path: foo-bar}",
        "7:25",
        "put names of other characters in double quotes within the expression",
    ),
    ("records: {path: '$.data[*]'}", "7:25", "that is JSONPath"),
    ("records: {path: 'data[?a = `1`]'}", "7:25", "compare by =="),
    ("records: {path: 'data[?a > 5]'}", "7:25", "put numbers, true, false and null in backticks"),
    ("records: {path: flatten(data)}", "7:25", "there is no function flatten(); there are abs"),
    ("records: {path: 'lenght(data)'}", "7:25", "did you mean length()?"),
    ("records: {path: 'length(data, data)'}", "7:25", "length() takes 1 argument, not 2"),
    ("pagination: {type: offset, delay_s: -1}", "7:45", "must be 0 or more (given: -1)"),
    ("incremental: {field: at, param: a, lookback_s: 1e9}", "7:56", "must be 31622400 or less"),
    ("records: [data]", "7:9", "must be a mapping; write its keys below it, or in braces"),
    ("records: {path: @}", "7:25", "put the value in quotes"),
    ("records: {path: !!binary x}", "7:25", "leave out tags (!)"),
    ("records: {path: data", "8:1", "in what begins in line 7, column 18; close its brackets"),
    ("fields: {id: {type: int}}", "7:29", "did you mean integer?"),
    ("destination: {table: t, mode: upsert, key: id}", "7:39", "did you mean merge?"),
    ("destination: {table: t, mode: merge, key: id, delete_missing: 20%}", "7:71", "it is a share: 0.2"),
    ("destination: {table: t, mode: merge, key: no}", "7:51", "to YAML: put it in quotes where it is a name"),
    ("destination: {table: t, mode: merge, key: 5}", "7:51", "write it as a list: [5]"),
    ("pagination: {type: ofset}", "7:28", "type 'ofset' is not known; there are none, offset"),
    ("pagination: offset", "7:21", 'must be a mapping (given: "offset"); write its keys below it'),
    ("pagination: {type: cursor}", "7:9", "say where the next cursor is"),
    ("pagination: {type: offset, size: lots}", "7:42", 'must be a whole number (given: "lots")'),
    ("pagination: {type: offset, total: 'a..b'}", "7:43", "is no JMESPath"),
    ("destination: {table: t, mode: merge}", "7:9", "mode merge needs `key`"),
    ("destination: {table: my orders}", "7:30", "use letters, digits and _, 63 at most"),
    ("destination: {mode: append}", "7:9", "needs `table`"),
    ("destination: {table: t, contract: freez}", "7:43", "did you mean freeze?"),
    ("errors: {status: {4xx: retry}}", "7:32", "write a status such as 404"),
    ("incremental: {param: since}", "7:9", "is missing; add it"),
    ("incremental: {field: at, param: p, format: epoch_s, start: soon}", "7:68", "cannot be written"),
    ("destination: {table: t, primary_key: id}", "7:46", "there are to, table, mode, key, "),
    ("incremental: {field: at, format: unix}", "7:42", "did you mean epoch_s?"),
    ("records: data", "7:18", "or in braces: path, "),
    ("request: {path: /x, headers: {A: ${env:A}}}", "7:43", 'put it in quotes: "${env:NAME}"'),
    ("fields:", "7:16", "must be a list; give it a value, or remove it"),
]


def told(text: str) -> list[str]:
    try:
        problems = check(*parse_manifest(text, "f.yml", {}), Surroundings(has_broker=False))
    except ManifestError as error:
        problems = list(error.problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(("line", "place", "says"), IN_STREAM)
def test_a_mistake_in_a_stream_is_told_at_its_place_with_its_mend(line: str, place: str, says: str) -> None:
    problems = told(f"{HEAD}        {line}\n")

    assert len(problems) == 1
    assert problems[0].startswith(f"f.yml:{place}:")
    assert says in problems[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 1\ndestinations: [{name: r, kind: kafka}]\n", "must be 'postgres' or 'amqp'"),
        ("version: 1\ndestinations: [{name: r, kind: amqp}]\n", "kind amqp needs `exchange`"),
        (
            "version: 1\ndestinations: [{name: r, kind: amqp, exchange: e}]\n",
            "give it a `url`, or run headwater with",
        ),
        ("version: 1\ndestinations: [{name: database}]\n", "headwater's own database, which needs no entry"),
        ("version: 1\nsources:\n", "must be a list; give it a value, or remove it"),
        (
            "version: 1\nschedules: [{name: on, streams: a.b}]\n",
            "must be a text (given: true); put it in quotes",
        ),
        (
            "version: 1\nschedules: [{name: x, streams: a.b, cron: 5}]\n",
            "must be a text (given: 5); put it in quotes",
        ),
        ("version: 1\nendpoints: [{name: x, scheme: stripe, secret: y}]\n", "did you mean `secrets`?"),
        ("version: 1\nschedules: [{name: x, streams: a.b, starts_at: 2026-13-01}]\n", "write a time such as"),
        ("version: 1\nendpoints: [{name: x, scheme: stripe, secrets: whsec_1}]\n", "write it as a list: […]"),
        ("sources: []\n", "/version: is missing; begin with `version: 1`"),
        ("version: 1\ndestinations: nothing\n", "write it as a list: [nothing]"),
    ],
)
def test_a_mistake_in_a_manifest_is_told_with_its_mend(text: str, says: str) -> None:
    assert any(says in problem for problem in told(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "---\nversion: 1\n", "a second document begins here"),
        (HEAD + "\t x: 1\n", "indent by blanks, not by tabs"),
        (HEAD.replace("orders", "or ders"), "use lower-case letters, digits, - and _"),
        (HEAD.replace("api.example.com", "api example.com"), "has 'api example.com' for its host"),
        (HEAD.replace("example.com", "example.com/v1#x"), "has a fragment (#…), which is never sent"),
        (
            HEAD.replace("    streams:", "    auth: {type: bearer, token: '${secret:a b}'}\n    streams:"),
            "sent as it stands",
        ),
        (
            HEAD.replace(
                "    streams:", "    auth: {type: oauth2, token_url: /t, client_id: a}\n    streams:"
            ),
            "write an absolute address, such as https://login.example.com/token",
        ),
        ("version: 1\nsources: &a [*a]\n", "holds itself by an alias"),
        ("version: 1\nsources: {name: a}\n", "begin each of its items with - and a blank"),
    ],
)
def test_a_mistake_in_a_text_is_told_with_its_mend(text: str, says: str) -> None:
    assert any(says in problem for problem in told(text)), told(text)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1180591620717411303424", "is beyond 64 bits: put it in quotes"),
        (".nan", "is no number that JSON has"),
    ],
)
def test_a_number_that_no_message_can_carry_is_told_at_its_place(value: str, says: str) -> None:
    (problem,) = told(HEAD + f"        request: {{method: POST, json: {{deep: [{{at: {value}}}]}}}}\n")

    assert problem.startswith("f.yml:7:52: /sources/0/streams/0/request/json/deep/0/at")
    assert says in problem


def test_json_is_a_manifest_also_where_it_is_no_yaml() -> None:
    document = {
        "version": 1,
        "sources": [{"name": "a", "base_url": "https://a.example", "headers": {"X": "\U0001f600"}}],
    }

    manifest, _ = parse_manifest(manifest_as_yaml(json.dumps(document, indent="\t")), "f.json", {})

    assert manifest.sources[0].headers == {"X": "\U0001f600"}
    assert manifest_as_yaml("{version: 1}") == "{version: 1}"


def test_a_mapping_takes_over_the_keys_of_others_and_its_own_come_first() -> None:
    text = (
        HEAD
        + "        request: &one {path: /a, params: {x: '1'}}\n"
        + "      - {name: b, request: {<<: *one, path: /b}}\n"
        + "      - {name: c, request: &c {<<: [*c, {path: /c}, *one]}}\n"
    )

    manifest, _ = parse_manifest(text, "f.yml", {})

    asked = [(stream.request.path, dict(stream.request.params)) for stream in manifest.sources[0].streams]
    assert asked == [("/a", {"x": "1"}), ("/b", {"x": "1"}), ("/c", {"x": "1"})]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("status == 'active'", None),
        ('"first-name" == `1`', None),
        ('status == "active"', "a text stands in single quotes: 'active'"),
        ("is_open == true", "true itself stands in backticks: `true`"),
    ],
)
def test_what_is_compared_with_a_field_by_mistake_is_doubted(expression: str, says: str | None) -> None:
    text = HEAD + "        records: {filter: " + repr(expression).replace("\\'", "''") + "}\n"
    if "'" in expression:
        text = HEAD + f'        records: {{filter: "{expression}"}}\n'

    found = [str(problem) for problem in doubts(*parse_manifest(text, "f.yml", {}))]

    assert (found == []) == (says is None)
    assert says is None or says in found[0]


def test_a_look_back_into_a_table_that_is_added_to_is_doubted() -> None:
    text = (
        HEAD
        + "        incremental: {field: at, param: since, lookback_s: 60}\n        destination: {table: t}\n"
    )

    (doubt,) = doubts(*parse_manifest(text, "f.yml", {}))

    assert "/incremental/lookback_s: what is asked for once more is added once more" in str(doubt)


@pytest.mark.parametrize("word", ["off", "'off'", "false"])
def test_what_yaml_takes_off_for_still_switches_an_alarm_off(word: str) -> None:
    text = f"version: 1\nendpoints:\n  - {{name: e, scheme: github, secrets: [a], alarms: {{silence_s: {word}}}}}\n"

    manifest, _ = parse_manifest(text, "f.yml", {})

    assert manifest.endpoints[0].alarms.silence_s == "off"


def test_a_number_may_come_as_a_text_of_the_environment() -> None:
    text = (
        "version: 1\nendpoints:\n  - {name: e, scheme: github, secrets: [a], tolerance_s: '${env:SECONDS}'}\n"
    )

    manifest, _ = parse_manifest(text, "f.yml", {"SECONDS": "12"})

    assert manifest.endpoints[0].tolerance_s == 12


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        (r'dates: ["\ud800"]', "4:13", "holds half a surrogate pair; write it anew"),
        (r'dates: ["${env:BYTES}"]', "4:13", "holds half a surrogate pair; write it anew"),
        (r'dates: ["a\0b"]', "4:13", "holds a NUL character; write it anew"),
        (r'"\ud800": 1', "3:5", "holds half a surrogate pair; write it anew"),
    ],
)
def test_what_no_text_can_hold_is_told_before_anything_is_made_of_it(
    line: str, place: str, says: str
) -> None:
    text = f"version: 1\ncalendars:\n  - name: closed\n    {line}\n"

    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "f.yml", {"BYTES": "\udcff"})

    (problem,) = caught.value.problems
    assert str(problem).startswith(f"f.yml:{place}: ")
    assert str(problem).endswith(says)


def test_a_list_is_not_called_short_because_its_items_are_wrong() -> None:
    text = "version: 1\nnotifications: [{name: n, events: [bogus], target: 'https://x.example.com'}]\n"

    (problem,) = told(text)

    assert 'given: "bogus"' in problem


def test_what_may_be_a_secret_is_never_shown() -> None:
    text = "version: 1\ndestinations: [{name: r, kind: amqp, exchange: e, url: [very-secret]}]\n"

    assert told(text)
    assert "very-secret" not in "".join(told(text))


IN_ENDPOINT = [
    ("alarms: {silence_s: never}", "6:25", "must be a whole number or 'auto' or 'off' (given: \"never\")"),
    ("alarms: {silence_s: auot}", "6:25", "'auto' or 'off' (given: \"auot\"); did you mean auto?"),
    ("alarms: {silence_s: 5}", "6:25", "must be 60 or more (given: 5)"),
    ("alarms: {silence_s: on}", "6:25", "must be a whole number or 'auto' or 'off' (given: true)"),
    (
        "alarms: {refusal_rate: on}",
        "6:28",
        "must be a number (given: true); on, off, yes and no are true and false",
    ),
    (
        "tolerance_s: yes",
        "6:18",
        "must be a whole number (given: true); on, off, yes and no are true and false",
    ),
    ("retention: {days: true}", "6:23", "must be a whole number (given: true)"),
    ("secrets: ['']", "5:15", "must not be empty"),
    ("secrets: [{value: a, not_before: soon}]", "5:38", "is no time; write a time such as 2026-12-04T18"),
    (
        "secrets: [{value: a, not_before: 2027-01-01T00:00:00Z, not_after: 2026-01-01T00:00:00Z}]",
        "5:15",
        "`not_before` must be earlier than `not_after`",
    ),
    ("respond: {headers: {'X A': b}}", "6:", "names of headers are of letters, digits and -"),
    (r"""respond: {headers: {X: "a\x01b"}}""", "6:", "values are of visible ASCII characters"),
    ("respond: {status: 204, body: x}", "6:34", "an answer with status 204 has no body; leave it out"),
    ("dedupe: {header: 'X Id'}", "6:22", "names of headers are of letters, digits and -"),
    ("starts: [{stream: orders}]", "6:23", "write SOURCE.STREAM, such as shop.orders"),
    ("limits: {body_bytes: 99999999}", "6:26", "must be 26214400 or less (given: 99999999)"),
    ("methods: []", "6:5", "must not be empty"),
    ("handshake: {when: body.a}", "6:5", "is missing; write {when: EXPRESSION, answer: EXPRESSION}"),
    ("handshake: {when: '(', answer: a}", "6:23", "is no JMESPath"),
    (
        "handshake: {when: a, answer: a, sign: no}",
        "6:43",
        "is not known here; there are when, answer, methods",
    ),
    ("public_url: 'https://hooks.example.com/?a=b'", "6:17", "write scheme and host"),
    (
        "fields: {n: a}\n    destination: {table: t, mode: merge, key: id}",
        "7:47",
        "no field 'id' is in `fields`",
    ),
    (
        "tables: [{fields: {n: a}, destination: {table: t, order_by: at}}]",
        "6:65",
        "no field 'at' is in `fields`; add it, or correct the name",
    ),
]


@pytest.mark.parametrize(("line", "place", "says"), IN_ENDPOINT)
def test_a_mistake_in_an_endpoint_is_told_once_at_its_place_with_its_mend(
    line: str, place: str, says: str
) -> None:
    secrets = "" if line.startswith("secrets:") else "    secrets: [a]\n"

    problems = told(f"version: 1\nendpoints:\n  - name: e\n    scheme: github\n{secrets}    {line}\n")

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"f.yml:{place}"), problems
    assert says in problems[0]


def test_fields_that_keep_the_rest_may_leave_the_key_to_it() -> None:
    lines = "fields: {n: a}\n    rest: keep\n    destination: {table: t, mode: merge, key: id}\n"

    assert (
        told(f"version: 1\nendpoints:\n  - name: e\n    scheme: github\n    secrets: [a]\n    {lines}") == []
    )


def test_a_wrong_zone_hides_no_wrong_time() -> None:
    problems = told(
        "version: 1\nschedules: [{name: x, streams: a.b, cron: '61 2 * * *', timezone: Europe/Berlim}]\n"
    )

    assert any("61 is outside 0 to 59" in problem for problem in problems)
    assert any("write Europe/Berlin" in problem for problem in problems)
