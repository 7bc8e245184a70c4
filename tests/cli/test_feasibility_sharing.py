"""What ``feasibility --share`` writes and says, and ``feasibility combine``, as functions of the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anpr_share.cli.common import Invocation, Outcome
from anpr_share.cli.feasibility import combine, share_result
from anpr_share.documents import summary
from anpr_share.documents.identity import spoken
from anpr_share.errors import StorageError, UsageError
from anpr_share.feasibility.figures import Shared
from anpr_share.feasibility.suppression import suppress
from anpr_share.reports import terminal
from anpr_share.tables.profile import STEPS
from tests.support import suppressing
from tests.support.exchange import LANCS, NOW, PASSPHRASE, WYP, World, settled, swift
from tests.support.suppressing import Table, losing, real


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two forces and a university that know one another."""
    with swift(), settled(tmp_path / "sites") as made:
        yield made


def at(world: World, name: str | None, *, locked: bool = False) -> Invocation:
    """A call at a site, or at none; ``locked`` without a passphrase."""
    secret = world.free("passphrase")
    secret.touch(mode=0o600)
    secret.write_bytes(PASSPHRASE)
    return Invocation(
        "feasibility combine",
        site=None if name is None else world.root / name,
        passphrase_file=None if locked else secret,
        clock=world.clock,
    )


def checked(truth: Table, reads: int | None = 100_000) -> Shared:
    made = truth.result()
    return suppress(replace(suppressing.result(made.funnel, made.race.left, made.settings, reads), at=NOW))


def shared(world: World, *truths: Table) -> list[Path]:
    """Summaries, of one force after the other."""
    files = []
    for name, truth in zip((LANCS, WYP), truths, strict=True):
        files.append(world.free("summary.json"))
        share_result(at(world, name), checked(truth), files[-1])
    return files


def text(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> str:
    terminal.show(outcome.lines)
    return capsys.readouterr().out


SOME, OTHER = losing(10, 3, 30, 0, 40, 50), losing(0, 0, 50, 0, 0, 50)


def test_sharing_says_what_was_written_and_by_whom(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    out = world.free("summary.json")
    terminal.show(share_result(at(world, LANCS), checked(SOME), out))
    told = capsys.readouterr().out

    assert f"wrote {out}: what may be shared of this check, signed\n" in told
    assert "no count in it is from 1 to 9, and none such can be worked out from it\n" in told
    assert "it says\n  verdict: go\n" in told
    assert spoken(world.lancs.identity.fingerprint, indent=12) in told
    assert "note:" not in told
    assert summary.parse(out.read_bytes())[1].site == LANCS
    terminal.show(share_result(at(world, LANCS), checked(SOME), world.free("again.json")))
    assert "number 2: whoever has two can take the difference" in capsys.readouterr().out


def test_of_a_small_check_it_is_said_that_no_count_is_shared(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    small = Table((("window", 0),), ((3, 3), (4, 2)), STEPS, 10)
    terminal.show(share_result(at(world, LANCS), checked(small, None), world.free("summary.json")))

    assert "the extract is too small for more" in capsys.readouterr().out


def test_combining_needs_no_site_and_no_passphrase(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = shared(world, SOME, OTHER)
    monkeypatch.chdir(world.free("x").parent)
    alone = text(combine(at(world, None), files=files), capsys)
    here = text(combine(at(world, LANCS, locked=True), files=files), capsys)

    assert "no site to ask" in alone
    assert spoken(world.lancs.identity.fingerprint, indent=12) in alone
    assert "read its fingerprint out by telephone" in alone
    assert "no site to ask" not in here
    assert "telephone" not in here
    for told in (alone, here):
        assert "verdict: go\n" in told
        assert "vehicles left after 90 days of paperwork: 140; needed: 30\n" in told
        assert "\n30                 220 to 233\n" in told
        assert "a vehicle that several forces seek or see is counted once by each\n" in told
        assert max(len(line) for line in told.splitlines() if "  " in line) <= 80


def test_the_result_is_one_json_object(world: World) -> None:
    outcome = combine(at(world, LANCS), files=shared(world, SOME, OTHER))
    result = json.loads(terminal.result_json("feasibility combine", 0, outcome.result))["result"]

    assert result["combined"]["curve"][1] == {"days": 30, "vehicles": {"low": 220, "high": 233}}
    assert [item["site"] for item in result["contributors"]] == [LANCS, WYP]


def test_the_answer_is_no_only_where_none_is_left(world: World) -> None:
    nothing = real(left_0=(0, 0))

    assert not combine(at(world, LANCS), files=shared(world, nothing, nothing)).answer
    assert combine(at(world, LANCS), files=shared(world, nothing, SOME)).answer


def test_what_was_counted_by_some_alone_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    blind = replace(OTHER, names=OTHER.names[:-3] + OTHER.names[-2:], unjudged=frozenset({"window"}))
    blind = replace(blind, cells=OTHER.cells[:-4] + OTHER.cells[-3:])
    told = text(combine(at(world, LANCS), files=shared(world, SOME, blind)), capsys)

    assert "judged by 1 of 2" in told
    assert told.startswith("verdict: go, under conditions\n  if      it is found out which rows are about ")


def test_one_file_or_none_that_can_be_read_is_an_error(world: World) -> None:
    (one, _) = shared(world, SOME, OTHER)
    with pytest.raises(UsageError):
        combine(at(world, LANCS), files=[one])
    with pytest.raises(StorageError):
        combine(at(world, LANCS), files=[one, one.with_name("missing.json")])
