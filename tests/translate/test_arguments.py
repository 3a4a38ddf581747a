from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyturn.translate.arguments import Repaired, repair_arguments, unwrap_freeform

EXEC = {
    "type": "object",
    "properties": {
        "cmd": {"type": "string"},
        "workdir": {"type": "string"},
        "yield_time_ms": {"type": "number"},
        "tty": {"type": "boolean"},
    },
    "required": ["cmd"],
    "additionalProperties": False,
}

HEREDOC = "cat > a.yaml <<'EOF'\nkey: value, other: {x}\n\"quoted\" \\d \\\\n {{y}}\nEOF\n"
ESCAPED_QUOTES = HEREDOC.replace("\\", "\\\\").replace('"', '\\"')

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.recursive(
    scalars,
    lambda below: st.one_of(
        st.lists(below), st.dictionaries(st.text(st.characters(codec="ascii")), below)
    ),
    max_leaves=10,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values)


def as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# ---------------------------------------------------------------- what stays


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{}", id="empty-object"),
        pytest.param('{"cmd":"ls"}', id="plain"),
        pytest.param(as_json({"cmd": "ls"}), id="q34-an-object-that-was-encoded-once"),
        pytest.param(' {\r\n\t"cmd" : "ls" ,\n"workdir":"." } \n', id="odd-spacing"),
        pytest.param('{"z":1,"a":2,"m":3}', id="key-order"),
        pytest.param('{"cmd":"a","cmd":"b"}', id="duplicate-keys"),
        pytest.param('{"cmd":"\\u006c\\u0073 \\/tmp \\ud83d\\ude00"}', id="escapes"),
        pytest.param('{"cmd":"😀 é \x7f"}', id="not-ascii"),
        pytest.param('{"n":123456789012345678901234567890,"m":1.50,"o":-0}', id="numbers"),
        pytest.param('{"cmd":"echo }{ ]["}', id="brackets-in-strings"),
        pytest.param(as_json({"cmd": HEREDOC}), id="heredoc"),
    ],
)
@pytest.mark.parametrize("schema", [None, EXEC, {}], ids=["no-schema", "schema", "open-schema"])
def test_a_json_object_comes_out_byte_for_byte(text: str, schema: Any) -> None:
    assert repair_arguments(text, schema) == Repaired(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"cmd":"rm -rf /tmp/a', id="q41-cut-off-in-a-string"),
        pytest.param("{", id="q41-cut-off-at-once"),
        pytest.param('{"cmd":"ls"', id="q41-cut-off-before-the-brace"),
        pytest.param('{}{"path":"a"', id="q41-cut-off-after-a-placeholder"),
        pytest.param('```json\n{"cmd":"ls"', id="q41-cut-off-in-a-fence"),
        pytest.param('"{\\"cmd\\":\\"ls\\"}', id="q41-cut-off-double-encoded"),
        pytest.param('"{\\"cmd\\":\\"ls\\""', id="q41-double-encoded-of-something-cut-off"),
        pytest.param('{{"cmd":"ls"}', id="q41-cut-off-in-double-braces"),
        pytest.param('{"patch":"x = {"a": 1}\\ny = {"b": 2}"}', id="quotes-not-escaped"),
        pytest.param('{"path":"a"}{"path":"b"}', id="q39-two-calls-in-one"),
        pytest.param('{"a":1}{"a":true}', id="q39-two-calls-that-python-takes-for-one"),
        pytest.param('{"cmd":"ls"}<|end|> and so on {"cmd":"pwd"}', id="q37-text-between"),
        pytest.param('{"path":"a"} is what I need', id="q37-text-behind"),
        pytest.param('I need {"path":"a"}', id="q37-text-before"),
        pytest.param("{'path':'it''s'}", id="single-quotes"),
        pytest.param('{path:"a"}', id="bare-keys"),
        pytest.param('{"path":"a",}', id="trailing-comma"),
        pytest.param('{"a":True,"b":None}', id="python-words"),
        pytest.param('{"a":NaN}', id="nan"),
        pytest.param('{"a":-Infinity}', id="infinity"),
        pytest.param('{"a":1e999}', id="number-out-of-range"),
        pytest.param('{"a":"\\ud800"}', id="half-a-surrogate-pair"),
        pytest.param('{"a":"\ud800"}', id="a-surrogate"),
        pytest.param('{{"a":1},{"b":2}}', id="objects-in-braces"),
        pytest.param('[{"cmd":"ls"}]', id="list"),
        pytest.param("1", id="number"),
        pytest.param("true", id="boolean"),
        pytest.param('"ls"', id="string"),
        pytest.param('"\\"{}\\""', id="encoded-three-times"),
        pytest.param('{"a":' * 5000 + "1" + "}" * 5000, id="too-deep"),
        pytest.param("{}" * 5000, id="many-objects"),
        pytest.param("<|call|>" * 5000, id="only-markers"),
    ],
)
@pytest.mark.parametrize("schema", [None, EXEC], ids=["no-schema", "schema"])
def test_what_cannot_be_mended_without_a_guess_is_handed_out_raw(text: str, schema: Any) -> None:
    assert repair_arguments(text, schema) == Repaired(text, is_object=False)


# ---------------------------------------------------------------- the ladder


@pytest.mark.parametrize(
    ("text", "mended", "steps"),
    [
        pytest.param("", "{}", ("empty",), id="q33-nothing"),
        pytest.param(" \n", "{}", ("empty",), id="q33-blank"),
        pytest.param("null", "{}", ("empty",), id="q33-null"),
        pytest.param('"{\\"a\\": 1}"', '{"a": 1}', ("unwrapped",), id="q35-double-encoded"),
        pytest.param(
            '"{\\"a\\":\\"x\ny\\"}"'.replace("\n", "\\n"),
            '{"a":"x\\ny"}',
            ("unwrapped", "control_characters"),
            id="q35-double-encoded-with-a-newline",
        ),
        pytest.param(
            '{"cmd":"a\n\tb\r\x00\x1b\b\f"}',
            '{"cmd":"a\\n\\tb\\r\\u0000\\u001b\\b\\f"}',
            ("control_characters",),
            id="q36-raw-control-characters",
        ),
        pytest.param(
            '{"cmd":"a \\\\\nb","n":1.50}',
            '{"cmd":"a \\\\\\nb","n":1.50}',
            ("control_characters",),
            id="q36-behind-an-escaped-backslash",
        ),
        pytest.param(
            '{"cmd":"' + ESCAPED_QUOTES + '"}',
            as_json({"cmd": HEREDOC}),
            ("control_characters",),
            id="heredoc-with-raw-newlines",
        ),
        pytest.param(
            '{"cmd":"' + ESCAPED_QUOTES + '","workdir":"/"}',
            as_json({"cmd": HEREDOC, "workdir": "/"}),
            ("control_characters",),
            id="heredoc-and-a-second-key",
        ),
        pytest.param(
            '{"path":"a"}<|call|>', '{"path":"a"}', ("trailing_markers",), id="q37-marker"
        ),
        pytest.param(
            '{"path":"a"}\n</tool_call> <|end|>\n',
            '{"path":"a"}',
            ("trailing_markers",),
            id="q37-markers",
        ),
        pytest.param('```json\n{"a":1}\n```', '{"a":1}', ("fence",), id="q37-fence"),
        pytest.param('```json {"a":1}```', '{"a":1}', ("fence",), id="q37-fence-in-one-line"),
        pytest.param('```\n{"a":1}', '{"a":1}', ("fence",), id="q37-fence-not-closed"),
        pytest.param('{"a":1}\n```', '{"a":1}', ("fence",), id="q37-fence-not-opened"),
        pytest.param(
            '```json\n{"a":"x\ny"}\n```<|call|>',
            '{"a":"x\\ny"}',
            ("fence", "trailing_markers", "control_characters"),
            id="q37-and-q36",
        ),
        pytest.param(
            '{}{"path":"a"}', '{"path":"a"}', ("leading_empty_object",), id="q38-placeholder"
        ),
        pytest.param('{"a":1}{"a":1}', '{"a":1}', ("repeated_object",), id="q39-repeated"),
        pytest.param(
            '{"a":1,"b":2} {"b": 2, "a": 1}',
            '{"a":1,"b":2}',
            ("repeated_object",),
            id="q39-repeated-in-another-spelling",
        ),
        pytest.param(
            '{"cmd":"grep \\d+ a"}', '{"cmd":"grep \\\\d+ a"}', ("backslashes",), id="backslash"
        ),
        pytest.param(
            '{"cmd":"ls \\\n -l \\u12 \\n\\\\"}',
            '{"cmd":"ls \\\\\\n -l \\\\u12 \\n\\\\"}',
            ("backslashes",),
            id="line-continuation",
        ),
        pytest.param('{{"path":"a"}}', '{"path":"a"}', ("double_braces",), id="double-braces"),
        pytest.param('{ { {"a":1} } }', '{"a":1}', ("double_braces",), id="triple-braces"),
        pytest.param(
            '{{"a":"\\s"}}<|call|>',
            '{"a":"\\\\s"}',
            ("trailing_markers", "double_braces", "backslashes"),
            id="braces-backslash-marker",
        ),
        pytest.param('\ufeff{"a":1}', '{"a":1}', ("whitespace",), id="byte-order-mark"),
        pytest.param('\xa0{"a":1}', '{"a":1}', ("whitespace",), id="no-break-space"),
    ],
)
def test_known_damage_is_mended(text: str, mended: str, steps: tuple[str, ...]) -> None:
    assert repair_arguments(text, None) == Repaired(mended, steps)


def test_q40_a_mended_object_gets_the_types_of_its_schema() -> None:
    repaired = repair_arguments('{"cmd":"ls","yield_time_ms":1000.0,"tty":"true"}<|call|>', EXEC)

    assert repaired.text == '{"cmd":"ls","yield_time_ms":1000,"tty":true}'
    assert repaired.steps == ("trailing_markers", "integers", "booleans")


# ---------------------------------------------------------------- for every text


@given(objects, st.sampled_from([None, {}, {"type": "object"}]))
def test_no_object_is_changed_without_a_schema(value: dict[str, Any], schema: Any) -> None:
    for text in (as_json(value), msgspec.json.format(as_json(value), indent=3)):
        assert repair_arguments(text, schema) == Repaired(text)


@given(objects.filter(bool), st.data())
def test_no_part_of_an_object_becomes_an_object(value: dict[str, Any], data: st.DataObject) -> None:
    whole = as_json(value)
    part = whole[: data.draw(st.integers(1, len(whole) - 1))]

    assert repair_arguments(part, EXEC) == Repaired(part, is_object=False)


PIECES = [
    *("{", "}", "{}", "[", "]", ":", ",", '"', '"a"', "1", "1.0", "null", "NaN", "x", "é"),
    *("\\", "\\n", "\\d", "\n", "\x00", " ", "\ufeff", "\ud800"),
    *("```", "```json\n", "<|call|>", "</tool_call>", "*** Begin Patch"),
    *('{"a":1}', '{"cmd":"', '{"input":"', '"}'),
]
DAMAGED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(st.one_of(DAMAGED, st.text()))
@example("{}{}" * 3 + '{"a":1}')
def test_a_changed_text_is_an_object(text: str) -> None:
    repaired = repair_arguments(text, EXEC)

    assert repaired.is_object or repaired == Repaired(text, is_object=False)
    if repaired.is_object:
        assert isinstance(msgspec.json.decode(repaired.text), dict)
    assert bool(repaired.steps) == (repaired.text != text)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="ascii")))
@example(HEREDOC, "x")
@example("key: value, other: {x}", "{}")
def test_strings_survive_every_repair(command: str, other: str) -> None:
    raw = as_json({"cmd": command, "workdir": other})
    for control, escaped in (("\n", "\\n"), ("\t", "\\t")):
        if "\\\\" not in raw:
            raw = raw.replace(escaped, control)

    for text in (raw, raw + "<|call|>", f"```json\n{raw}\n```", "{}" + raw, "{" + raw + "}"):
        repaired = repair_arguments(text, EXEC)

        assert msgspec.json.decode(repaired.text) == {"cmd": command, "workdir": other}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"cmd":"' + '\\"' * 500_000, id="escaped-quotes"),
        pytest.param('{"cmd":"' + '"' * 500_000, id="quotes"),
        pytest.param("{" * 1_000_000, id="braces"),
        pytest.param("{}" * 500_000, id="objects"),
        pytest.param('{"a":1}' + " " * 1_000_000 + "x", id="spaces"),
        pytest.param('{"a":1}' + "<|call|>" * 100_000 + "x", id="markers"),
        pytest.param("```" + " " * 1_000_000, id="fence"),
        pytest.param("{ " * 500_000 + "} " * 500_000, id="double-braces"),
        pytest.param('{"input":"' + '\\"} ' * 200_000, id="wrapper"),
        pytest.param('"' + "\\\\" * 500_000, id="string"),
    ],
)
def test_long_damaged_texts_take_linear_time(text: str) -> None:
    started = time.perf_counter()

    repair_arguments(text, EXEC)
    unwrap_freeform(text)

    # Milliseconds when linear, hours when not.
    assert time.perf_counter() - started < 5


# ---------------------------------------------------------------- freeform tools

PATCH = '*** Begin Patch\n*** Update File: a.py\n@@\n-x = {"a": "b\\n"}\n+x = {}\n*** End Patch'
QUOTED_ONLY = PATCH.replace("\\", "\\\\").replace("\n", "\\n")


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        pytest.param(as_json({"input": PATCH}), PATCH, id="as-declared"),
        pytest.param(as_json({"input": PATCH, "note": "x"}), PATCH, id="with-another-property"),
        pytest.param(as_json({"patch": PATCH}), PATCH, id="another-name"),
        pytest.param(as_json(PATCH), PATCH, id="a-json-string"),
        pytest.param(
            as_json(PATCH).replace("\\n*", "\n*"), PATCH, id="a-json-string-with-raw-newlines"
        ),
        pytest.param(as_json(PATCH) + "<|end|>", PATCH, id="a-json-string-with-a-marker"),
        pytest.param(as_json(as_json({"input": PATCH})), PATCH, id="double-encoded"),
        pytest.param(PATCH, PATCH, id="raw"),
        pytest.param(PATCH + "\n", PATCH + "\n", id="raw-with-a-newline"),
        pytest.param(PATCH + "\n<|call|>", PATCH + "\n", id="raw-with-a-marker"),
        pytest.param(f"```patch\n{PATCH}\n```", PATCH, id="fenced"),
        pytest.param(f"```\n{PATCH}\n```\n", PATCH, id="fenced-without-a-language"),
        pytest.param(f"```diff\r\n{PATCH}\r\n```<|call|>", PATCH, id="fenced-with-a-marker"),
        pytest.param(as_json({"input": f"```patch\n{PATCH}\n```"}), PATCH, id="fenced-inside"),
        pytest.param(f"```json\n{as_json({'input': PATCH})}\n```", PATCH, id="json-fenced"),
        pytest.param(as_json({"input": PATCH}) + "<|call|>", PATCH, id="json-with-a-marker"),
        pytest.param(
            as_json({"input": PATCH}).replace("\\n*", "\n*"), PATCH, id="raw-newlines-in-json"
        ),
        pytest.param('{"input":"' + QUOTED_ONLY + '"}', PATCH, id="quotes-not-escaped"),
        pytest.param(
            '{ "input": "' + QUOTED_ONLY + '" }<|call|>\n', PATCH, id="not-escaped-with-a-marker"
        ),
        pytest.param(
            '{"input":"say("a\\u00e9\\ud83d\\ude00\\d\\\\")"}',
            'say("aé😀\\d\\")',
            id="only-valid-escapes-are-taken",
        ),
        pytest.param('{"input":"say("\\ud83d")"}', 'say("\\ud83d")', id="half-a-surrogate-pair"),
        pytest.param('{"input":""}', "", id="empty"),
        pytest.param("", "", id="nothing"),
        pytest.param('text("hello")', 'text("hello")', id="code"),
        pytest.param(f"See:\n{PATCH}\n```", f"See:\n{PATCH}\n```", id="words-before-a-patch"),
        pytest.param(f"```\n{PATCH}", f"```\n{PATCH}", id="a-fence-that-is-not-closed"),
        pytest.param("```js\ntext(1)\n```", "```js\ntext(1)\n```", id="a-fence-around-no-patch"),
        pytest.param('{"a":"b","c":"d"}', '{"a":"b","c":"d"}', id="two-strings"),
        pytest.param('{"a":1}', '{"a":1}', id="no-string"),
        pytest.param('"{\\"input\\":1}"', '{"input":1}', id="a-string-that-is-another-object"),
        pytest.param("{}", "{}", id="empty-object"),
        pytest.param("[1]", "[1]", id="list"),
        pytest.param('"{\\"a\\":\\"b\\"}"', '{"a":"b"}', id="a-string-that-is-an-object"),
    ],
)
def test_the_raw_input_is_found(text: str, payload: str) -> None:
    assert unwrap_freeform(text) == payload


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"input":"*** Begin Patch\n+x = {"a":"b"}', id="patch-without-its-end"),
        pytest.param('{"input":"x = \\"a\\"}', id="last-quote-is-escaped"),
        pytest.param('{"input":"a","options":{"b":"c"}', id="second-property"),
        pytest.param('{"input":"a', id="in-the-string"),
        pytest.param('{"patch":"x = "y""}', id="another-name-and-quotes"),
    ],
)
def test_a_wrapper_that_may_be_cut_off_stays(text: str) -> None:
    assert unwrap_freeform(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.data())
def test_no_part_of_a_wrapper_is_unwrapped(payload: str, data: st.DataObject) -> None:
    whole = as_json({"input": payload})
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]

    assert unwrap_freeform(whole) == payload
    assert unwrap_freeform(part) == part


@given(st.one_of(DAMAGED, st.text()))
def test_unwrapping_never_fails(text: str) -> None:
    assert isinstance(unwrap_freeform(text), str)
