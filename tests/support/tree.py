"""The program's groups and commands, by what is typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anpr_share.cli import main


def everything() -> dict[str, Any]:
    """The program itself under the empty name, its groups and its commands."""
    return dict(_below(main.parser(), ()))


def groups() -> dict[str, Any]:
    """What has commands of its own."""
    return {name: found for name, found in everything().items() if hasattr(found, "commands")}


def commands() -> dict[str, Any]:
    """What does work of its own: a group may do so too."""
    return {
        name: found
        for name, found in everything().items()
        if not hasattr(found, "commands") or found.invoke_without_command
    }


def _below(found: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), found
    for name, item in getattr(found, "commands", {}).items():
        yield from _below(item, (*path, name))
