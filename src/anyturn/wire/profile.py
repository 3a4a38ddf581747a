"""A provider's facts, as one value. The table of providers is data: `providers/table.toml`.

A new field must serve real providers: the Q-number or chat-providers.md section beside it says
which. Everything has the default that satisfies the strictest common form.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

# What a Chat Completions server that documents nothing is assumed to take. Anything else that a
# request asks for is left out and reported (chat-providers.md section 1, rule 1).
COMMON_PARAMS = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "seed",
    "logprobs",
    "top_logprobs",
)

RESPONSES_PARAMS = (
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "max_output_tokens"),
    *("max_tool_calls", "temperature", "top_p", "top_logprobs", "metadata", "user", "truncation"),
    *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"),
    *("presence_penalty", "frequency_penalty", "stream_options", "client_metadata"),
)

EVERY_TOOL = "*"
"""Stands in `responses_tools` for the types of tools that the Responses API knows, all of them."""

_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs for the models whose name matches `match` (a regular expression, searched).

    `facts` are profile fields that replace the provider's.
    """

    match: str
    facts: dict[str, Any] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one provider bends Chat Completions."""

    name: str
    title: str = ""
    """The name in sentences; `name` when empty."""
    base_url: str = ""
    wire: Literal["chat", "responses"] = "chat"
    """What the server speaks (chat-providers.md section 7, native Responses)."""
    chat_path: str = "/chat/completions"
    responses_path: str = "/responses"
    models_path: str = "/models"
    """Empty when the provider cannot list its models."""

    # -- credentials
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, first found wins."""
    key_optional: bool = False
    auth: Literal["bearer", "api-key", "none", "chatgpt", "client"] = "bearer"
    """`chatgpt`: the tokens of a ChatGPT login; `client`: the client's own bearer, sent on."""
    headers: dict[str, str] = {}

    # -- the model, for the catalogue that Codex reads
    default_model: str = ""
    context_window: int = 131072
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """Reasoning efforts that the model knows; empty when it has no such control."""
    user_images: bool = True

    # -- messages
    developer_role: Literal["system", "developer"] = "system"
    """F5, F7."""
    system_position: Literal["head", "any"] = "head"
    """`head`: one system message, first; later ones become user messages (F6, Q64)."""
    image_urls: bool = True
    """False: only `data:` URLs (Ollama)."""
    user_files: bool = False
    user_audio: bool = False
    user_after_tool: bool = True
    """False: an assistant message must stand between a tool result and a user message (Q65)."""
    assistant_last: Literal["keep", "bridge"] = "bridge"
    """Whether a history may end with an assistant message (codex-cli.md section 2.2)."""
    merge_same_role: bool = False
    """True: consecutive user messages are joined (Q65)."""
    assistant_empty: Literal["null", "empty", "omit"] = "null"
    """The content of an assistant message that only calls tools (Q71)."""
    call_id_max: int = 64
    call_id_exact: int = 0
    """Not 0: ids have exactly this many letters and digits (Mistral: 9)."""

    # -- tools
    max_tools: int = 128
    tool_strict: Literal["drop", "keep"] = "drop"
    tool_choice: tuple[Literal["auto", "none", "required", "named"], ...] = (
        "auto",
        "none",
        "required",
        "named",
    )
    tool_choice_required_as: str = "required"
    parallel_tool_calls: Literal["send", "omit", "force_false"] = "omit"
    schema_drop: tuple[str, ...] = ("$schema", "$id")
    """Keywords of tool schemas that the provider refuses (F30)."""
    schema_rules: tuple[str, ...] = ()
    """How else tool schemas must be rewritten: the names in `translate/schemas.py`."""
    rename_tools: dict[str, str] = {}
    """Tool names that the model takes for its own built-ins (Q31)."""

    # -- output format
    json_schema: bool = True
    json_with_tools: bool = True
    """False: a JSON format next to tools is refused, so it is asked for in words (section 1.4)."""

    # -- parameters
    params: tuple[str, ...] = COMMON_PARAMS
    """Chat parameters that are sent when the client asks for them."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_tokens_default: int = 0
    """Sent when the client sets no limit; 0: none is sent (F37)."""
    stream_usage: Literal["include_usage", "always"] = "include_usage"
    """`always`: usage comes unasked and `stream_options` is refused (Mistral)."""
    extra_body: dict[str, Any] = {}

    # -- reasoning
    reasoning_param: Literal[
        "reasoning_effort",
        "reasoning.effort",
        "reasoning.enabled",
        "thinking.type",
        "enable_thinking",
        "chat_template_kwargs",
        "none",
    ] = "reasoning_effort"
    effort_map: dict[str, str] = msgspec.field(default_factory=lambda: dict(_EFFORTS))
    """Responses effort to the provider's; an effort that is missing is not sent (F36)."""
    reasoning_extra: dict[str, Any] = {}
    reasoning_out: str = ""
    """The field of an assistant message that takes reasoning back; empty: none (F8, F9, Q17).

    `reasoning_details` takes the parts as they came (Q18), `think_tags` stands for a <think> block
    in the content (Q19).
    """
    reasoning_text_out: str = ""
    """Beside `reasoning_details`: the field that takes words whose details are gone."""
    reasoning_signed: bool = False
    """True: words without a signature are refused (Anthropic behind OpenRouter, section 2.8)."""
    reasoning_replay: Literal["never", "tool_turns", "always"] = "never"
    reasoning_missing: Literal["omit", "space"] = "omit"
    """What stands in for reasoning that a client dropped where the provider insists (Q21, Q22)."""
    think_tags: bool = False
    """True: a leading <think> block in the content is reasoning (Q19, F50)."""
    think_tags_kept: bool = False
    """True: reasoning that came as such a block goes back as one (MiniMax, Q19)."""
    missing_signature: str = ""
    """What stands in for a thought signature that is gone; empty: nothing (Gemini, Q24)."""

    # -- calls that the server did not read
    text_calls: tuple[
        Literal["harmony", "hermes", "function_tags", "glm", "mistral", "json"], ...
    ] = ()
    """The forms in which an answer that is nothing but calls is taken for calls (F48, F49, Q42).

    What they look like: `translate/leaked_forms.py`.
    """

    # -- a server that speaks Responses
    responses_params: tuple[str, ...] = RESPONSES_PARAMS
    """Request members that it takes; whatever else was asked for is left out and reported."""
    responses_tools: tuple[str, ...] = ("function",)
    """Types of tools that it takes; others become functions or are left out (F21, section 7)."""
    instructions: Literal["keep", "lift"] = "keep"
    """`lift`: leading system messages are sent as `instructions` (clients.md section 3.2)."""
    reasoning_back: Literal["as_it_came", "sealed"] = "as_it_came"
    """`sealed`: only with the server's own seal, and without its words (clients.md section 3)."""
    tool_types: dict[str, str] = {}
    """Types of tools that it knows under another name (clients.md section 3.2)."""
    own_compaction: bool = False
    """True: it knows `compaction_trigger`, and answers it itself (codex-cli.md section 6)."""
    client_headers: tuple[str, ...] = ()
    """Headers of the client that go on to the server, in small letters (F72)."""

    # -- usage and limits
    usage_cached: tuple[str, ...] = ("prompt_tokens_details.cached_tokens",)
    """Paths inside `usage`, first found wins (Q63)."""
    usage_reasoning: tuple[str, ...] = ("completion_tokens_details.reasoning_tokens",)
    usage_reasoning_included: bool = True
    """False: reasoning tokens come on top of the completion tokens (Q62, xAI)."""
    reset_headers: tuple[str, ...] = ()
    """Rate-limit headers that say when to come back, in seconds or as `1m2.5s`."""

    models: tuple[ModelFacts, ...] = ()

    @property
    def label(self) -> str:
        """The provider's name in a sentence."""
        return self.title or self.name

    @property
    def path(self) -> str:
        """Where answers are asked for, behind the base URL."""
        return self.responses_path if self.wire == "responses" else self.chat_path

    @property
    def speaks(self) -> str:
        """The API that is spoken there, in a sentence."""
        return "Responses" if self.wire == "responses" else "Chat Completions"

    @property
    def model_env(self) -> str:
        """The environment variable that names the model: `CEREBRAS_MODEL`."""
        return f"{self.name.upper().replace('-', '_')}_MODEL"

    def for_model(self, model: str) -> Profile:
        """This profile with the facts of every matching entry of `models` laid over it in order."""
        profile = self
        for entry in self.models:
            if re.search(entry.match, model):
                profile = profile.replacing(**entry.facts)
        return profile

    def replacing(self, **facts: Any) -> Profile:
        """This profile with other values for some fields; raises `msgspec.ValidationError`."""
        replaced: Profile = msgspec.convert({**msgspec.to_builtins(self), **facts}, type(self))
        return replaced
