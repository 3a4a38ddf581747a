"""Another process that needs a token: `python chatgpt_processes.py PATH ISSUER`.

It says `ready`, waits for a line, and says the digest of the access token that it was given, or the
sentence of the complaint.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from anyturn.auth.chatgpt import LoginError
from anyturn.auth.chatgpt_account import OwnLogin
from anyturn.auth.chatgpt_file import LoginFile
from anyturn.auth.chatgpt_issuer import Issuer


def say(words: str) -> None:
    os.write(1, f"{words}\n".encode())


async def main(path: str, issuer: str) -> None:
    login = OwnLogin(LoginFile(Path(path)), Issuer(issuer))
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    try:
        tokens = await login.tokens()
        say(hashlib.sha256(tokens.access_token.encode()).hexdigest())
    except LoginError as error:
        say(str(error))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
