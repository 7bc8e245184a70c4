"""Where the files of a site are, and ``site.toml``, which says whose site it is.

Guarantees: a directory is a site exactly if it holds ``site.toml``, which is written last; ``site.toml`` is read
strictly (known keys, known types, the one format version). What it says is trusted only once the vault and
``identity.json`` agree with it (see :mod:`anpr_share.site.opened`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from anpr_share.errors import FormatError, UsageError
from anpr_share.files import open_regular, storage_errors, sync_directory
from anpr_share.pseudonyms import is_identifier
from anpr_share.site.files import DIRECTORY_MODE, make_directory, replace_file
from anpr_share.toml import read_toml

CONFIG_NAME = "site.toml"
FORMAT = 1
MAX_CONFIG_BYTES = 64 * 1024
_BACKUP = "restore site.toml from a backup"
MAX_NAME = 200
ROLES = ("police", "university")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HINT = "make one with: anpr-share init DIR --role police|university --name NAME"


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of the site in ``root``."""

    root: Path

    @property
    def config(self) -> Path:
        """Who we are."""
        return self.root / CONFIG_NAME

    @property
    def identity(self) -> Path:
        """Our identity, to hand to partners."""
        return self.root / "identity.json"

    @property
    def vault(self) -> Path:
        """Identity and linkage keys, wrapped: to be backed up."""
        return self.root / "vault.db"

    @property
    def keys(self) -> Path:
        """Day keys and one-time keys, wrapped: never to be backed up."""
        return self.root / "keys.db"

    @property
    def site(self) -> Path:
        """Partners, agreements, requests, bundles, parts and the ledger: to be backed up."""
        return self.root / "site.db"

    @property
    def lock(self) -> Path:
        """Held by the one command that writes; it never has content."""
        return self.root / "lock.db"

    @property
    def store(self) -> Path:
        """Encrypted parts, as ``<agreement>/<table>/<day>/<bundle>-<n>.parquet``."""
        return self.root / "store"

    @property
    def inbox(self) -> Path:
        """Where a force may keep extracts under retention."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """Where documents for partners are written by default."""
        return self.root / "outbox"

    def place(self, path: Path) -> str:
        """How a record names a file: relative to the site if it lies inside, so that a site can be moved."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def part(self, agreement: str, table: str, day: str, bundle: str, n: int) -> Path:
        """The place of one part in the store."""
        return self.store / agreement / table / day / f"{bundle}-{n}.parquet"


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Who a site says it is. Raises :class:`FormatError` for values that no site can have."""

    id: str
    name: str
    role: str
    fingerprint: str

    def __post_init__(self) -> None:
        if not is_identifier(self.id):
            raise FormatError(
                "the site's id is not made of lower-case words and digits joined by hyphens", hint=_BACKUP
            )
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > MAX_NAME:
            raise FormatError(
                f"the site's name is not one line of printable text of at most {MAX_NAME} characters", hint=_BACKUP
            )
        if self.role not in ROLES:
            raise FormatError("the site's role is neither police nor university", hint=_BACKUP)
        if not _FINGERPRINT.fullmatch(self.fingerprint):
            raise FormatError("the site's fingerprint is not 64 hexadecimal digits", hint=_BACKUP)


def find_site(explicit: Path | None, env: str | None, cwd: Path) -> Path:
    """The directory of the site to work on: ``explicit`` (``--site``), else ``env`` (``$ANPR_SHARE_SITE``), else the
    nearest of ``cwd`` and its parents that holds ``site.toml``.

    Raises :class:`UsageError` if there is none; a named directory is never replaced by a parent.
    """
    if explicit is not None:
        return require_site(explicit, "the directory given with --site is no site")
    if env:
        return require_site(Path(env), "the directory in ANPR_SHARE_SITE is no site")
    for directory in (cwd, *cwd.parents):
        if (directory / CONFIG_NAME).is_file():
            return directory.resolve()
    raise UsageError("no site here or in any directory above", hint=f"name it with --site DIR, or {_HINT}")


def require_site(directory: Path, message: str) -> Path:
    """The directory of a site that somebody named. Raises :class:`UsageError` with ``message`` if it is none."""
    if not directory.exists():
        raise UsageError(f"{message}: there is no such directory", hint=f"see whether the name is right, or {_HINT}")
    if not (directory / CONFIG_NAME).is_file():
        raise UsageError(f"{message}: it holds no {CONFIG_NAME}", hint=_HINT)
    return directory.resolve()


def create_directories(root: Path) -> Paths:
    """Make the empty directories of a new site. Raises :class:`UsageError` if ``root`` exists and is not empty."""
    if root.exists() and not root.is_dir():
        raise UsageError(
            "a site needs a directory, and a file is in its place", hint="name another directory, or move the file away"
        )
    if root.is_dir():
        with storage_errors("the directory of the new site cannot be read"):
            if any(root.iterdir()):
                raise UsageError(
                    "the directory for the new site is not empty",
                    hint="name another; what a killed init left holds no site.toml, is no site, and may be removed",
                )
    paths = Paths(root.resolve())
    make_directory(paths.root)
    made: list[Path] = []
    with storage_errors("the directories of the new site cannot be made"):
        try:
            # Each must be new: of two inits at once one stops here, and cannot take the other's files for its own.
            for directory in (paths.store, paths.inbox, paths.outbox):
                directory.mkdir(mode=DIRECTORY_MODE)
                made.append(directory)
            sync_directory(paths.root)
        except OSError:
            for directory in made:
                directory.rmdir()
            raise
    return paths


def write_config(paths: Paths, config: SiteConfig) -> None:
    """Write ``site.toml``, whole or not at all: it turns a directory into a site. Raises :class:`StorageError`."""
    # JSON's escapes are valid in TOML's basic strings, and a printable name needs no other.
    lines = [
        "# Who this site is. Everything here is checked against the vault and identity.json; edits are refused.",
        f"format = {FORMAT}",
        f"id = {json.dumps(config.id)}",
        f"name = {json.dumps(config.name, ensure_ascii=False)}",
        f"role = {json.dumps(config.role)}",
        f"fingerprint = {json.dumps(config.fingerprint)}",
        "",
    ]
    replace_file(paths.config, "\n".join(lines).encode("utf-8"))


def read_config(paths: Paths) -> SiteConfig:
    """Read ``site.toml``. Raises :class:`FormatError` naming the key at fault, and :class:`StorageError`."""
    with storage_errors("site.toml cannot be read"), open_regular(paths.config, "site.toml") as file:
        data = file.read(MAX_CONFIG_BYTES + 1)
    if len(data) > MAX_CONFIG_BYTES:
        raise FormatError(f"site.toml is larger than {MAX_CONFIG_BYTES} bytes", hint=_BACKUP)
    try:
        values = read_toml(data.decode("utf-8"), "site.toml")
    except UnicodeDecodeError:
        raise FormatError("site.toml is not UTF-8 text", hint=_BACKUP) from None
    version = values.pop("format", None)
    if type(version) is not int or version != FORMAT:
        raise FormatError(f"site.toml is not of format {FORMAT}", hint="a newer anpr-share may have made this site")
    names = ("id", "name", "role", "fingerprint")
    if set(values) != set(names) or not all(isinstance(values[name], str) for name in names):
        raise FormatError(
            f"site.toml must hold exactly {', '.join(names)} as text, and format",
            hint=_BACKUP,
        )
    return SiteConfig(*(values[name] for name in names))
