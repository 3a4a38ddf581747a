from __future__ import annotations

import stat

import pytest

from anyturn.auth.chatgpt import Tokens
from anyturn.auth.chatgpt_file import FileTrouble, LoginFile

TOKENS = Tokens(access_token="at-planted", account_id="acc-1", refresh_token="rt-planted")


async def test_a_login_is_kept_for_its_owner_alone(login_file: LoginFile) -> None:
    assert login_file.read() is None
    assert not login_file.exists()
    async with login_file.locked():
        login_file.write(TOKENS)
    assert login_file.read() == TOKENS
    assert login_file.exists()
    assert stat.S_IMODE(login_file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(login_file.path.parent.stat().st_mode) == 0o700


async def test_what_is_wrong_with_the_file_is_said_without_what_is_in_it(
    login_file: LoginFile,
) -> None:
    async with login_file.locked():
        login_file.write(TOKENS)
    whole = login_file.path.read_bytes()
    for data in (whole[:-5], whole.replace(b"at-planted", b"at planted"), b"[]"):
        login_file.path.write_bytes(data)
        with pytest.raises(FileTrouble, match="cannot be read") as caught:
            login_file.read()
        assert "planted" not in str(caught.value)
        assert str(login_file.path) in str(caught.value)


async def test_a_folder_in_its_place_is_said(login_file: LoginFile) -> None:
    login_file.path.mkdir(parents=True)
    with pytest.raises(FileTrouble, match="cannot be read: it is not a file"):
        login_file.read()
    with pytest.raises(FileTrouble, match="cannot be written"):
        login_file.write(TOKENS)
    with pytest.raises(FileTrouble, match="cannot be removed"):
        login_file.remove()


async def test_a_lock_that_somebody_keeps_is_said(login_file: LoginFile) -> None:
    async with login_file.locked():
        with pytest.raises(FileTrouble, match="another process"):
            async with login_file.locked(timeout_s=0.01):
                pytest.fail("two have the lock")
