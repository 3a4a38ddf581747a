"""`GET /v1/models`: one body that OpenAI clients and Codex both read (F69).

Without an entry Codex prints a warning, believes in a window of 272,000 tokens, compacts far too
late and offers no apply_patch (codex-cli.md section 5). One bad entry makes it discard all, so
entries are built here and never passed through.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from anyturn.errors import TurnError
from anyturn.routing import Routing, Target
from anyturn.upstream import ProviderClient
from anyturn.wire.profile import Profile

log = logging.getLogger("anyturn")

# Codex gives up on the catalogue after 5 s; a provider gets less than half of that.
_LIST_TIMEOUT_S = 2.0
_FRESH_S = 300.0
_RETRY_S = 30.0
_MODELS_MAX = 500
# Far above any model; a number that Codex cannot hold would make it discard the catalogue.
_WINDOW_MAX = 1_000_000_000
# Codex compacts when the last turn's tokens reach the limit; the rest of the window must hold
# one more answer and one more tool output.
_COMPACT_AT = 0.84

_EFFORT_WORDS = {
    "none": "No reasoning",
    "minimal": "Hardly any reasoning",
    "low": "Light reasoning, fast",
    "medium": "Balanced reasoning",
    "high": "Deep reasoning",
    "xhigh": "Very deep reasoning",
    "max": "As deep as it goes",
}

BASE_INSTRUCTIONS = """\
You are a coding agent. You run in the Codex CLI on the user's computer, inside a terminal.

Work on the task until it is done. Look before you change: read the files that matter, and follow \
the conventions that you find there. Run shell commands with exec_command; when a command is still \
running, use write_stdin to wait for it or to answer it. Edit files with apply_patch: its input \
is one raw patch that begins with '*** Begin Patch' and ends with '*** End Patch'. Prefer small \
patches over rewriting whole files.

Call tools only by the names that are declared to you, and never print a tool call as text. When a \
tool fails, read what it says, correct the call and try again. Do not undo changes that you did \
not make, and do not commit unless you are asked to.

When you are finished, check the result by running it or its tests, then say briefly what you did \
and what remains."""


def catalogue_entry(slug: str, model: str, profile: Profile, priority: int) -> dict[str, Any]:
    """Codex's entry for `model`, shown and asked for as `slug`.

    `profile` is the provider's, with the facts of `model` laid over it.
    """
    default_effort = "medium" if "medium" in profile.efforts else None
    return {
        "slug": slug,
        "display_name": slug,
        "description": f"{model} served by {profile.label} through Anyturn.",
        "default_reasoning_level": default_effort,
        "supported_reasoning_levels": [
            {"effort": effort, "description": _EFFORT_WORDS.get(effort, effort)}
            for effort in profile.efforts
        ],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": BASE_INSTRUCTIONS,
        "supports_reasoning_summary_parameter": True,
        "default_reasoning_summary": "auto",
        "support_verbosity": profile.wire == "responses" or "verbosity" in profile.params,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "context_window": profile.context_window,
        "max_context_window": profile.context_window,
        "auto_compact_token_limit": int(profile.context_window * _COMPACT_AT),
        "effective_context_window_percent": 95,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if profile.user_images else ["text"],
        # Tools stay in the tool list, where a Chat model can see them (F22).
        "supports_search_tool": False,
        "use_responses_lite": False,
    }


class Catalogue:
    """The models that clients may ask for: the default, the aliases, and the provider's own."""

    def __init__(self, routing: Routing, client: ProviderClient) -> None:
        self._routing = routing
        self._client = client
        self._listed: list[tuple[str, int | None]] = []
        self._stale_at = 0.0
        self._fetching = asyncio.Lock()

    async def listing(self) -> dict[str, Any]:
        """The body of `GET /v1/models`."""
        await self._refresh()
        names = dict.fromkeys(self._own_names())
        windows = dict(self._listed)
        names.update(dict.fromkeys(windows))
        entries: list[dict[str, Any]] = []
        data: list[dict[str, Any]] = []
        for name in list(names)[:_MODELS_MAX]:
            target = self._target(name)
            if target is None:
                continue
            profile = _with_window(target, windows.get(name))
            entries.append(catalogue_entry(name, target.model, profile, len(entries) + 1))
            data.append(
                {"id": name, "object": "model", "created": 0, "owned_by": target.profile.name}
            )
        return {"object": "list", "data": data, "models": entries}

    def window(self, name: str, target: Target) -> int:
        """The context window that Codex was told for a model of this name."""
        return dict(self._listed).get(name) or target.profile.context_window

    def _target(self, name: str) -> Target | None:
        """Where a listed name leads; None for one that cannot be used, its key being missing."""
        try:
            return self._routing.resolve(name)
        except TurnError as error:
            log.warning("%s is not listed: %s", name, error.message)
            return None

    def _own_names(self) -> list[str]:
        default = self._routing.default.model
        return [*([default] if default else []), *self._routing.aliases]

    async def _refresh(self) -> None:
        async with self._fetching:
            if time.monotonic() < self._stale_at:
                return
            target = self._routing.default
            models = await self._client.models(target.profile, target.api_key, _LIST_TIMEOUT_S)
            if models:
                self._listed = [_read_model(m) for m in models if _has_id(m)]
                self._routing.learn(name for name, _ in self._listed)
            self._stale_at = time.monotonic() + (_FRESH_S if models else _RETRY_S)


def _has_id(model: Any) -> bool:
    return isinstance(model, dict) and isinstance(model.get("id"), str) and bool(model["id"])


def _read_model(model: dict[str, Any]) -> tuple[str, int | None]:
    """A provider's entry as name and context window, under the names that providers use."""
    for field in ("context_window", "context_length", "max_model_len", "max_context_length"):
        window = model.get(field)
        if type(window) is int and 0 < window <= _WINDOW_MAX:
            return model["id"], window
    return model["id"], None


def _with_window(target: Target, window: int | None) -> Profile:
    return target.profile.replacing(context_window=window) if window else target.profile
