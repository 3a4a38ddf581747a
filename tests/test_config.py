from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.config import OPTIONS, ConfigError, Settings, load_settings, reference_table
from anyturn.config_file import ConfigFile

SECRET = "sk-do-not-show-0123456789"
# A text for every option that differs from its default.
OTHER = {
    "wire": "responses",
    "host": "0.0.0.0",
    "port": "8123",
    "provider": "groq",
    "base_url": "http://localhost:9/v1",
    "model": "some-model",
    "api_key_env": "SOME_KEY",
    "reasoning": "text",
    "reasoning_events": "open-responses",
    "strict": "true",
    "check": "warn",
    "log_level": "debug",
    "connect_timeout_s": "1.5",
    "first_byte_timeout_s": "2",
    "idle_timeout_s": "3.25",
    "retries": "0",
    "retry_wait_max_s": "0",
    "keepalive_s": "5",
    "max_body_bytes": "1000",
    "websocket": "false",
    "shutdown_timeout_s": "0.5",
    "store": "memory",
    "store_path": "/srv/anyturn/store.sqlite3",
    "store_url": "redis://localhost:1/2",
    "store_ttl_days": "0.5",
    "store_max_bytes": "1000000",
    "store_timeout_s": "0.5",
    "auth": "required",
    "keys_file": "some-keys.json",
    "allow_anyone": "true",
    "capture": "some-captures",
    "inspector": "true",
    "capture_max_turns": "7",
    "capture_max_bytes": "1000",
    "capture_max_days": "0.5",
    "cors_origins": "https://app.example.org, http://localhost:3000",
    "chatgpt_login": "codex",
    "chatgpt_issuer": "http://127.0.0.1:9",
    "status_line": "{git} · {model}",
}


def load(
    directory: Path,
    text: str | None = None,
    flags: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
) -> Settings:
    """Settings of a working directory with `text` as its anyturn.toml, and nothing else."""
    if text is not None:
        (directory / "anyturn.toml").write_text(text, encoding="utf-8")
    return load_settings(flags or {}, environ or {}, directory)


def complaint(directory: Path, *given: Any, **named: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(directory, *given, **named)
    return str(caught.value)


def value_of(name: str) -> Any:
    """What the text in `OTHER` means."""
    kind = OPTIONS[name].kind
    return OTHER[name] == "true" if kind is bool else kind(OTHER[name])


def toml_of(name: str) -> str:
    value = OTHER[name] if OPTIONS[name].kind is not str else f'"{OTHER[name]}"'
    table = OPTIONS[name].table
    return (f"[{table}]\n" if table else "") + f"{name} = {value}\n"


# ---------------------------------------------------------------- where values come from


def test_a_file_that_nobody_names_is_left_alone_where_that_is_wished(tmp_path: Path) -> None:
    (tmp_path / "anyturn.toml").write_text("port = 8123", encoding="utf-8")
    named = {"config": "anyturn.toml"}
    assert load_settings({}, {}, tmp_path, looks_for_file=False).port == 10000
    assert load_settings(named, {}, tmp_path, looks_for_file=False).port == 8123


def test_without_anything_given_every_option_has_its_default(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded == Settings(sources=dict.fromkeys(OPTIONS, "default"))
    assert (loaded.host, loaded.port, loaded.idle_timeout_s) == ("127.0.0.1", 10000, 300.0)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_read_from_the_file(tmp_path: Path, name: str) -> None:
    loaded = load(tmp_path, toml_of(name))
    assert getattr(loaded, name) == value_of(name)
    assert type(getattr(loaded, name)) is OPTIONS[name].kind
    assert loaded.sources[name] == "anyturn.toml"
    assert loaded.config_file == tmp_path / "anyturn.toml"


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_read_from_its_variable(tmp_path: Path, name: str) -> None:
    variable = f"ANYTURN_{name.upper()}"
    loaded = load(tmp_path, environ={variable: OTHER[name]})
    assert getattr(loaded, name) == value_of(name)
    assert loaded.sources[name] == variable


@pytest.mark.parametrize("typed", [False, True], ids=["as text", "as value"])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_read_from_a_flag(tmp_path: Path, name: str, typed: bool) -> None:
    value = value_of(name)
    loaded = load(tmp_path, flags={name: value if typed else OTHER[name]})
    assert getattr(loaded, name) == value
    assert loaded.sources[name] == OPTIONS[name].flag


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    text = "port = 1\nretries = 1\nkeepalive_s = 1\n"
    environ = {"ANYTURN_PORT": "2", "ANYTURN_RETRIES": "2"}
    loaded = load(tmp_path, text, {"port": 3, "retries": None}, environ)
    assert (loaded.port, loaded.retries, loaded.keepalive_s) == (3, 2, 1.0)
    assert [loaded.sources[n] for n in ("port", "retries", "keepalive_s", "host")] == [
        "--port",
        "ANYTURN_RETRIES",
        "anyturn.toml",
        "default",
    ]


def test_a_variable_that_is_set_to_nothing_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, "port = 1", environ={"ANYTURN_PORT": "", "ANYTURN_PROT": ""}).port == 1


def test_choices_may_be_written_in_capital_letters(tmp_path: Path) -> None:
    assert load(tmp_path, environ={"ANYTURN_LOG_LEVEL": "DEBUG"}).log_level == "debug"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("Yes", True), (" on ", True), ("1", True), ("FALSE", False), ("0", False)],
)
def test_a_switch_is_written_in_the_usual_words(tmp_path: Path, text: str, value: bool) -> None:
    assert load(tmp_path, environ={"ANYTURN_STRICT": text}).strict is value


# ---------------------------------------------------------------- which file is read


def write(path: Path, port: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"port = {port}\n", encoding="utf-8")
    return str(path)


def test_the_file_is_the_named_one_else_the_local_one_else_the_users(tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    environ = {"HOME": str(home)}
    write(home / ".config" / "anyturn" / "anyturn.toml", 1)
    assert load(work, environ=environ).port == 1
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    write(tmp_path / "xdg" / "anyturn" / "anyturn.toml", 2)
    assert load(work, environ=environ).port == 2
    write(work / "anyturn.toml", 3)
    assert load(work, environ=environ).port == 3
    environ["ANYTURN_CONFIG"] = write(tmp_path / "named.toml", 4)
    assert load(work, environ=environ).port == 4
    write(work / "other.toml", 5)
    assert load(work, flags={"config": Path("other.toml")}, environ=environ).port == 5


@pytest.mark.parametrize("where", ["--config", "ANYTURN_CONFIG"])
def test_a_named_file_that_is_missing_is_said(tmp_path: Path, where: str) -> None:
    flags = {"config": "gone.toml"} if where == "--config" else {}
    environ = {} if flags else {"ANYTURN_CONFIG": "gone.toml"}
    said = complaint(tmp_path, flags=flags, environ=environ)
    assert said == f"{where}: there is no file 'gone.toml'."


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.config/anyturn/keys.json"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/anyturn/keys.json"),
        ({"HOME": "/h", "ANYTURN_KEYS_FILE": "/k/keys"}, "/k/keys"),
        ({"HOME": "/h", "ANYTURN_KEYS_FILE": "k"}, "CWD/k"),
    ],
)
def test_the_keys_of_clients_are_the_users_own_or_where_it_is_said(
    tmp_path: Path, environ: dict[str, str], expected: str | None
) -> None:
    path = expected and Path(expected.replace("CWD", str(tmp_path)))
    assert load(tmp_path, environ=environ).keys_path == path


@pytest.mark.parametrize(
    ("environ", "own", "codex"),
    [
        ({}, None, None),
        ({"HOME": "/h"}, "/h/.config/anyturn/chatgpt.json", "/h/.codex/auth.json"),
        ({"HOME": "/h", "CODEX_HOME": "/c"}, "/h/.config/anyturn/chatgpt.json", "/c/auth.json"),
        (
            {"XDG_CONFIG_HOME": "/x", "CODEX_HOME": "c"},
            "/x/anyturn/chatgpt.json",
            "CWD/c/auth.json",
        ),
    ],
)
def test_the_logins_are_where_anyturn_and_codex_keep_them(
    tmp_path: Path, environ: dict[str, str], own: str | None, codex: str | None
) -> None:
    loaded = load(tmp_path, environ=environ)
    assert loaded.chatgpt_path == (own and Path(own))
    assert loaded.codex_login_path == (codex and Path(codex.replace("CWD", str(tmp_path))))


@pytest.mark.parametrize(
    "url", ["https://auth.example.org", "http://127.0.0.1.example.org", "localhost", "file:///x"]
)
def test_refresh_tokens_can_be_sent_to_no_other_machine(tmp_path: Path, url: str) -> None:
    said = complaint(tmp_path, f'chatgpt_issuer = "{url}"\n')
    assert "chatgpt_issuer takes an address of this machine" in said


@pytest.mark.parametrize("origins", ["*", "null", "app.example.org", "https://a.example,,"])
def test_the_pages_that_may_are_named_one_by_one(tmp_path: Path, origins: str) -> None:
    said = complaint(tmp_path, f'cors_origins = "{origins}"\n')
    assert "cors_origins takes origins like https://app.example.org" in said


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert "cannot be read" in complaint(tmp_path, flags={"config": str(tmp_path)})
    (tmp_path / "anyturn.toml").write_bytes(b"host = '\xff'")
    assert complaint(tmp_path) == "anyturn.toml: cannot be read: not a text file in UTF-8."


# ---------------------------------------------------------------- where the store is


@pytest.mark.parametrize(
    ("text", "environ", "path"),
    [
        ("", {"HOME": "/home/me"}, "/home/me/.local/state/anyturn/store.sqlite3"),
        ("", {"XDG_STATE_HOME": "/state", "HOME": "/h"}, "/state/anyturn/store.sqlite3"),
        ("", {"XDG_STATE_HOME": "state", "HOME": "/h"}, "/h/.local/state/anyturn/store.sqlite3"),
        ("", {}, ""),
        ("store_path = '~/my.db'", {"HOME": "/home/me"}, "/home/me/my.db"),
        ("store_path = '/srv/my.db'", {"HOME": "/home/me"}, "/srv/my.db"),
    ],
    ids=["home", "XDG", "relative XDG does not count", "no home", "tilde", "absolute"],
)
def test_the_store_has_a_place_of_the_users(
    tmp_path: Path, text: str, environ: dict[str, str], path: str
) -> None:
    assert load(tmp_path, text, environ=environ).store_path == path


def test_a_relative_path_of_the_store_is_one_of_the_working_directory(tmp_path: Path) -> None:
    assert load(tmp_path, "store_path = 'a/b.db'").store_path == str(tmp_path / "a" / "b.db")


def test_redis_needs_an_address(tmp_path: Path) -> None:
    said = complaint(tmp_path, "\nstore = 'redis'")
    assert said == (
        "anyturn.toml, line 2: store = redis needs store_url, like redis://localhost:6379/0."
    )
    assert load(tmp_path, f"store = 'redis'\n{toml_of('store_url')}").store == "redis"


def test_the_password_in_the_address_of_redis_is_not_shown(tmp_path: Path) -> None:
    url = f"redis://:{SECRET}@localhost/0"
    assert SECRET not in repr(load(tmp_path, environ={"ANYTURN_STORE_URL": url}))
    assert SECRET not in complaint(tmp_path, environ={"ANYTURN_STORE_URL": url[5:]})


# ---------------------------------------------------------------- hooks

COMMAND = "[hooks]\nstatus_line = 'command: /bin/status'\n"


def test_a_command_is_not_run_from_a_file_that_was_merely_found(tmp_path: Path) -> None:
    """Whoever starts the gateway in a folder of somebody else's must not run their programs."""
    said = complaint(tmp_path, f"port = 1\n{COMMAND}")
    assert said.startswith("anyturn.toml, line 3: status_line: a command is not run from a file")
    assert "--config" in said and "~/.config/anyturn/anyturn.toml" in said


def test_a_command_is_run_from_a_file_that_was_named(tmp_path: Path) -> None:
    stated = "command: /bin/status"
    assert load(tmp_path, COMMAND, {"config": "anyturn.toml"}).status_line == stated
    environ = {"ANYTURN_CONFIG": "anyturn.toml"}
    assert load(tmp_path, COMMAND, environ=environ).status_line == stated


def test_a_command_is_run_from_the_users_own_file_and_the_environment(tmp_path: Path) -> None:
    own = tmp_path / "home" / "anyturn" / "anyturn.toml"
    own.parent.mkdir(parents=True)
    own.write_text(COMMAND, encoding="utf-8")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    assert load(tmp_path, environ=environ).status_line == "command: /bin/status"
    environ = {"ANYTURN_STATUS_LINE": "command: date"}
    assert load(tmp_path, "port = 1", environ=environ).status_line == "command: date"


def test_there_is_no_status_line_unless_somebody_wants_one(tmp_path: Path) -> None:
    assert load(tmp_path, "").status_line == ""
    assert load(tmp_path, "[hooks]\nstatus_line = ''\n").status_line == ""
    assert load(tmp_path, "[hooks]\n").status_line == ""


# ---------------------------------------------------------------- errors


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


# ---------------------------------------------------------------- providers of one's own


def test_a_provider_of_ones_own_starts_from_the_one_it_is_like(tmp_path: Path) -> None:
    text = """
    [providers.gpu-box]
    like = "vllm"
    base_url = "http://gpu:8000/v1/"
    api_key_env = "GPU_KEY"
    model = "qwen3-coder"
    context_window = 65536
    [[providers.gpu-box.models]]
    match = "qwen"
    think_tags = false
    """
    box = load(tmp_path, text).providers["gpu-box"]
    assert (box.name, box.label, box.base_url) == ("gpu-box", "gpu-box", "http://gpu:8000/v1")
    assert (box.key_env, box.default_model, box.context_window) == (
        ("GPU_KEY",),
        "qwen3-coder",
        65536,
    )
    assert box.reasoning_out == "reasoning" and box.key_optional
    assert box.think_tags and not box.for_model("qwen3-coder").think_tags


def test_a_new_provider_never_gets_the_key_of_the_one_it_is_like(tmp_path: Path) -> None:
    text = '[providers.proxy]\nlike = "openai"\nbase_url = "https://proxy.example.org/v1"\n'
    assert load(tmp_path, text).providers["proxy"].key_env == ("PROXY_API_KEY",)


def test_a_known_provider_keeps_what_is_not_changed(tmp_path: Path) -> None:
    profile = load(tmp_path, '[providers.cerebras]\nmodel = "zai-glm-4.7"\n').providers["cerebras"]
    assert profile.default_model == "zai-glm-4.7"
    assert profile.key_env == ("CEREBRAS_API_KEY",)
    assert profile.max_tokens_default == 16384


def test_a_provider_like_nobody_is_a_plain_server(tmp_path: Path) -> None:
    text = '[providers.box]\nbase_url = "http://gpu:8000/v1"\n'
    box = load(tmp_path, text).providers["box"]
    assert (box.name, box.efforts, box.parallel_tool_calls) == ("box", (), "omit")


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


# ---------------------------------------------------------------- the reference


def test_the_reference_has_one_row_per_option() -> None:
    rows = reference_table()
    assert [row.name for row in rows] == [
        "config",
        *(".".join(one.keys) for one in OPTIONS.values()),
    ]
    assert all(row.variable and row.takes and row.help for row in rows)


@pytest.mark.parametrize(
    ("flags", "folder"),
    [
        ({}, None),
        ({"inspector": True}, "state/anyturn/captures"),
        ({"inspector": True, "capture": "own"}, "own"),
        ({"capture": "own"}, "own"),
    ],
    ids=["nothing", "inspector", "both", "a folder"],
)
def test_the_inspector_records_where_is_said_or_in_the_state_folder(
    tmp_path: Path, flags: dict[str, Any], folder: str | None
) -> None:
    loaded = load(tmp_path, flags=flags, environ={"XDG_STATE_HOME": str(tmp_path / "state")})
    assert loaded.capture_path == (tmp_path / folder if folder else None)
