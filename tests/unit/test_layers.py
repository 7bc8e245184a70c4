"""Which room of the package may know which, and what the command line may load before it has work to do."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "anpr_share"

RULES = {"errors", "vrm", "pseudonyms", "token_tables", "periods", "wording", "words", "files", "toml"}
FILES = {"parquet", "parquet_layout", "container", "memory", "child"}
JUDGING = {"audit", "feasibility", "risk"}
ROOMS = RULES | FILES | JUDGING | {"documents", "tables", "part_check", "site", "work", "synthetic", "reports"}

# docs: "Pure rules import nothing of ours. documents and tables import rules. site imports documents. work imports all
# of those. reports import results; cli imports public functions of any room; nothing imports cli."
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "vrm": {"errors"},
    "periods": {"errors"},
    "pseudonyms": {"errors", "vrm", "token_tables"},
    "token_tables": {"errors", "vrm", "pseudonyms"},
    "wording": {"vrm"},
    "words": set(),
    "files": {"errors"},
    "toml": {"errors"},
    "memory": {"errors"},
    "child": set(),
    "container": RULES,
    "parquet_layout": RULES,
    "parquet": RULES | {"parquet_layout"},
    "documents": RULES,
    "tables": RULES | {"memory", "child"},
    "synthetic": RULES | {"tables"},
    "part_check": RULES | FILES | {"tables"},
    "site": RULES | FILES | {"documents", "tables"},
    "audit": RULES | {"documents", "site"},
    "feasibility": RULES | {"documents", "tables"},
    "risk": RULES,
    "work": RULES | FILES | JUDGING | {"documents", "tables", "part_check", "site", "synthetic"},
    "reports": ROOMS,
    "api": ROOMS,
    "__init__": {"memory", "api"},
    "cli": ROOMS | {"api"},
    "__main__": {"cli"},
}

HEAVY = ("polars", "cryptography", "pydantic", "pyarrow", "rich", "jinja2")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "anpr_share":
            names = [f"anpr_share.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        else:
            continue
        for name in names:
            if name.startswith("anpr_share."):
                yield node.lineno, name.split(".")[1]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_the_rooms_that_it_may_know(path: Path) -> None:
    own = room(path)
    assert own in MAY_IMPORT, f"{own} has no place in the architecture yet: give it one above"

    wrong = [(line, name) for line, name in imported_rooms(path) if name not in MAY_IMPORT[own] | {own}]

    assert wrong == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_name_the_whole_way(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level] == []


def test_only_one_module_touches_the_encryption_of_polars() -> None:
    using = {room(path) for path in modules() if "ParquetEncryptionProperties" in path.read_text(encoding="utf-8")}

    assert using == {"parquet"}


def loaded_after(program: str) -> list[str]:
    program += "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return [name for name in HEAVY if name in done.stdout.splitlines()[-1].split()]


@pytest.mark.parametrize("module", ["anpr_share", "anpr_share.errors", "anpr_share.memory", "anpr_share.cli.main"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    assert loaded_after(f"import {module}") == []


def test_help_loads_nothing_heavy() -> None:
    assert loaded_after("from anpr_share.cli.main import run; run(['--help'])") == []


def test_help_takes_less_than_four_tenths_of_a_second_of_processor_time() -> None:
    resource = pytest.importorskip("resource", reason="Windows does not say what a child cost")

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return float(usage.ru_utime + usage.ru_stime)

    def one_run() -> float:
        before = spent()
        subprocess.run([sys.executable, "-m", "anpr_share", "--help"], stdout=subprocess.DEVNULL, check=True)
        return spent() - before

    # The best of three: a busy machine makes a run slower, never faster.
    assert min(one_run() for _ in range(3)) < 0.4
