"""The browser in which the inspector's page is tested, and what is said when there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

LEFT_OUT = "there is no Chromium to test the inspector's page in"
_ROOT = Path(__file__).parents[2]
_UNPACKED = _ROOT / ".cache" / "chromium"
_LOCK = "package-lock.json"
_INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# As root, which containers are, the browser's own sandbox does not start; the pages are ours.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def why_no_chromium() -> str:
    """Why the page cannot be tested here; nothing when it can."""
    if importlib.util.find_spec("playwright") is None:
        return f"{LEFT_OUT}: playwright is not installed"
    return "" if chromium() else f"{LEFT_OUT}: `make browser` installs one on Linux with npm"


def chromium() -> Path | None:
    """The browser of the npm package in the version of the lock file, or an installed one."""
    if _is_unpacked():
        return _UNPACKED / "unpacked" / "chromium"
    found = next(filter(None, map(shutil.which, _INSTALLED)), None)
    return Path(found) if found else None


def environment(home: Path) -> dict[str, str]:
    """The environment of the browser: no proxy, and what a bare machine lacks from the package."""
    given = {"PATH": os.environ["PATH"], "HOME": str(home), "TZ": "UTC"}
    if _is_unpacked():
        unpacked = _UNPACKED / "unpacked"
        given["LD_LIBRARY_PATH"] = str(unpacked / "al2023" / "lib")
        if not Path("/etc/fonts/fonts.conf").exists():
            given["FONTCONFIG_PATH"] = str(unpacked / "fonts")
    return given


def _is_unpacked() -> bool:
    if not (_UNPACKED / "stamp").exists():
        return False
    wanted = _ROOT / "tests" / "inspector" / "browser" / _LOCK
    return (_UNPACKED / _LOCK).read_bytes() == wanted.read_bytes()
