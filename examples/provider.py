"""Where the examples find a model: the provider of the environment, or a scripted one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from anyturn.testing import Entry, ScriptedProvider


class Provider(NamedTuple):
    """What a client needs to know."""

    base_url: str
    api_key: str
    model: str


@asynccontextmanager
async def provider(script: Iterable[Entry]) -> AsyncIterator[Provider]:
    """Yield the provider that `OPENAI_BASE_URL` names, else one that plays `script`."""
    address = os.environ.get("OPENAI_BASE_URL")
    if address:
        yield Provider(address, os.environ["OPENAI_API_KEY"], os.environ["MODEL"])
        return
    async with ScriptedProvider(script) as scripted:
        yield Provider(scripted.base_url, "made-up-key", "gpt-oss-120b")
        assert scripted.refusals == [], scripted.refusals


def show_log() -> None:
    """Show what the interceptor logs, as it comes."""
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("anyturn").setLevel(logging.INFO)
