"""The configuration: one value out of flags, environment, file and defaults, in this order.

Every option is declared once, as a field of `Settings`: the file, the environment, the flags, the
error sentences and the reference in docs/configuration.md all come from there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast, get_type_hints

from anyturn.config_file import ConfigError, ConfigFile, did_you_mean, found, read_config_file
from anyturn.config_hooks import keys_and_values, refuse_command, unknown_key
from anyturn.config_models import NO_MODELS, Pattern, read_models
from anyturn.config_places import (
    LOGIN_NAME,
    captures_path,
    codex_login_path,
    keys_path,
    store_path,
    user_file,
)
from anyturn.config_profiles import Problem, read_profiles, url_problem, variable_problem
from anyturn.providers import UnknownProvider, find, names, nearest
from anyturn.translate.status_line import status_line_problem
from anyturn.wire.address import is_local, origin_of
from anyturn.wire.profile import Profile

__all__ = [
    "CONFIG",
    "OPTIONS",
    "ConfigError",
    "Option",
    "Row",
    "Settings",
    "load_settings",
    "reference_table",
]

PREFIX = "ANYTURN_"
FILE_NAME = "anyturn.toml"

T = TypeVar("T")


# ---------------------------------------------------------------- what an option is


@dataclasses.dataclass(frozen=True)
class Option:
    """One option, wherever its value is given. `kind` is str, bool, int or float."""

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    problem: Problem | None = None
    on_command_line: bool = False
    table: str = ""
    """The table of the file in which it stands."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Where it stands in the file."""
        return (self.table, self.name) if self.table else (self.name,)

    @property
    def variable(self) -> str:
        """The environment variable: `ANYTURN_PORT`."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag of the command line: `--port`."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """What it takes, for the middle of a sentence."""
        if self.choices:
            return "one of " + ", ".join(filter(None, self.choices))
        if self.kind is bool:
            return "true or false"
        if self.kind is str:
            return "a text"
        number = "a whole number" if self.kind is int else "a number"
        if math.isfinite(self.high):
            return f"{number} from {self.low:g} to {self.high:g}"
        return f"{number}, {self.low:g} or more"

    def parse(self, text: str) -> Any:
        """Return the value that `text` of a flag or variable writes. Raises as `read` does."""
        if self.kind is str:
            return self.read(text)
        if self.kind is bool:
            return self.read(_SWITCH.get(text.strip().lower(), text))
        try:
            number = self.kind(text)
        except ValueError:
            raise self._misfit(self.expected, text) from None
        return self.read(number)

    def read(self, given: Any) -> Any:
        """Return `given`, a value of TOML, as a value of this option.

        Raises `ValueError` with a sentence that says what the option takes and what was found.
        """
        if isinstance(given, bool) and self.kind is bool:
            return given
        if isinstance(given, bool) or self.kind is bool:
            raise self._misfit(self.expected, given)
        if isinstance(given, int | float) and self.kind is not str:
            return self._read_number(given)
        if isinstance(given, str) and self.kind is str:
            return self._read_text(given)
        raise self._misfit(self.expected, given)

    def _read_number(self, given: float) -> float:
        whole = isinstance(given, int) or self.kind is float
        if not whole or not self.low <= given <= min(self.high, _MAX_NUMBER):
            raise self._misfit(self.expected, given)
        return cast(float, self.kind(given))

    def _read_text(self, given: str) -> str:
        value = given.strip()
        if self.choices and (value := value.lower()) not in self.choices:
            raise self._misfit(self.expected, given)
        # Nothing is a wish for nothing, except where something has to be.
        judged = self.problem if value or self.default else None
        if judged and (expected := judged(value)):
            raise self._misfit(expected, given)
        return value

    def _misfit(self, expected: str, given: Any) -> ValueError:
        # Whoever puts the key itself where its variable's name belongs must not see it in a log.
        secret = self.problem in (variable_problem, _redis_problem)
        shown = "what was found" if secret else found(given)
        return ValueError(f"{self.name} takes {expected}, not {shown}.")


_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
# More seconds than a year has, and more bytes than a body can have.
_MAX_NUMBER = 1e12


def option(
    default: T,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    low: float = -math.inf,
    high: float = math.inf,
    problem: Problem | None = None,
    on_command_line: bool = False,
    table: str = "",
) -> T:
    """Declare a field of `Settings` as an option."""
    facts = {"help": help, "choices": choices, "low": low, "high": high, "problem": problem}
    facts |= {"on_command_line": on_command_line, "table": table}
    # An address may have a password in it, as Redis' has.
    shown = problem is not _redis_problem
    return dataclasses.field(default=default, repr=shown, metadata={"option": facts})


def _host_problem(host: str) -> str:
    # An empty host would listen on every network.
    plain = re.fullmatch(r"[A-Za-z0-9.:_%-]+", host)
    return "" if plain else "an address or a name, like 127.0.0.1"


def _origins_problem(origins: str) -> str:
    plain = all(origin_of(one) for one in origins.split(","))
    return "" if plain else "origins like https://app.example.org, with commas between them"


def _issuer_problem(url: str) -> str:
    # Refresh tokens go there: no configuration may send them to anybody else.
    plain = not url_problem(url) and is_local(url)
    return "" if plain else "an address of this machine (for tests; nothing for the real one)"


def _redis_problem(url: str) -> str:
    plain = re.match(r"(redis|rediss|unix)://.", url)
    return "" if plain else "an address like redis://localhost:6379/0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All options with their values, and where each value came from.

    `sources` maps every option to `default`, the file's name, `ANYTURN_…` or `--…`; `aliases` and
    `patterns` are the file's [models], those with a star apart and the one that says most first;
    `providers` are its [providers.NAME]. `keys_path` is where the clients' keys are, `capture_path`
    where turns are recorded, `chatgpt_path` where our own ChatGPT login is and `codex_login_path`
    where Codex's is, None where nothing says so. No key is in here.
    """

    host: str = option(
        "127.0.0.1", "Address to listen on.", problem=_host_problem, on_command_line=True
    )
    port: int = option(
        10000,
        "Port to listen on; 0 takes any free one.",
        low=0,
        high=65535,
        on_command_line=True,
    )
    auth: str = option(
        "auto",
        "Whether clients need a key; auto: where there is a keys file.",
        choices=("auto", "required", "off"),
    )
    keys_file: str = option("", "The file with the clients' keys, instead of the user's own.")
    allow_anyone: bool = option(
        False,
        "Listen on other addresses than this machine's even if no key is needed.",
        on_command_line=True,
    )
    cors_origins: str = option(
        "",
        "Origins of the web pages that may use the gateway, with commas between them.",
        problem=_origins_problem,
    )
    provider: str = option(
        "", "Provider of the models; without it, the one whose key is set.", on_command_line=True
    )
    base_url: str = option(
        "",
        "Where the provider's API begins, up to /v1.",
        problem=url_problem,
        on_command_line=True,
    )
    wire: str = option(
        "",
        "What the provider is spoken to in; without it, what its profile says.",
        choices=("", "chat", "responses"),
        on_command_line=True,
    )
    model: str = option("", "Model for requests that name none.", on_command_line=True)
    api_key_env: str = option(
        "",
        "Environment variable that holds the provider's key.",
        problem=variable_problem,
        on_command_line=True,
    )
    chatgpt_login: str = option(
        "auto",
        "Whose ChatGPT login is used; auto: Anyturn's own, else that of Codex, which is only read.",
        choices=("auto", "anyturn", "codex"),
    )
    chatgpt_issuer: str = option(
        "", "Another authorization server for ChatGPT logins.", problem=_issuer_problem
    )
    reasoning: str = option(
        "auto",
        "How the model's reasoning is shown to the client.",
        choices=("auto", "summary", "text"),
    )
    reasoning_events: str = option(
        "openai",
        "Whose names the events of raw reasoning have.",
        choices=("openai", "open-responses"),
    )
    strict: bool = option(
        False,
        "Refuse a request that cannot reach the provider without losing something.",
        on_command_line=True,
    )
    check: str = option(
        "off",
        "Whether the checker judges every turn; strict: a turn that breaks its client fails.",
        choices=("off", "warn", "strict"),
        on_command_line=True,
    )
    log_level: str = option(
        "info",
        "How much is logged.",
        choices=("debug", "info", "warning", "error"),
        on_command_line=True,
    )
    connect_timeout_s: float = option(10.0, "Seconds to reach the provider.", low=0.01)
    first_byte_timeout_s: float = option(
        300.0, "Seconds until the provider begins to answer.", low=0.01
    )
    idle_timeout_s: float = option(
        300.0, "Seconds of silence in the middle of a provider's answer.", low=0.01
    )
    retries: int = option(
        2, "How often a request is tried again, before its first byte.", low=0, high=10
    )
    retry_wait_max_s: float = option(
        60.0,
        "Longest pause before another try, in seconds; a longer one is the client's to wait.",
        low=0,
    )
    keepalive_s: float = option(
        15.0, "Seconds of silence after which the client gets a sign of life.", low=0.01
    )
    max_body_bytes: int = option(
        64 * 1024 * 1024, "Largest request body in bytes, unpacked (64 MiB).", low=1
    )
    websocket: bool = option(
        True, "Whether clients may use a WebSocket; without it they are told to post."
    )
    shutdown_timeout_s: float = option(
        10.0, "Seconds that running turns may go on after the gateway was stopped.", low=0
    )

    store: str = option(
        "sqlite",
        "Where items, responses and conversations are kept.",
        choices=("sqlite", "memory", "redis", "off"),
    )
    store_path: str = option(
        "",
        "The SQLite file, instead of anyturn/store.sqlite3 in $XDG_STATE_HOME or ~/.local/state.",
    )
    store_url: str = option(
        "", "The Redis server, for instance redis://localhost:6379/0.", problem=_redis_problem
    )
    store_ttl_days: float = option(30.0, "Days that a record is kept after it came.", low=0.01)
    store_max_bytes: int = option(
        1024 * 1024 * 1024,
        "Most bytes of the store (1 GiB; in memory 64 MiB unless set); the oldest go first.",
        low=500_000,
    )
    capture: str = option(
        "", "Folder to record every turn in; nothing is recorded without it.", on_command_line=True
    )
    inspector: bool = option(
        False,
        "Record every turn, and show them at /inspector; in anyturn/captures in $XDG_STATE_HOME or "
        "~/.local/state unless capture says where.",
        on_command_line=True,
    )
    capture_max_turns: int = option(1000, "Recorded turns to keep.", low=1)
    capture_max_bytes: int = option(
        512 * 1024 * 1024, "Bytes of recorded turns to keep (512 MiB).", low=1
    )
    capture_max_days: float = option(30.0, "Days to keep recorded turns.", low=0.01)
    store_timeout_s: float = option(2.0, "Seconds that one answer of the store may take.", low=0.01)
    status_line: str = option(
        "",
        "Line under each answer in Codex: default, git, a template, or command: PROGRAM.",
        problem=status_line_problem,
        table="hooks",
    )

    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    aliases: dict[str, str] = dataclasses.field(default_factory=dict)
    patterns: tuple[Pattern, ...] = ()
    # Headers of a profile may hold secrets: they stay out of repr().
    providers: dict[str, Profile] = dataclasses.field(default_factory=dict, repr=False)
    config_file: Path | None = None
    keys_path: Path | None = None
    capture_path: Path | None = None
    chatgpt_path: Path | None = None
    codex_login_path: Path | None = None


def _declared_options() -> Iterator[Option]:
    kinds = get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        if "option" in field.metadata:
            yield Option(field.name, kinds[field.name], field.default, **field.metadata["option"])


OPTIONS: Mapping[str, Option] = MappingProxyType({o.name: o for o in _declared_options()})
CONFIG = Option(
    "config",
    str,
    "",
    f"The file to read, instead of ./{FILE_NAME} or the user's own.",
    on_command_line=True,
)


class Row(NamedTuple):
    """One row of the reference, as texts. `flag` is empty for an option that has none."""

    name: str
    flag: str
    variable: str
    takes: str
    default: str
    help: str


def reference_table() -> list[Row]:
    """Return one row per option, in the order of declaration; `config` comes first."""
    return [
        Row(".".join(o.keys), _flag(o), o.variable, o.expected, _default_text(o.default), o.help)
        for o in (CONFIG, *OPTIONS.values())
    ]


def _flag(one: Option) -> str:
    return one.flag if one.on_command_line else ""


def _default_text(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


# ---------------------------------------------------------------- loading


class _Given(NamedTuple):
    """A value that somebody gave. `place` says where, for the beginning of a sentence."""

    value: Any
    source: str
    place: Callable[[], str]


def load_settings(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: Path,
    *,
    looks_for_file: bool = True,
) -> Settings:
    """Return the configuration that `flags`, `environ` and the file found from `cwd` make.

    `flags` holds options by name, with None for those that were not given, and `config`. A file
    that nobody names is read unless `looks_for_file` is false. Raises `ConfigError` for whatever is
    unknown, of a wrong type or contradictory in any of the three.
    """
    file = _find_file(flags, environ, cwd, looks_for_file)
    profiles = read_profiles(file) if file else {}
    models = read_models(file, profiles) if file else NO_MODELS
    given = _from_file(file) if file else {}
    is_named = flags.get("config") or environ.get(CONFIG.variable)
    if file and "status_line" in given and not is_named and file.path == cwd / FILE_NAME:
        refuse_command(file, given["status_line"].value)
    given |= _from_environment(environ)
    given |= _from_flags(flags)
    if "provider" in given:
        _check_provider(given["provider"], profiles)
    values = {name: one.value for name, one in given.items()}
    if values.get("store") == "redis" and not values.get("store_url"):
        place = given["store"].place()
        raise ConfigError(f"{place}: store = redis needs store_url, like redis://localhost:6379/0.")
    return Settings(
        **values | {"store_path": store_path(values.get("store_path", ""), environ, cwd)},
        sources={name: given[name].source if name in given else "default" for name in OPTIONS},
        aliases=models.aliases,
        patterns=models.patterns,
        providers=profiles,
        config_file=file.path if file else None,
        keys_path=keys_path(values.get("keys_file", ""), environ, cwd),
        capture_path=_capture_path(values, environ, cwd),
        chatgpt_path=user_file(LOGIN_NAME, environ),
        codex_login_path=codex_login_path(environ, cwd),
    )


def _capture_path(values: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> Path | None:
    if stated := values.get("capture"):
        return cwd / cast(str, stated)
    return captures_path(environ) if values.get("inspector") else None


def _check_provider(given: _Given, profiles: Mapping[str, Profile]) -> None:
    if not given.value:
        return
    try:
        find(given.value, profiles)
    except UnknownProvider as error:
        known = ", ".join(dict.fromkeys([*profiles, *names()]))
        raise ConfigError(f"{given.place()}: {error} Known: {known}.") from None


def _give(read: Callable[[Any], Any], raw: Any, source: str, place: Callable[[], str]) -> _Given:
    try:
        return _Given(read(raw), source, place)
    except ValueError as error:
        raise ConfigError(f"{place()}: {error}") from None


# ---------------------------------------------------------------- flags and environment


def _from_flags(flags: Mapping[str, Any]) -> dict[str, _Given]:
    given = {}
    for name, raw in flags.items():
        if raw is None or name == CONFIG.name:
            continue
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS)
            raise ConfigError(f"--{name}: there is no such option.{hint}")
        one = OPTIONS[name]
        read = one.parse if isinstance(raw, str) else one.read
        given[name] = _give(read, raw, one.flag, partial(str, one.flag))
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    _refuse_misspelt(environ)
    given = {}
    for name, one in OPTIONS.items():
        # A variable that is set to nothing counts as not set.
        if raw := environ.get(one.variable, ""):
            place = partial(_variable_place, one.variable, raw)
            given[name] = _give(one.parse, raw, one.variable, place)
    return given


def _variable_place(variable: str, raw: str) -> str:
    if raw.startswith("tcp://"):
        return f"{variable} (set by Kubernetes for a service of this name, see enableServiceLinks)"
    return variable


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Refuse names that are nearly an option's; others may be somebody else's (Kubernetes)."""
    known = {o.variable.removeprefix(PREFIX): o.variable for o in (CONFIG, *OPTIONS.values())}
    for variable, value in environ.items():
        name = variable.removeprefix(PREFIX)
        if not value or not variable.startswith(PREFIX) or name in known:
            continue
        if like := nearest(name, known, likeness=0.75):
            raise ConfigError(f"{variable}: there is no such option. Did you mean {known[like]}?")


# ---------------------------------------------------------------- the file


def _find_file(
    flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path, looks_for_file: bool
) -> ConfigFile | None:
    named = {CONFIG.flag: flags.get("config"), CONFIG.variable: environ.get(CONFIG.variable)}
    for place, name in named.items():
        if name:
            file = read_config_file(cwd / name, str(name))
            if file is None:
                raise ConfigError(f"{place}: there is no file {str(name)!r}.")
            return file
    if not looks_for_file:
        return None
    file = read_config_file(cwd / FILE_NAME, FILE_NAME)
    if file is None and (path := user_file(FILE_NAME, environ)):
        file = read_config_file(path, str(path))
    return file


def _from_file(file: ConfigFile) -> dict[str, _Given]:
    known = {one.keys: one for one in OPTIONS.values()}
    given = {}
    for keys, raw in keys_and_values(file, {one.table for one in OPTIONS.values() if one.table}):
        if keys not in known:
            raise file.error(keys, unknown_key(keys, list(known)))
        one = known[keys]
        given[one.name] = _give(one.read, raw, file.shown, partial(file.place, keys))
    return given
