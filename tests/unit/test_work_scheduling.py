"""The nightly purge: what is printed runs as it stands, whatever the paths hold."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anpr_share.work.scheduling import Schedule, schedule

AWKWARD = 'a site\'s 100% "safe" $HOME'


def made(folder: Path) -> Schedule:
    """A schedule that runs a program which writes its arguments down."""
    program = folder / "a program.py"
    told = folder / "told.json"
    program.write_text(
        f"import json, sys\nopen({str(told)!r}, 'w').write(json.dumps(sys.argv[1:]))\n", encoding="utf-8"
    )
    return schedule((sys.executable, str(program)), folder / AWKWARD, "university", "root")


def wanted(folder: Path) -> list[str]:
    return ["--site", str(folder / AWKWARD), "--quiet", "purge"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no cron there")
def test_the_line_for_cron_runs_the_purge_of_this_site(tmp_path: Path) -> None:
    line = made(tmp_path).cron
    minute, hour, *days, command = line.split(" ", 5)
    assert (minute, hour, days) == ("17", "2", ["*", "*", "*"])
    assert "\n" not in line
    # What cron does: a percent sign that is not escaped would begin the command's input.
    assert "%" not in command.replace("\\%", "")
    subprocess.run(["/bin/sh", "-c", command.replace("\\%", "%")], check=True, timeout=60)
    assert json.loads((tmp_path / "told.json").read_text(encoding="utf-8")) == wanted(tmp_path)


def test_the_unit_of_systemd_names_every_word_whole(tmp_path: Path) -> None:
    [start] = [line for line in made(tmp_path).service.splitlines() if line.startswith("ExecStart=")]
    assert "\nUser=root\n" in made(tmp_path).service
    words = shlex.split(start.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert words[2:] == wanted(tmp_path)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_both_units(tmp_path: Path) -> None:
    found = made(tmp_path)
    (tmp_path / "anpr-share-purge.service").write_text(found.service, encoding="utf-8")
    (tmp_path / "anpr-share-purge.timer").write_text(found.timer, encoding="utf-8")
    units = [tmp_path / "anpr-share-purge.service", tmp_path / "anpr-share-purge.timer"]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert "anpr-share-purge" not in done.stderr, done.stderr
    told = subprocess.run(
        ["systemd-analyze", "calendar", "*-*-* 02:17:00"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "02:17:00" in told.stdout


def test_the_command_for_windows_is_one_task_with_one_command(tmp_path: Path) -> None:
    found = schedule((r"C:\Program Files\Python\python.exe",), Path(r"C:\sites\uni"), "university", "Ann").windows
    assert found == (
        'schtasks /Create /SC DAILY /ST 02:17 /TN "anpr-share purge of university" '
        r'/TR "\"C:\Program Files\Python\python.exe\" --site C:\sites\uni --quiet purge"'
    )
