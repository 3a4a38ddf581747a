from __future__ import annotations

from typing import Any

import msgspec
import pytest

from anyturn.wire.profile import COMMON_PARAMS, ModelFacts, Profile

GENERIC = Profile(name="generic")


def test_what_is_not_said_is_the_strictest_common_form() -> None:
    assert GENERIC.developer_role == "system"
    assert GENERIC.system_position == "head"
    assert GENERIC.assistant_last == "bridge"
    assert GENERIC.assistant_empty == "null"
    assert GENERIC.call_id_max == 64
    assert GENERIC.tool_strict == "drop"
    assert GENERIC.parallel_tool_calls == "omit"
    assert GENERIC.reasoning_replay == "never"
    assert GENERIC.params == COMMON_PARAMS


def test_the_label_is_the_title_where_there_is_one() -> None:
    assert GENERIC.label == "generic"
    assert Profile(name="zai", title="Z.ai").label == "Z.ai"


def test_the_model_variable_is_named_after_the_provider() -> None:
    assert Profile(name="github-models").model_env == "GITHUB_MODELS_MODEL"


def test_replacing_changes_only_what_it_names() -> None:
    replaced = GENERIC.replacing(user_images=False, params=["seed"])
    assert replaced.params == ("seed",)
    assert not replaced.user_images
    assert replaced.replacing(user_images=True, params=COMMON_PARAMS) == GENERIC
    assert GENERIC.user_images


def test_replacing_keeps_the_entries_of_the_models() -> None:
    entry = ModelFacts(match="x", facts={"user_images": False})
    assert Profile(name="p", models=(entry,)).replacing(title="P").models == (entry,)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"user_imagse": False}, id="an unknown field"),
        pytest.param({"user_images": "no"}, id="a wrong type"),
        pytest.param({"assistant_empty": "none"}, id="an unknown word"),
        pytest.param({"tool_choice": ["auto", "perhaps"]}, id="an unknown word in a list"),
    ],
)
def test_replacing_refuses_what_is_no_fact(facts: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        GENERIC.replacing(**facts)


MODELS = Profile(
    name="p",
    models=(
        ModelFacts(match="gpt-oss", facts={"user_images": False, "max_tools": 10}),
        ModelFacts(match="^big-", facts={"max_tools": 20, "context_window": 1}),
    ),
)


@pytest.mark.parametrize(
    ("model", "images", "max_tools", "window"),
    [
        pytest.param("other", True, 128, 131072, id="none matches"),
        pytest.param("openai/gpt-oss-120b", False, 10, 131072, id="found inside the name"),
        pytest.param("big-one", True, 20, 1, id="at the start"),
        pytest.param("not-big-one", True, 128, 131072, id="not at the start"),
        pytest.param("big-gpt-oss", False, 20, 1, id="all that match, the later one wins"),
    ],
)
def test_the_facts_of_a_model_are_laid_over_those_of_its_provider(
    model: str, images: bool, max_tools: int, window: int
) -> None:
    profile = MODELS.for_model(model)
    assert (profile.user_images, profile.max_tools, profile.context_window) == (
        images,
        max_tools,
        window,
    )


def test_a_profile_without_model_facts_is_returned_as_it_is() -> None:
    assert GENERIC.for_model("any") is GENERIC


def test_a_profile_can_be_read_from_a_table_entry() -> None:
    entry = {"name": "p", "call_id_exact": 9, "models": [{"match": "m", "facts": {"seed": 1}}]}
    profile = msgspec.convert(entry, Profile)
    assert profile.call_id_exact == 9
    assert profile.models[0].match == "m"


def test_profiles_do_not_share_their_effort_map() -> None:
    assert GENERIC.effort_map is not Profile(name="other").effort_map
    assert GENERIC.effort_map["xhigh"] == "high"
    assert "none" not in GENERIC.effort_map
