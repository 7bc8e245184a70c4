"""Who watches a command for what it must not show: the terminal, every file that it leaves, and every file that it
wrote and took away again, in its own process and in its children.

A file is looked at before it is renamed or removed. A child of the program is watched by ``sitecustomize``, which
Python runs first: it keeps a copy. SQLite's journals come and go unseen, but hold pages of databases, and these are
looked at.
"""

from __future__ import annotations

import base64
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from anpr_share.site import holdings
from anpr_share.site.opened import OpenSite
from anpr_share.work import agreements
from tests.support import outside, sites
from tests.support.sites import AGREEMENT, LISTED, LOGS, Done, World

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SQLITE = ("-journal", "-wal", "-shm")


@dataclass
class Watch:
    """What must not be seen, and where it was. ``inputs`` are the test's own files, which may hold anything."""

    made: World
    words: tuple[str, ...] = sites.WORDS
    tokens: set[str] = field(default_factory=set)
    secret: set[bytes] = field(default_factory=set)
    inputs: set[Path] = field(default_factory=set)
    found: list[str] = field(default_factory=list)
    written: set[Path] = field(default_factory=set)
    looked_at: set[Path] = field(default_factory=set)
    said: list[tuple[str, bytes]] = field(default_factory=list)
    looked: int = 0
    unchanged: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Files that were looked at, and how they were then."""

    def __post_init__(self) -> None:
        root = self.made.root
        self.inputs |= {self.made.passphrase_file, *(root / f"{name}.csv" for name in ("reads", "targets", "cameras"))}

    def look(self, place: str, data: bytes) -> None:
        """Note everything secret that stands in these bytes."""
        self.looked += 1
        lowered = data.lower()
        plain = lowered.replace(b"\0", b"")  # as UTF-16 has it, too
        for word in self.words:
            if word.lower().encode() in lowered or word.lower().encode() in plain:
                self.found.append(f"{place}: {word}")
            if base64.b64encode(word.encode())[:-4] in data:
                self.found.append(f"{place}: {word} in base64")
        self.found += [f"{place}: a token" for token in self.tokens if token.encode() in lowered]
        for secret in self.secret:
            spelt = (secret, secret.hex().encode(), base64.b64encode(secret))
            self.found += [f"{place}: a key" for form in spelt if form in data or form in lowered]

    def file(self, path: Path) -> None:
        if path.is_file() and path not in self.inputs:
            self.looked_at.add(path)
            status = path.stat()
            if self.unchanged.get(path) != (status.st_mtime_ns, status.st_size):
                self.unchanged[path] = (status.st_mtime_ns, status.st_size)
                self.look(path.name, path.read_bytes())

    def folder(self, path: Path) -> None:
        for item in path.rglob("*"):
            if item not in self.inputs:
                self.look("a file's name", item.name.encode())
            self.file(item)

    def run(self, *argv: object, site: str | None = None, prints_rows: bool = False) -> Done:
        """Run a command and look at everything after it; ``prints_rows`` if tokens may stand on standard output."""
        with watching(self):
            done = self.made.run(*argv, site=site)
        self.terminal(done, prints_rows=prints_rows)
        self.folder(self.made.root)
        missed = [path for path in self.written if path not in self.looked_at | self.inputs and not path.is_dir()]
        self.found += [f"{path.name}: written, and looked at by nobody" for path in missed]
        return done

    def terminal(self, done: Done, *, prints_rows: bool = False) -> None:
        said = [("standard error", done.err.encode())]
        if prints_rows:
            assert sites.secrets_in(done.data) == []
        else:
            said.append(("standard output", done.data))
        for place, data in said:
            self.look(place, data)
        self.said += said
        assert "internal error" not in done.err, done.err

    def learn(self) -> None:
        """Add what the sites know by now: tokens of the extracts, and every key."""
        for name in sites.SITES:
            path = self.made.root / name
            if (path / "site.toml").exists():
                with sites.quick_opening(), self._open(path) as site:
                    self._learn_of(site)

    def _open(self, path: Path) -> OpenSite:
        return OpenSite.open(path, passphrase=sites.PASSPHRASE.encode(), clock=lambda: self.made.now)

    def _learn_of(self, site: OpenSite) -> None:
        vault, identity = site.require_vault(), site.identity.site
        self.secret |= {vault._key, site.signing_key.secret(), site.opening_key.secret()}
        for place in holdings.key_places(site.db):
            wrapped = holdings.wrapped_day_keys(site.db, place.agreement, place.tbl)[place]
            self.secret.add(holdings.unwrap_day_key(vault, place, wrapped))
        for request, first in holdings.onetime_places(site.db):
            onetime = holdings.onetime_key(site.db, vault, request, date.fromisoformat(first))
            assert onetime is not None
            self.secret.add(onetime.secret())
            self._learn_of_bundles(onetime.secret(), request)
        secret = vault.get_secret(site.db, agreements.LINKAGE, AGREEMENT)
        if secret is not None:
            self.secret.add(secret)
            linkage = agreements.linkage_key(site, AGREEMENT)
            plates = (*sites.PLATES.values(), *sites.TARGET_PLATES)
            self.tokens |= {linkage.vrm(plate) for plate in plates} | {
                linkage.vrm_alike(linked) for linked in sites.PLATES.values()
            }
            self.tokens |= {linkage.camera(identity, [camera]) for camera in LISTED}
            self.tokens |= {linkage.log(identity, log) for log in LOGS}

    def _learn_of_bundles(self, seed: bytes, request: str) -> None:
        """Add the keys in every bundle that answers this request."""
        for path in self.made.root.glob("*.anpr.zip"):
            if outside.manifest_of(path)["request"] == request:
                bundle = outside.opened(path, seed)
                self.secret |= {base64.b64decode(item["key"]) for item in bundle.sealed["keys"]}
                self.secret |= {part.key for part in bundle.parts}

    def look_again(self) -> None:
        """Look at everything that was ever said and is still there, with what was learnt since."""
        for place, data in self.said:
            self.look(place, data)
        self.unchanged.clear()
        self.folder(self.made.root)


_NO_FOLDER = -1  # in place of the descriptor of a folder that a name is relative to
_active: list[Watch] = []
_busy = threading.local()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Look at a file before it is renamed, removed, or removed with its folder; note what is opened for writing."""
    if not _active or getattr(_busy, "looking", False):
        return
    if event not in {"os.remove", "os.rename", "shutil.rmtree", "open"}:
        return
    watch = _active[-1]
    _busy.looking = True  # what it does itself is no concern of its own
    try:
        if event == "open":
            _note(watch, *arguments)
            return
        path = Path(os.fsdecode(arguments[0]))
        if arguments[-1] == _NO_FOLDER:
            path = path.absolute()
        if event == "shutil.rmtree":
            watch.folder(path)
        elif path.is_absolute() and (event == "os.remove" or Path(os.fsdecode(arguments[1])) not in watch.inputs):
            watch.file(path)
        if event == "os.rename":
            watch.looked_at.add(path)
    finally:
        _busy.looking = False


def _note(watch: Watch, path: object, _mode: object, flags: object) -> None:
    if not isinstance(path, str | bytes | os.PathLike) or not isinstance(flags, int) or not flags & _WRITING:
        return
    name = os.fsdecode(path)
    if not name.startswith("/dev/") and "__pycache__" not in name and not name.endswith(_SQLITE):
        watch.written.add(Path(name).absolute())


sys.addaudithook(_audit)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """While it is open, this watch sees every file that this process writes."""
    _active.append(watch)
    try:
        yield
    finally:
        _active.pop()


# What a child of the program runs before anything else: it keeps what it would rename or remove, and notes what it
# writes and who it is.
_CHILD = """
    import os, shutil, sys
    kept = {folder!r}
    busy = []

    def note(what, text):
        with open(os.path.join(kept, f"{{os.getpid()}}-{{what}}"), "a") as file:
            file.write(text + chr(10))

    def audit(event, arguments):
        if busy or event not in ("open", "os.remove", "os.rename"):
            return
        busy.append(event)
        try:
            path = arguments[0]
            if event != "open":
                if os.path.isfile(path):
                    shutil.copy(path, os.path.join(kept, f"{{os.getpid()}}-copy-{{os.path.basename(path)}}"))
                    note("copied", os.path.abspath(path))
            elif not isinstance(path, int) and arguments[2] & {writing} and "__pycache__" not in str(path):
                note("wrote", os.path.abspath(os.fsdecode(path)))
        finally:
            busy.pop()

    note("ran", " ".join(sys.orig_argv[1:]))
    sys.addaudithook(audit)
"""


@dataclass(frozen=True)
class Children:
    """What the children of the program did, as they noted it."""

    folder: Path

    @classmethod
    def watched(cls, folder: Path) -> Children:
        """Prepare a folder to put first on ``PYTHONPATH``."""
        kept = folder / "kept"
        kept.mkdir(parents=True)
        text = textwrap.dedent(_CHILD.format(folder=str(kept), writing=_WRITING))
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        return cls(kept)

    def lines(self, what: str) -> set[str]:
        """Which programs ``ran``, and which files they ``wrote`` or ``copied`` before these went away."""
        return {line for path in self.folder.glob(f"*-{what}") for line in path.read_text("utf-8").splitlines()}

    def look(self, watch: Watch) -> None:
        """Look at what they took away, and see that nothing that they wrote was missed."""
        for path in self.folder.glob("*-copy-*"):
            watch.file(path)
        seen = self.lines("copied") | {str(path) for path in watch.looked_at | watch.inputs}
        watch.found += [f"{path}: written by a child, and looked at by nobody" for path in self.lines("wrote") - seen]
