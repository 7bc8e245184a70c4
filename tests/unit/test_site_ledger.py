"""The log: whatever is altered, dropped, added or moved in it is found, and the line is named."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from anpr_share.documents import canonical, envelope
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import FormatError, UsageError, VerificationError
from anpr_share.site import database
from anpr_share.site.database import transaction
from anpr_share.site.layout import create_directories
from anpr_share.site.ledger import (
    CHECKPOINT_KIND,
    STATUTORY,
    Head,
    Ledger,
    line_hash,
    open_checkpoint,
    operating_system_account,
    parse_line,
    verify_chain,
    verify_ledger,
)
from anpr_share.site.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anpr_share.site.layout import Paths

ORIGIN = "ab" * 32
NOW = datetime(2026, 10, 8, 16, 30, 51, tzinfo=UTC)
KEY = SigningKey(bytes(range(32)))
SITE = "north-force"
VAULT = Vault(bytes(32), SITE)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = create_directories(tmp_path / "site")
    database.create(made)
    return made


@pytest.fixture
def db(paths: Paths) -> Iterator[database.Connection]:
    connection = database.connect(paths)
    yield connection
    connection.close()


@pytest.fixture
def ledger(db: database.Connection) -> Ledger:
    return Ledger(db, ORIGIN)


def log(db: database.Connection, ledger: Ledger, event: str = "partner-added", **named: Any) -> Head:
    for name, value in (("now", NOW), ("vault", VAULT)):
        named.setdefault(name, value)
    with transaction(db), mock.patch("getpass.getuser", return_value="alice"):
        return ledger.append(event, "subject", {"count": 1}, **named)


def sign(db: database.Connection, ledger: Ledger) -> None:
    with transaction(db):
        assert ledger.checkpoint(KEY, VAULT, NOW) is not None


@pytest.fixture
def signed(db: database.Connection, ledger: Ledger) -> tuple[list[bytes], list[bytes]]:
    """Six lines under three checkpoints."""
    for number in range(6):
        log(db, ledger, now=NOW + timedelta(minutes=number), event="disclosure" if number % 2 else "partner-added")
        if number in (0, 3, 5):
            sign(db, ledger)
    return list(ledger.stored()), list(ledger.checkpoints())


def check(lines: list[bytes], checkpoints: list[bytes]) -> Any:
    return verify_ledger(lines, checkpoints, origin=ORIGIN, public=KEY.public, site=SITE)


def test_a_line_is_canonical_json_chained_from_the_fingerprint(db: database.Connection, ledger: Ledger) -> None:
    assert ledger.head() == Head(0, ORIGIN)
    first = log(db, ledger, actor="Alice Example")
    second = log(db, ledger)
    lines = list(ledger.stored())
    assert lines[0] == (
        b'{"account":"alice","actor":"Alice Example","details":{"count":1},"event":"partner-added","leapt":false,'
        b'"previous":"' + ORIGIN.encode() + b'","seq":1,"subject":"subject","time":"2026-10-08T16:30:51Z"}'
    )
    assert first == Head(1, line_hash(lines[0]))
    assert parse_line(lines[1]).previous == first.hash
    assert ledger.head() == second == Head(2, line_hash(lines[1]))
    assert [entry.seq for entry in ledger.lines(2)] == [2]


def test_the_hash_has_its_own_prefix() -> None:
    # printf 'anpr-share/1/ledger\n{}' | sha256sum
    assert line_hash(b"{}") == "bc36274be2053fd6ce985c2745c6429b63db2b91813b2fd77f7980de50a584a1"


def test_a_signed_ledger_verifies(ledger: Ledger, signed: tuple[list[bytes], list[bytes]]) -> None:
    found = ledger.verify(KEY.public, SITE)
    assert (found.lines, found.checkpoints, found.signed_to, found.unsigned_tail) == (6, 3, 6, 0)
    assert found.ok
    assert [open_checkpoint(item, KEY.public).adopted for item in signed[1]] == [1, 3, 2]


def test_an_empty_ledger_verifies(ledger: Ledger) -> None:
    assert ledger.verify(KEY.public, SITE).lines == 0


def test_every_altered_field_of_every_line_is_found(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    changes: dict[str, object] = {
        "account": "mallory",
        "actor": "mallory",
        "details": {"count": 2},
        "event": "other",
        "leapt": True,
        "previous": "cd" * 32,
        "seq": 99,
        "subject": "other",
        "time": "2026-10-08T16:59:59Z",
    }
    for index in range(len(lines)):
        for field, value in changes.items():
            record = canonical.decode(lines[index])
            assert isinstance(record, dict)
            altered = [*lines[:index], canonical.encode({**record, field: value}), *lines[index + 1 :]]
            with pytest.raises(VerificationError):
                check(altered, checkpoints)


def test_every_changed_byte_of_a_line_is_found(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    for position in range(len(lines[2])):
        damaged = bytearray(lines[2])
        damaged[position] ^= 1
        with pytest.raises(VerificationError):
            check([*lines[:2], bytes(damaged), *lines[3:]], checkpoints)


def test_every_dropped_line_is_found_even_the_last(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    for index in range(len(lines)):
        with pytest.raises(VerificationError, match=f"line {index + 1}|ends at line {index}"):
            check(lines[:index] + lines[index + 1 :], checkpoints)


def test_every_swap_of_two_lines_is_found(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    for first in range(len(lines)):
        for second in range(first + 1, len(lines)):
            swapped = list(lines)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            with pytest.raises(VerificationError, match=f"broken at line {first + 1}"):
                check(swapped, checkpoints)


def test_every_repeated_or_added_line_is_found(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    for index in range(len(lines)):
        with pytest.raises(VerificationError):
            check([*lines[: index + 1], *lines[index:]], checkpoints)


def rewritten(lines: list[bytes], index: int) -> list[bytes]:
    """A history with one line altered and all later ones chained to it anew, as a forger with the file would."""
    result, previous = lines[:index], parse_line(lines[index]).previous
    for number, line in enumerate(lines[index:]):
        record = canonical.decode(line)
        assert isinstance(record, dict)
        changed = {**record, "previous": previous} | ({} if number else {"subject": "forged"})
        result.append(canonical.encode(changed))
        previous = line_hash(result[-1])
    return result


def test_a_history_rewritten_with_a_good_chain_contradicts_the_signatures(
    signed: tuple[list[bytes], list[bytes]],
) -> None:
    lines, checkpoints = signed
    for index in range(len(lines)):
        with pytest.raises(VerificationError, match="contradicts the ledger"):
            check(rewritten(lines, index), checkpoints)


def test_every_dropped_swapped_or_altered_checkpoint_is_found(signed: tuple[list[bytes], list[bytes]]) -> None:
    lines, checkpoints = signed
    for index in range(len(checkpoints) - 1):
        with pytest.raises(VerificationError, match="checkpoint"):
            check(lines, checkpoints[:index] + checkpoints[index + 1 :])
    for order in ((1, 0, 2), (0, 2, 1), (2, 1, 0), (0, 0, 1, 2)):
        with pytest.raises(VerificationError, match="checkpoint"):
            check(lines, [checkpoints[index] for index in order])
    with pytest.raises(VerificationError):
        check(lines, [*checkpoints[:2], checkpoints[2].replace(b'"sig":"', b'"sig":"A', 1)])


def test_dropping_the_last_checkpoint_leaves_an_unsigned_tail_that_shows(
    signed: tuple[list[bytes], list[bytes]],
) -> None:
    lines, checkpoints = signed
    found = check(lines, checkpoints[:-1])
    assert (found.signed_to, found.unsigned_tail, found.out_of_place) == (4, 2, (6,))
    assert not found.ok


def test_only_statutory_events_besides_erasure_are_out_of_place_unsigned(
    db: database.Connection, ledger: Ledger
) -> None:
    log(db, ledger, "consultation")
    sign(db, ledger)
    for event in ("erasure", "restored", "purge"):
        log(db, ledger, event)
    found = ledger.verify(KEY.public, SITE)
    assert (found.unsigned_tail, found.out_of_place, found.ok) == (3, (), True)
    log(db, ledger, "consultation")
    assert ledger.verify(KEY.public, SITE).out_of_place == (5,)


@pytest.mark.parametrize("event", sorted(STATUTORY - {"erasure"}))
def test_a_line_that_a_forger_added_is_named_for_ever_by_the_checkpoint_that_signs_it(
    db: database.Connection, ledger: Ledger, event: str
) -> None:
    log(db, ledger, "restored", vault=None)
    log(db, ledger, event, vault=None)
    log(db, ledger, event, vault=Vault(bytes(31) + b"x", SITE))
    log(db, ledger, event)
    log(db, ledger, "erasure", vault=None)
    for _ in range(2):
        sign(db, ledger)
        found = ledger.verify(KEY.public, SITE)
        assert (found.unsigned_tail, found.out_of_place, found.ok) == (0, (2, 3), False)
        log(db, ledger, event)
    assert open_checkpoint(next(ledger.checkpoints()), KEY.public).unproved == (2, 3)


def test_the_proof_of_another_line_proves_nothing(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger, "consultation")
    log(db, ledger, "consultation", vault=None)
    db.execute("UPDATE ledger SET mac = (SELECT mac FROM ledger WHERE seq = 1) WHERE seq = 2")
    sign(db, ledger)
    assert ledger.verify(KEY.public, SITE).out_of_place == (2,)


def test_what_a_killed_command_logged_with_the_vault_is_adopted_as_its_own(
    db: database.Connection, ledger: Ledger
) -> None:
    log(db, ledger, "disclosure")
    assert not ledger.verify(KEY.public, SITE).ok
    sign(db, ledger)
    assert ledger.verify(KEY.public, SITE).ok


def test_checkpoints_of_another_key_site_or_form_are_refused(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger)
    sign(db, ledger)
    with pytest.raises(VerificationError):
        ledger.verify(SigningKey.generate().public, SITE)
    with pytest.raises(VerificationError, match="another site"):
        ledger.verify(KEY.public, "south-force")
    good: dict[str, object] = {
        "adopted": 1,
        "format": 1,
        "hash": ledger.head().hash,
        "seq": 1,
        "site": SITE,
        "time": "2026-10-08T16:30:51Z",
        "unproved": [1],
    }
    lists: list[object] = [None, 1, ["1"], [True], [1, 1], [0], [2]]
    others = [("format", 2), ("adopted", 0), ("seq", "1"), ("extra", 1), ("time", "now"), ("site", 1)]
    for field, value in [*others, *(("unproved", lines) for lines in lists)]:
        data = envelope.sign(CHECKPOINT_KIND, canonical.encode({**good, field: value}), KEY).encode()
        with pytest.raises(FormatError):
            open_checkpoint(data, KEY.public)
    data = envelope.sign(CHECKPOINT_KIND, canonical.encode(good | {"adopted": 2}), KEY).encode()
    with pytest.raises(VerificationError, match="does not follow"):
        check(list(ledger.stored()), [data])


def test_a_checkpoint_first_verifies_what_it_adopts(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger)
    sign(db, ledger)
    log(db, ledger)
    log(db, ledger)
    db.execute("UPDATE ledger SET line = CAST(replace(line, 'alice', 'mallo') AS BLOB) WHERE seq = 2")
    with pytest.raises(VerificationError, match="broken at line 3"), transaction(db):
        ledger.checkpoint(KEY, VAULT, NOW)
    assert len(list(ledger.checkpoints())) == 1


def test_a_checkpoint_does_not_build_on_one_that_the_ledger_contradicts(
    db: database.Connection, ledger: Ledger
) -> None:
    log(db, ledger)
    sign(db, ledger)
    db.execute("DELETE FROM ledger")
    log(db, ledger, now=NOW + timedelta(hours=1))
    with pytest.raises(VerificationError, match="contradicts its checkpoint"), transaction(db):
        ledger.checkpoint(KEY, VAULT, NOW)


def test_nothing_new_needs_no_checkpoint(db: database.Connection, ledger: Ledger) -> None:
    with transaction(db):
        assert ledger.checkpoint(KEY, VAULT, NOW) is None
    log(db, ledger)
    sign(db, ledger)
    with transaction(db):
        assert ledger.checkpoint(KEY, VAULT, NOW) is None


def test_a_line_is_appended_inside_a_transaction_and_undone_with_it(db: database.Connection, ledger: Ledger) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        ledger.append("partner-added", "x", {}, now=NOW)

    def fail() -> None:
        with transaction(db):
            ledger.append("partner-added", "x", {}, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ledger.head().seq == 0


@pytest.mark.parametrize(
    "change",
    [
        {"event": "Not an event"},
        {"event": ""},
        {"subject": "two\nlines"},
        {"actor": "bell\a"},
        {"details": {"text": "x" * 300_000}},
    ],
)
def test_what_no_reader_would_accept_is_not_appended(
    db: database.Connection, ledger: Ledger, change: dict[str, Any]
) -> None:
    line: dict[str, Any] = {"event": "partner-added", "subject": "x", "details": {}, "actor": None} | change
    with pytest.raises(UsageError, match="cannot be logged"), transaction(db):
        ledger.append(line["event"], line["subject"], line["details"], now=NOW, actor=line["actor"])
    assert ledger.head().seq == 0


def test_floats_never_enter_the_ledger(db: database.Connection, ledger: Ledger) -> None:
    details: Any = {"share": 0.5}
    with pytest.raises(TypeError), transaction(db):
        ledger.append("partner-added", "x", details, now=NOW)


def test_time_does_not_go_back(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger)
    log(db, ledger, now=NOW - timedelta(minutes=3))
    assert [entry.time for entry in ledger.lines()] == [NOW, NOW]
    assert ledger.last_time() == NOW
    ledger.verify(KEY.public, SITE)


def test_lines_after_a_leap_of_the_clock_never_count_as_the_last(db: database.Connection, ledger: Ledger) -> None:
    assert ledger.last_time() is None
    log(db, ledger, leapt=True)
    assert ledger.last_time() is None
    log(db, ledger)
    for _ in range(120):
        log(db, ledger, now=NOW + timedelta(days=400), leapt=True)
    assert ledger.last_time() == NOW
    ledger.verify(KEY.public, SITE)


def test_no_line_is_before_one_after_a_leap_of_the_clock(db: database.Connection, ledger: Ledger) -> None:
    assert ledger.latest_time() is None
    log(db, ledger)
    log(db, ledger, now=NOW + timedelta(days=400), leapt=True)
    assert ledger.latest_time() == NOW + timedelta(days=400)
    log(db, ledger, now=NOW + timedelta(days=1))
    assert [entry.time for entry in ledger.lines()][1:] == [NOW + timedelta(days=400)] * 2
    log(db, ledger, "clock-reset", now=NOW)
    assert ledger.latest_time() == ledger.last_time() == NOW
    ledger.verify(KEY.public, SITE)


def test_only_a_clock_reset_puts_time_back_and_it_is_a_finding(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger, now=NOW + timedelta(days=20))
    log(db, ledger, "clock-reset", now=NOW)
    assert ledger.last_time() == NOW
    found = ledger.verify(KEY.public, SITE)
    assert (found.clock_resets, found.ok) == (1, False)


def test_no_instant_lies_before_the_last_checkpoint(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger)
    with transaction(db):
        ledger.checkpoint(KEY, VAULT, NOW + timedelta(hours=2))
    assert (ledger.last_time(), ledger.latest_time()) == (NOW, NOW + timedelta(hours=2))
    log(db, ledger, "clock-reset", now=NOW - timedelta(days=3))
    assert ledger.latest_time() == NOW + timedelta(hours=2)
    with transaction(db):
        ledger.checkpoint(KEY, VAULT, NOW - timedelta(days=3))
    assert ledger.latest_time() == NOW - timedelta(days=3)


def test_a_clock_reset_is_out_of_place_unless_a_command_with_the_vault_wrote_it(
    db: database.Connection, ledger: Ledger
) -> None:
    log(db, ledger, now=NOW + timedelta(days=20))
    log(db, ledger, "clock-reset", now=NOW, vault=None)
    assert ledger.verify(KEY.public, SITE).out_of_place == (2,)
    sign(db, ledger)
    log(db, ledger, "clock-reset", now=NOW - timedelta(days=1))
    sign(db, ledger)
    assert ledger.verify(KEY.public, SITE).out_of_place == (2,)


def test_a_confirmation_of_the_clock_is_never_marked_as_leapt(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger, "clock-confirmed", leapt=True)
    log(db, ledger, "purge", leapt=True)
    assert [entry.leapt for entry in ledger.lines()] == [False, True]
    assert ledger.last_time() == NOW


def test_a_time_that_goes_back_otherwise_breaks_the_chain(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger, now=NOW + timedelta(days=20))
    log(db, ledger, "clock-reset", now=NOW)
    forged = [line.replace(b"clock-reset", b"clock-other") for line in ledger.stored()]
    with pytest.raises(VerificationError, match="time is before"):
        list(verify_chain(forged, Head(0, ORIGIN)))


def test_a_long_ledger_is_read_in_pages(db: database.Connection, ledger: Ledger) -> None:
    with transaction(db):
        for _ in range(2500):
            ledger.append("purge", "x", {}, now=NOW)
    assert ledger.verify(KEY.public, SITE).lines == ledger.head().seq == 2500
    assert len(list(ledger.lines(1001))) == 1500


def test_two_processes_append_at_once_without_losing_a_line(paths: Paths, ledger: Ledger) -> None:
    code = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from anpr_share.site import database
from anpr_share.site.layout import Paths
from anpr_share.site.ledger import Ledger
db = database.connect(Paths(Path(sys.argv[1])))
sys.stdin.read(1)
for _ in range(60):
    with database.transaction(db):
        Ledger(db, "ab" * 32).append("purge", sys.argv[2], {}, now=datetime(2026, 10, 8, tzinfo=UTC))
db.close()
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(paths.root), name],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for name in ("one", "two")
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"g")
        child.stdin.flush()
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert ledger.verify(KEY.public, SITE).lines == 120
    assert sorted(entry.subject for entry in ledger.lines()) == ["one"] * 60 + ["two"] * 60


def test_an_account_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert operating_system_account() == "unknown"
    monkeypatch.setattr("getpass.getuser", lambda: "a\nb")
    assert operating_system_account() == "a?b"


def test_lines_that_lie_about_their_numbers_hold_nobody_up(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger)
    (line,) = ledger.stored()
    forged = line.replace(b'"leapt":false', b'"leapt":true').replace(b'"seq":1,', b'"seq":1000000000,')
    db.execute("UPDATE ledger SET line = ?", (forged,))
    assert ledger.last_time() is None


def test_the_last_line_about_an_event_is_found(db: database.Connection, ledger: Ledger) -> None:
    log(db, ledger, "restored")
    for _ in range(60):
        log(db, ledger)
    with transaction(db):
        ledger.append("purge", "subject", {"event": "restored"}, now=NOW)
    found = ledger.last_of("restored", "collection")
    assert (found.seq if found else None) == 1
    assert ledger.last_of("erasure") is None
