from __future__ import annotations

from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.tool_choice import (
    ToolChoice,
    apply_tool_choice,
    limit_calls,
    read_tool_choice,
)
from anyturn.translate.tools import ConvertedTools, convert_tools
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

GENERIC = Profile(name="generic")


def function(name: Any = "f", **fields: Any) -> JSON:
    return {"type": "function", "name": name, **fields}


def custom(name: str = "apply_patch", **fields: Any) -> JSON:
    return {"type": "custom", "name": name, **fields}


def namespace(name: str, *tools: JSON) -> JSON:
    return {"type": "namespace", "name": name, "description": "Tools.", "tools": list(tools)}


def convert(*tools: Any, profile: Profile = GENERIC) -> tuple[ConvertedTools, Adaptations]:
    adaptations = Adaptations()
    return convert_tools(list(tools), profile, adaptations), adaptations


CHOOSABLE = (
    function("f"),
    function("g"),
    custom("patch"),
    namespace("mcp__tiny", function("add")),
    namespace("two", function("a"), function("b")),
    {"type": "shell"},
)


def choose(value: Any, *tools: JSON, profile: Profile = GENERIC) -> tuple[JSON, Adaptations]:
    """The fields that are sent for a choice, with the tools' names instead of the tools."""
    converted, _ = convert(*tools, profile=profile)
    adaptations = Adaptations()
    choice = read_tool_choice(value, converted.map, adaptations)
    fields = apply_tool_choice(choice, converted.declared, profile, adaptations)
    if "tools" in fields:
        fields["tools"] = [tool["function"]["name"] for tool in fields["tools"]]
    return fields, adaptations


ALL = ["f", "g", "patch", "mcp__tiny__add", "two__a", "two__b", "shell"]
NAMED_G = {"type": "function", "function": {"name": "g"}}


def allowed(*entries: Any, **fields: Any) -> JSON:
    return {"type": "allowed_tools", "tools": list(entries), **fields}


KNOWN = Profile(name="p")
NOT_NAMED = Profile(name="p", tool_choice=("auto", "none", "required"))
AUTO_ONLY = Profile(name="p", tool_choice=("auto",))
NOTHING = Profile(name="p", tool_choice=())
ANY = Profile(name="p", tool_choice_required_as="any", tool_choice=("auto", "required"))


@pytest.mark.parametrize(
    ("value", "profile", "expected"),
    [
        pytest.param(None, KNOWN, {"tools": ALL, "tool_choice": "auto"}, id="absent"),
        pytest.param("auto", KNOWN, {"tools": ALL, "tool_choice": "auto"}, id="auto"),
        pytest.param("none", KNOWN, {"tools": ALL, "tool_choice": "none"}, id="none"),
        pytest.param("required", KNOWN, {"tools": ALL, "tool_choice": "required"}, id="required"),
        pytest.param("required", ANY, {"tools": ALL, "tool_choice": "any"}, id="required as any"),
        pytest.param("auto", NOTHING, {"tools": ALL}, id="auto where no choice is read"),
        pytest.param(
            {"type": "function", "name": "g"},
            KNOWN,
            {"tools": ALL, "tool_choice": NAMED_G},
            id="named",
        ),
        pytest.param(NAMED_G, KNOWN, {"tools": ALL, "tool_choice": NAMED_G}, id="named, nested"),
        pytest.param(
            {"type": "custom", "name": "patch"},
            KNOWN,
            {"tools": ALL, "tool_choice": {"type": "function", "function": {"name": "patch"}}},
            id="a freeform tool named",
        ),
        pytest.param(
            {"type": "function", "name": "add", "namespace": "mcp__tiny"},
            KNOWN,
            {
                "tools": ALL,
                "tool_choice": {"type": "function", "function": {"name": "mcp__tiny__add"}},
            },
            id="a namespaced tool named",
        ),
        pytest.param(
            {"type": "shell"},
            KNOWN,
            {"tools": ALL, "tool_choice": {"type": "function", "function": {"name": "shell"}}},
            id="a built-in tool named",
        ),
        pytest.param(
            {"type": "namespace", "name": "two"},
            KNOWN,
            {"tools": ["two__a", "two__b"], "tool_choice": "required"},
            id="a namespace: one of its tools",
        ),
        pytest.param(
            allowed({"type": "namespace", "name": "two"}, {"type": "shell"}),
            KNOWN,
            {"tools": ["two__a", "two__b", "shell"], "tool_choice": "auto"},
            id="a namespace and a built-in tool among the allowed",
        ),
        pytest.param(
            {"type": "function", "name": "g"},
            NOT_NAMED,
            {"tools": ["g"], "tool_choice": "required"},
            id="named where only required is known",
        ),
        pytest.param(
            allowed({"type": "function", "name": "f"}, {"type": "custom", "name": "patch"}),
            KNOWN,
            {"tools": ["f", "patch"], "tool_choice": "auto"},
            id="allowed_tools restricts the list",
        ),
        pytest.param(
            allowed({"type": "function", "name": "f"}, mode="required"),
            KNOWN,
            {"tools": ["f"], "tool_choice": "required"},
            id="allowed_tools, required",
        ),
        pytest.param(
            allowed({"type": "function", "name": "f"}),
            NOTHING,
            {"tools": ["f"]},
            id="allowed_tools where no choice is read",
        ),
    ],
)
def test_every_choice_that_the_provider_knows_is_sent_without_loss_f32(
    value: Any, profile: Profile, expected: JSON
) -> None:
    fields, adaptations = choose(value, *CHOOSABLE, profile=profile)
    assert fields == expected
    assert adaptations == []


@pytest.mark.parametrize(
    ("value", "profile", "expected", "reported"),
    [
        pytest.param(
            "required",
            AUTO_ONLY,
            {"tools": ALL},
            [("tool_choice.widened", "tool_choice")],
            id="required where it is unknown",
        ),
        pytest.param(
            {"type": "function", "name": "g"},
            AUTO_ONLY,
            {"tools": ["g"]},
            [("tool_choice.widened", "tool_choice")],
            id="named where it is unknown",
        ),
        pytest.param(
            allowed({"type": "function", "name": "f"}, mode="required"),
            AUTO_ONLY,
            {"tools": ["f"]},
            [("tool_choice.widened", "tool_choice")],
            id="allowed_tools, required, where it is unknown",
        ),
        pytest.param(
            "none", AUTO_ONLY, {}, [("tools.left_out", "tools")], id="none where it is unknown"
        ),
        pytest.param(
            {"type": "local_shell"},
            KNOWN,
            {"tools": ALL, "tool_choice": "auto"},
            [("tool_choice.widened", "tool_choice")],
            id="a built-in tool that was not declared",
        ),
        pytest.param(
            {"type": "web_search"},
            KNOWN,
            {"tools": ALL, "tool_choice": "auto"},
            [("tool_choice.widened", "tool_choice")],
            id="a hosted tool",
        ),
        pytest.param(
            allowed({"type": "function", "name": "f"}, {"type": "web_search"}, "g"),
            KNOWN,
            {"tools": ["f"], "tool_choice": "auto"},
            [
                ("tool_choice.left_out", "tool_choice.tools[1]"),
                ("tool_choice.left_out", "tool_choice.tools[2]"),
            ],
            id="a hosted tool among the allowed",
        ),
    ],
)
def test_a_choice_that_the_provider_cannot_be_given_is_reported_f32(
    value: Any, profile: Profile, expected: JSON, reported: list[tuple[str, str]]
) -> None:
    fields, adaptations = choose(value, *CHOOSABLE, profile=profile)
    assert fields == expected
    assert [(a.rule, a.where) for a in adaptations] == reported
    assert all(a.lossy for a in adaptations)


@pytest.mark.parametrize("value", [None, "auto", "none"])
def test_without_tools_neither_tools_nor_a_choice_is_sent_f31_q75(value: Any) -> None:
    assert choose(value) == ({}, [])


def test_nothing_can_be_required_without_tools_and_that_is_reported() -> None:
    fields, adaptations = choose("required", {"type": "web_search"})
    assert fields == {}
    assert [(a.rule, a.lossy) for a in adaptations] == [("tool_choice.widened", True)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"type": "function", "name": "h"}, id="a function"),
        pytest.param({"type": "function", "function": {"name": "h"}}, id="nested"),
        pytest.param({"type": "custom", "name": "h"}, id="a freeform tool"),
        pytest.param({"type": "function", "name": "add"}, id="the bare name of a namespaced one"),
        pytest.param(allowed({"type": "function", "name": "h"}), id="an allowed tool"),
        pytest.param({"type": "namespace", "name": "h"}, id="a namespace"),
    ],
)
def test_a_choice_of_an_undeclared_tool_is_a_400(value: JSON) -> None:
    with pytest.raises(TurnError, match="which is not among the tools") as caught:
        choose(value, *CHOOSABLE)
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, "tool_choice")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param("sometimes", "tool_choice", id="a word"),
        pytest.param(["auto"], "tool_choice", id="a list"),
        pytest.param({"type": "function"}, "tool_choice.name", id="no name"),
        pytest.param({"type": "function", "name": 5}, "tool_choice.name", id="a number"),
        pytest.param({"type": "allowed_tools"}, "tool_choice.tools", id="allowed_tools of nothing"),
        pytest.param(allowed(mode="none"), "tool_choice.mode", id="a mode that does not exist"),
    ],
)
def test_a_malformed_choice_is_refused_by_place(value: Any, place: str) -> None:
    with pytest.raises(TurnError) as caught:
        choose(value, *CHOOSABLE)
    assert (caught.value.kind, caught.value.param) == (Kind.INVALID_REQUEST, place)
    assert place in caught.value.message


def test_a_choice_is_read_into_the_names_that_the_provider_knows() -> None:
    converted, adaptations = convert(*CHOOSABLE)
    value = {"type": "function", "name": "add", "namespace": "mcp__tiny"}
    choice = read_tool_choice(value, converted.map, adaptations)
    assert choice == ToolChoice("named", ("mcp__tiny__add",))


@pytest.mark.parametrize(
    ("value", "callable_"),
    [
        pytest.param("auto", ALL, id="auto"),
        pytest.param("none", [], id="none"),
        pytest.param({"type": "function", "name": "g"}, ["g"], id="named"),
        pytest.param(allowed({"type": "function", "name": "g"}), ["g"], id="allowed"),
    ],
)
def test_a_tool_that_is_not_allowed_cannot_be_called_f32(value: Any, callable_: list[str]) -> None:
    converted, _ = convert(*CHOOSABLE)
    choice = read_tool_choice(value, converted.map, Adaptations())
    limit_calls(choice, converted.map)
    assert [name for name in ALL if converted.map.resolve(name)] == callable_
    assert converted.map.chat_name("add", "mcp__tiny") == "mcp__tiny__add"
