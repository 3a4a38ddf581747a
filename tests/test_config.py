from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyturn.config import OPTIONS, Settings, load_settings, reference_table
from support.config_files import SECRET, complaint, load

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
