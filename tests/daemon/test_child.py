from __future__ import annotations

import os

import pytest

from anyturn.daemon.child import VARIABLE, detached, told
from anyturn.daemon.folder import Folder, Phase, State


def test_in_the_foreground_there_is_nothing_to_inherit() -> None:
    assert detached({"HOME": "/"}) is None


@pytest.mark.parametrize("waits", [True, False], ids=["starter waits", "starter is gone"])
def test_it_says_that_it_listens_that_it_stops_and_that_it_is_gone(
    folder: Folder, state: State, waits: bool
) -> None:
    lock = folder.take()
    assert lock is not None
    starter, ready = os.pipe()
    os.set_inheritable(ready, True)
    environ = {VARIABLE: told(lock, ready, folder), "HOME": "/"}
    gateway = detached(environ)
    assert gateway is not None
    assert environ == {"HOME": "/"}
    assert not os.get_inheritable(ready) and not os.get_inheritable(lock)
    if not waits:
        os.close(starter)
    gateway.listening(state, "http://127.0.0.1:1/inspector?token=x")
    assert folder.look() == (Phase.RUNNING, state)
    if waits:
        assert os.read(starter, 99) == b"http://127.0.0.1:1/inspector?token=x\n"
        assert os.read(starter, 9) == b""
        os.close(starter)
    gateway.stopping()
    assert folder.look().phase is Phase.STOPPING
    gateway.gone()
    os.close(lock)
    assert folder.look().phase is Phase.ABSENT
