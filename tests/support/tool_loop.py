"""One task in three steps, for whichever client: two calls at once, one call, an answer."""

from __future__ import annotations

from typing import Any

from anyturn.testing import Answer, Entry, ScriptedProvider, call, interleaved, reasoning, text

JSON = dict[str, Any]

QUESTION = "How warm are Berlin and Paris together?"
ANSWER = "Sixteen degrees."
WARMTH = {"Berlin": "7", "Paris": "9"}
CALLS = [*(["weather", {"city": city}] for city in WARMTH), ["add", {"a": 7, "b": 9}]]
THOUGHTS = ["Two cities.", "Now the sum.", "Easy."]
# Tools of the provider's in the AI SDK: what it calls one, the tool's name, what a function that
# stands for it is called with, what the SDK hands to the program, and the versions that have it.
BUILT_IN: list[tuple[str, str, JSON, Any, tuple[str, ...]]] = [
    ("customTool", "note", {"input": "Remember."}, "Remember.", ("ai6", "ai7")),
    (
        *("localShell", "local_shell", {"command": ["ls"]}),
        *({"action": {"type": "exec", "command": ["ls"], "env": {}}}, ("ai5", "ai6", "ai7")),
    ),
    (
        *("shell", "shell", {"commands": ["ls"]}),
        *({"action": {"commands": ["ls"]}}, ("ai6", "ai7")),
    ),
    (
        *("applyPatch", "apply_patch", {"type": "delete_file", "path": "a"}),
        {"callId": "call_1", "operation": {"type": "delete_file", "path": "a"}},
        ("ai6", "ai7"),
    ),
]


def script() -> list[Entry]:
    """What the model says; the deltas of the two calls take turns (F43)."""
    cities = [call("weather", {"city": city}) for city in WARMTH]
    return [
        Answer(reasoning("Two cities."), text("I look."), interleaved(*cities)),
        Answer(reasoning("Now the sum."), call("add", {"a": 7, "b": 9})),
        Answer(reasoning("Easy."), text(ANSWER)),
    ]


def run_tool(name: str, arguments: JSON) -> str:
    """What the tools of the task return."""
    return WARMTH[arguments["city"]] if name == "weather" else str(arguments["a"] + arguments["b"])


def function_tools(**more: Any) -> list[JSON]:
    """The tools in the form of a Responses request."""
    kinds = {"weather": {"city": "string"}, "add": {"a": "integer", "b": "integer"}}
    return [
        {
            "type": "function",
            "name": name,
            "description": f"The tool {name}.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in properties.items()},
                "required": list(properties),
                "additionalProperties": False,
            },
            **more,
        }
        for name, properties in kinds.items()
    ]


def check_history(
    provider: ScriptedProvider, *, asked: int = 3, before: int = 0, forgotten: str = ""
) -> None:
    """The provider got all that was said and done, in order, and nothing of it twice.

    It was `asked` so often, the first three times for this task or, with `before`, after so many
    messages of another; `forgotten` is reasoning that the client does not send back.
    """
    assert provider.refusals == []
    requests = [request for request in provider.requests if len(request.messages) > before]
    assert len(requests) == asked
    histories = [_without_system(request.messages)[before:] for request in requests[:3]]
    expected: list[JSON] = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "I look.", "reasoning": "Two cities."},
        *({"role": "tool", "content": warmth} for warmth in WARMTH.values()),
        {"role": "assistant", "content": None, "reasoning": "Now the sum."},
        {"role": "tool", "content": "16"},
    ]
    for message in expected:
        if forgotten and message.get("reasoning") == forgotten:
            del message["reasoning"]
    lengths = [len(history) for history in histories]
    assert lengths == [1, 4, 6]
    assert [_plain(message) for message in histories[2]] == expected
    # Nothing of what was sent once is ever sent differently (I9).
    assert histories[0] == histories[2][:1] and histories[1] == histories[2][:4]
    calls = [one for message in histories[2] for one in message.get("tool_calls", ())]
    outputs = [message for message in histories[2] if message["role"] == "tool"]
    assert [one["function"]["name"] for one in calls] == ["weather", "weather", "add"]
    assert [one["id"] for one in calls] == [message["tool_call_id"] for message in outputs]


def _without_system(messages: list[JSON]) -> list[JSON]:
    return messages[1:] if messages[0]["role"] == "system" else messages


def _plain(message: JSON) -> JSON:
    kept = {"role": message["role"], "content": _words(message["content"])}
    return kept | ({"reasoning": message["reasoning"]} if "reasoning" in message else {})


def _words(content: Any) -> Any:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or None
