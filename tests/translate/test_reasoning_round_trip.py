"""A provider's stream becomes items, the items a history: the provider gets its own words again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.wire.profile import Profile
from support.chat_items import convert, output, user
from support.stream_rules import check_stream
from support.turns import PROFILE, call_delta, chunk, run_blocks, sse_stream

JSON = dict[str, Any]

DETAILS = PROFILE.replacing(
    reasoning_out="reasoning_details", reasoning_text_out="reasoning", reasoning_replay="always"
)
FIELDS = ["reasoning", "reasoning_content", "reasoning_details", "think_tags"]
# No blank lines at its ends: they stand between a block and the answer.
words = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1).filter(
    lambda text: text == text.strip()
)
extras = st.fixed_dictionaries(
    {"google": st.fixed_dictionaries({"thought_signature": st.text(min_size=1)})},
    optional={"more": st.lists(st.integers() | st.text())},
)


class Answer:
    """What a provider told, whole, and the deltas in which it came."""

    def __init__(self, message: JSON, deltas: list[JSON], profile: Profile) -> None:
        self.message = message
        self.deltas = deltas
        self.profile = profile


@st.composite
def answers(draw: st.DrawFn, field: str, name: str) -> Answer:
    message: JSON = {"role": "assistant", "content": draw(st.none() | words)}
    deltas = _reasoning(draw, field, message)
    if message["content"] is not None:
        deltas += [{"content": piece} for piece in draw(_pieces(message["content"]))]
    if signature := draw(st.none() | extras):
        message["extra_content"] = signature
        deltas.append({"content": "", "extra_content": signature})
    calls = [
        _call(draw, f"{name}_{n}") for n in range(draw(st.integers(not message["content"], 3)))
    ]
    if calls:
        message["tool_calls"] = calls
        deltas += [_call_delta(n, call) for n, call in enumerate(calls)]
    if field == "reasoning_details" and draw(st.booleans()):
        # The last of them comes after everything else.
        last = [delta for delta in deltas if "reasoning_details" in delta][-1]
        deltas.append({"reasoning_details": last.pop("reasoning_details")})
    if field == "think_tags":
        deltas = _in_tags(draw, message, deltas)
    return Answer(message, deltas, _profile(field))


def _profile(field: str) -> Profile:
    if field == "reasoning_details":
        return DETAILS
    tags = field == "think_tags"
    return PROFILE.replacing(reasoning_out=field, reasoning_replay="always", think_tags=tags)


def _reasoning(draw: st.DrawFn, field: str, message: JSON) -> list[JSON]:
    if field == "think_tags":
        return []
    told = draw(words)
    if field != "reasoning_details":
        message[field] = told
        return [{field: piece} for piece in draw(_pieces(told))]
    signed = {"type": "reasoning.text", "text": told, "index": 0, "signature": draw(words)}
    secret = {"type": "reasoning.encrypted", "data": draw(words), "id": "rs_1", "index": 0}
    message[field] = draw(st.sampled_from([[signed], [secret], [signed, secret]]))
    deltas: list[JSON] = []
    for detail in message[field]:
        if detail is signed:
            part = {"type": "reasoning.text", "index": 0}
            deltas += [
                {"reasoning": piece, field: [{**part, "text": piece}]}
                for piece in draw(_pieces(told))
            ]
            deltas.append({field: [{**part, "signature": signed["signature"]}]})
        else:
            deltas.append({field: [secret]})
    return deltas


def _in_tags(draw: st.DrawFn, message: JSON, deltas: list[JSON]) -> list[JSON]:
    before, gap = draw(st.sampled_from(["", "\n"])), draw(st.sampled_from(["", "\n", "\n\n"]))
    block = f"{before}<think>{draw(words)}</think>{gap}"
    message["content"] = block + (message["content"] or "")
    return [*({"content": piece} for piece in draw(_pieces(block))), *deltas]


def _call(draw: st.DrawFn, call_id: str) -> JSON:
    call: JSON = {"id": call_id, "type": "function"}
    call["function"] = {"name": "shell", "arguments": '{"cmd":"ls"}'}
    if extra := draw(st.none() | extras):
        call["extra_content"] = extra
    return call


def _call_delta(number: int, call: JSON) -> JSON:
    more = {"extra_content": call["extra_content"]} if "extra_content" in call else {}
    return call_delta('{"cmd":"ls"}', "shell", index=number, id=call["id"], **more)


@st.composite
def _pieces(draw: st.DrawFn, told: str) -> list[str]:
    cuts = draw(st.lists(st.integers(0, len(told)), max_size=3).map(sorted))
    pieces = [told[a:b] for a, b in pairwise([0, *cuts, len(told)])]
    return [piece for piece in pieces if piece]


def history(answer: Answer, summary: bool) -> list[JSON]:
    """The items that a client keeps of an answer, and the outputs of its calls."""
    finish = "tool_calls" if "tool_calls" in answer.message else "stop"
    chunks = [*(chunk(delta) for delta in answer.deltas), chunk({}, finish)]
    run = run_blocks([sse_stream(*chunks)], profile=answer.profile, seal=True, summary=summary)
    response = check_stream(run.decoded)
    assert response["status"] == "completed"
    aside = ("id", "status")
    items = [{k: v for k, v in item.items() if k not in aside} for item in response["output"]]
    return [*items, *(output(item["call_id"]) for item in items if "call_id" in item)]


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_a_provider_gets_its_own_words_again_f8_q18_q24(
    field: str, data: st.DataObject, summary: bool
) -> None:
    """I9: and with the second answer the first one's bytes are still the same."""
    first, second = (data.draw(answers(field, name)) for name in ("first", "second"))
    items = [user(), *history(first, summary), user()]
    once, adaptations = convert(*items, profile=first.profile)
    twice, more = convert(*items, *history(second, summary), user(), profile=first.profile)
    assert _told(twice) == [_canonical(first.message), _canonical(second.message)]
    assert msgspec.json.encode(twice[: len(once)]) == msgspec.json.encode(once)
    assert [a for a in [*adaptations, *more] if a.rule.startswith("reasoning.")] == []


def _told(messages: list[JSON]) -> list[bytes]:
    return [_canonical(message) for message in messages if message["role"] == "assistant"]


def _canonical(message: JSON) -> bytes:
    """The bytes, in one order of the members."""
    return msgspec.json.encode(message, order="deterministic")


@pytest.mark.parametrize("split", [True, False], ids=["split", "in the content"])
def test_minimax_gets_its_reasoning_back_as_it_told_it_q19(split: bool) -> None:
    """2.15: with the split in its details, otherwise in the content."""
    profile = DETAILS.replacing(think_tags=True, think_tags_kept=True)
    detail = {"type": "reasoning.text", "id": "t1", "format": "MiniMax-response-v1", "index": 0}
    if split:
        deltas = [{"reasoning_details": [{**detail, "text": text}]} for text in ("Hm", "m.")]
        deltas += [{"content": "Yes"}]
        message = {"content": "Yes", "reasoning_details": [{**detail, "text": "Hmm."}]}
    else:
        content = "<think>\nHmm.\n</think>\n\nYes"
        deltas = [{"content": content[:9]}, {"content": content[9:]}]
        message = {"content": content}
    items = history(Answer(message, deltas, profile), summary=True)
    converted, _ = convert(user(), *items, user(), profile=profile)
    assert converted[1] == {"role": "assistant", **message}
