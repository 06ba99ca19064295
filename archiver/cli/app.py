"""What every sub-command gets: where the data is, the configuration, and whether to print JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver import config as configuration
from archiver import logs
from archiver.addresses import normal
from archiver.assembly import directory_of, open_spool
from archiver.config import Config
from archiver.exceptions import UsageError

if TYPE_CHECKING:
    from archiver.spool import Spool


class App:
    """Made once a call of the command; the configuration is read at first need."""

    def __init__(self, data: Path, config_file: Path | None, json: bool) -> None:
        self.data = data
        self.config_file = config_file
        self.json = json

    def config(self) -> Config:
        """Reads the file; raises `ConfigError` with every problem in it."""
        return configuration.load(self.config_file)

    def mailbox(self, address: str) -> str:
        """Also of somebody whom the directory names no longer: who has left is held and erased all the same."""
        mailbox = directory_of(self.config()).mailbox_of("", address) or normal("", address)
        if mailbox is None:
            raise UsageError(f"{address}: not a mailbox address", hint="write it as alice@example.org")
        return mailbox

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """To change something in it; there must be one, or a misspelt --data would make another."""
        from archiver.spool import Spool, missing

        config = self.config()
        if not Spool.exists(self.data):
            raise missing(self.data)
        with open_spool(config, self.data) as spool:
            yield spool

    @contextmanager
    def reading_spool(self) -> Iterator[Spool]:
        with open_spool(self.config(), self.data, readonly=True) as spool:
            yield spool

    def log(self, config: Config, *, quiet: bool = False) -> None:
        logs.set_up(config.log.format, "error" if quiet else config.log.level)


def reads(command: Callable[..., Any]) -> Callable[..., Any]:
    """For a command that reads: `--json` may stand behind it too, and it gets the `App` first."""

    @click.option("--json", "json_", is_flag=True, help="Print JSON.")
    @wraps(command)
    def wrapped(*args: Any, json_: bool, **options: Any) -> Any:
        app: App = click.get_current_context().obj
        app.json = app.json or json_
        return command(app, *args, **options)

    return wrapped
