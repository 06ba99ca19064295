"""The site as an ASGI application: which address leads to which page, and the guard in front of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from archiver.exceptions import ArchiverError
from archiver.store.protocol import Folders
from archiver.web.access import Access
from archiver.web.catalogue import Catalogue
from archiver.web.guard import ENTER, LEAVE, STATIC, Guard, cookie_name
from archiver.web.overview import Overview
from archiver.web.pages import Site
from archiver.web.seeking import Search
from archiver.web.view import View

_LARGEST_FORM = 16 * 1024
"""Bytes of a form: a name and a password."""
_TYPES = {"css": "text/css", "svg": "image/svg+xml"}


def make_application(
    store: Folders,
    overview: Callable[[], Overview],
    search: Search | None,
    access: Access,
    *,
    hosts: Iterable[str],
    port: int,
    secure: bool,
    clock: Callable[[], int],
    size: Callable[[int], str],
    told: Callable[[str], None],
) -> ASGIApp:
    """`hosts` are the names it may be called by; `told` is called with each token that opens the next session.

    `search` is None where nothing but headers is to be looked through.
    """
    cookie = cookie_name(port, secure=secure)
    view = View(asks=not access.asks_nothing, has_account=access.account is not None, size=size)
    site = Site(Catalogue(store, clock), overview, search, access, cookie, view, told)

    async def enter(request: Request) -> Response:
        user, password = await _form(request)
        return await run_in_threadpool(site.enter, request, user, password)

    async def refused(request: Request, error: Exception) -> Response:
        status, why = _told_of(error)
        return view.page(request, "problem.html", status=status, problem=why)

    async def failed(request: Request, error: Exception) -> Response:
        # The server logs the fault, and not which page it was: that would say whose.
        return view.page(request, "problem.html", status=500, problem="This page failed. The log says why.")

    one = "/mailbox/{mailbox}/{identity}"
    app = Starlette(
        routes=[
            Route("/", site.mailboxes),
            Route("/overview", site.overview),
            Route("/search", site.search),
            Route("/mailbox/{mailbox}", site.mailbox),
            Route(one, site.item),
            Route(f"{one}/frame", site.frame),
            Route(f"{one}/message.eml", site.message),
            Route(f"{one}/events.ndjson", site.events),
            Route(f"{one}/file/{{number}}", site.file),
            Route(f"{one}/picture/{{number}}", site.picture),
            Route(ENTER, site.entrance),
            Route(ENTER, enter, methods=["POST"]),
            Route(LEAVE, site.leave, methods=["POST"]),
            Route(f"{STATIC}{{name}}", _static),
        ],
        exception_handlers={HTTPException: refused, ArchiverError: refused, Exception: failed},
    )
    app.router.redirect_slashes = False
    return Guard(app, access, hosts, cookie)


def _told_of(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    hint = error.hint if isinstance(error, ArchiverError) else ""
    return 503, f"{error}{f': {hint}' if hint else ''}."


def _static(request: Request) -> Response:
    """One of the files that are there: what was asked for is never a path."""
    name = request.path_params["name"]
    for file in resources.files("archiver.web").joinpath("static").iterdir():
        if file.name == name and (media_type := _TYPES.get(name.rpartition(".")[2])):
            return Response(file.read_bytes(), media_type=media_type)
    raise HTTPException(404, "There is no such file.")


async def _form(request: Request) -> tuple[str, str]:
    """The two fields of the entrance's form; nothing is parsed that is larger than it can be."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "That is no form of this page.")
    except ClientDisconnect as error:
        raise HTTPException(400, "It was cut short.") from error
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=8)
    except ValueError as error:
        raise HTTPException(400, "That is no form of this page.") from error
    return fields.get("user", [""])[0], fields.get("password", [""])[0]
