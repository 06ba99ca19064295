"""The registration file that homeserver and archiver share: tokens, whom it concerns, where events are sent.

Source: Matrix specification, application service API, "Registration".
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from archiver.exceptions import EnvironmentFault, UsageError

LARGEST = 256 * 1024
LEAST = 20
"""Characters of a token: what is shorter can be guessed."""

_SERVER = re.compile(r"[A-Za-z0-9.-]{1,230}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")
_HEAD = "# The archiver's registration with the homeserver {server}. It holds secrets: mode 0600.\n"


class Registration(Struct, frozen=True):
    """`as_token` lets the archiver ask the homeserver, `hs_token` the homeserver write to the archiver."""

    id: str
    url: str
    as_token: str
    hs_token: str
    sender_localpart: str


def make(name: str, url: str) -> Registration:
    return Registration(f"archiver-{name}", url, secrets.token_hex(32), secrets.token_hex(32), "archiver")


def written(registration: Registration, server: str) -> str:
    """As YAML. Everything of every room, nothing for itself: whoever has these names or rooms keeps them.

    Raises `UsageError` for what is no server name.
    """
    if not _SERVER.fullmatch(server):
        raise UsageError(f"no server name: {server}", hint="it is what stands behind the colon of @alice:example.org")
    described = {
        **msgspec.to_builtins(registration),
        "rate_limited": False,
        "receive_ephemeral": False,
        "protocols": [],
        "namespaces": {
            # To ask as one of them what a room is like, which nobody outside of it may.
            "users": [{"exclusive": False, "regex": f"@.*:{re.escape(server)}"}],
            # Ids of rooms of version 12 name no server.
            "rooms": [{"exclusive": False, "regex": "!.*"}],
            "aliases": [],
        },
    }
    return _HEAD.format(server=server) + yaml.safe_dump(described, sort_keys=False)


def save(path: Path, content: str) -> None:
    """A new file that only its owner can read. Raises `UsageError` where there is one, and `EnvironmentFault`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError as fault:
        raise UsageError(
            f"{path} is there already", hint="it may be in use: name another file, or move it away"
        ) from fault
    except OSError as fault:
        raise EnvironmentFault(f"{path} can't be written: {fault.strerror}") from fault


def read(path: Path) -> Registration:
    """Raises `EnvironmentFault` where it isn't there or isn't one."""
    hint = "make one with: archiver matrix register SOURCE --server NAME"
    try:
        with path.open("rb") as stream:
            found = yaml.safe_load(stream.read(LARGEST))
        registration = msgspec.convert(found, Registration)
    except OSError as fault:
        raise EnvironmentFault(f"the registration {path} can't be read: {fault.strerror}", hint=hint) from fault
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as fault:
        raise EnvironmentFault(f"{path} is no registration: {_why(fault)}", hint=hint) from fault
    if min(len(registration.as_token), len(registration.hs_token)) < LEAST:
        raise EnvironmentFault(f"the tokens in {path} are shorter than {LEAST} characters", hint=hint)
    return registration


def _why(fault: Exception) -> str:
    """In one line, and without what stands in the file."""
    if isinstance(fault, yaml.MarkedYAMLError):
        where = fault.problem_mark
        return f"{fault.problem}, line {where.line + 1}" if where else str(fault.problem)
    return str(fault).partition("\n")[0] or type(fault).__name__
