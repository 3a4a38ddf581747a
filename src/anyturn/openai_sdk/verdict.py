"""What is wrong with a call, once its answer is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyturn.openai_sdk.events import Rule, ToolCall
from anyturn.openai_sdk.misfits import misfits
from anyturn.openai_sdk.requests import Sent
from anyturn.translate.arguments import repair_arguments
from anyturn.translate.json_text import INVALID, decode

Fault = tuple[Rule, str]


def argument_faults(
    call: ToolCall, sent: Sent | None, is_json: bool, is_whole: bool
) -> Iterator[Fault]:
    """Yield what is wrong with `call`.

    `is_json` is false for freeform input. Of an answer that was cut off (`is_whole` is false) only
    the last call can be torn, but nothing says which one that is: one that parses is judged as
    whole, one that does not is truncated.
    """
    if not call.name:
        yield Rule.NAME_MISSING, "never got a name: nothing can execute it"
    elif sent is not None and sent.calls_are_known and call.name not in sent.tools:
        yield Rule.UNKNOWN_TOOL, f"names {call.name}, which the request did not declare"
    if not call.id and is_json:
        yield Rule.ID_MISSING, "never got an id: its result cannot be sent back"
    if is_json and (sent is None or call.name not in sent.freeform):
        schema = sent.schemas.get(call.name) if sent is not None else None
        yield from _json_faults(call.arguments, schema, is_whole)


def _json_faults(text: str, schema: Any, is_whole: bool) -> Iterator[Fault]:
    value = decode(text)
    if isinstance(value, dict):
        if schema is not None and (found := misfits(schema, value)):
            mended = _mended(text, schema)
            fits = mended is not None and not misfits(schema, decode(mended[0]))
            yield Rule.ARGUMENTS_MISFIT, _misfit(found, mended if fits else None)
    elif not is_whole:
        yield Rule.ARGUMENTS_TRUNCATED, f"was cut off after {len(text)} letters of arguments"
    else:
        what = "no JSON" if value is INVALID else "JSON, but no object"
        yield Rule.ARGUMENTS_INVALID, f"has arguments that are {what}{_advice(_mended(text, None))}"


def _misfit(found: list[str], mended: tuple[str, tuple[str, ...]] | None) -> str:
    return f"has arguments that do not fit its schema: {'; '.join(found)}{_advice(mended)}"


def _mended(text: str, schema: Any) -> tuple[str, tuple[str, ...]] | None:
    repaired = repair_arguments(text, schema)
    return (repaired.text, repaired.steps) if repaired.is_object and repaired.steps else None


def _advice(mended: tuple[str, tuple[str, ...]] | None) -> str:
    return f" (Anyturn's gateway mends this: {', '.join(mended[1])})" if mended else ""
