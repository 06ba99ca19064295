"""Which rooms' history is saved, and on whose behalf each is asked for; then `history` saves it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from archiver.exceptions import EnvironmentFault
from archiver.importers.matrix.event import Line, server
from archiver.sources.matrix import registration
from archiver.sources.matrix.history import History, Pace, Room, Show, Tally
from archiver.sources.matrix.homeserver import Homeserver, No
from archiver.sources.matrix.ledger import Ledger

ASKED = 5
"""People of a room on whose behalf it is tried."""


class Wanted(Struct, frozen=True):
    """`rooms` are the only ones, if there are any; `since` is in milliseconds; `rate` in requests a second."""

    homeserver: str
    registration: Path
    ledger: Path
    folder: Path
    rooms: frozenset[str]
    users: tuple[str, ...]
    admin: Path | None
    since: float
    rate: float
    most: int


def save(wanted: Wanted, show: Show) -> Tally:
    """Raises `EnvironmentFault`; what was saved by then stays, and is gone on with."""
    try:
        wanted.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(_save(wanted, show))
    except OSError as fault:
        raise EnvironmentFault(f"{wanted.folder}: {fault.strerror or fault}") from fault


async def _save(wanted: Wanted, show: Show) -> Tally:
    homeserver = Homeserver(wanted.homeserver, registration.read(wanted.registration).as_token)
    try:
        pace = Pace(wanted.rate)
        try:
            own = await pace.ask(homeserver.whoami)
            people = await _people(wanted, homeserver, pace)
        except No as fault:
            hint = "is the registration loaded, and is the token an administrator's? `archiver doctor` tries it"
            raise EnvironmentFault(f"{wanted.homeserver} refuses: {fault}", hint=hint) from fault
        rooms = [
            Room(room, _ours(users, server(own)))
            for room, users in sorted(people.items())
            if not wanted.rooms or room in wanted.rooms
        ]
        return await History(homeserver, wanted.folder, pace, since=wanted.since, most=wanted.most).save(rooms, show)
    finally:
        await homeserver.close()


async def _people(wanted: Wanted, homeserver: Homeserver, pace: Pace) -> dict[str, list[str]]:
    """Who is in each room, as far as anybody knows; those that were named come first."""
    found: dict[str, list[str]] = {room: list(wanted.users) for room in wanted.rooms}
    known = _known(wanted.ledger)
    for user in wanted.users:
        for room in await pace.ask(homeserver.joined_rooms, user):
            found.setdefault(room, []).append(user)
    if wanted.admin is not None:
        await _ask_admin(wanted, found, pace)
    for room, user in known:
        found.setdefault(room, []).append(user)
    return found


async def _ask_admin(wanted: Wanted, found: dict[str, list[str]], pace: Pace) -> None:
    assert wanted.admin is not None
    admin = Homeserver(wanted.homeserver, wanted.admin.read_text("ascii", "replace").strip())
    try:
        every = sorted(wanted.rooms) or await pace.ask(admin.every_room)
        for room in every:
            found.setdefault(room, []).extend(await pace.ask(admin.members, room))
    finally:
        await admin.close()


def _known(path: Path) -> list[tuple[str, str]]:
    """(room, who is in it), as the source knows it."""
    if not path.exists():
        return []
    ledger = Ledger(path)
    try:
        return [
            (room, user)
            for room, user, body in ledger.members()
            if msgspec.json.decode(body, type=Line).text("membership") == "join"
        ]
    finally:
        ledger.close()


def _ours(users: Iterable[str], own: str) -> tuple[str, ...]:
    """Whom the homeserver lets us ask for: its own people."""
    return tuple(dict.fromkeys(user for user in users if server(user) == own))[:ASKED]
