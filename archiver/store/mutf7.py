"""Modified UTF-7, the mailbox names of IMAP (RFC 3501 5.1.3). Pure; knows nothing of folders or files."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error

_RUN = re.compile(r"[^\x20-\x7e]+|&")
_SHIFT = re.compile(r"&([^-]*)-")


def encode(name: str) -> str:
    return _RUN.sub(lambda run: _shifted(run[0]), name)


def _shifted(run: str) -> str:
    if run == "&":
        return "&-"
    return "&" + b64encode(run.encode("utf-16-be"), altchars=b"+,").rstrip(b"=").decode("ascii") + "-"


def decode(name: str) -> str | None:
    """The name, or None where this isn't the one modified UTF-7 form of any."""
    try:
        decoded = _SHIFT.sub(lambda shift: _unshifted(shift[1]), name)
        return decoded if encode(decoded) == name else None
    except (Error, UnicodeError):
        return None


def _unshifted(code: str) -> str:
    if not code:
        return "&"
    padded = code + "=" * (-len(code) % 4)
    return b64decode(padded, altchars=b"+,", validate=True).decode("utf-16-be")
