from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.translate.leaked_forms import FORMS, Called, Said, read_leak
from anyturn.wire.profile import Profile

LS = '{"cmd":"ls"}'
SCHEMA: dict[str, Any] = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array"},
        "maybe": {"anyOf": [{"type": "object"}, {"type": "null"}]},
        "known": {"$ref": "#/$defs/flag"},
        "either": {"type": ["string", "integer"]},
        "choice": {"enum": [1, 2]},
    },
    "$defs": {"flag": {"type": "boolean"}},
}


def thought(text: str) -> Said:
    return Said(text, is_reasoning=True)


def said(text: str) -> Said:
    return Said(text, is_reasoning=False)


READ = {
    # -- harmony
    "harmony, the recipient in the channel": (
        "harmony",
        f"<|channel|>commentary to=functions.x <|constrain|>json<|message|>{LS}<|call|>",
        [Called("functions.x", LS)],
    ),
    "harmony, the stop token is gone": (
        "harmony",
        f"<|channel|>commentary to=functions.x <|constrain|>json<|message|>{LS}",
        [Called("functions.x", LS)],
    ),
    "harmony, the recipient in the role": (
        "harmony",
        f"<|start|>assistant to=functions.x<|channel|>commentary json<|message|>{LS}<|call|>",
        [Called("functions.x", LS)],
    ),
    "harmony, no special tokens": ("harmony", f"to=functions.x {LS}", [Called("functions.x", LS)]),
    "harmony, no special tokens, with a channel": (
        "harmony",
        f"assistantcommentary to=functions.x json{LS}",
        [Called("functions.x", LS)],
    ),
    "harmony, an analysis before": (
        "harmony",
        "<|channel|>analysis<|message|> Hm. <|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.x<|message|>{LS}<|call|>",
        [thought(" Hm. "), Called("functions.x", LS)],
    ),
    "harmony, a preamble before": (
        "harmony",
        "assistant<|channel|>commentary<|message|>I look.<|end|>"
        f"<|start|>assistant<|channel|>commentary to=functions.x<|message|>{LS}",
        [said("I look."), Called("functions.x", LS)],
    ),
    "harmony, an answer": (
        "harmony",
        "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Yes.\n",
        [thought("Hm."), said("Yes.")],
    ),
    "harmony, two calls": (
        "harmony",
        f"<|channel|>commentary to=functions.x<|message|>{LS}<|call|>\n"
        f"<|start|>assistant<|channel|>commentary to=functions.y<|message|>{{}}<|call|>",
        [Called("functions.x", LS), Called("functions.y", "{}")],
    ),
    "harmony, its own tokens in a string": (
        "harmony",
        'to=functions.x<|message|>{"cmd":"grep \\"<|end|>\\" }"}<|call|>',
        [Called("functions.x", '{"cmd":"grep \\"<|end|>\\" }"}')],
    ),
    "harmony, no arguments": (
        "harmony",
        "<|channel|>commentary to=functions.now<|message|><|call|>",
        [Called("functions.now", "{}")],
    ),
    "harmony, prose after a call": ("harmony", f"to=functions.x {LS} and so on", None),
    "harmony, a cut call": ("harmony", 'to=functions.x<|message|>{"cmd":"rm -rf /tmp/a', None),
    "harmony, a call without arguments or end": ("harmony", "to=functions.now<|message|>", None),
    "harmony, no JSON": ("harmony", "to=functions.x<|message|>ls<|call|>", None),
    "harmony, a list": ("harmony", "to=functions.x<|message|>[1]<|call|>", None),
    "harmony, the model plays the tool": (
        "harmony",
        f"<|channel|>commentary to=functions.x<|message|>{LS}<|call|>"
        "<|start|>functions.x to=assistant<|channel|>commentary<|message|>a b<|end|>",
        None,
    ),
    "harmony, only a header": ("harmony", "<|channel|>final", None),
    "harmony, nothing was said": ("harmony", "<|channel|>final<|message|>", None),
    # -- hermes
    "hermes": (
        "hermes",
        f'\n<tool_call>\n{{"name": "x", "arguments": {LS}}}\n</tool_call>\n',
        [Called("x", LS)],
    ),
    "hermes, two": (
        "hermes",
        '<tool_call>{"name":"x","arguments":{}}</tool_call>\n'
        '<tool_call>{"name":"y","arguments":{}}</tool_call>',
        [Called("x", "{}"), Called("y", "{}")],
    ),
    "hermes, its tag in a string": (
        "hermes",
        '<tool_call>{"name":"x","arguments":{"cmd":"echo </tool_call>"}}</tool_call>',
        [Called("x", '{"cmd":"echo </tool_call>"}')],
    ),
    "hermes, arguments as text": (
        "hermes",
        '<tool_call>{"name":"x","arguments":"{\\"a\\":1.0}"}</tool_call>',
        [Called("x", '{"a":1.0}')],
    ),
    "hermes, no arguments": ("hermes", '<tool_call>{"name":"x"}</tool_call>', [Called("x", "{}")]),
    "hermes, parameters": (
        "hermes",
        '<tool_call>{"name":"x","parameters":{ "a" : 1e2 }}</tool_call>',
        [Called("x", '{ "a" : 1e2 }')],
    ),
    "hermes, a raw line end": (
        "hermes",
        '<tool_call>{"name":"x","arguments":{"cmd":"a\nb"}}</tool_call>',
        [Called("x", '{"cmd":"a\\nb"}')],
    ),
    "hermes, not closed": ("hermes", '<tool_call>{"name":"x","arguments":{}}', None),
    "hermes, prose after": (
        "hermes",
        '<tool_call>{"name":"x","arguments":{}}</tool_call> is a call',
        None,
    ),
    "hermes, no name": ("hermes", '<tool_call>{"arguments":{}}</tool_call>', None),
    "hermes, another member": ("hermes", '<tool_call>{"name":"x","if":{}}</tool_call>', None),
    "hermes, a list for arguments": (
        "hermes",
        '<tool_call>{"name":"x","arguments":[1]}</tool_call>',
        None,
    ),
    "hermes, words for arguments": (
        "hermes",
        '<tool_call>{"name":"x","arguments":"ls"}</tool_call>',
        None,
    ),
    # -- function tags
    "function tags": (
        "function_tags",
        "<function=x>\n<parameter=cmd>\nls\n\n</parameter>\n<parameter=n>3</parameter>\n</function>",
        [Called("x", {"cmd": "ls\n", "n": "3"})],
    ),
    "function tags in tool_call": (
        "function_tags",
        "<tool_call><function=x><parameter=cmd>ls</parameter></function></tool_call>",
        [Called("x", {"cmd": "ls"})],
    ),
    "function tags, JSON": ("function_tags", f"<function=x>{LS}</function>", [Called("x", LS)]),
    "function tags, JSON in the tag": (
        "function_tags",
        f"<function=x{LS}</function>",
        [Called("x", LS)],
    ),
    "function tags, no arguments": (
        "function_tags",
        "<function=x></function><function=y></function>",
        [Called("x", {}), Called("y", {})],
    ),
    "function tags, not closed": (
        "function_tags",
        "<function=x><parameter=cmd>ls</parameter>",
        None,
    ),
    "function tags, a value that is not closed": (
        "function_tags",
        "<function=x><parameter=cmd>ls</function>",
        None,
    ),
    "function tags, a key twice": (
        "function_tags",
        "<function=x><parameter=c>a</parameter><parameter=c>b</parameter></function>",
        None,
    ),
    "function tags, only half wrapped": (
        "function_tags",
        "<tool_call><function=x></function>",
        None,
    ),
    # -- GLM
    "glm": (
        "glm",
        "<tool_call>x\n<arg_key>cmd</arg_key>\n<arg_value> ls\n</arg_value>\n</tool_call>",
        [Called("x", {"cmd": " ls\n"})],
    ),
    "glm, no arguments": ("glm", "<tool_call>now\n</tool_call>", [Called("now", {})]),
    "glm, two": (
        "glm",
        "<tool_call>x</tool_call><tool_call>y</tool_call>",
        [Called("x", {}), Called("y", {})],
    ),
    "glm, cut": ("glm", "<tool_call>x<arg_key>cmd</arg_key><arg_value>ls", None),
    "glm, prose": ("glm", "<tool_call>is a tag</tool_call>", None),
    # -- Mistral
    "mistral, a list": (
        "mistral",
        f'[TOOL_CALLS] [{{"name":"x","arguments":{LS}}},{{"name":"y","arguments":{{}},"id":"1"}}]',
        [Called("x", LS), Called("y", "{}")],
    ),
    "mistral, one after the other": (
        "mistral",
        f"[TOOL_CALLS]x[ARGS]{LS}[TOOL_CALLS]y[CALL_ID]abc[ARGS]{{}}",
        [Called("x", LS), Called("y", "{}")],
    ),
    "mistral, nothing in the list": ("mistral", "[TOOL_CALLS] []", None),
    "mistral, one is none": ("mistral", '[TOOL_CALLS][{"name":"x"},7]', None),
    "mistral, cut": ("mistral", '[TOOL_CALLS][{"name":"x","arguments":{"a"', None),
    "mistral, cut in the arguments": ("mistral", '[TOOL_CALLS]x[ARGS]{"a', None),
    # -- bare JSON
    "json": ("json", f'{{"name": "x", "parameters": {LS}}}', [Called("x", LS)]),
    "json, Q42": ("json", f'{{"tool":"x","arguments":{LS}}}', [Called("x", LS)]),
    "json, an answer in JSON": ("json", '{"name":"Ada","age":36}', None),
    "json, two names": ("json", '{"name":"x","tool":"y"}', None),
}


@pytest.mark.parametrize(("form", "text", "parts"), READ.values(), ids=READ)
def test_a_text_is_read_as_a_whole_or_not_at_all(
    form: str, text: str, parts: list[Called | Said] | None
) -> None:
    """F48, F49, Q42."""
    assert read_leak(text, [form]) == (parts and (form, parts))


@pytest.mark.parametrize(
    ("form", "text"),
    [(f, t) for f, t, p in READ.values() if p],
    ids=[k for k in READ if READ[k][2]],
)
def test_a_form_is_read_only_where_it_is_asked_for(form: str, text: str) -> None:
    # Each text is of one form only, so their order does not matter.
    assert read_leak(text, [other for other in FORMS if other != form]) is None
    assert read_leak(text, FORMS) == read_leak(text, [form])


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (f, t)
        for f, t, p in READ.values()
        if p and not any(isinstance(part, Said) for part in p) and "<|call|>" not in t
    ],
)
def test_a_text_that_is_cut_gives_no_call_that_was_not_whole(form: str, text: str) -> None:
    """F44: what is read from a part of a text are its first calls, never another call."""
    whole = read_leak(text, [form])
    assert whole is not None
    for end in range(len(text)):
        cut = read_leak(text[:end], [form])
        assert cut is None or cut[1] == whole[1][: len(cut[1])]


@pytest.mark.parametrize(
    ("value", "key", "told"),
    [
        ("12", "count", 12),
        ("12", "text", "12"),
        ("12", "either", "12"),
        ("12", "undeclared", "12"),
        ("twelve", "count", "twelve"),
        (' ["a"] ', "tags", ["a"]),
        ('{"a":1.50}', "maybe", {"a": 1.5}),
        ("null", "maybe", None),
        ("null", "text", "null"),
        ("true", "known", True),
        ("1", "choice", "1"),
        ('say "hi"\n', "text", 'say "hi"\n'),
        ("", "text", ""),
    ],
)
def test_a_value_without_a_type_gets_the_one_of_the_schema(value: str, key: str, told: Any) -> None:
    arguments = Called("x", {key: value}).arguments_for(SCHEMA)
    assert msgspec.json.decode(arguments) == {key: told}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": 7},
        {"properties": {"a": True}},
        {"properties": {"a": {"type": 7}}},
        {"properties": {"a": {"anyOf": True, "oneOf": [7]}}},
        {"properties": {"a": {"$ref": "#/nowhere"}}},
    ],
)
def test_a_schema_that_says_nothing_leaves_strings(schema: dict[str, Any]) -> None:
    assert Called("x", {"a": "[1]"}).arguments_for(schema) == '{"a":"[1]"}'


def test_the_profile_knows_the_names_of_all_forms() -> None:
    assert Profile(name="a").replacing(text_calls=FORMS).text_calls == FORMS
    with pytest.raises(msgspec.ValidationError):
        Profile(name="a").replacing(text_calls=["xml"])


PIECES = st.sampled_from(
    [
        *("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|call|>", "<|end|>"),
        *("assistant", "commentary", "analysis", "final", " to=functions.x", "json", LS, "{", "}"),
        *("<tool_call>", "</tool_call>", '{"name":"x","arguments":', "<function=x>", "</function>"),
        *(
            "<parameter=a>",
            "</parameter>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
        ),
        *("[TOOL_CALLS]", "[", "]", "[ARGS]", "[CALL_ID]", "x", " ", "\n", '"', "\\", ","),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_text_is_read_without_an_error(text: str) -> None:
    leak = read_leak(text, FORMS)
    if leak is not None:
        for part in leak[1]:
            if isinstance(part, Called):
                arguments = part.arguments_for(SCHEMA)
                assert part.name and arguments.lstrip().startswith("{")
            else:
                assert part.text and part.text in text


@pytest.mark.parametrize(
    "text",
    [
        "<|channel|>" + " " * 200_000,
        "<|start|>" * 20_000,
        "<|channel|>final<|message|>" + "<|" * 100_000,
        "to=functions.x" + "{" * 200_000,
        "<function=x>" + "<parameter=a>" * 15_000,
        "<tool_call>x" + "<arg_key>" * 20_000,
        "<tool_call>x" + "<arg_key>a</arg_key>" * 10_000,
        "[TOOL_CALLS]" * 20_000,
        "[TOOL_CALLS][" + '{"name":"x"},' * 15_000,
        '{"name":"' + "\\" * 200_000,
    ],
    ids=lambda text: text[:24],
)
def test_a_hostile_text_does_not_take_long(text: str) -> None:
    began = time.perf_counter()
    read_leak(text, FORMS)
    assert time.perf_counter() - began < 2
