"""Which live sources a configuration asks for, and how each is made. A new kind of source is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from archiver.config import Config, Smtp
from archiver.config.settings import Endpoint
from archiver.sources.protocol import Source
from archiver.sources.smtp import Address, Limits, MailSource


class Maker(Struct, frozen=True):
    """Makes a source when it is to be started; equal makers make the same."""

    make: Callable[..., Source]
    settings: tuple[object, ...]

    def __call__(self) -> Source:
        return self.make(*self.settings)


Wanted = Mapping[str, Callable[[], Source]]
"""What to capture from, by the name of the feed."""


def sources_of(config: Config) -> Wanted:
    return {"smtp:mail": Maker(_mail, (config.smtp,))} if config.smtp.enabled else {}


def _mail(smtp: Smtp) -> Source:
    addresses = [_address(smtp.listen, local=False)]
    if smtp.lmtp is not None:
        addresses.append(_address(smtp.lmtp, local=True))
    return MailSource("mail", tuple(addresses), limits=Limits(size=smtp.max_size), blocking=smtp.blocking)


def _address(endpoint: Endpoint, *, local: bool) -> Address:
    if endpoint.path:
        return Address(path=Path(endpoint.path), local=local)
    return Address(endpoint.host, endpoint.port, local=local)
