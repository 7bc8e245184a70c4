"""The audit and ``examples/verify_ledger.py`` agree: on real sites without a fault, and on each fault put into one."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from anpr_share.documents import envelope as dsse
from anpr_share.documents.keys import SigningKey
from anpr_share.errors import FormatError
from anpr_share.periods import parse_utc, utc_text
from anpr_share.work import auditing
from examples import verify_ledger
from tests.support import ledgers
from tests.support.exchange import LANCS, UNI, WYP, settled, swift
from tests.support.ledgers import Change, Value, at, chained, of, payload_changed

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "verify_ledger.py"


@dataclass(frozen=True)
class Exports:
    """What each site exported after the same exchange."""

    of: dict[str, Path]
    before: Path
    """The university's, from before its last lines."""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    with ExitStack() as stack:
        stack.enter_context(swift())
        world = stack.enter_context(settled(tmp_path_factory.mktemp("exports") / "sites"))
        before = ledgers.export(world, UNI)
        ledgers.exchanged(world)
        yield Exports({site: ledgers.export(world, site) for site in (LANCS, WYP, UNI)}, before)


def second(*paths: Path) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, SCRIPT, *paths], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def first(*paths: Path) -> set[str]:
    evidence = [auditing.read_export(path) for path in paths]
    return {item.rule.code for item in auditing.audit(evidence, evidence[0].at).findings}


def test_both_find_nothing_at_sites_that_kept_the_rules(exports: Exports) -> None:
    paths = list(exports.of.values())
    code, said = second(*paths)
    assert (code, said[-1]) == (0, "no fault was found")
    assert first(*paths) == set()
    for path in paths:
        assert f"  fingerprint {auditing.read_export(path).identity.fingerprint}" in said
    [line] = [said[n + 2] for n, text in enumerate(said) if text.startswith(f"{UNI}.jsonl: {UNI} (university)")]
    assert line.endswith("agreements 2, requests 3, manifests 2, receipts 1, notices 1, bundles 2; days held 6")


def test_both_find_nothing_at_one_site_alone(exports: Exports) -> None:
    for path in (*exports.of.values(), exports.before):
        assert second(path)[0] == 0
        assert first(path) == set()


def line(found: list[Value], number: int, text: dict[str, object]) -> None:
    item = of(found, "line")[number]
    item["line"] = json.dumps(
        json.loads(item["line"]) | text, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def a_line_altered(found: list[Value]) -> None:
    line(found, 4, {"account": "somebody"})


def the_last_line_altered(found: list[Value]) -> None:
    line(found, -1, {"account": "somebody"})


def a_line_dropped(found: list[Value]) -> None:
    del found[at(found, "line", 4)]


def lines_swapped(found: list[Value]) -> None:
    a, b = at(found, "line", 4), at(found, "line", 5)
    found[a], found[b] = found[b], found[a]


def a_history_written_anew(found: list[Value]) -> None:
    del found[at(found, "line", 4)]
    chained(found)


def a_time_put_back(found: list[Value]) -> None:
    line(found, -1, {"time": "2026-10-12T11:59:59Z"})


def a_checkpoint_dropped(found: list[Value]) -> None:
    del found[at(found, "checkpoint", 3)]


def a_checkpoint_of_another_site(found: list[Value]) -> None:
    item = of(found, "checkpoint")[3]
    item["checkpoint"], _ = payload_changed(item["checkpoint"], lambda said: said.update(site=WYP))


def a_checkpoint_of_another_line(found: list[Value]) -> None:
    item = of(found, "checkpoint")[-1]
    item["checkpoint"], _ = payload_changed(item["checkpoint"], lambda said: said.update(hash="ab" * 32))


def a_checkpoint_of_another_key(found: list[Value]) -> None:
    item = of(found, "checkpoint")[-1]
    payload = dsse.parse(b64decode(item["checkpoint"]), "ledger-checkpoint").payload
    signed = dsse.sign("ledger-checkpoint", payload, SigningKey.generate())
    item["checkpoint"] = b64encode(signed.encode()).decode()


def an_end_that_nobody_signed(found: list[Value]) -> None:
    """Lines of a command that only runs with the passphrase, after the last checkpoint."""
    event = {"account": "x", "actor": None, "details": {"purpose": "p"}, "event": "consultation", "leapt": False}
    last = json.loads(of(found, "line")[-1]["line"])
    entry = event | {"previous": "0" * 64, "seq": 0, "subject": "msv-2026", "time": last["time"]}
    found.insert(at(found, "checkpoint", 0), {"line": json.dumps(entry, sort_keys=True, separators=(",", ":"))})
    chained(found)


def another_envelope(found: list[Value], kind: str, change: dict[str, object], number: int = 0) -> None:
    record = of(found, kind)[number]["values"]
    record["envelope"], record["digest"] = payload_changed(record["envelope"], lambda said: said.update(change))


def an_agreement_altered(found: list[Value]) -> None:
    another_envelope(found, "agreement", {"ends": "2029-12-31"})


def an_agreement_without_a_signature(found: list[Value]) -> None:
    record = of(found, "agreement")[0]["values"]
    outer = json.loads(b64decode(record["envelope"]))
    del outer["signatures"][0]
    record["envelope"] = b64encode(json.dumps(outer, sort_keys=True, separators=(",", ":")).encode()).decode()


def an_agreement_under_another_name(found: list[Value]) -> None:
    of(found, "agreement")[0]["values"]["version"] = 2


def a_receipt_altered(found: list[Value]) -> None:
    another_envelope(found, "receipt", {"deleted": []})


def a_request_altered(found: list[Value]) -> None:
    another_envelope(found, "request", {"created": "2026-10-01T00:00:00Z"})


def a_manifest_altered(found: list[Value]) -> None:
    another_envelope(found, "manifest", {"created": "2026-10-01T00:00:00Z"})


def a_manifest_missing(found: list[Value]) -> None:
    del found[at(found, "manifest", 0)]


def a_bundle_moved_to_another_window(found: list[Value]) -> None:
    of(found, "bundle")[0]["values"]["first"] = "2026-09-30"


def a_bundle_that_no_line_tells_of(found: list[Value]) -> None:
    of(found, "bundle")[0]["values"]["id"] = "00000000-0000-4000-8000-000000000000"


def a_load_whose_receipt_was_taken_away(found: list[Value]) -> None:
    of(found, "bundle")[0]["values"]["receipt"] = None


def a_load_with_the_receipt_of_another(found: list[Value]) -> None:
    one, other = (item["values"] for item in of(found, "bundle"))
    one["receipt"] = other["receipt"]


def a_load_whose_receipt_was_altered(found: list[Value]) -> None:
    record = of(found, "bundle")[0]["values"]
    record["receipt"], _ = payload_changed(record["receipt"], lambda said: said["loaded"][0]["days"].pop())


def a_load_under_another_agreement(found: list[Value]) -> None:
    of(found, "bundle")[0]["values"]["agreement"] = "nobodys"


def a_receipt_under_no_digest(found: list[Value]) -> None:
    of(found, "receipt")[0]["values"]["digest"] = "x"


def a_partner_of_another_fingerprint(found: list[Value]) -> None:
    of(found, "partner")[0]["values"]["fingerprint"] = "ab" * 32


def a_partner_without_an_identity(found: list[Value]) -> None:
    of(found, "partner")[0]["values"]["identity"] = ""


def a_request_missing(found: list[Value]) -> None:
    used = of(found, "bundle")[0]["values"]["request"]
    found[:] = [item for item in found if item.get("values", {}).get("digest") != used]


def a_day_gone_without_a_line(found: list[Value]) -> None:
    del found[at(found, "day_key", 0)]


def a_day_held_past_its_limit(found: list[Value]) -> None:
    found[0]["at"] = utc_text(parse_utc(found[0]["at"]) + timedelta(days=4))


def a_key_without_data(found: list[Value]) -> None:
    key = of(found, "day_key")[-1]["day_key"]
    found.insert(at(found, "day_key", -1) + 1, {"day_key": [*key[:3], "ffffffff-0000-4000-8000-000000000000"]})


def a_closed_agreement_with_data(found: list[Value]) -> None:
    of(found, "agreement")[0]["values"]["closed_at"] = found[0]["at"]


def rows_that_are_missing(found: list[Value]) -> None:
    of(found, "part")[0]["values"]["rows"] += 1


FAULTS: dict[str, tuple[Change, str]] = {
    change.__name__: (change, code)
    for code, changes in {
        "chain-broken": (a_line_altered, a_line_dropped, lines_swapped, a_time_put_back),
        "signature-bad": (
            *(the_last_line_altered, a_history_written_anew, a_checkpoint_dropped),
            *(a_checkpoint_of_another_site, a_checkpoint_of_another_line, a_checkpoint_of_another_key),
        ),
        "line-unproved": (an_end_that_nobody_signed,),
        "record-altered": (
            *(an_agreement_altered, an_agreement_without_a_signature, an_agreement_under_another_name),
            *(a_receipt_altered, a_request_altered, a_bundle_that_no_line_tells_of),
            *(a_load_whose_receipt_was_taken_away, a_load_with_the_receipt_of_another),
            *(a_load_whose_receipt_was_altered, a_load_under_another_agreement, a_receipt_under_no_digest),
            *(a_partner_of_another_fingerprint, a_partner_without_an_identity),
        ),
        "load-unverified": (
            *(a_manifest_altered, a_manifest_missing, a_bundle_moved_to_another_window, a_request_missing),
        ),
        "gone-unlogged": (a_day_gone_without_a_line,),
        "held-too-long": (a_day_held_past_its_limit,),
        "key-without-data": (a_key_without_data,),
        "closed-but-held": (a_closed_agreement_with_data,),
        "rows-unaccounted": (rows_that_are_missing,),
    }.items()
    for change in changes
}


@pytest.mark.parametrize("name", FAULTS)
def test_both_find_a_fault_in_one_export(name: str, exports: Exports) -> None:
    change, code = FAULTS[name]
    path = ledgers.altered(exports.of[UNI], change)
    assert code in first(path)
    exit_code, said = second(path)
    assert exit_code == 1
    assert said[-1].startswith("altered.jsonl:")


def test_faults_are_told_with_the_line_of_the_file(exports: Exports) -> None:
    path = ledgers.altered(exports.of[UNI], lines_swapped)
    place = at(ledgers.values(exports.of[UNI]), "line", 4) + 1
    assert f"altered.jsonl:{place}: line 5 was dropped, added or moved" in second(path)[1]


def cut_to(found: list[Value], lines: int) -> None:
    """The ledger as it was, its later lines with their checkpoints away: nothing in the file tells."""
    for item in of(found, "line")[lines:]:
        found.remove(item)
    kept = [json.loads(item["line"])["seq"] for item in of(found, "line")]
    for item in reversed(of(found, "checkpoint")):
        said: list[int] = []
        payload_changed(item["checkpoint"], lambda value, said=said: said.append(value["seq"]))  # type: ignore[misc]
        if said[0] > len(kept):
            found.remove(item)


def test_an_end_that_was_cut_is_seen_by_what_a_partner_keeps_and_by_nothing_else(exports: Exports) -> None:
    # All that the university ever did is away, and so is every record of it: what is left is a site without a fault.
    old, force = exports.before, exports.of[LANCS]
    assert second(old)[0] == 0
    assert first(old) == set()
    code, said = second(old, force)
    assert code == 1
    assert any("has not the line" in text for text in said)
    assert "history-truncated" in first(old, force)


@pytest.mark.parametrize("lines", [1, 5, 8])
def test_a_tail_cut_after_any_exchange_is_seen_by_what_a_partner_keeps(lines: int, exports: Exports) -> None:
    path, force = ledgers.altered(exports.of[UNI], lambda found: cut_to(found, lines)), exports.of[LANCS]
    assert "history-truncated" in first(path, force)
    assert any("has not the line" in text for text in second(path, force)[1])


def test_a_history_that_the_site_itself_wrote_anew_contradicts_a_partner(exports: Exports) -> None:
    path, force = ledgers.altered(exports.of[UNI], a_history_written_anew), exports.of[LANCS]
    assert "history-rewritten" in first(path, force)
    assert any("has not the line" in text for text in second(path, force)[1])


def forged_partner(found: list[Value], of_other: Sequence[Value]) -> None:
    mine, other = of(found, "partner")[0]["values"], of(list(of_other), "partner")[0]["values"]
    mine["identity"], mine["fingerprint"] = other["identity"], other["fingerprint"]


def test_a_partner_pinned_with_another_identity_is_seen_beside_its_own_export(exports: Exports) -> None:
    other = ledgers.values(exports.of[LANCS])  # whose first partner is the university
    path = ledgers.altered(exports.of[UNI], lambda found: forged_partner(found, other))
    assert "partner-differs" in first(path, exports.of[LANCS])
    assert any(f"{LANCS} is pinned with another identity" in text for text in second(path, exports.of[LANCS])[1])


def test_a_bundle_that_the_force_never_exported_is_seen_beside_its_export(exports: Exports) -> None:
    def without(found: list[Value]) -> None:
        found[:] = [item for item in found if item.get("record") != "bundle"]

    path = ledgers.altered(exports.of[LANCS], without)
    assert "load-unverified" in first(path, exports.of[UNI])
    assert any("did not export this bundle" in text for text in second(path, exports.of[UNI])[1])


@pytest.mark.parametrize("keep", [-1, 0, 5000])
def test_both_refuse_a_file_that_was_cut(keep: int, exports: Exports) -> None:
    path = exports.of[UNI].with_name("cut.jsonl")
    path.write_bytes(exports.of[UNI].read_bytes()[:keep])
    with pytest.raises(FormatError):
        auditing.read_export(path)
    assert second(path)[0] == 1


# RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
RFC_8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_its_signatures_are_those_of_the_rfc_and_no_other_bytes_are(public: str, message: str, signature: str) -> None:
    key, text, good = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    verify_ledger.verify(key, text, good)
    too_large = good[:32] + (int.from_bytes(good[32:], "little") + verify_ledger.Q).to_bytes(32, "little")
    for bad in (good[:-1], good + b"\0", too_large, bytes([good[0] ^ 1, *good[1:]]), good[:32] + bytes(32), bytes(64)):
        with pytest.raises(ValueError, match="signature"):
            verify_ledger.verify(key, text, bad)
    with pytest.raises(ValueError, match="signature"):
        verify_ledger.verify(key, text + b"\0", good)


@pytest.mark.parametrize("y", [0, 1, verify_ledger.P - 1, verify_ledger.P, verify_ledger.P + 1])
def test_it_refuses_keys_under_which_one_signature_fits_any_text(y: int) -> None:
    with pytest.raises(ValueError, match=r"small order|no point"):
        verify_ledger.verify(y.to_bytes(32, "little"), b"any", bytes([1]) + bytes(63))


def test_without_a_file_or_with_none_that_can_be_read_it_does_not_say_that_all_is_well(tmp_path: Path) -> None:
    assert second()[0] == 1
    assert second(tmp_path / "none.jsonl") == (1, ["none.jsonl:0: no such file"])
    (tmp_path / "other.csv").write_bytes(b"a,b\n\xff,1\n")
    assert second(tmp_path / "other.csv") == (1, ["other.csv:1: malformed: JSONDecodeError"])


def test_it_shares_no_code_and_stays_short() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    assert "import anpr_share" not in source
    assert "from anpr_share" not in source
    assert "cryptography" not in source
    assert len(source.splitlines()) <= 420


def test_it_is_run_as_the_documentation_says() -> None:
    command = "python examples/verify_ledger.py university.ledger.jsonl northshire.ledger.jsonl"
    for page in ("docs/spec/ledger-export-v1.md", "examples/verify_ledger.py"):
        assert command in (ROOT / page).read_text(encoding="utf-8")
