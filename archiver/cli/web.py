"""`archiver inspect --web`: the page, until it is told to stop."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from archiver.assembly import open_spool, store_of
from archiver.cli.app import App
from archiver.cli.output import age, as_json, say, size
from archiver.cli.searching import Look
from archiver.config import Config
from archiver.config.values import Wrong, endpoint
from archiver.events import SECOND
from archiver.exceptions import EnvironmentFault, UsageError
from archiver.spool import Spool, clock

if TYPE_CHECKING:
    from archiver.web.overview import Overview
    from archiver.web.serving import Listening

_NEEDED = ("starlette", "uvicorn", "jinja2")
_PICTURES_LAST = 60 * SECOND
"""How long the pictures of the whole are shown again as they were made."""


def serve(app: App, listen: str | None, *, no_token: bool) -> None:
    """Tells where it is, then answers until SIGTERM or SIGINT."""
    require_web()
    from archiver.web.access import Access
    from archiver.web.application import make_application
    from archiver.web.serving import bound, checked
    from archiver.web.serving import serve as answer

    config = app.config()
    listening = checked(_listening(config, listen, no_token=no_token))
    app.log(config)
    access = Access(clock, account=listening.account, asks_nothing=no_token)
    with bound(listening) as (at, port):
        listening = replace(listening, port=port)
        base = listening.url

        def tell(token: str) -> None:
            _tell(app, f"{base}enter?token={token}", "Opens once, in another browser")

        application = make_application(
            store_of(config, app.data),
            Pictures(config, app.data).now,
            Look(app),
            access,
            hosts=listening.names,
            port=port,
            secure=listening.secure,
            clock=clock,
            size=size,
            told=tell if listening.has_token else lambda token: None,
        )
        opens = f"{base}enter?token={access.token()}" if listening.has_token else base
        _tell(app, opens, f"Reading {app.data}, and changing nothing; Ctrl-C ends it. Open")
        answer(application, listening, at)


def make_password(app: App) -> None:
    """Asks for one twice, and prints the line that the configuration takes instead of it."""
    require_web()
    from archiver.web import password

    word = click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    made = password.made(word)
    if app.json:
        return as_json({"password": made})
    return say(f'password = "{made}"')


def require_web() -> None:
    if lacking := [name for name in _NEEDED if find_spec(name) is None]:
        raise EnvironmentFault(
            f"the page needs {', '.join(lacking)}, which isn't installed",
            hint="pip install 'conversation-archiver[web]'",
        )


def _listening(config: Config, listen: str | None, *, no_token: bool) -> Listening:
    from archiver.web.access import Account
    from archiver.web.serving import Listening

    web = config.web
    try:
        at = web.listen if listen is None else endpoint(listen)
    except Wrong as wrong:
        raise UsageError(f"--listen {listen}: {wrong}", hint="write it as 127.0.0.1:8031") from wrong
    if at.path:
        raise UsageError("--listen: the page takes a host and a port", hint="write it as 127.0.0.1:8031")
    account = Account(web.user, web.password) if web.password else None
    return Listening(at.host, at.port, web.hosts, account, web.certificate, web.key, asks_nothing=no_token)


def _tell(app: App, url: str, words: str) -> None:
    if app.json:
        as_json({"url": url})
    else:
        say(f"{words}:\n  {url}")


class Pictures:
    """The whole in pictures, made anew once a minute at most: it goes through the journal."""

    def __init__(self, config: Config, data: Path) -> None:
        self._config = config
        self._data = data
        self._lock = Lock()
        self._made: tuple[int, Overview] | None = None

    def now(self) -> Overview:
        with self._lock:
            now = clock()
            if self._made is None or not 0 <= now - self._made[0] < _PICTURES_LAST:
                self._made = now, self._overview(now)
            return self._made[1]

    def _overview(self, now: int) -> Overview:
        from archiver.web.overview import Overview, overview_of

        if not Spool.exists(self._data):
            return Overview()
        with open_spool(self._config, self._data, readonly=True) as spool:
            return overview_of(spool.figures(now), spool.totals(), lambda longest: age(0, longest))
