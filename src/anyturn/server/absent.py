"""What OpenAI's API has and this gateway has not, told by what a client asked for (F34)."""

from __future__ import annotations

# The last parts of a path, and what a client that posts there wants.
_WANTED = {
    "alpha/search": "Web search runs on OpenAI's servers and is not offered here. "
    'In Codex, web_search="disabled" turns it off.',
    "chat/completions": "Clients speak the Responses API to this gateway: POST /v1/responses.",
    "completions": "Clients speak the Responses API to this gateway: POST /v1/responses.",
    "messages": "Clients speak the Responses API to this gateway: POST /v1/responses.",
    "realtime": "Realtime sessions are not offered here.",
    "embeddings": "Embeddings are not offered here.",
    "files": "This gateway stores no files. Send them inside the input.",
    "inspector": "The inspector is off here: anyturn serve --inspector, or anyturn inspect DIR.",
    "images/generations": "Images are not generated here.",
}


def why_absent(path: str) -> str:
    """Say why there is nothing at `path`, in a sentence or two."""
    nothing = f"There is nothing at {path}."
    below = path.removeprefix("/v1").strip("/")
    if wanted := _WANTED.get(below):
        return f"{nothing} {wanted}"
    return nothing
