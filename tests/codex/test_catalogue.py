from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from anyturn.codex import catalogue as catalogue_module
from anyturn.codex.catalogue import BASE_INSTRUCTIONS, Catalogue, catalogue_entry
from anyturn.config import Settings
from anyturn.providers import find, generic
from anyturn.routing import Routing
from anyturn.testing import ScriptedProvider
from anyturn.upstream import Limits, ProviderClient
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

# What Codex cannot do without, and the types it insists on (codex-cli.md section 5).
REQUIRED: dict[str, type] = {
    "slug": str,
    "display_name": str,
    "supported_reasoning_levels": list,
    "shell_type": str,
    "visibility": str,
    "supported_in_api": bool,
    "priority": int,
    "support_verbosity": bool,
    "truncation_policy": dict,
    "experimental_supported_tools": list,
    "base_instructions": str,
}
# What else it understands, of the fields that are used here.
OPTIONAL: dict[str, type] = {
    "description": str,
    "default_reasoning_level": str,
    "supports_reasoning_summary_parameter": bool,
    "default_reasoning_summary": str,
    "apply_patch_tool_type": str,
    "context_window": int,
    "max_context_window": int,
    "auto_compact_token_limit": int,
    "effective_context_window_percent": int,
    "input_modalities": list,
    "supports_search_tool": bool,
    "use_responses_lite": bool,
}


def faults(entry: JSON) -> list[str]:
    """What would make Codex discard the whole catalogue, or misread this entry."""
    found = [f"{name} is missing" for name in REQUIRED if name not in entry]
    types = REQUIRED | OPTIONAL
    found += [f"{name} is not known to Codex" for name in entry if name not in types]
    found += [
        f"{name} is {value!r}"
        for name, value in entry.items()
        if value is not None and type(value) is not types.get(name)
    ]
    return found


class Lister:
    """A client whose provider lists these models; one list for each time it is asked."""

    def __init__(self, *lists: list[Any]) -> None:
        self.asked = 0
        self._lists = iter(lists)

    async def models(self, profile: Profile, api_key: str | None, timeout_s: float) -> list[Any]:
        self.asked += 1
        await asyncio.sleep(0)
        return next(self._lists, [])


def routing(**given: Any) -> Routing:
    environ = given.pop("environ", {"CEREBRAS_API_KEY": "made-up"})
    return Routing(Settings(**{"provider": "cerebras", **given}), environ)


def catalogue(lister: Any, **given: Any) -> Catalogue:
    return Catalogue(routing(**given), lister)


def names(listing: JSON) -> list[str]:
    found = [one["id"] for one in listing["data"]]
    assert found == [one["slug"] for one in listing["models"]]
    return found


class Clock:
    """Stands in for `time` in the module."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(catalogue_module, "time", clock)
    return clock


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("cerebras", "gpt-oss-120b"),
        ("cerebras", "zai-glm-4.7"),
        ("openai", "gpt-5.5"),
        ("groq", "openai/gpt-oss-120b"),
        ("ollama", "qwen3:8b"),
        ("mistral", "devstral-medium-latest"),
    ],
)
def test_an_entry_has_all_that_codex_insists_on(provider: str, model: str) -> None:
    entry = catalogue_entry(model, model, find(provider).for_model(model), 1)
    assert faults(entry) == []
    assert faults(msgspec.json.decode(msgspec.json.encode(entry))) == []
    for level in entry["supported_reasoning_levels"]:
        assert set(level) == {"effort", "description"}
        assert level["description"]


def test_an_entry_of_an_unknown_server_is_complete_too() -> None:
    entry = catalogue_entry("m", "m", generic("http://localhost:8000/v1"), 1)
    assert faults(entry) == []
    assert entry["supported_reasoning_levels"] == []
    assert entry["default_reasoning_level"] is None


def test_an_entry_has_the_facts_of_its_model() -> None:
    profile = find("cerebras")
    known = catalogue_entry("a", "gpt-oss-120b", profile.for_model("gpt-oss-120b"), 1)
    other = catalogue_entry("b", "zai-glm-4.7", profile.for_model("zai-glm-4.7"), 2)
    assert [level["effort"] for level in known["supported_reasoning_levels"]] == [
        "low",
        "medium",
        "high",
    ]
    assert known["default_reasoning_level"] == "medium"
    assert other["supported_reasoning_levels"] == []
    assert (known["slug"], known["priority"]) == ("a", 1)


@pytest.mark.parametrize(("images", "expected"), [(True, ["text", "image"]), (False, ["text"])])
def test_images_are_offered_where_the_model_sees_them(images: bool, expected: list[str]) -> None:
    profile = generic("http://localhost/v1").replacing(user_images=images)
    assert catalogue_entry("m", "m", profile, 1)["input_modalities"] == expected


@pytest.mark.parametrize("window", [8_192, 131_072, 1_000_000])
def test_codex_compacts_before_the_window_is_full(window: int) -> None:
    entry = catalogue_entry("m", "m", generic("http://x").replacing(context_window=window), 1)
    shown = entry["context_window"] * entry["effective_context_window_percent"] / 100
    assert entry["context_window"] == entry["max_context_window"] == window
    assert window / 2 < entry["auto_compact_token_limit"] < shown


def test_tools_stay_where_a_chat_model_sees_them() -> None:
    entry = catalogue_entry("m", "m", generic("http://localhost/v1"), 1)
    assert entry["supports_search_tool"] is entry["use_responses_lite"] is False
    assert entry["apply_patch_tool_type"] == "freeform"
    assert entry["shell_type"] == "unified_exec"


def test_the_instructions_name_the_tools_that_codex_declares() -> None:
    for tool in ("exec_command", "write_stdin", "apply_patch"):
        assert tool in BASE_INSTRUCTIONS
    assert "*** Begin Patch" in BASE_INSTRUCTIONS
    assert "  " not in BASE_INSTRUCTIONS


# ---------------------------------------------------------------- the listing


async def test_the_default_comes_first_then_aliases_then_the_providers_own() -> None:
    lister = Lister([{"id": "zai-glm-4.7"}, {"id": "gpt-oss-120b"}, {"id": "other"}])
    listing = await catalogue(lister, aliases={"fast": "zai-glm-4.7"}).listing()
    assert names(listing) == ["gpt-oss-120b", "fast", "zai-glm-4.7", "other"]
    assert listing["object"] == "list"
    assert {one["owned_by"] for one in listing["data"]} == {"cerebras"}
    assert [one["priority"] for one in listing["models"]] == [1, 2, 3, 4]
    assert [fault for entry in listing["models"] for fault in faults(entry)] == []


async def test_an_alias_is_described_as_what_it_stands_for() -> None:
    listing = await catalogue(Lister(), aliases={"fast": "zai-glm-4.7"}).listing()
    entry = listing["models"][1]
    assert entry["slug"] == "fast"
    assert entry["description"] == "zai-glm-4.7 served by Cerebras through Anyturn."
    assert entry["supported_reasoning_levels"] == []


async def test_without_a_default_model_there_is_no_empty_name() -> None:
    given = {"provider": "", "base_url": "http://localhost:8000/v1", "environ": {}}
    assert names(await catalogue(Lister([{"id": "own"}]), **given).listing()) == ["own"]
    assert names(await catalogue(Lister(), **given).listing()) == []


async def test_an_alias_that_cannot_be_used_does_not_spoil_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    aliases = {"big": "groq/llama-3.3-70b-versatile", "fast": "zai-glm-4.7"}
    listing = await catalogue(Lister(), aliases=aliases).listing()
    assert "fast" in names(listing)
    assert [one["priority"] for one in listing["models"]] == list(range(1, len(names(listing)) + 1))


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ({"context_window": 65_536}, 65_536),
        ({"context_length": 200_000}, 200_000),
        ({"max_model_len": 32_768}, 32_768),
        ({"max_context_length": 8_192}, 8_192),
        ({"context_length": None, "max_model_len": 4_096}, 4_096),
        ({}, None),
        ({"context_window": 0}, None),
        ({"context_window": -1}, None),
        ({"context_window": "65536"}, None),
        ({"context_window": True}, None),
        ({"context_window": 10**30}, None),
        ({"context_window": 1e5}, None),
    ],
)
async def test_the_window_is_the_one_that_the_provider_states(
    model: JSON, window: int | None
) -> None:
    made = catalogue(Lister([{"id": "m", **model}]))
    target = routing().resolve("m")
    known = find("cerebras").context_window
    assert made.window("m", target) == known
    listing = await made.listing()
    assert listing["models"][1]["context_window"] == (window or known)
    assert made.window("m", target) == (window or known)
    assert faults(listing["models"][1]) == []


async def test_what_is_no_model_is_left_out() -> None:
    odd: list[Any] = [None, 5, "x", [], {}, {"id": 5}, {"id": ""}, {"id": None}, {"id": "good"}]
    assert names(await catalogue(Lister(odd)).listing()) == ["gpt-oss-120b", "good"]


async def test_a_huge_list_is_cut() -> None:
    listing = await catalogue(Lister([{"id": f"m{n}"} for n in range(5_000)])).listing()
    assert len(names(listing)) == 500


# ---------------------------------------------------------------- asking the provider


async def test_the_provider_is_asked_once_in_a_while(clock: Clock) -> None:
    lister = Lister([{"id": "a"}], [{"id": "b"}])
    models = catalogue(lister)
    assert names(await models.listing()) == names(await models.listing()) == ["gpt-oss-120b", "a"]
    clock.now += 299
    await models.listing()
    assert lister.asked == 1
    clock.now += 2
    assert names(await models.listing()) == ["gpt-oss-120b", "b"]


async def test_many_that_ask_at_once_share_one_answer() -> None:
    lister = Lister([{"id": "a"}])
    models = catalogue(lister)
    listings = await asyncio.gather(*[models.listing() for _ in range(50)])
    assert all(names(one) == ["gpt-oss-120b", "a"] for one in listings)
    assert lister.asked == 1


async def test_a_provider_that_is_down_is_asked_again_soon(clock: Clock) -> None:
    lister = Lister([], [{"id": "a"}])
    models = catalogue(lister)
    assert names(await models.listing()) == ["gpt-oss-120b"]
    clock.now += 29
    assert names(await models.listing()) == ["gpt-oss-120b"]
    clock.now += 2
    assert names(await models.listing()) == ["gpt-oss-120b", "a"]


async def test_what_was_listed_stays_while_the_provider_is_down(clock: Clock) -> None:
    models = catalogue(Lister([{"id": "a"}], []))
    await models.listing()
    clock.now += 301
    assert names(await models.listing()) == ["gpt-oss-120b", "a"]


async def test_the_real_provider_is_asked_with_the_key() -> None:
    async with (
        ScriptedProvider([], models=("one", "two"), api_key="made-up") as provider,
        ProviderClient(Limits()) as client,
    ):
        models = Catalogue(routing(base_url=provider.base_url), client)
        assert names(await models.listing()) == ["gpt-oss-120b", "one", "two"]
    assert provider.refusals == []


async def test_without_the_provider_the_rest_is_listed_at_once() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        async with ProviderClient(Limits()) as client:
            began = loop.time()
            listing = await Catalogue(routing(base_url=url), client).listing()
    assert names(listing) == ["gpt-oss-120b"]
    assert loop.time() - began < 1.0


async def test_a_provider_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue_module._LIST_TIMEOUT_S < 5, "Codex waits for 5 s"
    monkeypatch.setattr(catalogue_module, "_LIST_TIMEOUT_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        async with ProviderClient(Limits()) as client, asyncio.timeout(2):
            listing = await Catalogue(routing(base_url=url), client).listing()
    assert names(listing) == ["gpt-oss-120b"]
