"""What git says of a folder that a client named: its branch, whether it is dirty, ahead, behind.

The folder may hold anything, a repository made to attack whoever looks at it included. Git runs
what a repository's own configuration names: a file system monitor, hooks, filters, and in a partial
clone whatever fetches what is missing. All of that is switched off; where a repository brings
filters of its own, which have no switch, its files are not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from anyturn.hooks.programs import Leave, output_of

_SETTINGS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    # A repository inside the files of another one: anybody can commit that.
    *("-c", "safe.bareRepository=explicit"),
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    # The index stays as it is: no lock, and no hook that tells of a change.
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    # For a git that does not know the last: no way of fetching has this name.
    "GIT_ALLOW_PROTOCOL": "none",
}
_STATUS = ("status", "--porcelain=v2", "--branch", "--ignore-submodules=all")
_OWN_SCOPES = (b"local", b"worktree")
_NONE_FOUND, _NO_REPOSITORY = 1, 128


def git_words(git: str, cwd: str, environ: Mapping[str, str], leave: Leave) -> str:
    """`main* ↑2 ↓1`: the branch, * for changes, commits ahead and behind; '' where there is none.

    `git` is the program's absolute path. Raises as `output_of` does.
    """
    if not os.path.isabs(cwd) or not os.path.isdir(cwd):
        return ""
    environ = {**environ, **_ENVIRONMENT}

    def ask(*arguments: str, codes: frozenset[int]) -> bytes:
        asked = (git, "--no-pager", *_SETTINGS, *arguments)
        return output_of(asked, leave, cwd=cwd, environ=environ, codes=codes)

    if _brings_filters(
        ask(
            "config",
            "--null",
            "--show-scope",
            "--get-regexp",
            r"^filter\.",
            codes=frozenset({0, _NONE_FOUND}),
        )
    ):
        name = ask("rev-parse", "--abbrev-ref", "HEAD", codes=frozenset({0, _NO_REPOSITORY}))
        return name.decode(errors="replace").strip()
    return read_status(ask(*_STATUS, codes=frozenset({0, _NO_REPOSITORY})))


def _brings_filters(listed: bytes) -> bool:
    return any(field in _OWN_SCOPES for field in listed.split(b"\0")[::2])


def read_status(status: bytes) -> str:
    """The words for what `git status --porcelain=v2 --branch` says, or for its beginning."""
    lines = status.decode(errors="replace").splitlines()
    facts = [line[2:].partition(" ") for line in lines if line.startswith("# ")]
    headers = {name: value for name, _, value in facts}
    branch = headers.get("branch.head", "")
    if branch == "(detached)":
        branch = headers.get("branch.oid", "")[:7]
    if not branch:
        return ""
    is_dirty = any(line and not line.startswith("# ") for line in lines)
    ahead, _, behind = headers.get("branch.ab", "+0 -0").partition(" ")
    counts = [("↑", ahead.removeprefix("+")), ("↓", behind.removeprefix("-"))]
    moved = "".join(f" {arrow}{count}" for arrow, count in counts if count not in ("", "0"))
    return f"{branch}{'*' if is_dirty else ''}{moved}"
