from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from anyturn.cli.serve import serve
from anyturn.config import Row, load_settings, reference_table
from anyturn.conformance import RULES
from anyturn.providers import load_table
from anyturn.routing import Routing
from anyturn.translate.leaked_forms import FORMS
from anyturn.wire.profile import Profile
from support.rule_pages import WITHOUT_STREAMS
from support.sdk_evidence import is_confirmed

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


@pytest.mark.parametrize("row", reference_table(), ids=lambda row: row.name)
def test_the_page_has_the_row_of_every_option(row: Row) -> None:
    cells = [
        code(row.name),
        code(row.flag),
        code(row.variable),
        row.takes,
        code(row.default),
        row.help,
    ]
    assert "| " + " | ".join(cells) + " |\n" in page()


@pytest.mark.parametrize("profile", load_table().values(), ids=lambda profile: profile.name)
def test_the_page_has_the_row_of_every_provider(profile: Profile) -> None:
    keys = ", ".join(map(code, profile.key_env))
    cells = [code(profile.name), profile.label, keys, profile.base_url]
    assert "| " + " | ".join(cells) + " |\n" in page()


def test_the_flags_are_those_of_the_command() -> None:
    flags = {row.name for row in reference_table() if row.flag}
    assert set(inspect.signature(serve).parameters) == flags


def test_the_example_works(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert example is not None
    (tmp_path / "anyturn.toml").write_text(example[1], encoding="utf-8")
    environ = {"CEREBRAS_API_KEY": "made-up", "PROXY_KEY": "made-up-too"}
    routing = Routing(load_settings({}, environ, tmp_path), environ)
    assert routing.resolve("big").profile.context_window == 65536
    assert not routing.resolve("big").profile.user_images
    assert routing.resolve("openai/gpt-5.5").key_source == "PROXY_KEY"


def test_the_example_of_two_providers_behind_one_gateway_works(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", BACKGROUND, re.DOTALL)
    assert example is not None
    (tmp_path / "anyturn.toml").write_text(example[1], encoding="utf-8")
    login = tmp_path / ".config" / "anyturn" / "chatgpt.json"
    login.parent.mkdir(parents=True)
    login.write_bytes(b"{}")
    environ = {"CEREBRAS_API_KEY": "made-up", "HOME": str(tmp_path)}
    routing = Routing(load_settings({}, environ, tmp_path), environ)
    targets = {name: routing.resolve(name) for name in ("gpt-5.5", "gpt-oss-20b", "zai-glm-4.7")}
    found = {name: (one.profile.name, one.model) for name, one in targets.items()}
    assert found == {
        "gpt-5.5": ("chatgpt", "gpt-5.5"),
        "gpt-oss-20b": ("cerebras", "gpt-oss-20b"),
        "zai-glm-4.7": ("cerebras", "zai-glm-4.7"),
    }


def test_every_form_of_leaked_calls_has_its_row() -> None:
    section = page().partition("## Calls that come as text")[2].partition("```")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(FORMS)


BACKGROUND = PAGE.with_name("background.md").read_text(encoding="utf-8")


def test_the_page_on_checking_counts_the_rules_that_real_clients_confirm() -> None:
    source = Path(__file__).with_name("codex").joinpath("test_rules.py").read_text(encoding="utf-8")
    codex = RULES.keys() & set(re.findall(r"[a-z-]+\.[a-z-]+", source))
    sdks = {rule for rule in RULES.keys() - WITHOUT_STREAMS if is_confirmed(rule)}
    text = PAGE.with_name("checking.md").read_text(encoding="utf-8")
    assert f"- {len(sdks)} of the {len(RULES)} rules say of openai-python" in text
    assert f"- {len(codex)} say of Codex" in text


ADAPTATIONS = PAGE.with_name("adaptations.md").read_text(encoding="utf-8")
TRANSLATE = Path(__file__).parents[1] / "src" / "anyturn" / "translate"


def test_every_adaptation_has_its_row_and_every_row_its_adaptation() -> None:
    """A3: what may be changed can be looked up."""
    source = "".join(path.read_text(encoding="utf-8") for path in TRANSLATE.glob("*.py"))
    noted = set(re.findall(r"\.(?:note|loss)\(\s*\"([a-z_]+\.[a-z_]+)\"", source))
    noted |= {f"content.{what}_left_out" for what in ("image", "file", "audio", "video", "content")}
    listed = set(re.findall(r"^\| `([a-z_.]+)` \|", ADAPTATIONS, re.MULTILINE))
    assert noted == listed
