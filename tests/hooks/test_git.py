"""Git in folders that anybody may have made: what it says, and that nothing of theirs runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from anyturn.hooks.git import git_words, read_status
from anyturn.hooks.programs import Leave, environment

GIT = shutil.which("git") or ""
pytestmark = pytest.mark.skipif(not GIT, reason="there is no git")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {**environment({"PATH": os.environ["PATH"]}), "HOME": str(home)}


@pytest.fixture
def git(environ: dict[str, str]) -> Callable[..., None]:
    """Run git as its user would: `git(folder, "init")`."""

    def run(folder: Path, *arguments: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@localhost")
        own = {**environ, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(
            [GIT, *who, *arguments], cwd=folder, env=own, check=True, capture_output=True
        )

    return run


@pytest.fixture
def repository(tmp_path: Path, git: Callable[..., None]) -> Path:
    """A repository with one commit of one file."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "-b", "main")
    (folder / "file").write_text("one\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "one")
    return folder


@pytest.fixture
def words(environ: dict[str, str]) -> Callable[[Path], str]:
    return lambda folder: git_words(GIT, str(folder), environ, Leave(30))


def test_a_clean_branch_is_its_name(repository: Path, words: Callable[[Path], str]) -> None:
    assert words(repository) == "main"


@pytest.mark.parametrize("name", ["file", "new"])
def test_changes_and_new_files_have_a_mark(
    repository: Path, words: Callable[[Path], str], name: str
) -> None:
    (repository / name).write_text("another length\n", encoding="utf-8")
    assert words(repository) == "main*"


def test_a_folder_inside_says_the_same(repository: Path, words: Callable[[Path], str]) -> None:
    (repository / "inside").mkdir()
    assert words(repository / "inside") == "main"


def test_commits_that_only_one_side_has_are_counted(
    repository: Path, words: Callable[[Path], str], git: Callable[..., None], tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", str(repository), str(clone))
    git(repository, "commit", "--allow-empty", "-m", "theirs")
    for _ in range(2):
        git(clone, "commit", "--allow-empty", "-m", "ours")
    git(clone, "fetch")
    assert words(clone) == "main ↑2 ↓1"


def test_a_detached_head_is_its_commit(
    repository: Path, words: Callable[[Path], str], git: Callable[..., None]
) -> None:
    git(repository, "checkout", "--detach")
    said = words(repository)
    assert len(said) == 7 and int(said, 16) >= 0


def test_a_branch_without_a_commit_has_a_name(
    tmp_path: Path, words: Callable[[Path], str], git: Callable[..., None]
) -> None:
    git(tmp_path, "init", "-b", "first", "empty")
    assert words(tmp_path / "empty") == "first"


@pytest.mark.parametrize("folder", ["", "relative", "/does/not/exist", "-x", "/etc/passwd", "/\0"])
def test_what_is_no_folder_has_no_branch(environ: dict[str, str], folder: str) -> None:
    assert git_words(GIT, folder, environ, Leave(30)) == ""


def test_a_folder_without_a_repository_has_no_branch(
    tmp_path: Path, words: Callable[[Path], str]
) -> None:
    assert words(tmp_path) == ""


def test_a_thousand_new_files_are_one_mark(repository: Path, words: Callable[[Path], str]) -> None:
    for number in range(1500):
        (repository / f"{'x' * 60}{number}").touch()
    assert words(repository) == "main*"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (b"", ""),
        (b"# branch.oid abc\n", ""),
        (b"# branch.oid abc\n# branch.head a\n# branch.ab +0 -3\n", "a ↓3"),
        (b"# branch.head a\n# branch.ab +0 -0\n? x\n", "a*"),
        (b"# branch.head \xff\n1 .M cut o", "\ufffd*"),
    ],
)
def test_what_git_writes_is_read(status: bytes, said: str) -> None:
    assert read_status(status) == said


# ---------------------------------------------------------------- a repository that attacks


@pytest.fixture
def trap(tmp_path: Path) -> tuple[Path, Path]:
    """A program that must not run, and the file that says that it did."""
    program, sign = tmp_path / "trap", tmp_path / "it-ran"
    program.write_text(f"#!/bin/sh\ntouch {sign}\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    return program, sign


def fsmonitor(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    git(folder, "config", "core.fsmonitor", str(trap))


def hook(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    hooks = folder / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(trap, hooks / "post-index-change")


def hooks_path(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    shutil.copy(trap, folder / "post-index-change")
    git(folder, "config", "core.hooksPath", str(folder))


def clean_filter(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    git(folder, "config", "filter.x.clean", str(trap))
    (folder / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")


def process_filter(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    git(folder, "config", "filter.x.process", str(trap))
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("* filter=x\n", encoding="utf-8")


def included_filter(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    clean_filter(folder, trap, git)
    config = folder / ".git" / "config"
    config.rename(folder / "other")
    config.write_text(f"[include]\npath = {folder}/other\n", encoding="utf-8")


def alias(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    git(folder, "config", "alias.status", f"!{trap}")
    git(folder, "config", "alias.config", f"!{trap}")


def pager(folder: Path, trap: Path, git: Callable[..., None]) -> None:
    for name in ("core.pager", "pager.status", "core.editor", "core.sshCommand", "diff.external"):
        git(folder, "config", name, str(trap))


TRAPS = [fsmonitor, hook, hooks_path, clean_filter, process_filter, included_filter, alias, pager]


@pytest.mark.parametrize("lay", TRAPS, ids=lambda lay: lay.__name__)
def test_nothing_that_a_repository_names_is_run(
    repository: Path,
    words: Callable[[Path], str],
    trap: tuple[Path, Path],
    git: Callable[..., None],
    lay: Callable[..., None],
) -> None:
    program, sign = trap
    # As long as before and newer than the index: to know more, git would have to read it.
    (repository / "file").write_text("two\n", encoding="utf-8")
    lay(repository, program, git)
    index = (repository / ".git" / "index").read_bytes()
    assert words(repository).startswith("main")
    assert not sign.exists()
    assert (repository / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("lay", [fsmonitor, clean_filter, process_filter, included_filter])
def test_the_traps_are_real(
    repository: Path, trap: tuple[Path, Path], git: Callable[..., None], lay: Callable[..., None]
) -> None:
    """A plain `git status` runs them."""
    program, sign = trap
    (repository / "file").write_text("two\n", encoding="utf-8")
    lay(repository, program, git)
    try:
        git(repository, "status")
    except subprocess.CalledProcessError:
        assert lay is process_filter
    assert sign.exists()


def test_a_repository_among_somebody_elses_files_is_not_asked(
    repository: Path, words: Callable[[Path], str], git: Callable[..., None], tmp_path: Path
) -> None:
    """Anybody can commit a bare repository with a configuration of its own."""
    git(repository, "clone", "--bare", str(repository), "data")
    assert words(repository / "data") == ""


@pytest.mark.parametrize("is_plain", [False, True], ids=["ours", "plain"])
def test_what_is_missing_is_not_fetched(
    repository: Path,
    words: Callable[[Path], str],
    trap: tuple[Path, Path],
    git: Callable[..., None],
    is_plain: bool,
) -> None:
    """A partial clone names the program that brings its objects; a plain `git status` runs it."""
    program, sign = trap
    # One that says nothing: git would wait for the other side.
    program.write_text(f"#!/bin/sh\ntouch {sign}\n", encoding="utf-8")
    for name, value in (
        *(("core.repositoryformatversion", "1"), ("extensions.partialClone", "origin")),
        *(("remote.origin.promisor", "true"), ("remote.origin.url", f"ext::{program}")),
        ("protocol.ext.allow", "always"),
    ):
        git(repository, "config", name, value)
    (repository / "file").write_text("another length\n", encoding="utf-8")
    git(repository, "add", ".")
    for objects in (repository / ".git" / "objects").glob("??"):
        for found in objects.iterdir():
            if kind_of(found) == b"tree":
                found.unlink()
    if is_plain:
        with contextlib.suppress(subprocess.CalledProcessError):
            git(repository, "status")
    else:
        words(repository)
    assert sign.exists() is is_plain


def kind_of(file: Path) -> bytes:
    return zlib.decompress(file.read_bytes()).partition(b" ")[0]
