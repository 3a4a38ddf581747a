from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.config import ConfigError, load_settings
from anyturn.errors import Kind, TurnError
from anyturn.providers import names
from anyturn.routing import Routing, Target

SECRET = "sk-do-not-show-0123456789"
CEREBRAS = {"CEREBRAS_API_KEY": SECRET}


def routing(directory: Path, environ: dict[str, str], text: str = "", **flags: str) -> Routing:
    (directory / "anyturn.toml").write_text(text, encoding="utf-8")
    return Routing(load_settings(flags, environ, directory), environ)


def complaint(directory: Path, environ: dict[str, str], text: str = "", **flags: str) -> str:
    with pytest.raises(ConfigError) as caught:
        routing(directory, environ, text, **flags)
    return str(caught.value)


def where(target: Target) -> tuple[str, str]:
    return target.profile.name, target.model


# ---------------------------------------------------------------- the default provider


def test_one_key_in_the_environment_is_all_that_is_needed(tmp_path: Path) -> None:
    default = routing(tmp_path, CEREBRAS).default
    assert where(default) == ("cerebras", "gpt-oss-120b")
    assert (default.api_key, default.key_source) == (SECRET, "CEREBRAS_API_KEY")
    assert default.profile.base_url == "https://api.cerebras.ai/v1"


def test_several_keys_need_a_choice(tmp_path: Path) -> None:
    environ = {**CEREBRAS, "GROQ_API_KEY": SECRET}
    said = complaint(tmp_path, environ)
    assert "Cerebras (CEREBRAS_API_KEY), Groq (GROQ_API_KEY)" in said
    assert "\n  export ANYTURN_PROVIDER=groq" in said
    assert routing(tmp_path, environ, provider="groq").default.profile.name == "groq"


def test_no_key_at_all_lists_the_ways_out(tmp_path: Path) -> None:
    said = complaint(tmp_path, {"CEREBRAS_API_KEY": " "}, '[providers.box]\nlike = "vllm"\n')
    for line in (
        "\n  export CEREBRAS_API_KEY=YOUR-KEY\n",
        "\n  export ANYTURN_PROVIDER=ollama ANYTURN_MODEL=MODEL\n",
        "\n  export ANYTURN_BASE_URL=http://localhost:8000/v1 ANYTURN_MODEL=MODEL\n",
    ):
        assert line in said
    assert "anyturn login chatgpt; export ANYTURN_PROVIDER=chatgpt" in said
    assert {*names(), "box"} - {"github_models", "chatgpt"} <= set(said.replace(",", " ").split())


def test_a_token_that_everybody_has_does_not_choose_a_service_that_ended(tmp_path: Path) -> None:
    environ = {**CEREBRAS, "GITHUB_TOKEN": "t"}
    assert routing(tmp_path, environ).default.profile.name == "cerebras"
    said = complaint(tmp_path, environ, provider="github_models")
    assert said == "GitHub Models ended its service on 2026-07-30. Choose another provider."


@pytest.mark.parametrize(
    ("flags", "name", "address"),
    [
        (
            {"base_url": "https://api.groq.com/openai/v1"},
            "groq",
            "https://api.groq.com/openai/v1",
        ),
        ({"base_url": "http://localhost:11434/v1/"}, "ollama", "http://localhost:11434/v1"),
        ({"base_url": "http://localhost:8000/v1"}, "custom", "http://localhost:8000/v1"),
        (
            {"base_url": "http://gpu:8000/v1", "provider": "vllm"},
            "vllm",
            "http://gpu:8000/v1",
        ),
        (
            {"base_url": "https://x.openai.azure.com/openai/v1", "provider": "azure"},
            "azure",
            "https://x.openai.azure.com/openai/v1",
        ),
        ({"provider": "llama.cpp"}, "llamacpp", "http://localhost:8080/v1"),
        ({"provider": "kimi"}, "moonshot", "https://api.moonshot.ai/v1"),
    ],
    ids=str,
)
def test_provider_and_address_say_which_profile_stands_where(
    tmp_path: Path, flags: dict[str, str], name: str, address: str
) -> None:
    environ = dict.fromkeys(["GROQ_API_KEY", "AZURE_OPENAI_API_KEY", "KIMI_API_KEY"], SECRET)
    profile = routing(tmp_path, environ, **flags).default.profile
    assert (profile.name, profile.base_url) == (name, address)


def test_what_the_file_says_of_a_provider_holds_at_its_address_too(tmp_path: Path) -> None:
    text = "[providers.cerebras]\ncontext_window = 8192\n[providers.custom]\nthink_tags = false\n"
    known = routing(tmp_path, CEREBRAS, text, base_url="https://api.cerebras.ai/v1")
    assert known.default.profile.context_window == 8192
    unknown = routing(tmp_path, {}, text, base_url="http://localhost:8000/v1")
    assert not unknown.default.profile.think_tags
    assert unknown.default.profile.base_url == "http://localhost:8000/v1"


def test_azure_cannot_be_asked_without_an_address(tmp_path: Path) -> None:
    said = complaint(tmp_path, {"AZURE_OPENAI_API_KEY": SECRET})
    assert "--base-url" in said and "[providers.azure]" in said


def test_a_profile_comes_with_the_facts_of_its_model(tmp_path: Path) -> None:
    default = routing(tmp_path, CEREBRAS).default
    assert default.profile.rename_tools["bash"] == "run_bash"
    assert routing(tmp_path, CEREBRAS).resolve("gemma-4-31b").profile.user_images


# ---------------------------------------------------------------- keys


def test_a_missing_key_is_said_with_the_line_that_sets_it(tmp_path: Path) -> None:
    said = complaint(tmp_path, {}, provider="cerebras")
    assert said.startswith("There is no key for Cerebras: CEREBRAS_API_KEY is not set.")
    assert "\n  export CEREBRAS_API_KEY=YOUR-KEY\n" in said


def test_the_first_variable_that_is_set_holds_the_key(tmp_path: Path) -> None:
    environ = {"MOONSHOT_API_KEY": "", "MOONSHOTAI_API_KEY": " second\n", "KIMI_API_KEY": "third"}
    default = routing(tmp_path, environ).default
    assert (default.api_key, default.key_source) == ("second", "MOONSHOTAI_API_KEY")


def test_a_named_variable_is_the_only_one_that_counts(tmp_path: Path) -> None:
    flags = {"provider": "cerebras", "api_key_env": "WORK_KEY"}
    environ = {**CEREBRAS, "WORK_KEY": "work"}
    assert routing(tmp_path, environ, **flags).default.key_source == "WORK_KEY"
    assert "export WORK_KEY=" in complaint(tmp_path, CEREBRAS, **flags)


@pytest.mark.parametrize(
    "flags",
    [
        {"base_url": "http://localhost:9/v1"},
        {"base_url": "http://127.0.0.1:9/v1"},
        {"base_url": "http://[::1]:9/v1"},
        {"base_url": "http://localhost:9/v1", "provider": "cerebras"},
        {"provider": "vllm", "base_url": "http://gpu:8000/v1"},
        {"provider": "lmstudio"},
    ],
    ids=str,
)
def test_no_key_is_needed_on_this_machine_or_where_it_is_optional(
    tmp_path: Path, flags: dict[str, str]
) -> None:
    default = routing(tmp_path, {}, **flags).default
    assert (default.api_key, default.key_source) == (None, None)


def test_any_other_server_needs_a_key_unless_told_otherwise(tmp_path: Path) -> None:
    said = complaint(tmp_path, {}, base_url="http://gpu:8000/v1")
    assert "gpu:8000" in said and "export CUSTOM_API_KEY=" in said and "key_optional" in said
    text = "[providers.custom]\nkey_optional = true\n"
    assert routing(tmp_path, {}, text, base_url="http://gpu:8000/v1").default.api_key is None


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(tmp_path: Path, key: str) -> None:
    said = complaint(tmp_path, {"CEREBRAS_API_KEY": f"a{key}b"})
    assert "CEREBRAS_API_KEY" in said and key not in said


def test_a_key_is_in_no_repr_and_in_no_error(tmp_path: Path) -> None:
    environ = {**CEREBRAS, "GROQ_API_KEY": SECRET}
    settings = load_settings({"provider": "cerebras"}, environ, tmp_path)
    made = Routing(settings, environ)
    shown = [repr(settings), repr(made), repr(made.default), str(made.default)]
    shown += [complaint(tmp_path, environ), complaint(tmp_path, environ, provider="openai")]
    assert SECRET not in "".join(shown)


# ---------------------------------------------------------------- the default model


@pytest.mark.parametrize(
    ("flags", "environ", "text", "model"),
    [
        ({"model": "a"}, {"CEREBRAS_MODEL": "b"}, '[providers.cerebras]\nmodel = "c"', "a"),
        ({}, {"CEREBRAS_MODEL": "b"}, '[providers.cerebras]\nmodel = "c"', "b"),
        ({}, {"CEREBRAS_MODEL": " "}, '[providers.cerebras]\nmodel = "c"', "c"),
        ({}, {}, "", "gpt-oss-120b"),
    ],
)
def test_the_default_model_is_the_stated_one_else_the_providers(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], text: str, model: str
) -> None:
    made = routing(tmp_path, {**CEREBRAS, **environ}, text, **flags)
    assert made.default.model == model
    assert made.resolve(None) == made.resolve("") == made.resolve(" ") == made.default


def test_a_request_without_a_model_needs_a_default(tmp_path: Path) -> None:
    made = routing(tmp_path, {}, provider="vllm")
    assert made.default.model == ""
    with pytest.raises(TurnError) as caught:
        made.resolve(None)
    assert (caught.value.kind, caught.value.param) == (Kind.MISCONFIGURED, "model")
    assert "ANYTURN_MODEL or VLLM_MODEL" in caught.value.message


# ---------------------------------------------------------------- names of models

FILE = """
[models]
"gpt-5-codex" = "cerebras/gpt-oss-120b"
fast = "gpt-5-codex"
plain = "llama-3.3-70b"
"openai/gpt-5" = "gpu-box/qwen3"
[providers.gpu-box]
like = "vllm"
base_url = "http://gpu:8000/v1"
"""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("llama-3.3-70b", ("groq", "llama-3.3-70b")),
        ("openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),
        ("openai/", ("groq", "openai/")),
        ("/x", ("groq", "/x")),
        ("Qwen/Qwen3-32B", ("groq", "Qwen/Qwen3-32B")),
        ("moonshotai/kimi-k2", ("groq", "moonshotai/kimi-k2")),
        ("groq/openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),
        ("cerebras/gpt-oss-120b", ("cerebras", "gpt-oss-120b")),
        ("gpu-box/a/b", ("gpu-box", "a/b")),
        ("ollama/qwen3:8b", ("ollama", "qwen3:8b")),
        ("llama.cpp/x", ("llamacpp", "x")),
        ("gpt-5-codex", ("cerebras", "gpt-oss-120b")),
        ("fast", ("cerebras", "gpt-oss-120b")),
        ("plain", ("groq", "llama-3.3-70b")),
        ("GPT-5-codex", ("groq", "GPT-5-codex")),
        ("openai/gpt-5", ("gpu-box", "qwen3")),
    ],
)
def test_a_name_leads_to_a_provider_and_its_model(
    tmp_path: Path, asked: str, expected: tuple[str, str]
) -> None:
    environ = {**CEREBRAS, "GROQ_API_KEY": SECRET}
    assert where(routing(tmp_path, environ, FILE, provider="groq").resolve(asked)) == expected


PATTERNS = """
[models]
"gpt-*" = "openai/gpt-*"
"gpt-oss-*" = "cerebras/gpt-oss-*"
"*-fast" = "short"
"claude-*" = "gpt-5.5"
"openai/*" = "cerebras/openai-*"
"local*" = "local*"
short = "llama-3.3-70b"
best = "gpt-5.5"
"gpt-5-codex" = "groq/kimi"
"""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("gpt-5.5", ("openai", "gpt-5.5")),
        ("gpt-", ("openai", "gpt-")),
        ("gpt-oss-20b", ("cerebras", "gpt-oss-20b")),
        ("gpt-5-codex", ("groq", "kimi")),
        ("best", ("openai", "gpt-5.5")),
        ("x-fast", ("groq", "llama-3.3-70b")),
        ("claude-opus", ("groq", "gpt-5.5")),
        ("gpt-x/y", ("groq", "gpt-x/y")),
        ("openai/gpt-5.5", ("cerebras", "openai-gpt-5.5")),
        ("cerebras/gpt-5.5", ("cerebras", "gpt-5.5")),
        ("a-gpt-5", ("groq", "a-gpt-5")),
        ("GPT-5", ("groq", "GPT-5")),
        ("gpt-default", ("groq", "gpt-default")),
        ("local-x", ("groq", "local-x")),
        (None, ("groq", "gpt-default")),
        ("", ("groq", "gpt-default")),
    ],
)
def test_a_pattern_sends_models_to_their_provider(
    tmp_path: Path, asked: str | None, expected: tuple[str, str]
) -> None:
    environ = {**CEREBRAS, "GROQ_API_KEY": SECRET, "OPENAI_API_KEY": SECRET}
    made = routing(tmp_path, environ, PATTERNS, provider="groq", model="gpt-default")
    assert where(made.resolve(asked)) == expected


def test_a_star_alone_takes_every_name_but_that_of_a_provider(tmp_path: Path) -> None:
    made = routing(tmp_path, CEREBRAS, "[models]\n'*' = 'zai-glm-4.7'\n", provider="cerebras")
    assert where(made.resolve("anything")) == ("cerebras", "zai-glm-4.7")
    assert where(made.resolve("ollama/qwen")) == ("ollama", "qwen")
    assert made.resolve("") == made.default


@pytest.mark.parametrize(
    ("target", "words"),
    [("openai/gpt-*", "export OPENAI_API_KEY="), ("chatgpt/gpt-*", "There is no ChatGPT login")],
)
def test_a_pattern_whose_provider_cannot_be_asked_sends_nothing_to_another(
    tmp_path: Path, target: str, words: str
) -> None:
    made = routing(tmp_path, CEREBRAS, f"[models]\n'gpt-*' = '{target}'\n")
    made.learn(["gpt-5", "openai/gpt-5"])
    with pytest.raises(TurnError, match=words) as caught:
        made.resolve("gpt-5")
    assert caught.value.kind is Kind.MISCONFIGURED
    assert made.resolve("gpt-oss-120b") == made.default


def test_patterns_are_no_aliases_and_the_one_that_says_most_comes_first(tmp_path: Path) -> None:
    made = routing(tmp_path, CEREBRAS, PATTERNS)
    assert list(made.aliases) == ["short", "best", "gpt-5-codex"]
    order = ["claude-*", "gpt-oss-*", "openai/*", "*-fast", "local*", "gpt-*"]
    assert sorted(order, key=lambda name: (-len(name), name)) == list(made.patterns)


def test_a_first_part_is_a_provider_only_once_its_key_is_set(tmp_path: Path) -> None:
    environ = {"GROQ_API_KEY": SECRET}
    asked = "openai/gpt-oss-120b"
    assert where(routing(tmp_path, environ, provider="groq").resolve(asked)) == ("groq", asked)
    environ["OPENAI_API_KEY"] = "other"
    target = routing(tmp_path, environ, provider="groq").resolve(asked)
    assert where(target) == ("openai", "gpt-oss-120b")
    assert (target.api_key, target.key_source) == ("other", "OPENAI_API_KEY")


def test_the_default_model_is_never_taken_apart(tmp_path: Path) -> None:
    environ = {"GROQ_API_KEY": SECRET, "OPENAI_API_KEY": SECRET}
    made = routing(tmp_path, environ, provider="groq", model="openai/gpt-oss-120b")
    assert made.resolve("openai/gpt-oss-120b") == made.default


def test_the_default_provider_keeps_its_address_when_it_is_named(tmp_path: Path) -> None:
    made = routing(tmp_path, {}, provider="kimi", base_url="http://localhost:9/v1")
    for asked in ("kimi/k", "moonshot/k"):
        target = made.resolve(asked)
        assert where(target) == ("moonshot", "k")
        assert target.profile.base_url == "http://localhost:9/v1"


def test_a_provider_of_the_file_without_its_key_is_an_error_of_the_turn(tmp_path: Path) -> None:
    text = '[providers.far]\nbase_url = "https://far.example.org/v1"\n'
    made = routing(tmp_path, CEREBRAS, text)
    with pytest.raises(TurnError) as caught:
        made.resolve("far/model")
    error = caught.value
    assert (error.kind, error.param, error.provider) == (Kind.MISCONFIGURED, "model", "far")
    assert "export FAR_API_KEY=" in error.message


def test_the_key_named_for_the_default_provider_goes_to_no_other(tmp_path: Path) -> None:
    environ = {"WORK_KEY": "work", "GROQ_API_KEY": "groq"}
    made = routing(tmp_path, environ, provider="cerebras", api_key_env="WORK_KEY")
    assert made.resolve("groq/x").api_key == "groq"
    assert made.resolve("x").api_key == "work"


@given(st.text() | st.builds("{}/{}".format, st.sampled_from([*names(), "box"]), st.text()))
def test_any_name_leads_somewhere(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    directory = tmp_path_factory.getbasetemp()
    target = routing(directory, CEREBRAS).resolve(name)
    assert target.model and target.profile.base_url
    assert target.api_key is None or target.profile.name == "cerebras"


def test_a_name_that_the_default_provider_lists_does_not_lead_away() -> None:
    """`openai/gpt-oss-120b` is Groq's, even when a key of OpenAI is set as well."""
    environ = {"GROQ_API_KEY": "gsk_made_up", "OPENAI_API_KEY": "sk-made-up"}
    routing = Routing(load_settings({"provider": "groq"}, environ, Path()), environ)
    assert routing.resolve("openai/gpt-oss-120b").profile.name == "openai"
    routing.learn(["openai/gpt-oss-120b"])
    here = routing.resolve("openai/gpt-oss-120b")
    assert (here.profile.name, here.model) == ("groq", "openai/gpt-oss-120b")
    assert routing.resolve("openai/gpt-5").profile.name == "openai"


# ---------------------------------------------------------------- logins instead of keys

ACCOUNT = '[providers.account]\nauth = "chatgpt"\nbase_url = "{}"\n'
THEIRS = ACCOUNT.format("https://chatgpt.com/backend-api/codex")


def logged_in(directory: Path, name: str) -> dict[str, str]:
    """An environment with a file where a login is kept."""
    path = (
        directory / {"anyturn": ".config/anyturn/chatgpt.json", "codex": ".codex/auth.json"}[name]
    )
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    return {"HOME": str(directory)}


@pytest.mark.parametrize("name", ["anyturn", "codex"])
def test_a_login_takes_the_place_of_a_key(tmp_path: Path, name: str) -> None:
    target = routing(tmp_path, logged_in(tmp_path, name), THEIRS, provider="account").default
    assert target.api_key is not None and not isinstance(target.api_key, str)
    assert target.key_source == "the ChatGPT login"


def test_without_a_login_the_way_to_one_is_named(tmp_path: Path) -> None:
    said = complaint(tmp_path, {"HOME": str(tmp_path)}, THEIRS, provider="account")
    assert said == "There is no ChatGPT login. Log in: anyturn login chatgpt."


@pytest.mark.parametrize(("which", "name"), [("anyturn", "codex"), ("codex", "anyturn")])
def test_a_login_that_is_not_meant_is_none(tmp_path: Path, which: str, name: str) -> None:
    environ = {**logged_in(tmp_path, name), "ANYTURN_CHATGPT_LOGIN": which}
    assert "no ChatGPT login" in complaint(tmp_path, environ, THEIRS, provider="account")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://chatgpt.com/backend-api/codex", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://chatgpt.com/backend-api/codex", False),
        ("https://chatgpt.com.example.org/v1", False),
        ("https://example.org/chatgpt.com", False),
    ],
)
def test_the_tokens_of_an_account_go_to_its_own_service_and_nowhere_else(
    tmp_path: Path, url: str, allowed: bool
) -> None:
    environ = logged_in(tmp_path, "anyturn")
    if allowed:
        assert routing(tmp_path, environ, ACCOUNT.format(url), provider="account").default
    else:
        said = complaint(tmp_path, environ, ACCOUNT.format(url), provider="account")
        assert "to https://chatgpt.com and to this machine only" in said
    moved = complaint(tmp_path, environ, THEIRS, provider="account", base_url="https://a.example")
    assert "to this machine only" in moved


def test_an_account_is_one_of_several_providers(tmp_path: Path) -> None:
    environ = {**CEREBRAS, **logged_in(tmp_path, "anyturn")}
    both = routing(tmp_path, environ, THEIRS + '[models]\n"gpt-5.5" = "account/gpt-5.5"\n')
    assert where(both.default)[0] == "cerebras"
    assert where(both.resolve("gpt-5.5")) == ("account", "gpt-5.5")
    assert not both.passes_on


def test_a_provider_that_is_asked_as_the_client_needs_no_key(tmp_path: Path) -> None:
    text = '[providers.own]\nauth = "client"\nbase_url = "https://api.example.org/v1"\n'
    passing = routing(tmp_path, {}, text, provider="own")
    assert passing.passes_on
    assert passing.default.key_source == "each client's own request"
