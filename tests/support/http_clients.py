"""What the tests of the server send: requests, and the headers of two kinds of clients."""

from __future__ import annotations

from typing import Any

import pytest

JSON = dict[str, Any]
ASK: JSON = {"model": "gpt-oss-120b", "input": "Hi"}
STREAM: JSON = {**ASK, "stream": True}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CODEX = {"User_Agent": "codex_exec/0.169.0"}
SDK = {"User_Agent": "OpenAI/Python 2.8.0"}
KEY = "sk-planted-0b9d4c7e2f6a4183"
EVERYONE = pytest.mark.parametrize("client", [CODEX, SDK], ids=["codex", "sdk"])
# A client that leaves is noticed in a few milliseconds; the rest is for slow machines.
NOTICED_S = 0.1
