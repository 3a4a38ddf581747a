"""Names: what the provider calls a tool, and what the client knows it by (F25–F28).

A Chat provider knows flat names of at most 64 characters. Namespaces are flattened, names that are
too long or taken get a digest, always the same one, and the map leads every call back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from anyturn.errors import Kind, TurnError
from anyturn.translate.built_in_tools import ToolKind
from anyturn.translate.tool_names import alias_for, normalise_name

NAME_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool(msgspec.Struct, frozen=True):
    """One declared tool: the name that the provider sees, and what the client knows it by."""

    chat_name: str
    kind: ToolKind
    name: str
    namespace: str = ""
    parameters: dict[str, Any] = {}
    """The schema as the client declared it, by which arguments are judged."""


class ToolMap:
    """The tools of one request, by the provider's name and by the client's."""

    __slots__ = ("_by_chat_name", "_by_source", "_renames")

    def __init__(self, renames: dict[str, str] | None = None) -> None:
        self._renames = renames or {}
        self._by_chat_name: dict[str, Tool] = {}
        self._by_source: dict[tuple[str, str], tuple[Tool, ...]] = {}

    def __len__(self) -> int:
        return len(self._by_chat_name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._by_chat_name.values())

    def add(
        self,
        kind: ToolKind,
        name: str,
        namespace: str,
        parameters: dict[str, Any] | None = None,
    ) -> Tool | None:
        """Declare a tool; None when the same tool was declared before.

        A function and a freeform tool may share a name: they are called by different items.
        Raises `TurnError` (INVALID_REQUEST) when no name is left for it (F27).
        """
        source = self._by_source.get((namespace, name), ())
        if any(tool.kind is kind for tool in source):
            return None
        flat = self._flat_name(namespace, name)
        if flat in self._by_chat_name:
            flat = _hashed(flat, namespace, f"{name}\0{kind}" if source else name)
        if flat in self._by_chat_name:
            raise TurnError(
                Kind.INVALID_REQUEST,
                f"Invalid request: tools holds two tools that would both be called {flat!r}.",
                param="tools",
            )
        tool = Tool(flat, kind, name, namespace, parameters or {})
        self._by_chat_name[flat] = tool
        self._by_source[namespace, name] = (*source, tool)
        return tool

    def allow(self, chat_names: Collection[str]) -> None:
        """Let these tools be called and no others. All keep the names they have in the history."""
        self._by_chat_name = {
            name: tool for name, tool in self._by_chat_name.items() if name in chat_names
        }

    def find(
        self, name: str, namespace: Any = None, kind: ToolKind = ToolKind.FUNCTION
    ) -> Tool | None:
        """The tool that a client means: of this kind, else the first declared of that name."""
        source = self._by_source.get((plain_namespace(namespace), name), ())
        same = (tool for tool in source if tool.kind is kind)
        return next(same, source[0] if source else None)

    def in_namespace(self, namespace: str) -> list[Tool]:
        """The tools of one namespace, in the order of their declaration."""
        return [tool for tool in self if tool.namespace == plain_namespace(namespace)]

    def chat_name(
        self, name: str, namespace: Any = None, kind: ToolKind = ToolKind.FUNCTION
    ) -> str:
        """The provider's name of a tool that a call in the history used, declared now or not."""
        tool = self.find(name, namespace, kind)
        return tool.chat_name if tool else self._flat_name(plain_namespace(namespace), name)

    def resolve(self, chat_name: str) -> Tool | None:
        """The tool that the provider called, or None when it was not declared.

        Models write decorations around a name (Q27, Q28): they are taken off when the name as it
        stands is unknown.
        """
        tool = self._by_chat_name.get(chat_name)
        if tool is None and (name := normalise_name(chat_name, self._by_chat_name)):
            tool = self._by_chat_name[name]
        return tool

    def guess(self, chat_name: str, arguments: str) -> tuple[Tool, str] | None:
        """The tool that a whole call under an unknown name can only have meant (Q28, Q30).

        With the arguments as that tool takes them. None when nothing can be said safely.
        """
        functions = {
            tool.chat_name: tool.parameters for tool in self if tool.kind is not ToolKind.CUSTOM
        }
        found = alias_for(chat_name, arguments, functions)
        return (self._by_chat_name[found[0]], found[1]) if found else None

    def _flat_name(self, namespace: str, name: str) -> str:
        flat = f"{namespace}__{name}" if namespace else name
        flat = self._renames.get(flat, flat)
        if _NAME.fullmatch(flat):
            return flat
        return _hashed(re.sub(r"[^A-Za-z0-9_-]", "_", flat), namespace, name)


def _hashed(flat: str, namespace: str, name: str) -> str:
    """`flat` cut to size, made unique by a digest of the real name: the same every time (F27)."""
    digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:8]
    return f"{flat[: NAME_MAX - 9]}_{digest}"


def plain_namespace(namespace: Any) -> str:
    """The namespace of a tool, '' for none: Codex takes `functions` for none (F26)."""
    return namespace if isinstance(namespace, str) and namespace != "functions" else ""
