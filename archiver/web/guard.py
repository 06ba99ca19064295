"""What every request has to pass, and what every response says: around the pages, in front of the routes (ASGI).

    Host known? ─► method that reads? ─► asked for by our own pages? ─► admitted? ─► page ─► headers

A name that leads to us and isn't ours is somebody's attempt to have a browser read us (DNS rebinding). Nothing is
logged: addresses of pages name people.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archiver.web.access import Access

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Unless the page says otherwise of itself."""

ENTER, LEAVE, STATIC = "/enter", "/leave", "/static/"
_WRITES = {ENTER, LEAVE}
"""The only pages that take a POST."""


def cookie_name(port: int, *, secure: bool) -> str:
    """Cookies know no ports: another page of this machine must not take ours for its own."""
    return f"{'__Host-' if secure else ''}archiver-{port}"


class Guard:
    """`hosts` are names by which we may be called, in lower case; `cookie` that of the session."""

    def __init__(self, app: ASGIApp, access: Access, hosts: Iterable[str], cookie: str) -> None:
        self._app = app
        self._access = access
        self._hosts = frozenset(hosts)
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers) or self._app

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    said.setdefault(name, value)
            await send(message)

        await answer(scope, receive, marked)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path, method = scope["path"], scope["method"]
        if _name_of(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("This page isn't known by that name.\n", 421)
        if method not in ("GET", "HEAD") and not (method == "POST" and path in _WRITES):
            return PlainTextResponse("This page is for reading only.\n", 405, {"Allow": "GET, HEAD"})
        if not _is_own(headers, method):
            return PlainTextResponse("Another site's page asked for this.\n", 403)
        if path in _WRITES or path.startswith(STATIC) or self._access.admits(session_of(headers, self._cookie)):
            return None
        return RedirectResponse(ENTER, 303)


def session_of(headers: Headers, cookie: str) -> str:
    return cookie_parser(headers.get("cookie", "")).get(cookie, "")


def _name_of(host: str) -> str:
    """Without the port, which may be another's where a tunnel leads to us."""
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return (name if port.isdecimal() else host).casefold()


def _is_own(headers: Headers, method: str) -> bool:
    """What browsers tell (Fetch Metadata): from another site one may follow a link to us, and nothing else."""
    site = headers.get("sec-fetch-site", "none")
    if site in ("same-origin", "none"):
        return True
    follows_link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return follows_link and method != "POST"
