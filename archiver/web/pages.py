"""What each address of the site answers. Reads, and hands records to templates; holds no markup and no rule."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from urllib.parse import quote

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from archiver.exceptions import ArchiverError, EnvironmentFault, TryLater, UsageError
from archiver.inspection.lines import line_of
from archiver.rendering import lines_of
from archiver.rendering.headers import clean, file_name
from archiver.search import Results
from archiver.web import frame
from archiver.web.access import Access
from archiver.web.asked import Asked, asked_of, page_of, paging
from archiver.web.browsing import browse
from archiver.web.catalogue import Catalogue, FolderCount, Listing, Opened
from archiver.web.overview import Overview
from archiver.web.parts import File
from archiver.web.seeking import Search, Sought, everywhere, seek
from archiver.web.view import View

MAILBOXES = 50
"""On one page."""
LINES = 2_000
"""Of a transcript, on one page."""
LARGEST_TEXT = 16 * 1024 * 1024
"""Characters of one that are shown."""

_SHUT = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For what comes out of an item as it is: a browser that shows it all the same runs nothing of it."""


class Box(Struct, frozen=True):
    mailbox: str
    folders: tuple[FolderCount, ...]


class Site:
    """One store's pages. `told` is called with each new token, once the one before it was used."""

    def __init__(
        self,
        catalogue: Catalogue,
        overview: Callable[[], Overview],
        search: Search | None,
        access: Access,
        cookie: str,
        view: View,
        told: Callable[[str], None],
    ) -> None:
        self._catalogue = catalogue
        self._overview = overview
        self._search = search
        self._access = access
        self._cookie = cookie
        self._secure = cookie.startswith("__Host-")
        self._view = view
        self._told = told

    # The store

    def mailboxes(self, request: Request) -> Response:
        wanted = request.query_params.get("q", "").strip()[:500]
        found = [name for name in self._catalogue.mailboxes() if wanted.casefold() in name]
        found.sort(key=lambda name: (name.rpartition("@")[2], name))
        pages = paging(page_of(request.query_params), MAILBOXES, len(found))
        boxes = [Box(name, self._catalogue.folders(name)) for name in found[pages.start : pages.end]]
        domains = [(domain, list(group)) for domain, group in groupby(boxes, lambda b: b.mailbox.rpartition("@")[2])]
        return self._view.page(request, "mailboxes.html", domains=domains, pages=pages, wanted=wanted)

    def overview(self, request: Request) -> Response:
        year = request.query_params.get("year", "")
        shown = self._overview()
        chosen = shown.chosen(int(year) if year.isdecimal() and len(year) == 4 else None)
        return self._view.page(request, "overview.html", overview=shown, year=chosen)

    def mailbox(self, request: Request) -> Response:
        mailbox = request.path_params["mailbox"]
        listing = self._catalogue.listing(mailbox)
        if listing is None:
            raise HTTPException(404, "There is no such mailbox.")
        asked = asked_of(request.query_params)
        why = ""
        try:
            found = browse(self._catalogue, listing, asked, self._seeker(listing, mailbox, asked))
        except UsageError as error:  # what was typed can't be read
            found, why = browse(self._catalogue, listing, asked.having(q=""), None), _sentence(error)
        except EnvironmentFault:  # no index, and none may be made
            found = browse(self._catalogue, listing, asked, None)
        return self._view.page(request, "mailbox.html", mailbox=mailbox, asked=asked, found=found, why=why)

    def _seeker(self, listing: Listing, mailbox: str, asked: Asked) -> Callable[[], Sought] | None:
        search = self._search
        return None if search is None else lambda: seek(search, listing, mailbox, asked)

    def search(self, request: Request) -> Response:
        """In all mailboxes."""
        asked = asked_of(request.query_params)
        results, why = Results((), None), ""
        try:
            if self._search and asked.q:
                results = everywhere(self._search, asked)
        except UsageError as error:
            why = _sentence(error)
        return self._view.page(request, "search.html", asked=asked, results=results, why=why)

    # One item

    def _opened(self, request: Request) -> Opened:
        opened = self._catalogue.open(request.path_params["mailbox"], request.path_params["identity"])
        if opened is None:
            raise HTTPException(404, "There is no such conversation in this mailbox, or no more.")
        return opened

    def item(self, request: Request) -> Response:
        opened = self._opened(request)
        as_text = request.query_params.get("view") == "text"
        text = opened.parts.text if opened.parts and as_text else ""
        lines = text[:LARGEST_TEXT].rstrip("\n").split("\n")
        pages = paging(page_of(request.query_params), LINES, len(lines))
        return self._view.page(
            request,
            "item.html",
            opened=opened,
            item=opened.summary,
            as_text=as_text,
            lines=[line_of(line) for line in lines[pages.start : pages.end]],
            cut=len(text) > LARGEST_TEXT,
            pages=pages,
            sandbox=frame.SANDBOX,
        )

    def frame(self, request: Request) -> Response:
        opened = self._opened(request)
        if opened.parts is None:
            raise HTTPException(404, "It is too large to be shown.")
        document = frame.document(opened.parts, opened.summary.subject, frame.language_of(opened.parts))
        return Response(document, media_type="text/html", headers={"Content-Security-Policy": frame.POLICY})

    def message(self, request: Request) -> Response:
        opened = self._opened(request)
        if opened.parts is None:
            raise HTTPException(404, "It is too large for this page: `archiver inspect` writes it with --raw.")
        return _download(opened.content, "message/rfc822", _called(opened, "eml"))

    def events(self, request: Request) -> Response:
        opened = self._opened(request)
        if opened.parts is None:
            raise HTTPException(404, "It is too large for this page: `archiver inspect` writes them with --events.")
        try:
            lines = lines_of(opened.content)
        except UsageError as error:
            raise HTTPException(404, f"{error}.") from error
        return _download(b"".join(line + b"\n" for line in lines), "application/x-ndjson", _called(opened, "ndjson"))

    def file(self, request: Request) -> Response:
        file = self._file(request)
        return _download(file.content, "application/octet-stream", file.name)

    def picture(self, request: Request) -> Response:
        file = self._file(request)
        if not file.picture:
            raise HTTPException(404, "This file is no picture that a page may show.")
        return Response(file.content, media_type=file.picture, headers={"Content-Security-Policy": _SHUT})

    def _file(self, request: Request) -> File:
        opened = self._opened(request)
        files = opened.parts.files if opened.parts else []
        for file in files:
            if str(file.number) == request.path_params["number"]:
                return file
        raise HTTPException(404, "There is no such file in this conversation.")

    # Coming and going

    def entrance(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is not None and request.method == "GET":
            session = self._access.enter_by_token(token)
            if session:
                self._told(self._access.token())
                return self._entered(session)
            return self._view.page(
                request, "enter.html", status=403, why="This address was used before, or isn't whole."
            )
        if self._access.admits(request.cookies.get(self._cookie, "")):
            return RedirectResponse("/", 303)
        return self._view.page(request, "enter.html", status=200 if self._access.account else 403, why="")

    def enter(self, request: Request, user: str, password: str) -> Response:
        try:
            session = self._access.enter_by_password(user, password)
        except TryLater as error:
            return self._view.page(request, "enter.html", status=429, why=f"{error}: {error.hint}.".capitalize())
        if session:
            return self._entered(session)
        return self._view.page(request, "enter.html", status=403, why="Name or password is wrong.")

    def _entered(self, session: str) -> Response:
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, session, httponly=True, samesite="strict", secure=self._secure)
        return response

    def leave(self, request: Request) -> Response:
        self._access.leave(request.cookies.get(self._cookie, ""))
        response = RedirectResponse("/enter", 303)
        response.delete_cookie(self._cookie, httponly=True, samesite="strict", secure=self._secure)
        return response


def _sentence(error: ArchiverError) -> str:
    return f"{error}{f': {error.hint}' if error.hint else ''}."


def _called(opened: Opened, suffix: str) -> str:
    day = opened.summary.date
    subject = clean(opened.summary.subject, 80) or "conversation"
    return file_name(f"{View.day(day)} {subject}.{suffix}")


def _download(content: bytes, media_type: str, name: str) -> Response:
    """RFC 6266: a name in ASCII for all, and the whole one (RFC 8187) for who reads it."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%/' else "_" for c in name)
    whole = quote(name.encode("utf-8", "replace"), safe="")
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}",
        "Content-Security-Policy": _SHUT,
    }
    return Response(content, media_type=media_type, headers=headers)
