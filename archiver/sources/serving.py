"""An ASGI application on sockets, by uvicorn, within bounds that hold before any application is asked.

uvicorn bounds no time for a request's head and takes any number of connections: both are bounded here. Holds no
application.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast

import h11
import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from archiver.sources.crowding import Waiting, giving_way, since
from archiver.sources.listening import fault_of, release, withdraw
from archiver.sources.looping import task_fault
from archiver.sources.tls import Tls, context_of, keep_fresh

HEAD_SECONDS = 20.0
"""From a connection's beginning, or a reply, to a whole head of the next request."""
HEAD_BYTES = 32 * 1024
SEND_SECONDS = 30.0
"""For a client to take in one piece of a reply."""
IDLE_SECONDS = 30
"""How long a connection is kept after a reply."""
LEAVING_SECONDS = 1.0
"""For who is sent away to take in why, and to end its TLS: who does neither would stay for ever."""


Refuse = Callable[[str, int, str], None]
"""Is told of what no application is asked about: the reason, the status it was answered with, and by whom it came."""
NO_STATUS = 0
"""Where TLS didn't come to stand: it has words of its own."""


class Serving:
    """Lives on the loop it is started on. `bound` are listening sockets, which it closes at the end."""

    def __init__(
        self,
        app: Any,
        bound: list[socket.socket],
        tls: Tls | None = None,
        *,
        connections: int = 200,
        refuse: Refuse = lambda reason, status, client: None,
    ) -> None:
        self._bound = bound
        self._tls = tls
        self._context = (
            context_of(tls, lambda reason, client: refuse(reason, NO_STATUS, client)) if tls is not None else None
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                _Guarded(app, refuse),
                http=_protocol(connections, refuse),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                h11_max_incomplete_event_size=HEAD_BYTES,
                timeout_keep_alive=IDLE_SECONDS,
                ssl_context_factory=self._given if tls is not None else None,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        # It tells of every start and stop, and of whatever strangers send it.
        told = logging.getLogger("uvicorn.error")
        told.setLevel(logging.ERROR)
        told.addFilter(_is_no_intention)
        serving = asyncio.create_task(self._server.serve(sockets=self._bound))
        self._tasks.append(serving)
        if self._context is not None and self._tls is not None:
            self._tasks.append(asyncio.create_task(keep_fresh(self._context, self._tls)))
        while not self._server.started:
            if serving.done():
                serving.result()
            await asyncio.sleep(0.005)

    @property
    def fault(self) -> str:
        """Why it serves no more, though nobody stopped it; "" while it does. Callable from any thread."""
        return task_fault(self._tasks) or fault_of(self._bound)

    def abandon(self) -> None:
        """Give up the sockets of a loop that doesn't answer, so that another can listen there."""
        release(self._bound)

    async def stop(self, seconds: float) -> None:
        """Take no new connection, let requests end, cut off those that last longer."""
        if not self._tasks:
            return
        serving, *others = self._tasks
        for task in others:
            task.cancel()
        withdraw(self._bound)
        self._server.config.timeout_graceful_shutdown = max(1, round(seconds))
        self._server.should_exit = True
        await asyncio.gather(serving, *others, return_exceptions=True)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._close_all()
        self._tasks = []

    def _close_all(self) -> None:
        """Also where the server broke off, or the system closed a socket before."""
        for server in getattr(self._server, "servers", ()):
            with suppress(ValueError, OSError):
                server.close()
        release(self._bound)

    def _given(self, config: uvicorn.Config, default: object) -> ssl.SSLContext:
        assert self._context is not None
        return self._context


def _is_no_intention(record: logging.LogRecord) -> bool:
    """Not where a reply is broken off on purpose."""
    return record.msg != "ASGI callable returned without completing response."


_ANSWERED = "archiver.answered"
"""In the scope of a request to which the connection gave the last word."""


class _Answered(BaseException):
    """Ends the application's part in it: it would answer again, or tell that the client left."""


class _Guarded:
    """A request whose end two headers state ends its connection."""

    def __init__(self, app: Any, refuse: Refuse) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_more() -> Any:
            message = await receive()
            _go_on(scope)
            return message

        with suppress(_Answered):
            _go_on(scope)
            names = {name for name, _ in scope["headers"]}
            if {b"content-length", b"transfer-encoding"} <= names:  # RFC 9112, 6.3: may be to smuggle another
                self._refuse("unclear length", 400, (scope.get("client") or ("",))[0])
                await _UNCLEAR(scope, receive_more, send)
            else:
                await self._app(scope, receive_more, send)


def _go_on(scope: Any) -> None:
    if _ANSWERED in scope:
        raise _Answered


_UNCLEAR = PlainTextResponse("Content-Length or Transfer-Encoding, not both", 400, {"Connection": "close"})


def _protocol(most: int, refuse: Refuse) -> type[asyncio.Protocol]:
    """One client, on h11: which refuses what is ambiguous (RFC 9112, 11.2: request smuggling)."""

    class Connection(H11Protocol):
        _patience: asyncio.TimerHandle | None = None
        _waits_since = 0.0
        _unread: asyncio.TimerHandle | None = None
        _unread_since = 0.0
        _body_since = 0.0
        _brought = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()
            if len(self.connections) > most:
                self._make_room()

        def _make_room(self) -> None:
            staying = [e for e in self.connections if isinstance(e, Connection) and not e.transport.is_closing()]
            if len(staying) > most:
                going = giving_way(self, staying, Connection._waiting)
                going._turn_away("too many connections", HTTPStatus.SERVICE_UNAVAILABLE)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._stop_sending()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._brought += len(data)
            super().data_received(data)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread_since = self.loop.time()
            self._unread = self.loop.call_later(SEND_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stop_sending()

        def handle_events(self) -> None:
            super().handle_events()
            if self.cycle is not None and not self.cycle.response_complete:
                if self._patience is not None:
                    self._body_since = self.loop.time()
                self._stop_waiting()  # the body's pace is the application's business

        def on_response_complete(self) -> None:
            self._wait()
            super().on_response_complete()  # which takes up the next request, where that came already

        def send_400_response(self, msg: str) -> None:
            self._note("malformed", HTTPStatus.BAD_REQUEST)
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._answer_last()
                super().send_400_response(msg)
            else:  # the reply was on its way before the rest of its request
                self.transport.close()
            self._wait()

        def _wait(self) -> None:
            self._stop_waiting()
            self._waits_since, self._brought = self.loop.time(), 0
            # What is just coming in may be the rest of a body that was refused: read, and given its time too.
            self._patience = self.loop.call_later(HEAD_SECONDS + IDLE_SECONDS, self._lose_patience)

        def _waiting(self) -> Waiting | None:
            """Since when a request, its body or that a reply is taken in is waited for; None while it is dealt with."""
            if self.transport.is_closing():
                return None
            if self.flow.write_paused:
                return False, self._unread_since
            if self._patience is not None:
                return False, self._waits_since
            is_coming = self.conn.their_state is h11.SEND_BODY and not self.cycle.response_started
            return (False, since(self._body_since, self._brought)) if is_coming else None

        def _lose_patience(self) -> None:
            """A head that began and doesn't end is told (RFC 9110, 15.5.9); who said nothing at all isn't."""
            has_begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
            if has_begun and not self.transport.is_closing():
                self._turn_away("too slow", HTTPStatus.REQUEST_TIMEOUT)
            else:
                self.transport.abort()

        def _turn_away(self, reason: str, status: HTTPStatus) -> None:
            self._stop_waiting()
            self._note(reason, status)
            if self.flow.write_paused:  # it would stand behind, or within, a reply that isn't taken in
                self.transport.abort()
                return
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n"
            later = "Retry-After: 5\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
            self._answer_last()
            self.transport.write(f"{head}{later}\r\n".encode("ascii"))
            self.transport.close()
            self._patience = self.loop.call_later(LEAVING_SECONDS, self.transport.abort)

        def _answer_last(self) -> None:
            if self.cycle is not None:
                cast(dict[str, Any], self.cycle.scope)[_ANSWERED] = True
                self.cycle.disconnected = True  # takes no reply any more

        def _note(self, reason: str, status: HTTPStatus) -> None:
            refuse(reason, status.value, self.client[0] if self.client else "")

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _stop_sending(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

    return Connection
