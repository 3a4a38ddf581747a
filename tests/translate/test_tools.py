from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.providers import find
from anyturn.testing import check_history
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.tool_map import Tool
from anyturn.translate.tools import ConvertedTools, add_tools, convert_tools
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

GENERIC = Profile(name="generic")
SCHEMA = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'}
USER = {"role": "user", "content": "Hi"}


def function(name: Any = "f", **fields: Any) -> JSON:
    return {"type": "function", "name": name, **fields}


def custom(name: str = "apply_patch", **fields: Any) -> JSON:
    return {"type": "custom", "name": name, **fields}


def namespace(name: str, *tools: JSON) -> JSON:
    return {"type": "namespace", "name": name, "description": "Tools.", "tools": list(tools)}


def convert(*tools: Any, profile: Profile = GENERIC) -> tuple[ConvertedTools, Adaptations]:
    adaptations = Adaptations()
    return convert_tools(list(tools), profile, adaptations), adaptations


def declared(*tools: Any, profile: Profile = GENERIC) -> list[JSON]:
    converted, _ = convert(*tools, profile=profile)
    return [tool["function"] for tool in converted.declared]


def names(*tools: Any, profile: Profile = GENERIC) -> list[str]:
    return [tool["name"] for tool in declared(*tools, profile=profile)]


def refusal(*tools: Any) -> TurnError:
    with pytest.raises(TurnError) as caught:
        convert(*tools)
    return caught.value


# ---------------------------------------------------------------- functions


def test_a_function_keeps_its_name_description_and_schema() -> None:
    converted, adaptations = convert(function(description="Runs.", parameters=SCHEMA, strict=False))
    expected = {"name": "f", "description": "Runs.", "parameters": SCHEMA}
    assert converted.declared == [{"type": "function", "function": expected}]
    assert adaptations == []


def test_a_function_in_the_nested_form_of_chat_clients_means_the_same() -> None:
    nested = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    assert declared(nested) == declared(function(parameters=SCHEMA))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param(None, {"type": "object", "properties": {}}, id="null"),
        pytest.param({}, {"type": "object", "properties": {}}, id="empty"),
        pytest.param({"type": None}, {"type": "object", "properties": {}}, id="type null"),
        pytest.param(
            {"properties": {"a": {}}}, {"properties": {"a": {}}, "type": "object"}, id="no type"
        ),
        pytest.param(
            {"oneOf": [SCHEMA]}, {"oneOf": [SCHEMA], "type": "object"}, id="oneOf without a type"
        ),
        pytest.param(
            {"type": ["object", "null"]},
            {"type": "object", "properties": {}},
            id="object or null",
        ),
        pytest.param(SCHEMA, SCHEMA, id="a plain object is left alone"),
    ],
)
def test_the_root_of_every_schema_is_an_object_q73_f30(parameters: Any, expected: JSON) -> None:
    assert declared(function(parameters=parameters))[0]["parameters"] == expected


def test_a_schema_is_written_in_the_dialect_of_its_provider() -> None:
    """F30, Q73: Gemini knows no `additionalProperties` and no lists of types."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": ["string", "null"]}},
        "additionalProperties": False,
    }
    adaptations = Adaptations()
    tools = convert_tools([function(parameters=schema)], find("gemini"), adaptations)
    sent = tools.declared[0]["function"]["parameters"]
    assert sent == {
        "type": "object",
        "properties": {"city": {"type": "string", "nullable": True}},
    }
    assert [a.rule for a in adaptations] == ["tools.schema"]
    assert next(iter(tools.map)).parameters == schema


def test_a_function_without_parameters_gets_an_empty_schema_q73() -> None:
    assert declared(function())[0]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("policy", "strict", "sent", "reported"),
    [
        ("keep", True, {"strict": True}, []),
        ("keep", False, {"strict": False}, []),
        ("keep", None, {}, []),
        ("drop", True, {}, [("parameters.left_out", "tools[0].strict", False)]),
        ("drop", False, {}, []),
    ],
)
def test_strict_goes_only_where_it_is_known(
    policy: str, strict: bool | None, sent: JSON, reported: list[Any]
) -> None:
    profile = Profile(name="p").replacing(tool_strict=policy)
    converted, adaptations = convert(function(strict=strict), profile=profile)
    function_sent = converted.declared[0]["function"]
    assert {key: function_sent[key] for key in function_sent if key == "strict"} == sent
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == reported


# ---------------------------------------------------------------- freeform tools


def test_a_freeform_tool_is_a_function_with_one_string_and_its_grammar_f23() -> None:
    converted, adaptations = convert(custom(description="Edits files.", format=GRAMMAR))
    sent = converted.declared[0]["function"]
    assert sent["name"] == "apply_patch"
    assert sent["description"].startswith("Edits files.\n\n")
    assert "lark" in sent["description"]
    assert GRAMMAR["definition"] in sent["description"]
    assert sent["parameters"]["required"] == ["input"]
    assert sent["parameters"]["properties"]["input"]["type"] == "string"
    assert sent["parameters"]["additionalProperties"] is False
    assert [(a.rule, a.where) for a in adaptations] == [("tools.freeform", "tools[0]")]
    assert converted.map.resolve("apply_patch") == Tool(
        "apply_patch", ToolKind.CUSTOM, "apply_patch"
    )


def test_a_freeform_tool_in_a_namespace_keeps_its_grammar_f23() -> None:
    converted, _ = convert(namespace("editor", custom(format=GRAMMAR)))
    assert GRAMMAR["definition"] in converted.declared[0]["function"]["description"]
    tool = converted.map.resolve("editor__apply_patch")
    assert tool == Tool("editor__apply_patch", ToolKind.CUSTOM, "apply_patch", "editor")


@pytest.mark.parametrize("form", [None, {"type": "text"}])
def test_a_freeform_tool_without_a_grammar_has_its_description_alone(form: Any) -> None:
    assert declared(custom(description="Any text.", format=form))[0]["description"] == "Any text."


# ---------------------------------------------------------------- namespaces and names


def test_a_namespaced_tool_is_called_by_both_its_names_and_found_again_f25() -> None:
    converted, adaptations = convert(namespace("mcp__tiny", function("add")))
    assert converted.declared[0]["function"]["name"] == "mcp__tiny__add"
    assert converted.map.resolve("mcp__tiny__add") == Tool(
        "mcp__tiny__add", ToolKind.FUNCTION, "add", "mcp__tiny"
    )
    assert converted.map.chat_name("add", "mcp__tiny") == "mcp__tiny__add"
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == [
        ("tools.renamed", "tools[0].tools[0]", False)
    ]


@pytest.mark.parametrize("reserved", ["collaboration", "multi_agent_v1"])
def test_a_tool_of_a_reserved_namespace_comes_back_under_its_own_name_f28(reserved: str) -> None:
    """Codex matches name, namespace and schema: what is changed for a provider is changed back."""
    schema = {"type": "object", "properties": {"message": {"type": "string"}}}
    tool = namespace(reserved, function("spawn_agent", parameters=schema))
    converted, _ = convert(tool)
    (declaration,) = converted.declared
    assert declaration["function"]["parameters"] == schema
    found = converted.map.resolve(declaration["function"]["name"])
    assert found is not None
    assert (found.namespace, found.name) == (reserved, "spawn_agent")


def test_the_namespace_functions_means_none_f26() -> None:
    converted, adaptations = convert(namespace("functions", custom("exec")))
    assert converted.map.resolve("exec") == Tool("exec", ToolKind.CUSTOM, "exec", "")
    assert [a.rule for a in adaptations] == ["tools.freeform"]
    for own in (None, "", "functions"):
        assert converted.map.chat_name("exec", own) == "exec"


LONG = "x" * 65


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(function(LONG), id="65 letters"),
        pytest.param(function("a.b"), id="a dot"),
        pytest.param(function("größe"), id="not ASCII"),
        pytest.param(function("two words"), id="a space"),
        pytest.param(function("f\n"), id="a line feed at the end"),
        pytest.param(namespace("n" * 40, function("t" * 40)), id="long together"),
    ],
)
def test_a_name_that_providers_refuse_is_cut_and_hashed_the_same_every_time_f27_q77(
    tool: JSON,
) -> None:
    (name,) = names(tool)
    assert names(tool) == [name]
    assert check_history([USER], convert(tool)[0].declared) is None
    resolved = convert(tool)[0].map.resolve(name)
    assert resolved is not None
    inner = tool["tools"][0] if "tools" in tool else tool
    assert resolved.name == inner["name"]


def test_long_names_that_differ_only_at_the_end_stay_apart_f27() -> None:
    first, second = names(function(LONG + "a"), function(LONG + "b"))
    assert first != second


def test_two_tools_that_would_share_a_name_are_told_apart_f27() -> None:
    converted, _ = convert(function("a__b"), namespace("a", function("b")))
    plain, flat = (tool["function"]["name"] for tool in converted.declared)
    assert plain == "a__b"
    assert flat.startswith("a__b_")
    assert converted.map.resolve(flat) == Tool(flat, ToolKind.FUNCTION, "b", "a")
    assert converted.map.chat_name("b", "a") == flat
    assert converted.map.chat_name("a__b", None) == "a__b"


def test_a_collision_that_cannot_be_resolved_is_refused_f27() -> None:
    taken = names(function("a__b"), namespace("a", function("b")))[1]
    error = refusal(function("a__b"), function(taken), namespace("a", function("b")))
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, "tools")
    assert repr(taken) in error.message


def test_the_same_tool_declared_twice_is_declared_once() -> None:
    converted, adaptations = convert(function(), function(description="again"))
    assert len(converted.declared) == len(converted.map) == 1
    assert [(a.rule, a.where) for a in adaptations] == [("tools.duplicate", "tools[1]")]


def test_a_function_and_a_freeform_tool_may_share_a_name() -> None:
    """They are called by different items, so neither may hide the other."""
    converted, adaptations = convert(function("note"), custom("note"), function("note"))
    first, second = converted.map
    assert (first.chat_name, first.kind) == ("note", ToolKind.FUNCTION)
    assert (second.name, second.kind) == ("note", ToolKind.CUSTOM)
    assert second.chat_name.startswith("note_") and len(converted.declared) == 2
    assert converted.map.chat_name("note", None, ToolKind.CUSTOM) == second.chat_name
    assert converted.map.chat_name("note", None) == "note"
    assert [a.rule for a in adaptations][-1] == "tools.duplicate"


def test_the_first_tool_of_a_namespace_says_what_the_namespace_is_for() -> None:
    tools = namespace("mcp__tiny", function("add", description="Adds."), function("sub"))
    assert [tool.get("description") for tool in declared(tools)] == ["Tools.\n\nAdds.", None]


# ---------------------------------------------------------------- built-in tools


def test_a_search_for_tools_is_a_function_with_the_schema_of_the_client_f29() -> None:
    search = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": SCHEMA,
    }
    converted, adaptations = convert(search)
    expected = {"name": "tool_search", "description": "Finds tools.", "parameters": SCHEMA}
    assert converted.declared == [{"type": "function", "function": expected}]
    assert converted.map.resolve("tool_search") == Tool(
        "tool_search", ToolKind.TOOL_SEARCH, "tool_search", "", SCHEMA
    )
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == [
        ("tools.built_in", "tools[0]", False)
    ]


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch"])
def test_a_built_in_tool_is_a_function_that_says_what_it_takes(kind: str) -> None:
    (sent,) = declared({"type": kind})
    assert sent["name"] == kind and sent["description"]
    assert sent["parameters"]["required"]


def test_a_built_in_tool_does_not_hide_a_function_of_its_name() -> None:
    sent = names({"type": "shell"}, function("shell"))
    assert sent[0] == "shell" and sent[1].startswith("shell_")


def test_names_that_a_model_takes_for_its_own_are_renamed_both_ways_q31() -> None:
    profile = Profile(name="p", rename_tools={"python": "run_python"})
    converted, adaptations = convert(function("python"), profile=profile)
    assert converted.declared[0]["function"]["name"] == "run_python"
    tool = converted.map.resolve("run_python")
    assert tool is not None and tool.name == "python"
    assert converted.map.chat_name("python", None) == "run_python"
    assert [a.rule for a in adaptations] == ["tools.renamed"]


def test_a_rename_does_not_hide_a_tool_that_has_that_name() -> None:
    profile = Profile(name="p", rename_tools={"python": "run_python"})
    sent = names(function("run_python"), function("python"), profile=profile)
    assert sent[0] == "run_python"
    assert len(set(sent)) == 2


@pytest.mark.parametrize(
    ("called", "name"),
    [
        pytest.param("exec", "exec", id="as declared"),
        pytest.param("functions.exec", "exec", id="Q27"),
        pytest.param("exec<|channel|>commentary", "exec", id="Q28"),
        pytest.param("functions.exec<|constrain|>json", "exec", id="Q27 and Q28"),
        pytest.param(" exec ", "exec", id="spaces"),
        pytest.param("mcp__tiny__add", "add", id="a namespaced tool"),
        pytest.param("add", None, id="its bare name"),
        pytest.param("tiny.exec", None, id="another prefix"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_the_decorations_of_gpt_oss_are_taken_off_a_called_name(
    called: str, name: str | None
) -> None:
    converted, _ = convert(function("exec"), namespace("mcp__tiny", function("add")))
    tool = converted.map.resolve(called)
    assert (tool and tool.name) == name


def test_a_history_may_call_a_tool_that_is_no_longer_declared() -> None:
    converted, _ = convert()
    assert converted.map.chat_name("add", "mcp__gone") == "mcp__gone__add"
    assert len(converted.map.chat_name("x" * 99, None)) == 64
    assert converted.map.resolve("mcp__gone__add") is None


# ---------------------------------------------------------------- what is left out


@pytest.mark.parametrize(
    "kind", ["web_search", "image_generation", "tool_search", "file_search", "mcp", "x:y", None, 5]
)
def test_a_tool_that_no_client_runs_is_left_out_and_reported_f21_f33_q76(kind: Any) -> None:
    converted, adaptations = convert(function(), {"type": kind})
    assert [tool["function"]["name"] for tool in converted.declared] == ["f"]
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == [
        ("tools.left_out", "tools[1]", True)
    ]
    assert str(kind) in adaptations[0].what


def test_tools_beyond_the_limit_of_the_provider_are_reported() -> None:
    profile = Profile(name="p", max_tools=2)
    converted, adaptations = convert(*map(function, "abc"), profile=profile)
    assert [tool.name for tool in converted.map] == ["a", "b"]
    assert [(a.rule, a.where, a.lossy) for a in adaptations] == [
        ("tools.too_many", "tools[2]", True)
    ]


def test_more_tools_join_the_list_with_their_own_place_f22() -> None:
    converted, adaptations = convert(function("a"))
    more = [namespace("functions", function("b")), {"type": "web_search"}]
    add_tools(converted, more, GENERIC, adaptations, "input[0].tools")
    assert [tool.name for tool in converted.map] == ["a", "b"]
    assert [(a.rule, a.where) for a in adaptations] == [("tools.left_out", "input[0].tools[1]")]


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        pytest.param("f", "tools[0]", id="no object"),
        pytest.param(None, "tools[0]", id="null"),
        pytest.param({"type": "function"}, "tools[0].name", id="no name"),
        pytest.param(function(""), "tools[0].name", id="an empty name"),
        pytest.param(function(5), "tools[0].name", id="a number as name"),
        pytest.param({"type": "function", "function": {}}, "tools[0].name", id="nested, no name"),
        pytest.param(function(description=5), "tools[0].description", id="a description"),
        pytest.param(custom(description={}), "tools[0].description", id="a freeform description"),
        pytest.param(function(parameters=[]), "tools[0].parameters", id="a list of parameters"),
        pytest.param(
            function(parameters={"type": "string"}), "tools[0].parameters.type", id="no object type"
        ),
        pytest.param(
            {"type": "namespace", "tools": []}, "tools[0].name", id="a nameless namespace"
        ),
        pytest.param(
            {"type": "namespace", "name": "n"}, "tools[0].tools", id="a namespace without tools"
        ),
        pytest.param(
            namespace("n", function(""), function()), "tools[0].tools[0].name", id="inside"
        ),
    ],
)
def test_a_malformed_tool_is_refused_by_place(tool: Any, place: str) -> None:
    error = refusal(tool)
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, place)
    assert place in error.message


# ---------------------------------------------------------------- any tools

NAMES = st.sampled_from(["f", "exec", "a__b", "b", LONG, "x" * 64, "a.b", "größe", "functions"])
NAMES |= st.text(min_size=1, max_size=80)
DESCRIPTIONS = st.none() | st.just("Runs.")
PARAMETERS = st.sampled_from([None, {}, SCHEMA, {"type": None}, {"anyOf": [SCHEMA]}])
FUNCTIONS = st.builds(
    function,
    NAMES,
    description=DESCRIPTIONS,
    parameters=PARAMETERS,
    strict=st.sampled_from([None, True, False]),
)
NESTED = FUNCTIONS.map(
    lambda tool: {"type": "function", "function": {k: tool[k] for k in tool if k != "type"}}
)
CUSTOMS = st.builds(
    custom, NAMES, description=DESCRIPTIONS, format=st.sampled_from([None, GRAMMAR])
)
OTHERS = st.sampled_from(
    [
        {"type": "web_search"},
        {"type": "tool_search", "execution": "client"},
        {"type": "local_shell"},
        {"type": "shell"},
    ]
)
FLAT = FUNCTIONS | NESTED | CUSTOMS | OTHERS
SPACES = st.sampled_from(["a", "mcp__tiny", "functions", "n" * 70])
NAMESPACES = st.builds(lambda name, inner: namespace(name, *inner), SPACES, st.lists(FLAT))
TOOLS = st.lists(FLAT | NAMESPACES, min_size=1, max_size=8)


def sources(tools: list[JSON], own: str = "") -> set[tuple[str, str, str]]:
    found: set[tuple[str, str, str]] = set()
    for tool in tools:
        kind = tool["type"]
        if kind == "namespace":
            found |= sources(tool["tools"], tool["name"].replace("functions", ""))
        elif kind in ("function", "custom"):
            found.add((kind, own, tool.get("function", tool)["name"]))
        elif kind != "web_search":
            found.add((kind, "", kind))
    return found


@settings(deadline=None, max_examples=60)
@given(tools=TOOLS)
def test_any_tools_become_valid_functions_that_lead_back_i8(
    tools: list[JSON], profile: Profile
) -> None:
    converted, _ = convert(*tools, profile=profile)
    if converted.declared:
        assert check_history([USER], converted.declared) is None
    assert len(converted.declared) == len(converted.map)
    assert {(tool.kind, tool.namespace, tool.name) for tool in converted.map} == sources(tools)
    for tool in converted.map:
        assert converted.map.resolve(tool.chat_name) is tool
        assert converted.map.chat_name(tool.name, tool.namespace, tool.kind) == tool.chat_name


@settings(deadline=None, max_examples=60)
@given(tools=TOOLS, more=TOOLS)
def test_a_longer_list_of_tools_starts_with_the_same_functions_i9(
    tools: list[JSON], more: list[JSON]
) -> None:
    short, long = convert(*tools)[0].declared, convert(*tools, *more)[0].declared
    assert long[: len(short)] == short
