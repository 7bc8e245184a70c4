"""The shared files of a real shape, which are not ours to hand on, and the profiles that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
READS, TARGETS = DATA / "reads-week.psv.gz", DATA / "targets.csv"
needed = pytest.mark.skipif(not READS.exists(), reason="the shared files are not here")

READS_PROFILE = """
table = "reads"
[file]
delimiter = "|"
null_values = ["NA"]
[columns]
vrm = "plate"
camera = ["device"]
[columns.captured_at]
columns = ["dt"]
format = "%m/%d/%Y - %H:%M:%S"
timezone = "Europe/London"
ambiguous = "reject"
"""
TARGETS_PROFILE = """
table = "targets"
[file]
encoding = "cp1252"
[columns]
vrm = "VRM"
log = "Log Ref"
offence = "Offence Flag"
person_category = "Person Category"
handling = "Handling"
grading_scheme = "Grading Scheme"
source_grade = "Source"
information_grade = "Assessment"
[columns.offence_from]
columns = ["Offence From"]
format = "%d/%m/%Y"
[columns.offence_to]
columns = ["Offence To"]
format = "%d/%m/%Y"
[columns.convicted_on]
columns = ["Conviction Date"]
format = "%d/%m/%Y"
"""
