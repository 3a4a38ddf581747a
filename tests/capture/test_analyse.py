from __future__ import annotations

from anyturn.capture.analyse import analysis, code, table
from support.captured_turns import captured


def test_the_analysis_names_types_order_fields_and_counts() -> None:
    text = analysis([captured(), captured()])
    assert "| 2 | codex 1 | p | m |  | completed |" in text
    assert "18 in 2 streams." in text
    assert "| `response.created` | 2 | the beginning (2) |" in text
    assert "In 2 of 2:" in text
    assert "`response.function_call_arguments.delta × n`" in text
    assert '| `item.type` |  | "function_call" |' in text
    assert "`chunk: tool_calls`" in text


def test_nothing_recorded_is_said() -> None:
    assert "Nothing was recorded." in analysis([])


def test_hostile_words_stay_inside_their_cell() -> None:
    event = {"type": "a|b`c\n# Title\x1b[31m", "x|y": 1}
    text = analysis([captured(events=[event])])
    assert "\n# Title" not in text and "\x1b" not in text
    assert code("a`b|c\n") == "`a'b¦c�`"
    assert table(("a",), [("x|y",)]).endswith("| x¦y |")
