"""When to come back: the pause that a provider asks for, in seconds.

It is said in `retry-after-ms` (Azure), `retry-after`, the rate-limit headers of the profile
(Cerebras in float seconds, Groq and OpenAI as `1m2.5s`) or in the words of the error.
chat-providers.md section 4.2; codex-cli.md section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from anyturn.wire.profile import Profile

# Longer pauses are cut: nobody waits an hour for an answer, and a later try is asked to wait again.
MAX_SECONDS = 3600.0
# Numbers beyond a year are points in time, not durations.
_MAX_STATED = 366 * 86400.0

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_GO_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(h|ms|us|µs|ns|m|s)")
_WORDS_PART = (
    r"(\d{1,9}(?:\.\d{1,9})?)\s?"
    r"(h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?|ms|milliseconds?)(?![a-z])"
)
_PAUSE = re.compile(
    rf"\b(?:try again|retry)(?: your request)? (?:in|after):? (?:about )?"
    rf"((?:{_WORDS_PART}(?:,? and|,)?\s?){{1,3}})",
    re.I,
)
_PAUSE_PART = re.compile(_WORDS_PART, re.I)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def retry_after(
    headers: Mapping[str, str], message: str, profile: Profile, now: float | None = None
) -> float | None:
    """Return the seconds to wait (0 to 3600) that a rate limit names, None when it names none.

    The most direct source wins: `asked_pause`, then `profile.reset_headers`, then the words "try
    again in 2.5s" of `message`. `now` is the POSIX time, needed for dates.
    """
    pause = asked_pause(headers, now)
    if pause is None:
        pause = _reset(_lower(headers), profile.reset_headers)
    if pause is None:
        pause = _pause_in_words(message)
    return pause


def asked_pause(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds (0 to 3600) of `retry-after-ms` or `retry-after`, None without them.

    A date is measured from `now`, or from the answer's own `date`; without both it is ignored.
    """
    lowered = _lower(headers)
    milliseconds = _number(lowered.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    stated = lowered.get("retry-after", "")
    seconds = _duration(stated)
    if seconds is not None:
        return _bounded(seconds)
    return _until(stated, _time(lowered.get("date", "")) if now is None else now)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _reset(headers: dict[str, str], names: tuple[str, ...]) -> float | None:
    """The limits that are used up decide, and the last of them; else the first that is renewed."""
    resets: list[float] = []
    used_up: list[float] = []
    for name in map(str.lower, names):
        seconds = _duration(headers.get(name, ""))
        if seconds is None or seconds > _MAX_STATED:
            continue
        resets.append(seconds)
        if _number(headers.get(name.replace("reset", "remaining"), "")) == 0:
            used_up.append(seconds)
    if used_up:
        return _bounded(max(used_up))
    return _bounded(min(filter(None, resets), default=None))


def _pause_in_words(message: str) -> float | None:
    found = _PAUSE.search(message)
    if found is None:
        return None
    return _bounded(
        sum(float(number) * _unit(unit.lower()) for number, unit in _PAUSE_PART.findall(found[1]))
    )


def _unit(word: str) -> float:
    return _UNITS["ms" if word == "ms" or word.startswith("milli") else word[0]]


def _duration(text: str) -> float | None:
    """Seconds as a number, or a Go duration (`1m2.5s`, `250ms`)."""
    number = _number(text)
    if number is not None:
        return number
    stated = text.strip()[:64]
    if not stated or _GO_PART.sub("", stated):
        return None
    return sum(float(value) * _UNITS[unit] for value, unit in _GO_PART.findall(stated))


def _number(text: str) -> float | None:
    stated = text.strip()
    return float(stated) if _NUMBER.fullmatch(stated) else None


def _until(date: str, now: float | None) -> float | None:
    then = _time(date)
    if then is None or now is None:
        return None
    return _bounded(max(0.0, then - now))


def _time(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date[:64])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _bounded(seconds: float | None) -> float | None:
    if seconds is None or seconds > _MAX_STATED:
        return None
    return min(seconds, MAX_SECONDS)
