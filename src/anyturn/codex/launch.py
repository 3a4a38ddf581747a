"""Starting the Codex CLI against a gateway: `-c` overrides, no file of the user's is touched."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

CODEX_VERSION = "0.169.0"
_CACHED = Path(".cache", "codex", CODEX_VERSION, "node_modules", ".bin", "codex")

_THIS_MACHINE = ("127.0.0.1", "localhost")

# Without the last override, which is for a gateway that ends with Codex.
_SHOWN = 8

_SANDBOX_KEYS = frozenset({"sandbox_mode", "default_permissions", "profile"})
_SANDBOX_OPTIONS = frozenset(
    {"-s", "--sandbox", "-p", "--profile", "--dangerously-bypass-approvals-and-sandbox", "--yolo"}
)

CLIENT_KEY = "ANYTURN_KEY"
"""The variable from which a Codex takes its key for a gateway that needs one."""

INSTALL_HINT = "npm install -g @openai/codex"


def find_codex(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The Codex to start: `ANYTURN_CODEX`, `codex` on PATH, or this checkout's cache."""
    if chosen := environ.get("ANYTURN_CODEX"):
        return Path(chosen)
    if found := shutil.which("codex", path=environ.get("PATH")):
        return Path(found)
    cached = cwd / _CACHED
    return cached if cached.exists() else None


def codex_home(environ: Mapping[str, str]) -> Path:
    """Codex's own folder: `CODEX_HOME`, else `.codex` in the home folder."""
    return Path(environ.get("CODEX_HOME") or Path.home() / ".codex")


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a Codex that reaches this machine itself, not through a system proxy.

    Codex asks the proxy of HTTP_PROXY for 127.0.0.1 too, which then answers in the gateway's
    place (F70).
    """
    bypassed = {}
    for name, other in (("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")):
        hosts = environ.get(name) or environ.get(other, "")
        # A star means every host, and for some programs only where it stands alone.
        named = hosts if hosts == "*" else ",".join(filter(None, (hosts, *_THIS_MACHINE)))
        bypassed[name] = named
    return {**environ, **bypassed}


def overrides(base_url: str, model: str, *, key_variable: str = "") -> list[str]:
    """The options that point Codex at the gateway at `base_url` (codex-cli.md section 10).

    `key_variable` names the environment variable with the key, where the gateway needs one.
    """
    # Codex asks for the catalogue only where it has a key, whatever the key is.
    key = f'env_key="{key_variable}"' if key_variable else 'experimental_bearer_token="anyturn"'
    provider = (
        f'model_providers.anyturn={{name="anyturn",base_url="{base_url}",wire_api="responses",'
        f'{key},model_catalog_url="{base_url}/models"}}'
    )
    settings = [
        f'model="{model}"',
        'model_provider="anyturn"',
        provider,
        # Hosted search cannot be run by a Chat provider.
        'web_search="disabled"',
        # The gateway lives as long as Codex: waiting for one that is gone would never end.
        "features.unbounded_connection_retries=false",
    ]
    return [argument for setting in settings for argument in ("-c", setting)]


def writing_default(args: Sequence[str], codex_home: Path) -> list[str]:
    """The override that lets `codex exec` write in its folder, where the user chose no sandbox.

    Plain `codex exec` may only read, so that "create hello.py" ends without a file. What the user
    chose counts, in `args` or in Codex's own configuration, which is read and not touched.
    """
    if not any(arg in ("exec", "e") for arg in args) or _chooses_sandbox(args):
        return []
    try:
        own = tomllib.loads((codex_home / "config.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        own = {}
    except (OSError, ValueError):
        return []
    if own.keys() & _SANDBOX_KEYS:
        return []
    return ["-c", 'sandbox_mode="workspace-write"']


def _chooses_sandbox(args: Sequence[str]) -> bool:
    settings = [value for option, value in pairwise(args) if option in ("-c", "--config")]
    return any(arg.partition("=")[0] in _SANDBOX_OPTIONS for arg in args) or any(
        setting.partition("=")[0] in _SANDBOX_KEYS for setting in settings
    )


def recorded_command_line(base_url: str, *, login: bool = False) -> str:
    """A Codex command to copy, for `anyturn record`: it changes nothing but whom Codex asks.

    With `login` Codex sends its ChatGPT login, else the key in `OPENAI_API_KEY`.
    """
    key = "requires_openai_auth=true" if login else 'env_key="OPENAI_API_KEY"'
    provider = (
        f'model_providers.recorded={{name="recorded",base_url="{base_url}",wire_api="responses",'
        f"{key}}}"
    )
    return f"codex -c 'model_provider=\"recorded\"' -c '{provider}'"


def command_line(base_url: str, model: str, *, key_variable: str = "") -> str:
    """A Codex command to copy, for a gateway that keeps running."""
    parts = overrides(base_url, model, key_variable=key_variable)[:_SHOWN]
    quoted = " ".join(part if part == "-c" else f"'{part}'" for part in parts)
    return f"codex {quoted}"
