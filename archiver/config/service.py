"""The tables of the daemon and the page: where they answer, when they work, what they log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct

from archiver.config import quantities, values
from archiver.config.settings import Setting
from archiver.config.values import Endpoint, Fault


class Web(Struct, frozen=True):
    """The page of `archiver inspect --web`."""

    listen: Annotated[Endpoint, Setting("127.0.0.1:8031", values.endpoint, "Where the page listens.")]
    hosts: Annotated[
        tuple[str, ...], Setting([], values.several(values.domain, "names"), "Names the page may be called by.")
    ]
    user: Annotated[str, Setting("", values.text, "Who may enter with the password.")]
    password: Annotated[
        str,
        Setting(
            "",
            values.password,
            "Its hash, as `archiver inspect --web --make-password` prints it; needed off loopback.",
        ),
    ]
    certificate: Annotated[str, Setting("", values.text, "PEM file of the certificate; needed off loopback.")]
    key: Annotated[str, Setting("", values.text, "PEM file of its key.")]


def paired(record: Web) -> Iterator[Fault]:
    for one, other in (("user", "password"), ("password", "user"), ("certificate", "key"), ("key", "certificate")):
        if getattr(record, one) and not getattr(record, other):
            yield other, "", f"is missing: web.{one} alone is of no use"
    if record.listen.path:
        yield "listen", record.listen.path, "must be a host and a port"


class Monitor(Struct, frozen=True):
    """Where a monitoring system may ask."""

    listen: Annotated[
        Endpoint | None,
        Setting("", values.optional(values.endpoint), "Where /health, /ready and /metrics answer; empty: nowhere."),
    ]


class Schedule(Struct, frozen=True):
    """The scheduled job."""

    every: Annotated[int, Setting("60s", quantities.duration("1s", "1d"), "How often ripe conversations are filed.")]


class Log(Struct, frozen=True):
    """What the archiver says of its work, on standard error."""

    format: Annotated[
        str, Setting("auto", values.choice("auto", "json", "console"), "auto: console where a terminal looks on.")
    ]
    level: Annotated[
        str, Setting("info", values.choice("debug", "info", "warning", "error"), "The least level that is written.")
    ]
