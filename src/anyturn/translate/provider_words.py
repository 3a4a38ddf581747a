"""A provider's words, made fit to be shown: one line, bounded, and without credentials.

Providers echo what they were sent, parts of the key included ("Incorrect API key provided:
sk-...abcd"), and answer with control characters and whole pages.
"""

from __future__ import annotations

import re

MAX_CHARACTERS = 2000
# Bytes count too: a sentence must stay below 4 kB in any script.
MAX_BYTES = 2400

MASK = "***"

# What keys are made of, and what providers put where they left a part of one out.
_KEY = r"[A-Za-z0-9_\-.*…+/=]"
_CREDENTIALS = (
    # Bearer and Basic credentials of an Authorization header.
    (
        re.compile(
            rf"\b(bearer|basic) (?!(?:token|auth[a-z]*|credentials?|scheme|realm|is|was)\b)"
            rf"{_KEY}{{4,}}",
            re.I,
        ),
        rf"\1 {MASK}",
    ),
    # The prefixes of OpenAI, OpenRouter and DeepSeek (sk-), Cerebras, Groq, NVIDIA.
    (re.compile(rf"(?<![A-Za-z0-9])(?:sk|csk|gsk|nvapi)[-_]{_KEY}{{4,}}"), MASK),
    # The same inside a longer word, and prefixes that words have too (xAI, Hugging Face,
    # Fireworks, Together, GitHub, Google): only what is long and holds digits is a key.
    (
        re.compile(
            rf"(?:[cg]?sk[-_]|nvapi-|xai-|hf_|fw_|tgp_|gh[pousr]_|github_pat_|AIza)"
            rf"(?={_KEY}{{0,200}}\d){_KEY}{{16,}}"
        ),
        MASK,
    ),
    # JSON web tokens.
    (re.compile(r"eyJ[A-Za-z0-9_\-]{8,300}(?:\.[A-Za-z0-9_\-]*){1,2}"), MASK),
    # `api key: X`, `"api_key": "X"`, `?key=X`. X is taken for a key when it is long or holds
    # what words do not, so that "Invalid API key: please check" stays readable.
    (
        re.compile(
            rf"((?:api[ _-]?key|[?&]key|(?:access|auth|api)[ _-]?token|secret|password"
            rf"|authorization)(?:\s+(?:provided|is))?[\"'`]?\s*[:=]\s*[\"'`]?)"
            rf"(?:(?=[A-Za-z.]{{0,200}}[\d*…_\-])|(?={_KEY}{{16}})){_KEY}{{4,}}",
            re.I,
        ),
        rf"\1{MASK}",
    ),
    # `https://user:password@host`.
    (re.compile(r"://[^\s/@]{1,400}@"), f"://{MASK}@"),
)
# In an answer about a key, any long run of letters and digits may be the key (Azure, Mistral and
# Together use no prefix).
_OPAQUE = re.compile(r"(?<![A-Za-z0-9_\-*])(?=[A-Za-z_\-*]{0,200}\d)[A-Za-z0-9_\-*]{16,}")


def fit_to_show(words: str, limit: int = MAX_CHARACTERS, *, about_key: bool = False) -> str:
    """Return `words` on one line, masked, cut at `limit` characters and 2,400 bytes of UTF-8.

    Characters that do not print become spaces: the sentence may go to a terminal. What was cut is
    replaced by an ellipsis. With `about_key` every long run of letters and digits is masked.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    # Masked before it is cut: half a key is no longer recognised.
    masked = mask_credentials(line)
    return _cut(_OPAQUE.sub(MASK, masked) if about_key else masked, limit)


def mask_credentials(text: str) -> str:
    """Return `text`, one line, with everything that looks like a credential as `***`."""
    for pattern, replacement in _CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def _cut(text: str, limit: int) -> str:
    short = text[:limit].encode()[:MAX_BYTES].decode("utf-8", "ignore")
    return text if len(short) == len(text) else f"{short.rstrip()} …"
