"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import anpr_share

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[<>=\[; ]", text)[0] for text in requirements]


def test_one_version(project: dict[str, Any]) -> None:
    assert anpr_share.__version__ == project["project"]["version"]
    assert f"## {anpr_share.__version__} " in read("CHANGELOG.md")


def test_each_dependency_states_its_reason(project: dict[str, Any]) -> None:
    reasons = read("docs/dependencies.md")
    extras = [name for extra in project["project"]["optional-dependencies"].values() for name in names(extra)]

    missing = [name for name in names(project["project"]["dependencies"]) + extras if f"`{name}`" not in reasons]

    assert missing == []


def test_each_direct_dependency_is_locked_by_hash(project: dict[str, Any]) -> None:
    locked = dict(re.findall(r"^([a-z0-9.-]+)==\S+(.*(?:\n +--hash=.*)+)", read("requirements.lock"), re.MULTILINE))
    wanted = names(project["project"]["dependencies"]) + names(project["project"]["optional-dependencies"]["test"])

    assert [name for name in wanted if "--hash=sha256:" not in locked.get(name, "")] == []


def test_the_lock_names_no_index() -> None:
    lock = read("requirements.lock")

    assert "://" not in lock
    assert set(re.findall(r"--[a-z-]+", lock)) == {"--hash"}


def test_each_rule_of_the_linter_that_is_left_out_has_a_reason() -> None:
    lines = read("pyproject.toml").split("\nignore = [")[1].split("[tool.ruff.lint.flake8")[0]
    ignored = re.findall(r'^  "([A-Z]+[0-9]*)", *(.*)$', lines, re.MULTILINE)

    assert len(ignored) > 10
    assert [rule for rule, reason in ignored if not reason.startswith("#")] == []


def test_readme_has_the_two_commands_that_need_nothing_else() -> None:
    first_screen = read("README.md").splitlines()[:32]

    commands = [line for line in first_screen if line.startswith("python3 -m venv .venv && ")]

    assert len(commands) == 2
    assert commands[0].endswith("anpr-share demo")
    assert "pytest" in commands[1]
