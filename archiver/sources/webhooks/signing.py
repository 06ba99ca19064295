"""Whether a delivery comes from who shares a secret with us. Takes the same time whatever is given. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from http import HTTPStatus

from archiver.sources.http.replies import Refusal

Keys = tuple[bytes, ...]
"""Secrets of which any may be used, so that one can be changed without a pause."""


def same(given: str, *, as_one_of: Iterable[str]) -> bool:
    """Every one is looked at, whichever it is."""
    found = False
    for each in as_one_of:
        found |= hmac.compare_digest(given.encode("utf-8", "replace"), each.encode())
    return found


def forged(detail: str, reason: str = "forged") -> Refusal:
    """403 and not 401: there is nothing to log in with, and BigBlueButton takes a 401 for an acknowledgement."""
    return Refusal(HTTPStatus.FORBIDDEN, reason, detail)
