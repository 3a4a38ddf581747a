from __future__ import annotations

import pytest

from anyturn.errors import TurnError
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.tool_map import Tool, ToolMap


@pytest.fixture
def tools() -> ToolMap:
    tools = ToolMap()
    tools.add(ToolKind.FUNCTION, "exec", "")
    tools.add(ToolKind.CUSTOM, "patch", "editor")
    tools.add(ToolKind.FUNCTION, "undo", "editor")
    return tools


@pytest.mark.parametrize(
    ("name", "namespace", "kind", "chat_name"),
    [
        pytest.param("exec", None, ToolKind.FUNCTION, "exec", id="no namespace"),
        pytest.param("exec", "functions", ToolKind.FUNCTION, "exec", id="F26 functions is none"),
        pytest.param("exec", 5, ToolKind.FUNCTION, "exec", id="a namespace that is no text"),
        pytest.param("patch", "editor", ToolKind.CUSTOM, "editor__patch", id="F25 namespaced"),
        pytest.param("patch", "editor", ToolKind.FUNCTION, "editor__patch", id="of another kind"),
        pytest.param("gone", "editor", ToolKind.FUNCTION, "editor__gone", id="no longer declared"),
    ],
)
def test_a_call_of_the_history_finds_the_name_of_its_tool(
    tools: ToolMap, name: str, namespace: object, kind: ToolKind, chat_name: str
) -> None:
    assert tools.chat_name(name, namespace, kind) == chat_name


def test_the_tools_of_a_namespace_are_found_in_their_order(tools: ToolMap) -> None:
    assert [tool.name for tool in tools.in_namespace("editor")] == ["patch", "undo"]
    assert [tool.name for tool in tools.in_namespace("functions")] == ["exec"]
    assert tools.in_namespace("gone") == []


def test_only_allowed_tools_are_found_and_guessed_but_all_keep_their_names(tools: ToolMap) -> None:
    """F32."""
    tools.allow(["editor__undo"])
    assert [tool.chat_name for tool in tools] == ["editor__undo"]
    assert tools.resolve("exec") is None and tools.guess("bash", '{"cmd":"ls"}') is None
    assert tools.chat_name("exec") == "exec"


def test_a_call_under_a_role_is_the_built_in_tool_that_alone_takes_its_arguments() -> None:
    """Q28: gpt-oss writes the channel where the name belongs."""
    tools = ToolMap()
    schema = {"properties": {"query": {}}, "required": ["query"]}
    search = tools.add(ToolKind.TOOL_SEARCH, "tool_search", "", schema)
    assert tools.guess("commentary", '{"query":"add"}') == (search, '{"query":"add"}')


def test_three_tools_of_one_name_get_three_names_or_are_refused_f27() -> None:
    tools = ToolMap()
    kinds = (ToolKind.FUNCTION, ToolKind.CUSTOM, ToolKind.SHELL)
    names = [tool.chat_name for kind in kinds if (tool := tools.add(kind, "shell", ""))]
    assert len(set(names)) == 3 and names[0] == "shell"
    taken = ToolMap()
    taken.add(ToolKind.FUNCTION, names[1], "")
    taken.add(ToolKind.FUNCTION, "shell", "")
    with pytest.raises(TurnError, match="would both be called"):
        taken.add(ToolKind.CUSTOM, "shell", "")


def test_the_same_tool_is_declared_once(tools: ToolMap) -> None:
    assert tools.add(ToolKind.FUNCTION, "exec", "") is None
    assert tools.resolve("exec") == Tool("exec", ToolKind.FUNCTION, "exec")
