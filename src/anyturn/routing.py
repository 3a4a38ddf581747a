"""Which provider and model a request goes to, and with which key.

The names of models that clients send are read here and nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from anyturn.auth.chatgpt import BACKEND_HOST
from anyturn.auth.chatgpt_account import NO_LOGIN, ChatGptAccount, CodexLogin, OwnLogin
from anyturn.auth.chatgpt_file import LoginFile
from anyturn.auth.chatgpt_issuer import Issuer
from anyturn.auth.client_bearer import ClientBearer
from anyturn.config import ConfigError, Settings
from anyturn.errors import Kind, TurnError
from anyturn.providers import (
    UnknownProvider,
    find,
    for_base_url,
    generic,
    is_local,
    load_table,
    moved,
    retired_on,
)
from anyturn.wire.credentials import Credential
from anyturn.wire.profile import Profile

_REMEMBERED = 256
_SUGGESTED = "cerebras"


@dataclasses.dataclass(frozen=True)
class Target:
    """Where a turn goes. `profile` has the facts of `model` laid over the provider's.

    `model` is the provider's own name for it, empty when there is none. `key_source` is the
    environment variable that held `api_key`, or the words for where it comes from.
    """

    profile: Profile = dataclasses.field(repr=False)
    model: str
    api_key: Credential = dataclasses.field(repr=False)
    key_source: str | None


class Routing:
    """The way from a model's name to a `Target`."""

    default: Target
    """Where requests go that name no provider."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Choose the default provider, its model and its key.

        Raises `ConfigError` when no provider can be chosen or the chosen one cannot be asked: its
        key is missing, it has no address, or its service has ended.
        """
        self._settings = settings
        self._environ = environ
        self._listed: frozenset[str] = frozenset()
        self._account = chatgpt_account(settings)
        self._home = self._choose_home()
        if problem := self._problem(self._home):
            raise ConfigError(problem)
        self._target = lru_cache(maxsize=_REMEMBERED)(self._make_target)
        self.default = self._target(self._home.name, self._model_of(self._home))

    @property
    def aliases(self) -> Mapping[str, str]:
        """The file's names for models, and what they stand for."""
        return self._settings.aliases

    @property
    def patterns(self) -> Mapping[str, str]:
        """The file's patterns of names, and what they stand for."""
        return {pattern.name: pattern.target for pattern in self._settings.patterns}

    def resolve(self, model: str | None) -> Target:
        """Return where a request for `model` goes.

        An alias of [models] counts first, then a pattern of it, then `provider/model`. Any other
        name is one of the default provider's, and no name is its default model, which no pattern
        takes away. Raises `TurnError` (`MISCONFIGURED`) when there is no default model, or when
        the provider that was named cannot be asked.
        """
        name, by_pattern = self._without_alias((model or "").strip())
        name = name or self.default.model
        if not name:
            raise TurnError(Kind.MISCONFIGURED, self._no_model(), param="model")
        if name == self.default.model:
            return self.default
        provider, _, rest = name.partition("/")
        profile = None
        if rest and (by_pattern or name not in self._listed):
            profile = self._meant(provider, surely=by_pattern)
        if profile is None:
            return self._target(self._home.name, name)
        if problem := self._problem(profile):
            raise TurnError(Kind.MISCONFIGURED, problem, param="model", provider=profile.name)
        return self._target(profile.name, rest)

    def learn(self, names: Iterable[str]) -> None:
        """Take these names, which the default provider lists, for its own.

        `openai/gpt-oss-120b` is a model of Groq and OpenRouter, and it does not lead away from
        there because a key of OpenAI is set as well.
        """
        self._listed = frozenset(names)

    @property
    def passes_on(self) -> bool:
        """Whether a provider is asked with what clients send of their own."""
        profiles = (self._home, *self._settings.providers.values())
        return any(profile.auth == "client" for profile in profiles)

    async def close(self) -> None:
        """Wait for what the ChatGPT login has under way."""
        await self._account.close()

    # ---------------------------------------------------------------- names

    def _without_alias(self, name: str) -> tuple[str, bool]:
        """What a name stands for, and whether a pattern said so.

        An alias may stand for another one, which stands for a model, or for names that a pattern
        takes; what a pattern gives may be an alias, and is asked of no pattern again.
        """
        name = self._alias_of(name)
        if name and name != self.default.model:
            for pattern in self._settings.patterns:
                if target := pattern.target_for(name):
                    return self._alias_of(target), True
        return name, False

    def _alias_of(self, name: str) -> str:
        aliases = self._settings.aliases
        target = aliases.get(name, name)
        return aliases.get(target, target)

    def _meant(self, provider: str, *, surely: bool) -> Profile | None:
        """The provider that a first part of a name stands for; None when it is part of the id.

        `openai/gpt-oss-120b` is a model's own name at Groq and OpenRouter: only a provider that
        somebody set up can be meant, and only in small letters (`Qwen/…` is a maker's name).
        With `surely` any provider that is known is meant: a pattern that sends `gpt-*` to one
        whose key is missing must not send it to another one instead.
        """
        try:
            profile = self._profile(provider)
        except UnknownProvider:
            return None
        if provider != provider.lower():
            return None
        set_up = (
            surely
            or profile.name == self._home.name
            or profile.name in self._settings.providers
            or is_local(profile.base_url)
            or profile.auth == "client"
            or (self._account.exists() if profile.auth == "chatgpt" else self._key(profile))
        )
        return profile if set_up else None

    def _profile(self, name: str) -> Profile:
        """The profile called `name`: the default provider's own, the file's, or the table's."""
        if name == self._home.name:
            return self._home
        profile = find(name, self._settings.providers)
        return self._home if profile.name == self._home.name else profile

    def _make_target(self, provider: str, model: str) -> Target:
        profile = self._profile(provider)
        key, source = self._credential(profile)
        profile = profile.for_model(model)
        if self._settings.wire and profile.name == self._home.name:
            # Whoever says how to speak to the provider means all of its models.
            profile = profile.replacing(wire=self._settings.wire)
        return Target(profile, model, key, source)

    def _credential(self, profile: Profile) -> tuple[Credential, str | None]:
        """What the provider is asked with, and where that comes from."""
        if profile.auth == "chatgpt" and not self._key(profile):
            return self._account, "the ChatGPT login"
        if profile.auth == "client":
            return ClientBearer(), "each client's own request"
        return self._key(profile) or (None, None)

    def _model_of(self, profile: Profile) -> str:
        stated = self._settings.model or self._environ.get(profile.model_env, "").strip()
        return stated or profile.default_model

    def _no_model(self) -> str:
        home = self._home
        return (
            f"The request names no model, and there is no default for {home.label}. Name one in "
            f"the request, or set --model, ANYTURN_MODEL or {home.model_env}."
        )

    # ---------------------------------------------------------------- the default provider

    def _choose_home(self) -> Profile:
        settings = self._settings
        if settings.provider:
            profile = find(settings.provider, settings.providers)
        elif settings.base_url:
            profile = self._profile_at(settings.base_url)
        else:
            profile = self._only_one_with_a_key()
        if settings.base_url:
            profile = moved(profile, settings.base_url)
        if settings.api_key_env:
            profile = profile.replacing(key_env=[settings.api_key_env])
        return profile

    def _profile_at(self, url: str) -> Profile:
        known = for_base_url(url) or generic(url)
        return self._settings.providers.get(known.name, known)

    def _only_one_with_a_key(self) -> Profile:
        profiles = {**load_table(), **self._settings.providers}
        ready = [p for p in profiles.values() if self._key(p) and not retired_on(p.name)]
        if len(ready) == 1:
            return ready[0]
        if ready:
            raise ConfigError(self._several(ready))
        raise ConfigError(self._nothing_to_ask())

    def _several(self, ready: list[Profile]) -> str:
        found = ", ".join(f"{p.label} ({self._source(p)})" for p in ready)
        choices = "".join(f"\n  export ANYTURN_PROVIDER={p.name}" for p in ready)
        return (
            f"Keys of several providers are set: {found}. Choose one with --provider, or:{choices}"
        )

    def _nothing_to_ask(self) -> str:
        suggested = load_table()[_SUGGESTED]
        own = "".join(f", {name}" for name in self._settings.providers)
        lines = [
            "No provider is chosen, and no key of one is set. Set one of these:",
            f"  export {suggested.key_env[0]}=YOUR-KEY",
            "      or the key of another provider: " + ", ".join(_hosted()) + own,
            "  export ANYTURN_PROVIDER=ollama ANYTURN_MODEL=MODEL",
            "      or another server on this machine: " + ", ".join(_local()),
            "  export ANYTURN_BASE_URL=http://localhost:8000/v1 ANYTURN_MODEL=MODEL",
            "      for any other server of Chat Completions",
        ]
        for profile in load_table().values():
            if profile.auth == "chatgpt":
                lines.append(f"  anyturn login chatgpt; export ANYTURN_PROVIDER={profile.name}")
                lines.append("      for the models of a ChatGPT account")
        return "\n".join(lines)

    # ---------------------------------------------------------------- keys

    def _key(self, profile: Profile) -> tuple[str, str] | None:
        """The provider's key and the variable that holds it."""
        source = self._source(profile)
        return (self._environ[source].strip(), source) if source else None

    def _source(self, profile: Profile) -> str | None:
        set_ones = (name for name in profile.key_env if self._environ.get(name, "").strip())
        return next(set_ones, None)

    def _problem(self, profile: Profile) -> str:
        """Why this provider cannot be asked, with the way out, or nothing."""
        day = retired_on(profile.name)
        if day and profile.base_url == load_table()[profile.name].base_url:
            return f"{profile.label} ended its service on {day}. Choose another provider."
        if not profile.base_url:
            return (
                f"{profile.label} has no address of its own: set --base-url, ANYTURN_BASE_URL, or "
                f"base_url under [providers.{profile.name}] in the file."
            )
        if profile.auth == "chatgpt" and not self._key(profile):
            return self._login_problem(profile)
        key = self._key(profile)
        if key:
            return "" if _can_be_sent(key[0]) else _damaged(key[1])
        needless = profile.key_optional or profile.auth in ("none", "client")
        if needless or is_local(profile.base_url):
            return ""
        return _no_key(profile)

    def _login_problem(self, profile: Profile) -> str:
        """Why the ChatGPT login cannot be used for this provider, or nothing."""
        address = urlsplit(profile.base_url)
        theirs = address.scheme == "https" and address.hostname == BACKEND_HOST
        if not theirs and not is_local(profile.base_url):
            return (
                f"{profile.label} has the address {profile.base_url}, and the tokens of a ChatGPT "
                f"login are sent to https://{BACKEND_HOST} and to this machine only."
            )
        return "" if self._account.exists() else f"{NO_LOGIN}."


def chatgpt_account(settings: Settings) -> ChatGptAccount:
    """The ChatGPT logins that the settings allow, be there any or not."""
    which, own, codex = settings.chatgpt_login, settings.chatgpt_path, settings.codex_login_path
    issuer = Issuer(settings.chatgpt_issuer)
    return ChatGptAccount(
        OwnLogin(LoginFile(own), issuer) if own and which != "codex" else None,
        CodexLogin(codex) if codex and which != "anyturn" else None,
    )


def _no_key(profile: Profile) -> str:
    if not profile.key_env:
        return (
            f"{profile.label} needs a key, and no variable is named that holds it: set "
            "--api-key-env or ANYTURN_API_KEY_ENV."
        )
    others = f" (or {', '.join(profile.key_env[1:])})" if profile.key_env[1:] else ""
    return (
        f"There is no key for {profile.label}: {profile.key_env[0]}{others} is not set. Set it:\n"
        f"  export {profile.key_env[0]}=YOUR-KEY\n"
        f"A server that needs none: key_optional = true under [providers.{profile.name}]."
    )


def _can_be_sent(key: str) -> bool:
    return key.isascii() and key.isprintable() and " " not in key


def _damaged(variable: str) -> str:
    return (
        f"The key in {variable} holds characters that no key has (a blank, a line break or a "
        "letter outside ASCII). Copy it again."
    )


def _hosted() -> list[str]:
    table = load_table().values()
    hosted = (p for p in table if not is_local(p.base_url) and not retired_on(p.name))
    return [p.name for p in hosted if p.auth not in ("chatgpt", "client")]


def _local() -> list[str]:
    return [p.name for p in load_table().values() if is_local(p.base_url)]
