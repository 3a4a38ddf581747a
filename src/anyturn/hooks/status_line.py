"""The hook `status_line`: a line under the last answer of a turn, for Codex.

What is slow starts with the turn, beside it. When the answer ends, the line says what is known by
then: nobody waits for it, and no line at all is an answer too.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from anyturn.gateway import Turn
from anyturn.hooks.codex_turns import is_for_the_user, shows_only_messages, working_directory
from anyturn.hooks.git import git_words
from anyturn.hooks.programs import TIMEOUT_S, Leave, Programs, Run, environment, output_of
from anyturn.memory import new_id
from anyturn.own_faults import where_from
from anyturn.translate.status_ending import StatusEnding
from anyturn.translate.status_line import BUILT_INS, command_of, filled
from anyturn.wire import responses as r

log = logging.getLogger("anyturn")

_FAILED = "the status line itself failed: the answer goes without it\n%s"

_MAX_SAID = 4096
_MAX_REASONS = 100
# What came in a shorter time came at once: then the provider's own time is all that is known.
_AT_ONCE_S = 0.1
_SEALS = "reasoning.encrypted_content"
_OPENINGS = ("response.created", "response.in_progress")


class StatusLines:
    """Gives each turn that is to have one its line, for `Gateway(endings=...)`.

    `stated` is the option's value. `window_of` says how many tokens the model of a turn takes, 0
    where nobody knows. Folders that clients name are looked at only with `looks_into_folders`.
    """

    def __init__(
        self,
        stated: str,
        environ: Mapping[str, str],
        *,
        window_of: Callable[[Turn], int] = lambda turn: turn.target.profile.context_window,
        looks_into_folders: bool = True,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.template = BUILT_INS.get(stated, stated)
        self.window_of = window_of
        self.clock = clock
        self._environ = environment(environ)
        self._looks_into_folders = looks_into_folders
        self._programs = Programs(timeout_s=timeout_s)
        self._told: set[str] = set()
        self.is_command = bool(command_of(stated))
        self._command = self._found(command_of(stated))
        self._git = self._path("git") if "{git}" in self.template and not self.is_command else ""

    def of(self, turn: Turn) -> Ending | None:
        """What ends this turn's answer, with its programs begun; None for an answer as it is."""
        if not is_for_the_user(turn):
            return None
        as_reasoning = not shows_only_messages(turn)
        if as_reasoning and _SEALS not in (turn.request.get("include") or ()):
            # The item would come back without what tells it from the model's own reasoning.
            return None
        try:
            run = self._start(turn)
        except Exception as error:
            log.error(_FAILED, where_from(error))
            return None
        return Ending(self, turn, run, as_reasoning=as_reasoning)

    def close(self) -> None:
        """End the programs that run."""
        self._programs.close()

    def report(self, failure: str) -> None:
        """Say why a line went without what a program was to tell: each reason once."""
        if failure not in self._told and len(self._told) < _MAX_REASONS:
            self._told.add(failure)
            who = "the command" if self.is_command else "git"
            log.warning("status_line: an answer went out without what %s says: %s", who, failure)

    # ---------------------------------------------------------------- programs

    def _start(self, turn: Turn) -> Run | None:
        cwd = working_directory(turn.request.get("input")) if self._looks_into_folders else ""
        if self._command:
            facts = {
                "cwd": cwd,
                "model": turn.target.model,
                "provider": turn.target.profile.label,
                "context_window": self.window_of(turn),
            }
            return self._programs.start(partial(self._run_command, cwd, msgspec.json.encode(facts)))
        if self._git and cwd:
            return self._programs.start(partial(git_words, self._git, cwd, self._environ))
        return None

    def _run_command(self, cwd: str, facts: bytes, leave: Leave) -> str:
        folder = cwd if cwd and Path(cwd).is_absolute() and Path(cwd).is_dir() else None
        said = output_of(
            self._command,
            leave,
            cwd=folder,
            environ=self._environ,
            stdin=facts + b"\n",
            max_bytes=_MAX_SAID,
        )
        return said.decode(errors="replace")

    def _found(self, command: list[str]) -> list[str]:
        """The command with its program's path: in the folder of a session it might be another's."""
        if not command:
            return []
        program = str(Path(command[0]).expanduser()) if "/" in command[0] else command[0]
        if not (path := self._path(program)):
            log.warning("status_line: no line is shown: there is no program %r", command[0])
        return [path, *command[1:]] if path else []

    def _path(self, program: str) -> str:
        path = shutil.which(program, path=self._environ.get("PATH"))
        return path if path and Path(path).is_absolute() else ""


class Ending:
    """The end of one turn's answer, with its line."""

    def __init__(self, lines: StatusLines, turn: Turn, run: Run | None, *, as_reasoning: bool):
        self._lines = lines
        self._turn = turn
        self._run = run
        self._first_at = 0.0
        self._lateness = ""
        self._ending = StatusEnding(
            self._line, turn.machine.adaptations, new_id, as_reasoning=as_reasoning
        )

    @property
    def response(self) -> r.AnyResponse | None:
        """The response as the client got it, where it has a line."""
        return self._ending.response

    def passed(self, events: list[r.Event]) -> list[r.Event]:
        """The events that may be sent now."""
        if not self._first_at and any(r.name_of(event) not in _OPENINGS for event in events):
            self._first_at = self._lines.clock()
        return self._ending.passed(events)

    def close(self) -> None:
        """The turn is over: what still runs for it is ended."""
        if self._run is None:
            return
        if failure := self._run.failure() or self._lateness:
            self._lines.report(failure)
        self._run.drop()

    def _line(self, usage: r.Usage | None) -> str:
        try:
            return self._words(usage)
        except Exception as error:
            log.error(_FAILED, where_from(error))
            return ""

    def _words(self, usage: r.Usage | None) -> str:
        said = self._run.result() if self._run is not None else ""
        if self._run is not None and not self._run.is_over:
            self._lateness = "it was not ready when the answer ended"
        if self._lines.is_command:
            return filled(said.strip().partition("\n")[0], self._facts(usage, "")) if said else ""
        return filled(self._lines.template, self._facts(usage, said))

    def _facts(self, usage: r.Usage | None, git: str) -> dict[str, str]:
        target = self._turn.target
        facts = {"model": target.model, "provider": target.profile.label, "git": git}
        if usage is not None:
            about = "~" if self._is_estimated() else ""
            if usage.output_tokens:
                facts["tokens_per_s"] = about + self._rate(usage.output_tokens)
            if usage.input_tokens:
                window = self._lines.window_of(self._turn)
                facts["context_used"] = about + _share(usage.input_tokens, window)
        return facts

    def _is_estimated(self) -> bool:
        return any(change.rule == "usage.estimated" for change in self._turn.machine.adaptations)

    def _rate(self, tokens: int) -> str:
        now = self._lines.clock()
        seconds = now - self._first_at
        if seconds < _AT_ONCE_S:
            seconds = max(now - self._turn.started_at, 0.001)
        rate = tokens / seconds
        return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def _share(tokens: int, window: int) -> str:
    if not window:
        return f"{tokens:,} tokens"
    percent = 100 * tokens / window
    return f"{percent:.0f}%" if percent >= 1 else "<1%"
