from __future__ import annotations

from typing import Any

import pytest

from anyturn.testing.responses_rules import check_forwarded

JSON = dict[str, Any]
GOOD: JSON = {"model": "m", "store": False, "stream": True, "instructions": "", "input": []}
USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c"}
OUTPUT = {"type": "function_call_output", "call_id": "c"}
SEALED = {"type": "reasoning", "summary": [], "encrypted_content": "s-1"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        ({"input": [USER, SEALED, CALL, OUTPUT]}, None),
        ({"store": True}, "Store must be"),
        ({"stream": None}, "Stream must be"),
        ({"temperature": 1}, "Unsupported parameter: temperature"),
        ({"previous_response_id": "r"}, "Unsupported parameter"),
        ({"instructions": None}, "Instructions are required"),
        ({"reasoning": {"effort": "minimal"}}, "minimal"),
        ({"tools": [{"type": "web_search_preview"}]}, "Unsupported tool"),
        ({"input": "Hi"}, "must be a list"),
        ({"input": [{"role": "system", "content": "x"}]}, "System messages"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "'rs_1' not found"),
        ({"input": [{"id": "rs_1"}]}, "'rs_1' not found"),
        ({"input": [{**SEALED, "encrypted_content": None}, CALL, OUTPUT]}, "not found"),
        ({"input": [{**SEALED, "encrypted_content": "x"}, CALL, OUTPUT]}, "could not be verified"),
        ({"input": [{"type": "reasoning", "encrypted_content": "s-1"}, CALL, OUTPUT]}, "summary"),
        ({"input": [SEALED, USER]}, "required following item"),
        ({"input": [SEALED]}, "required following item"),
        ({"input": [OUTPUT]}, "No tool call found"),
        ({"input": [OUTPUT, CALL]}, "No tool call found"),
        ({"input": [CALL]}, "No tool output found"),
        ({"input": [CALL, CALL, OUTPUT]}, "Duplicate"),
        ({"input": [{**CALL, "call_id": "c" * 65}, OUTPUT]}, "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_backend_refuses_what_it_is_known_to_refuse(
    changes: JSON, sentence: str | None
) -> None:
    refused = check_forwarded({**GOOD, **changes}, "s-")
    assert refused is None if sentence is None else sentence in refused.sentence


PATCH = {"type": "custom", "name": "patch"}
LOOK = {"type": "function", "name": "look"}
PATCHED = {"type": "custom_tool_call", "call_id": "c"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tools": [LOOK], "input": [CALL, OUTPUT]}, None),
        ({"tools": [LOOK], "tool_choice": LOOK}, None),
        ({"tools": [LOOK, PATCH]}, "Unsupported tool type: custom"),
        ({"tools": [LOOK, LOOK]}, "'look'"),
        ({"tools": [{**LOOK, "name": "a.b"}]}, "'a.b'"),
        ({"tools": [LOOK], "tool_choice": PATCH}, "custom 'patch'"),
        ({"tools": [LOOK], "tool_choice": {**LOOK, "name": "x"}}, "function 'x'"),
        ({"input": [PATCHED, {**PATCHED, "type": "custom_tool_call_output"}]}, "custom_tool_call"),
        ({"input": [{**CALL, "namespace": "n"}, OUTPUT]}, "namespace"),
    ],
    ids=str,
)
def test_a_server_of_functions_refuses_all_other_tools(changes: JSON, sentence: str | None) -> None:
    refused = check_forwarded({**GOOD, **changes}, "s-", ["function"])
    assert refused is None if sentence is None else sentence in refused.sentence
