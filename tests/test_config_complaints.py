"""What is wrong in settings is said with its place, and a secret is not repeated."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.config import OPTIONS, ConfigError, load_settings
from anyturn.config_file import ConfigFile
from support.config_files import SECRET, complaint, load


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n# port\nprot = 1\n", "anyturn.toml, line 3: unknown key 'prot'. Did you mean 'port'?"),
        ("config = 'x'", "anyturn.toml, line 1: unknown key 'config'."),
        (
            "[hooks]\n\nstatus_lien = 'git'\n",
            "anyturn.toml, line 3: unknown key 'hooks.status_lien'. Did you mean 'status_line'?",
        ),
        (
            "status_line = 'git'",
            "anyturn.toml, line 1: unknown key 'status_line': it belongs under [hooks].",
        ),
        (
            "[hooks]\nport = 1",
            "anyturn.toml, line 2: unknown key 'hooks.port': it belongs above the first table.",
        ),
        ("[hook]", "anyturn.toml, line 1: unknown key 'hook'. Did you mean 'hooks'?"),
        ("hooks = 1", "anyturn.toml, line 1: hooks takes a table [hooks], not 1."),
        ("[hooks]\nstatus_line = 1", "anyturn.toml, line 2: status_line takes a text, not 1."),
        (
            "[hooks]\nstatus_line = '{branch}'",
            "anyturn.toml, line 2: status_line takes default, git, a text with some of {git} "
            '{model} {provider} {tokens_per_s} {context_used}, or "command: PROGRAM ...", not the '
            "text '{branch}'.",
        ),
        (
            "[hooks]\nstatus_line = 'command: ./x'",
            'anyturn.toml, line 2: status_line takes a program after "command:": its name, or its '
            "path from / or ~/, not the text 'command: ./x'.",
        ),
        (
            'host = "a"\nport = "1"\n',
            "anyturn.toml, line 2: port takes a whole number from 0 to 65535, not the text '1'.",
        ),
        (
            "port = true",
            "anyturn.toml, line 1: port takes a whole number from 0 to 65535, not true.",
        ),
        (
            "port = 1.5",
            "anyturn.toml, line 1: port takes a whole number from 0 to 65535, not 1.5.",
        ),
        (
            "port = 65536",
            "anyturn.toml, line 1: port takes a whole number from 0 to 65535, not 65536.",
        ),
        (
            "idle_timeout_s = nan",
            "anyturn.toml, line 1: idle_timeout_s takes a number, 0.01 or more, not nan.",
        ),
        (
            "idle_timeout_s = inf",
            "anyturn.toml, line 1: idle_timeout_s takes a number, 0.01 or more, not inf.",
        ),
        ("host = 1", "anyturn.toml, line 1: host takes a text, not 1."),
        (
            "host = ''",
            "anyturn.toml, line 1: host takes an address or a name, like 127.0.0.1, "
            "not the text ''.",
        ),
        ("host = ['a']", "anyturn.toml, line 1: host takes a text, not a list."),
        ("host = {}", "anyturn.toml, line 1: host takes a text, not a table."),
        ("host = 2026-01-01", "anyturn.toml, line 1: host takes a text, not a date or time."),
        (
            "reasoning = 'full'",
            "anyturn.toml, line 1: reasoning takes one of auto, summary, text, "
            "not the text 'full'.",
        ),
        (
            "base_url = 'localhost:8000'",
            "anyturn.toml, line 1: base_url takes an address like http://localhost:8000/v1, "
            "not the text 'localhost:8000'.",
        ),
        (
            "base_url = 'http://localhost:8000/v1/chat/completions/'",
            "anyturn.toml, line 1: base_url takes an address that ends before /chat/completions, "
            "not the text 'http://localhost:8000/v1/chat/completions/'.",
        ),
        ("port = \n", "anyturn.toml, line 1: not valid TOML: Invalid value."),
        ("\nport", "anyturn.toml, line 2: not valid TOML: "),
        ("x = " + "9" * 5000, "anyturn.toml: not valid TOML: "),
        ("x = " + "[" * 5000, "anyturn.toml: not valid TOML: nested too deeply."),
        ("models = 1", "anyturn.toml, line 1: models takes a table [models], not 1."),
        ("[models]\na = 1", "anyturn.toml, line 2: the alias 'a' takes a model like"),
        ("[models]\na = ' '", "anyturn.toml, line 2: the alias 'a' takes a model like"),
        ("[models]\na = 'cerebras/'", "the alias 'a' takes a model or provider/model"),
        ("[models]\na = 'a'", "anyturn.toml, line 2: the alias 'a' leads to itself."),
        ("[models]\n'a*' = 1", "line 2: the pattern 'a*' takes a model like"),
        ("[models]\n'a*b*' = 'x'", "line 2: the pattern 'a*b*' has more than one star."),
        ("[models]\n'a*' = 'x*y*'", "the pattern 'a*' has 1 star, and 'x*y*' more."),
        ("[models]\na = 'x*'", "line 2: the alias 'a' has no star, and 'x*' more."),
        ("[models]\n'a*' = 'cerebrass/a*'", "the pattern 'a*' names an unknown provider"),
        (
            "[models]\nc = 'x'\nb = 'c'\na = 'b'",
            "anyturn.toml, line 4: the alias 'a' leads over more than one other alias.",
        ),
        (
            "[models]\n'a.b' = 'cerebrass/gpt-oss-120b'",
            "anyturn.toml, line 2: the alias 'a.b' names an unknown provider 'cerebrass'. "
            "Did you mean 'cerebras'?",
        ),
        ("providers = []", "anyturn.toml, line 1: providers takes tables like [providers.NAME]"),
        ("providers.box = 1", "anyturn.toml, line 1: [providers.box] takes a table, not 1."),
        ("[providers.'My Box']", "anyturn.toml, line 1: a provider's name takes small letters"),
        (
            "[providers.box]\nbase_ulr = 'http://x'",
            "anyturn.toml, line 2: unknown key 'base_ulr' in [providers.box]. "
            "Did you mean 'base_url'?",
        ),
        (
            "[providers.box]\nlike = 'vlm'",
            "anyturn.toml, line 2: like names an unknown provider 'vlm'. Did you mean 'vllm'?",
        ),
        (
            "[providers.box]\nbase_url = 'ftp://x'",
            "anyturn.toml, line 2: base_url takes an address like http://localhost:8000/v1, "
            "not the text 'ftp://x'.",
        ),
        (
            "[providers.box]\n\nmax_tokens_field = 'max'",
            "anyturn.toml, line 3: max_tokens_field takes one of 'max_tokens', "
            "'max_completion_tokens', not the text 'max'.",
        ),
        (
            "[providers.box]\nparams = 'seed'",
            "anyturn.toml, line 2: params takes a list, each member a text, not the text 'seed'.",
        ),
        (
            "[providers.box]\ncontext_window = 0",
            "anyturn.toml, line 2: context_window takes a whole number, 1 or more, not 0.",
        ),
        (
            "[providers.box]\nchat_path = 'chat'",
            "anyturn.toml, line 2: chat_path takes a path that begins with /, not the text 'chat'.",
        ),
        (
            "[providers.box]\nmodel = 'a'\ndefault_model = 'b'",
            "anyturn.toml, line 3: model says the same as default_model: leave one out.",
        ),
        (
            "[providers.box]\nmodels = 1",
            "anyturn.toml, line 2: models takes [[providers.box.models]] tables.",
        ),
        (
            "[[providers.box.models]]\nefforts = []",
            "anyturn.toml, line 1: a table of models takes match: a regular expression.",
        ),
        (
            "[[providers.box.models]]\nmatch = '('",
            "anyturn.toml, line 2: match takes a regular expression (",
        ),
        (
            "[[providers.box.models]]\nmatch = 'a'\n[[providers.box.models]]\nmatch = 'b'\n"
            "effort = []",
            "anyturn.toml, line 5: unknown key 'effort' for a model. Did you mean 'efforts'?",
        ),
        (
            "[[providers.box.models]]\nmatch = 'a'\nthink_tags = 1",
            "anyturn.toml, line 3: think_tags takes true or false, not 1.",
        ),
        (
            'provider = "cerebra"',
            "anyturn.toml, line 1: unknown provider 'cerebra'. Did you mean 'cerebras'? Known: ",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    assert complaint(tmp_path, text).startswith(said) or said in complaint(tmp_path, text)


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        (
            {"port": "x"},
            {},
            "--port: port takes a whole number from 0 to 65535, not the text 'x'.",
        ),
        ({"port": 1.5}, {}, "--port: port takes a whole number from 0 to 65535, not 1.5."),
        ({"strict": 1}, {}, "--strict: strict takes true or false, not 1."),
        (
            {},
            {"ANYTURN_STRICT": "perhaps"},
            "ANYTURN_STRICT: strict takes true or false, not the text 'perhaps'.",
        ),
        ({"prot": 1}, {}, "--prot: there is no such option. Did you mean 'port'?"),
        ({"provider": "olama"}, {}, "--provider: unknown provider 'olama'. Did you mean 'ollama'?"),
        (
            {},
            {"ANYTURN_RETRIES": "two"},
            "ANYTURN_RETRIES: retries takes a whole number from 0 to 10, not the text 'two'.",
        ),
        (
            {},
            {"ANYTURN_KEEPALIVE": "5"},
            "ANYTURN_KEEPALIVE: there is no such option. Did you mean ANYTURN_KEEPALIVE_S?",
        ),
        (
            {},
            {"ANYTURN_PORT": "tcp://10.0.0.1:10000"},
            "ANYTURN_PORT (set by Kubernetes for a service of this name, see enableServiceLinks)",
        ),
    ],
)
def test_what_is_wrong_elsewhere_is_said_with_its_name(
    tmp_path: Path, flags: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    assert complaint(tmp_path, flags=flags, environ=environ).startswith(said)


def test_a_wrong_value_is_refused_even_where_another_one_wins(tmp_path: Path) -> None:
    assert "line 1" in complaint(tmp_path, "port = 'x'", {"port": 1})


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    environ = {"ANYTURN_SERVICE_HOST": "10.0.0.1", "ANYTURN_PORT_10000_TCP": "x", "PORT": "x"}
    assert load(tmp_path, environ=environ) == load(tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {"flags": {"api_key_env": SECRET}},
        {"flags": {"api_key_env": SECRET.replace("-", "_")}},
        {"environ": {"ANYTURN_API_KEY": SECRET}},
        {"text": f'api_key_env = "{SECRET}"'},
        {"text": f'base_url = "https://user:{SECRET}@example.org/v1"'},
        {"text": f'[providers.box]\napi_key_env = "{SECRET}"'},
        {"text": f'[providers.box]\nkey_env = ["{SECRET}"]'},
        {"text": f'[providers.box]\nheaders = {{ "a b" = "{SECRET}" }}'},
    ],
    ids=str,
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    said = complaint(tmp_path, **given)
    assert SECRET not in said and SECRET.replace("-", "_") not in said


def test_headers_of_a_provider_stay_out_of_repr(tmp_path: Path) -> None:
    text = f'[providers.box]\nlike = "vllm"\nheaders = {{ X-Token = "{SECRET}" }}\n'
    loaded = load(tmp_path, text)
    assert loaded.providers["box"].headers == {"X-Token": SECRET}
    assert SECRET not in repr(loaded)


# ---------------------------------------------------------------- properties

KEYS = st.sampled_from(
    [*OPTIONS, "models", "providers", "models.a", "providers.box", "providers.box.like", "prot"]
) | st.text("abc.\"'_-é\n", max_size=4)
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "0.5",
        "true",
        "nan",
        "1e400",
        "9" * 400,
        "2026-01-01",
        "[]",
        "[1]",
        "{}",
        '{ like = "vllm" }',
        '{ match = "(" }',
        '[{ match = "a", facts = {} }]',
        '"cerebras"',
        '"a/b"',
        '""',
        '"""x\ny"""',
        "'",
        "",
    ]
)
LINES = st.one_of(
    st.builds("{} = {}".format, KEYS, VALUES),
    st.builds("[{}]".format, KEYS),
    st.builds("[[{}]]".format, KEYS),
    st.text(max_size=5),
)


def loads_or_complains(directory: Path, flags: Any = None, environ: Any = None) -> None:
    with contextlib.suppress(ConfigError):
        loaded = load_settings(flags or {}, environ or {}, directory)
        assert set(loaded.sources) == set(OPTIONS)


@given(st.lists(LINES, max_size=6).map("\n".join))
@settings(max_examples=300)
def test_any_file_is_settings_or_a_complaint(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    directory = tmp_path_factory.getbasetemp()
    (directory / "anyturn.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    loads_or_complains(directory)


@given(
    st.dictionaries(st.sampled_from([*OPTIONS, "config", "prot"]), st.text() | st.floats()),
    st.dictionaries(
        st.sampled_from([o.variable for o in OPTIONS.values()]) | st.text().map("ANYTURN_".__add__),
        st.text(),
    ),
)
@settings(max_examples=200)
def test_any_flags_and_environment_are_settings_or_a_complaint(
    tmp_path_factory: pytest.TempPathFactory, flags: dict[str, Any], environ: dict[str, str]
) -> None:
    if not isinstance(flags.get("config", ""), str):
        del flags["config"]
    directory = tmp_path_factory.getbasetemp() / "empty"
    directory.mkdir(exist_ok=True)
    loads_or_complains(directory, flags, environ)


@given(st.data())
def test_the_line_of_a_key_is_the_line_on_which_it_is_written(data: Any) -> None:
    lines: list[str] = []
    written: dict[tuple[str | int, ...], int] = {}
    table: tuple[str, ...] = ()
    for serial in range(data.draw(st.integers(1, 8))):
        lines += data.draw(st.sampled_from([[], [""], ["# a = 1"], ["", "# [x]"]]))
        if data.draw(st.booleans()):
            table = (f"t{serial}",)
            lines.append(f"[{table[0]}]")
            written[table] = len(lines)
        key = data.draw(st.sampled_from([f"k{serial}", f'"k{serial}"', f"k{serial}.sub"]))
        value = data.draw(st.sampled_from(["1", "[\n1,\n2]", '"""\n[t]\nk = 1\n"""', "{ a = 1 }"]))
        written[(*table, f"k{serial}")] = len(lines) + 1
        lines += f"{key} = {value}".split("\n")
    file = ConfigFile(
        Path("anyturn.toml"), "f", data.draw(st.sampled_from(["\n", "\r\n"])).join(lines)
    )
    for keys, line in written.items():
        assert file.place(keys) == f"f, line {line}"
