"""The tests of this folder once more, on the older OpenAI SDKs that programs still have.

`make test` makes an environment for each in `.cache/sdk-venvs`; the suite's own has the newest.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import openai
import pytest

from support.sdk_venvs import LEFT_OUT, OLDER, sdk_python

ROOT = Path(__file__).parents[2]


def test_the_suite_itself_runs_on_the_newest_major() -> None:
    assert openai.__version__.partition(".")[0] == "3"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", OLDER)
def test_everything_holds_on_an_older_sdk(version: str) -> None:
    if not sdk_python(version).exists():
        reason = f"{LEFT_OUT}: {version}"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI must not leave out its tests", pytrace=False)
        pytest.skip(reason)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environ["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(
        [
            sdk_python(version),
            *("-m", "pytest", "tests/openai_sdk", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("--deselect", "tests/openai_sdk/test_sdk_versions.py", "--no-header"),
        ],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout
    assert version in _version(version)


def _version(version: str) -> str:
    command = [sdk_python(version), "-c", "import openai; print(openai.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
