"""A force and a university set up by the command line alone, ready to exchange: what both benchmarks start from."""

from __future__ import annotations

import re
import secrets
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import Cost, run

if TYPE_CHECKING:
    from collections.abc import Mapping

TERMS = """\
id = "benchmark"
version = 1
title = "Benchmark on made-up data"
purpose = "measuring speed and memory"
legal_basis = "none needed: the data is made up"
starts = {starts}
ends = {ends}
timezone = "Europe/London"
authority_after = "P90D"

[reads]
columns = ["vehicle", "camera", "captured_at"]
resolution = "1s"
retention = "P12M"
"""

# As anpr_share.synthetic.PLAIN_PROFILE, which this process must not import: see measure.py.
PROFILE = """\
table = "reads"

[columns]
vrm = "vrm"
camera = "camera"

[columns.captured_at]
columns = ["captured_at"]
format = "%Y-%m-%dT%H:%M:%S"
timezone = "Europe/London"
ambiguous = "earliest"
"""


@dataclass(frozen=True)
class Parties:
    """Two sites that have signed and accepted one agreement."""

    folder: Path

    @property
    def force(self) -> Path:
        """The force's site."""
        return self.folder / "force"

    @property
    def university(self) -> Path:
        """The university's site."""
        return self.folder / "university"

    @property
    def passphrase_file(self) -> Path:
        """The passphrase of both."""
        return self.folder / "passphrase"

    @property
    def profile(self) -> Path:
        """How the extract is read."""
        return self.folder / "profile.toml"

    def command(self, site: Path, *words: str | Path, answers: tuple[int, ...] = (0,)) -> tuple[Cost, str]:
        """Run one command of ours at a site, as a child, and measure it."""
        begin = (sys.executable, "-m", "anpr_share", "--site", site, "--passphrase-file", self.passphrase_file)
        return run(*begin, *words, answers=answers)

    def request(self, output: Path, first: date, last: date) -> None:
        """The university asks for one window."""
        window = ("--from", first.isoformat(), "--until", last.isoformat())
        self.command(self.university, "request", "benchmark", "--to", "benchmark-force", *window, "-o", output)


def set_up(folder: Path, today: date) -> Parties:
    """Make both sites, an agreement in force today, and a profile for the made-up extract."""
    parties = Parties(folder)
    parties.passphrase_file.write_text(secrets.token_hex(16) + "\n", encoding="utf-8")
    parties.passphrase_file.chmod(0o600)
    parties.profile.write_text(PROFILE, encoding="utf-8")
    for site, role, name in (
        (parties.force, "police", "Benchmark Force"),
        (parties.university, "university", "Benchmark University"),
    ):
        options = ("--role", role, "--name", name, "--passphrase-file", parties.passphrase_file)
        run(sys.executable, "-m", "anpr_share", "init", site, *options)
    identities = [word for site in (parties.force, parties.university) for word in ("--party", site / "identity.json")]
    _, template = run(sys.executable, "-m", "anpr_share", "agreement", "draft", *identities)
    draft = folder / "draft.toml"
    draft.write_text(_terms(template, today), encoding="utf-8")
    signed, agreed = folder / "signed.json", folder / "agreement.json"
    parties.command(parties.force, "agreement", "sign", draft, "-o", signed, "--yes")
    parties.command(parties.university, "agreement", "sign", signed, "-o", agreed, "--yes")
    for site in (parties.force, parties.university):
        parties.command(site, "agreement", "accept", agreed)
    return parties


def _terms(template: str, today: date) -> str:
    """Put our own terms before the parties' tables, with which a template ends."""
    parties = re.search(r"^\[\[parties\]\]", template, flags=re.MULTILINE)
    if parties is None:
        sys.exit("the agreement's template has no parties")
    days: Mapping[str, str] = {
        "starts": (today - timedelta(days=2)).isoformat(),
        "ends": (today + timedelta(days=60)).isoformat(),
    }
    return TERMS.format_map(days) + "\n" + template[parties.start() :]
