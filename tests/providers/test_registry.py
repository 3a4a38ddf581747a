from __future__ import annotations

import re
from importlib import resources
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.providers import (
    UnknownProvider,
    find,
    for_base_url,
    generic,
    is_local,
    load_table,
    names,
    retired_on,
    with_changes,
)
from anyturn.translate.schema_rules import Rule
from anyturn.wire.profile import COMMON_PARAMS, Profile

LOCAL = {"vllm", "sglang", "ollama", "llamacpp", "lmstudio"}
EXTRA_PARAMS = {
    "metadata",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
}
# One id of every family that the table tells apart.
MODELS = [
    ("cerebras", "gpt-oss-120b"),
    ("cerebras", "zai-glm-4.7"),
    ("cerebras", "gemma-4-31b"),
    ("groq", "openai/gpt-oss-120b"),
    ("groq", "qwen/qwen3-32b"),
    ("groq", "qwen3.8-27b"),
    ("groq", "llama-3.3-70b-versatile"),
    ("together", "openai/gpt-oss-20b"),
    ("together", "moonshotai/Kimi-K2.6"),
    ("together", "Qwen/Qwen3-235B"),
    ("moonshot", "kimi-k3"),
    ("moonshot", "kimi-k2.6"),
    ("zai", "glm-5.3"),
    ("zai", "glm-4.7"),
    ("dashscope", "qwen3.8-max"),
    ("minimax", "MiniMax-M2.7"),
    ("minimax", "MiniMax-M3"),
    ("mistral", "mistral-small-latest"),
    ("mistral", "magistral-medium-latest"),
    ("xai", "grok-4.3"),
    ("xai", "grok-4.5"),
    ("xai", "grok-4.6"),
    ("xai", "grok-code-fast-1"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-3.1-pro"),
    ("nvidia_nim", "openai/gpt-oss-120b"),
    ("nvidia_nim", "mistralai/devstral-2"),
    ("huggingface", "openai/gpt-oss-120b:cerebras"),
    ("sambanova", "gpt-oss-120b"),
    *((name, "") for name in names()),
]


def profile_of(name: str, model: str) -> Profile:
    return find(name).for_model(model)


# ---------------------------------------------------------------- the table


def test_the_table_is_shipped_beside_its_reader() -> None:
    assert resources.files("anyturn.providers").joinpath("table.toml").is_file()


@pytest.mark.parametrize("name", names())
def test_every_entry_of_models_is_a_pattern_with_fields_that_fit(name: str) -> None:
    profile = load_table()[name]
    for entry in profile.models:
        re.compile(entry.match)
        assert profile.replacing(**entry.facts) != profile or entry.facts == {}


@pytest.mark.parametrize("name", [n for n in names() if n not in LOCAL])
def test_a_hosted_provider_is_reached_over_tls_with_a_key(name: str) -> None:
    profile = find(name)
    assert profile.base_url.startswith("https://") or name == "azure"
    assert profile.key_env and not profile.key_optional


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_a_server_of_ones_own_needs_no_key(name: str) -> None:
    assert find(name).key_optional and is_local(find(name).base_url)


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_an_effort_that_is_offered_is_one_that_is_sent(name: str, model: str) -> None:
    profile = profile_of(name, model)
    assert set(profile.efforts) <= set(profile.effort_map)
    assert not (profile.efforts and profile.reasoning_param == "none")


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_params_are_parameters_of_chat_completions(name: str, model: str) -> None:
    params = profile_of(name, model).params
    assert set(params) <= {*COMMON_PARAMS, *EXTRA_PARAMS}
    assert len(set(params)) == len(params)


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_reasoning_goes_back_only_in_a_field_that_is_named(name: str, model: str) -> None:
    profile = profile_of(name, model)
    assert bool(profile.reasoning_out) == (profile.reasoning_replay != "never")


@pytest.mark.parametrize("name", names())
def test_gpt_oss_never_hears_a_name_of_its_own_built_ins(name: str) -> None:
    renamed = profile_of(name, "openai/gpt-oss-120b").rename_tools
    assert set(renamed) == {"python", "browser", "bash"}


@pytest.mark.parametrize("name", names())
def test_only_gpt_oss_is_watched_for_calls_in_its_text(name: str) -> None:
    """F48; the forms of others may also be the beginning of an answer (Q42)."""
    assert profile_of(name, "openai/gpt-oss-120b").text_calls == ("harmony",)
    assert profile_of(name, "some-model").text_calls == ()


@pytest.mark.parametrize("name", names())
def test_reasoning_of_gpt_oss_is_never_switched_off(name: str) -> None:
    assert profile_of(name, "gpt-oss-120b").effort_map["none"] in ("low", "high")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Cerebras"),
        ("base_url", "https://api.cerebras.ai/v1"),
        ("key_env", ("CEREBRAS_API_KEY",)),
        ("default_model", "gpt-oss-120b"),
        ("context_window", 131072),
        ("user_images", False),
        ("max_tokens_field", "max_completion_tokens"),
        ("max_tokens_default", 16384),
        ("json_with_tools", False),
        ("reasoning_out", "reasoning"),
        ("parallel_tool_calls", "send"),
        ("tool_strict", "drop"),
        ("efforts", ("low", "medium", "high")),
    ],
)
def test_cerebras_is_what_its_documentation_says(field: str, value: object) -> None:
    assert getattr(profile_of("cerebras", "gpt-oss-120b"), field) == value


def test_cerebras_takes_no_penalties_and_no_book_keeping_but_its_own() -> None:
    assert set(find("cerebras").params) == {
        "temperature",
        "top_p",
        "stop",
        "seed",
        "logprobs",
        "top_logprobs",
        "prompt_cache_key",
        "service_tier",
    }


@pytest.mark.parametrize(
    ("name", "model", "effort", "sent"),
    [
        ("cerebras", "gpt-oss-120b", "minimal", "low"),
        ("cerebras", "gpt-oss-120b", "xhigh", "high"),
        ("cerebras", "zai-glm-4.7", "none", "none"),
        ("cerebras", "zai-glm-4.7", "high", None),
        ("openai", "gpt-5.5", "xhigh", "xhigh"),
        ("deepseek", "deepseek-v4-pro", "medium", "high"),
        ("deepseek", "deepseek-v4-pro", "none", None),
        ("moonshot", "kimi-k3", "none", None),
        ("xai", "grok-4.5", "none", "low"),
        ("gemini", "gemini-3.1-pro", "minimal", "low"),
        ("sambanova", "gpt-oss-120b", "low", "high"),
    ],
)
def test_an_effort_becomes_one_that_the_model_knows(
    name: str, model: str, effort: str, sent: str | None
) -> None:
    assert profile_of(name, model).effort_map.get(effort) == sent


# ---------------------------------------------------------------- by name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("cerebras", "cerebras"),
        (" Cerebras ", "cerebras"),
        ("kimi", "moonshot"),
        ("glm", "zai"),
        ("qwen", "dashscope"),
        ("grok", "xai"),
        ("llama.cpp", "llamacpp"),
    ],
)
def test_a_provider_is_found_by_name_and_alias(asked: str, name: str) -> None:
    assert find(asked).name == name


@pytest.mark.parametrize(
    ("asked", "nearest"), [("cerebra", "cerebras"), ("kimmi", "kimi"), ("boxx", "box"), ("?", "")]
)
def test_an_unknown_name_comes_with_the_nearest_known_one(asked: str, nearest: str) -> None:
    with pytest.raises(UnknownProvider) as caught:
        find(asked, {"box": Profile(name="box")})
    assert (caught.value.name, caught.value.nearest) == (asked, nearest)
    assert repr(asked) in str(caught.value)


def test_what_was_configured_stands_before_the_table_under_every_name() -> None:
    mine = Profile(name="moonshot", base_url="http://localhost:1/v1")
    assert find("moonshot", {"moonshot": mine}) is mine
    assert find("kimi", {"moonshot": mine}) is mine


def test_a_service_that_ended_is_known_as_such() -> None:
    assert retired_on("github_models") == "2026-07-30"
    assert retired_on("cerebras") == retired_on("box") == ""


# ---------------------------------------------------------------- by address


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.cerebras.ai/v1", "cerebras"),
        ("https://API.Cerebras.AI:443/other", "cerebras"),
        ("https://api.moonshot.cn/v1", "moonshot"),
        ("https://open.bigmodel.cn/api/coding/paas/v4", "zai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:1234/v1", "lmstudio"),
        ("http://[::1]:30000/v1", "sglang"),
    ],
)
def test_an_address_tells_who_stands_there(url: str, name: str) -> None:
    profile = for_base_url(url)
    assert profile is not None
    assert (profile.name, profile.base_url) == (name, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://localhost:8080/v1",
        "http://localhost/v1",
        "http://gpu:11434/v1",
        "https://api.cerebras.ai.example.org/v1",
        "https://openai.azure.com/v1",
        "https://",
        "http://[::1",
        "http://host:port",
        "",
    ],
)
def test_an_address_that_anybody_may_have_tells_nothing(url: str) -> None:
    assert for_base_url(url) is None


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://LOCALHOST", True),
        ("http://127.3.2.1:9", True),
        ("http://[::1]:9/v1", True),
        ("http://127.0.0.1.example.org", False),
        ("http://localhost.example.org", False),
        ("http://10.0.0.1", False),
        ("http://0.0.0.0", False),
        ("localhost:8000", False),
        ("", False),
    ],
)
def test_only_loopback_addresses_are_local(url: str, local: bool) -> None:
    assert is_local(url) is local


@given(st.one_of(st.text(), st.text().map("http://{}".format)))
def test_no_text_breaks_the_reading_of_addresses(url: str) -> None:
    assert is_local(url) in (True, False)
    assert for_base_url(url) is None or isinstance(for_base_url(url), Profile)


def test_an_unknown_server_gets_the_strictest_profile() -> None:
    profile = generic("http://gpu:9000/v1/")
    assert profile.base_url == "http://gpu:9000/v1"
    assert (profile.name, profile.label) == ("custom", "gpu:9000")
    assert profile.params == COMMON_PARAMS
    assert profile.efforts == () and profile.parallel_tool_calls == "omit"


# ---------------------------------------------------------------- changes


def test_changes_leave_the_rest_and_come_after_what_is_known_of_models() -> None:
    changed = with_changes(
        find("cerebras"), {"user_images": True, "models": [{"match": "oss", "efforts": ["low"]}]}
    )
    assert changed.user_images and changed.reasoning_out == "reasoning"
    assert changed.for_model("gpt-oss-120b").efforts == ("low",)
    assert changed.for_model("gpt-oss-120b").rename_tools["bash"] == "run_bash"


def test_every_schema_rule_of_the_table_is_known() -> None:
    """F30: the names are translate/schemas.py's."""
    used = {rule for profile in load_table().values() for rule in profile.schema_rules}
    assert used
    assert used <= set(get_args(Rule))
