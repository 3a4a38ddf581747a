"""The house rules that a reader would have to check by hand (ARCHITECTURE.md, CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "anyturn"
FILES = sorted(SOURCE.rglob("*.py"))
TEST_FILES = sorted(TESTS.rglob("*.py"))
NAMES = {file: file.relative_to(SOURCE).as_posix() for file in FILES}

MAX_LINES = 600
MAX_FUNCTION_LINES = 70

# Imports go one way: what stands on the left may import what stands on the right. A unit is a
# folder or a module of the package, `config` with the modules that it was cut into.
_CORE = {"errors", "wire", "translate"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "own_faults": set(),
    "wire": {"errors"},
    "translate": {"errors", "wire"},
    # The checker knows no translator: otherwise they would share their mistakes.
    "conformance": {"errors", "wire"},
    # It judges what the translator did: it must not share its mistakes.
    "capture": {"errors", "wire"},
    # The adapters know the core, and not each other.
    "providers": {"errors", "wire"},
    "upstream": _CORE,
    "store": {"wire", "errors"},
    "auth": {"errors", "wire"},
    # Processes of ours. Files for their owner alone are made as keys are.
    "daemon": {"auth"},
    "config": {*_CORE, "providers"},
    "routing": {*_CORE, "auth", "providers", "config"},
    "memory": {*_CORE, "store"},
    # Live checks of other people's servers.
    "checker": {"errors", "wire", "conformance"},
    "gateway": {
        *(*_CORE, "own_faults", "conformance", "upstream"),
        *("providers", "config", "routing", "memory"),
    },
    "guard": {*_CORE, "own_faults", "conformance", "memory", "gateway"},
    "capture_files": {"capture"},
    "captured_findings": {"capture", "conformance"},
    # It shows a folder: with a gateway and without one.
    "inspector": {"own_faults", "wire", "capture", "capture_files", "captured_findings"},
    "turn_recording": {"capture", "capture_files"},
    "recorder": {
        *("errors", "own_faults", "wire", "capture", "capture_files", "turn_recording"),
        *("config", "routing", "gateway"),
    },
    "background": {*_CORE, "own_faults", "store", "memory", "gateway"},
    "codex": {*_CORE, "upstream", "providers", "config", "routing", "gateway"},
    "probe": {*_CORE, "upstream", "providers", "config", "routing", "gateway"},
    "hooks": {*_CORE, "own_faults", "memory", "gateway"},
    "server": {
        *_CORE,
        "own_faults",
        *("upstream", "store", "auth", "providers", "config", "routing", "memory", "gateway"),
        *("background", "codex", "recorder", "guard", "hooks"),
        *("conformance", "capture_files", "inspector"),
    },
    "relay": {"wire", "capture", "recorder", "turn_recording", "server"},
    "replay": {"errors", "wire", "capture", "capture_files"},
    # Lives in other people's programs: it brings no gateway along either.
    "openai_sdk": {"errors", "wire", "translate"},
    # Users test their own programs with it: it brings no gateway along.
    "testing": {"errors", "wire"},
    "cli": {
        *_CORE,
        "own_faults",
        *("upstream", "store", "auth", "providers", "config", "routing", "memory", "gateway"),
        *("background", "codex", "probe", "server", "conformance", "checker"),
        *("capture", "capture_files", "captured_findings", "inspector"),
        *("recorder", "relay", "replay", "daemon"),
    },
}
# The demo plays against the scripted provider.
MAY_IMPORT_TESTING = {"cli/demo.py"}
# The client with a gateway in it. Only `transport.py` imports it, when it is asked for one.
MAY_IMPORT_THE_GATEWAY = {"openai_sdk/gateway_thread.py", "openai_sdk/transport.py"}

# The core has no I/O, no clock, no randomness and no log: a replay is the same byte for byte.
IMPURE = {
    *("asyncio", "socket", "ssl", "select", "selectors", "threading", "subprocess"),
    *("time", "random", "uuid", "secrets", "logging", "os", "io", "tempfile", "urllib.request"),
    *("aiohttp", "typer", "rich", "uvloop"),
}
BANNED_NAMES = re.compile(r"utils?$|helpers?$|manager$", re.IGNORECASE)

# Files without behaviour of their own, and where the tests of the others are.
TESTED_ELSEWHERE = {
    # `config.py`, cut into parts: all of it is tested through `load_settings`.
    "config_file.py": "test_config.py",
    "config_profiles.py": "test_config.py",
    "config_models.py": "test_config.py",
    "config_places.py": "test_config.py",
    # What the recorder writes: seen in its files.
    "config_hooks.py": "test_config.py",
    "__main__.py": "cli/test_main.py",
    "wire/token_counts.py": "wire/test_responses.py",
    "cli/demo_view.py": "cli/test_demo.py",
    # The rules: each stands in one table of defects, with the stream that breaks it.
    **dict.fromkeys(
        (
            *("conformance/calls.py", "conformance/contents.py", "conformance/foreign.py"),
            *("conformance/grammar.py", "conformance/items.py", "conformance/open_responses.py"),
            *("conformance/terminal.py", "conformance/transport.py", "conformance/catalogue.py"),
            "conformance/pages.py",
        ),
        "conformance/test_rules.py",
    ),
    "cli/captures_view.py": "cli/test_captures.py",
    # Which gateway is meant: with each verb that asks.
    "cli/gateways.py": "cli/test_up.py",
    # What is said on pages without a script.
    "inspector/words.py": "inspector/test_app.py",
    # Structs without behaviour: what becomes of them.
    "openai_sdk/events.py": "openai_sdk/test_watch.py",
    # Scripts of the store: data to Python.
    "store/redis_scripts.py": "store/test_redis.py",
    # The interface, and the parts of the SQLite store that only its methods reach.
    "store/sqlite_rows.py": "store/test_every_store.py",
    "store/sqlite_limits.py": "store/test_sqlite.py",
}


def unit(module: str) -> str:
    """The unit of `anyturn.config_file` (`config`), empty for the package itself."""
    name = [*module.split("."), ""][1]
    return "config" if name.startswith("config_") else name


def unit_of(file: Path) -> str:
    return unit("anyturn." + ".".join(file.relative_to(SOURCE).with_suffix("").parts))


def listed(faults: list[str]) -> str:
    """The faults, for an assertion: one on each line."""
    return "\n  ".join(["", *faults])


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(file: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            module = node.module or ""
            if module == "anyturn":
                yield from (f"anyturn.{alias.name}" for alias in node.names)
            else:
                yield module


def public_definitions(
    tree: ast.AST,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """The public classes and functions of a module, and the public methods of the classes."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node)


def is_rule(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether it is a rule of the checker, whose decorator says what a docstring would."""
    calls = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
    return any(isinstance(call, ast.Name) and call.id == "rule" for call in calls)


# ---------------------------------------------------------------- imports


def test_imports_go_one_way() -> None:
    faults = []
    for file, name in NAMES.items():
        own = unit_of(file)
        if own in ("__init__", "__main__"):
            continue
        used = {unit(module) for module in imports(file) if module.split(".")[0] == "anyturn"}
        # `anyturn.__version__` is the package's own.
        wrong = used - MAY_IMPORT.get(own, set()) - {own, "", "__version__"}
        if name in MAY_IMPORT_TESTING:
            wrong -= {"testing"}
        if name in MAY_IMPORT_THE_GATEWAY:
            wrong -= {"config", "routing", "server"}
        faults += [f"{name} imports {other}" for other in sorted(wrong)]
    assert not faults, listed(faults)


def test_the_contract_has_a_row_for_every_unit_and_no_circle() -> None:
    units = {unit_of(file) for file in FILES} - {"__init__", "__main__"}
    assert set(MAY_IMPORT) == units
    above: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= above, f"{name} may only import what stands above its row"
        above.add(name)


def test_no_exception_is_logged_in_its_own_words() -> None:
    """They may quote a key (A2): `own_faults.where_from` says what may be said."""
    faults = []
    for file, name in NAMES.items():
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                by_name = {keyword.arg for keyword in node.keywords}
                if ast.unparse(node.func) == "log.exception" or "exc_info" in by_name:
                    faults.append(f"{name}:{node.lineno}")
    assert not faults, listed(faults)


def test_the_core_does_no_io() -> None:
    faults = []
    for file, name in NAMES.items():
        if unit_of(file) in {*_CORE, "conformance", "capture"}:
            wrong = {module for module in imports(file) if {module, module.split(".")[0]} & IMPURE}
            faults += [f"{name} imports {module}" for module in sorted(wrong)]
    assert not faults, listed(faults)


# ---------------------------------------------------------------- size and names


def test_a_module_can_be_read_in_one_sitting() -> None:
    tests = {file: f"tests/{file.relative_to(TESTS).as_posix()}" for file in TEST_FILES}
    faults = []
    for file, name in {**NAMES, **tests}.items():
        count = file.read_text(encoding="utf-8").count("\n")
        if count >= MAX_LINES:
            faults.append(f"{name} has {count} lines")
    assert not faults, listed(faults)


def test_functions_are_short() -> None:
    faults = []
    for file, name in NAMES.items():
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    faults.append(f"{name}: {node.name} has {lines} lines")
    assert not faults, listed(faults)


def test_names_say_what_a_thing_is() -> None:
    faults = []
    for file, name in NAMES.items():
        classes = [node.name for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef)]
        faults += [f"{name}: {one}" for one in (file.stem, *classes) if BANNED_NAMES.search(one)]
    assert not faults, listed(faults)


# ---------------------------------------------------------------- documentation and tests


def test_what_is_public_is_documented() -> None:
    faults = []
    for file, name in NAMES.items():
        tree = tree_of(file)
        without = [
            node.name
            for node in public_definitions(tree)
            if not (ast.get_docstring(node) or is_rule(node))
        ]
        if not ast.get_docstring(tree) and name != "__init__.py":
            without.insert(0, "the module itself")
        faults += [f"{name}: {one} has no docstring" for one in without]
    assert not faults, listed(faults)


def test_every_source_file_has_its_test_file() -> None:
    missing = []
    for name in NAMES.values():
        folder, _, module = name.rpartition("/")
        mirror = TESTED_ELSEWHERE.get(name, f"{folder}/test_{module}".lstrip("/"))
        if module != "__init__.py" and not (TESTS / mirror).exists():
            missing.append(f"{name} has no tests/{mirror}")
    assert not missing, listed(missing)


def test_the_exceptions_are_still_needed() -> None:
    exceptions = {*TESTED_ELSEWHERE, *MAY_IMPORT_TESTING, *MAY_IMPORT_THE_GATEWAY}
    assert exceptions <= set(NAMES.values())
    for name in TESTED_ELSEWHERE:
        folder, _, module = name.rpartition("/")
        assert not (TESTS / f"{folder}/test_{module}".lstrip("/")).exists(), name
