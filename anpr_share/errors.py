"""Every error that anpr-share raises, and the exit code of each.

    AnprShareError
    ├── UsageError          2   the command or the call was put wrongly
    ├── InputError          1   the extract was read, and the answer is no
    ├── VerificationError   3   proved bad: a signature, a digest, a format
    │   └── FormatError     3   bytes that are not what they claim to be
    ├── PolicyError         4   refused by agreement, retention or partner
    ├── LockedError         5   a passphrase or a needed secret is missing
    └── StorageError        6   a file, a disk or another process is in the way

Messages carry rule names, counts and row numbers, and never a plate, a token, a key or a camera name: whoever raises
one of these from a library error whose text may hold data does so ``from None``.
"""

from __future__ import annotations

from typing import ClassVar


class AnprShareError(Exception):
    """The root of all errors raised by this package.

    ``message`` says what is wrong and where, in lower case without a full stop; ``hint`` says what to do next; ``step``
    is the number of the verification step that failed, where a bundle is refused.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None, step: int | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.add_note(f"hint: {hint}")  # which a traceback shows, in a notebook or a script
        self.message = message
        self.hint = hint
        self.step = step


class UsageError(AnprShareError):
    """The command or the call was put wrongly."""

    exit_code = 2
    code = "usage"


class InputError(AnprShareError):
    """An extract was read, and it cannot be used as it is."""

    exit_code = 1
    code = "input"


class VerificationError(AnprShareError):
    """Something was proved bad."""

    exit_code = 3
    code = "verification"


class FormatError(VerificationError):
    """Bytes that are not what they claim to be."""

    code = "format"


class PolicyError(AnprShareError):
    """An agreement, a retention rule or the trust in a partner forbids it."""

    exit_code = 4
    code = "policy"


class LockedError(AnprShareError):
    """A passphrase is wrong, or a secret that is needed is not here."""

    exit_code = 5
    code = "locked"


class StorageError(AnprShareError):
    """A file, a disk or another process is in the way."""

    exit_code = 6
    code = "storage"
