"""What the tables of sources share: where they listen, under which certificate, how much they take. One record of
each, and the settings that several spell out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import REQUIRED, Setting
from archiver.config.values import Endpoint, Fault

plain_name = values.matching(r"[a-z0-9][a-z0-9.-]{0,39}", "must be a short plain name of a-z, 0-9, . and -")
NAME = Setting(REQUIRED, plain_name, "Its name, unlike any other of its type.")
CONNECTIONS = Setting(200, quantities.whole(1, 10_000), "Connections at once.")
BLOCKING = Setting(False, values.boolean, "Whether critical mode puts off events of archived conversations.")


def kind(name: str, what: str) -> Setting:
    return Setting(REQUIRED, values.choice(name), f"{name}: {what}")


def at(place: str) -> Setting:
    return Setting(place, values.endpoint, "Where to listen: host:port or a socket's path.")


def certificate_for(why: str) -> Setting:
    return Setting("", values.optional(values.path), f"PEM file of its certificate, for {why}.")


class Listening(Struct, frozen=True):
    """What listens. Who inherits says where by default: `listen: Annotated[Endpoint, at("127.0.0.1:8026")]`."""

    listen: Endpoint

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        """Where it listens, by key."""
        return (("listen", self.listen),)

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the table as a whole: key, value and why."""
        yield from ()


class Certified(Listening, frozen=True):
    """What can listen under a certificate of its own."""

    certificate: Annotated[str | None, certificate_for("TLS")]
    key: Annotated[str | None, Setting("", values.optional(values.path), "PEM file of the certificate's key.")]

    def faults(self) -> Iterator[Fault]:
        if bool(self.certificate) != bool(self.key):
            yield "certificate", self.certificate or "", "needs its key, and the key its certificate"


def only_here(place: Endpoint) -> bool:
    """Whether none but this machine can reach it."""
    return bool(place.path) or place.host in ("localhost", "::1") or place.host.startswith("127.")


def apart(places: Sequence[tuple[str, Endpoint]]) -> Iterator[Fault]:
    """Two that want to listen on one place, or one of them everywhere. All there are, each with its dotted key."""
    seen: list[tuple[str, Endpoint]] = []
    for key, place in places:
        if place.port == 0 and not place.path:
            continue
        if first := next((each for each, other in seen if _meet(place, other)), None):
            yield key, place.path or f"{place.host}:{place.port}", f"is {first} already"
        seen.append((key, place))


_EVERYWHERE = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}  # noqa: S104  (asked about, not bound)
"""Hosts that stand for all addresses of these versions; nobody else can listen on a port of one of those then."""


def _meet(one: Endpoint, other: Endpoint) -> bool:
    if one.path or other.path or one.port != other.port:
        return one == other
    return one.host == other.host or _covers(one.host, other.host) or _covers(other.host, one.host)


def _covers(host: str, other: str) -> bool:
    """Names stand for an address of IPv4 at least, as `localhost` does."""
    versions = _EVERYWHERE.get(other, (6,) if ":" in other else (4,))
    return (host == "localhost" and other == "127.0.0.1") or not set(versions).isdisjoint(_EVERYWHERE.get(host, ()))
