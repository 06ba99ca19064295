"""Ports that are handed to the daemon by who starts it: served, given back open, and nobody else's."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from archiver.exceptions import EnvironmentFault
from archiver.sources import listening
from archiver.sources.listening import Address

Hand = Callable[..., None]


@pytest.fixture
def open_port() -> Iterator[socket.socket]:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        yield opened


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch, open_port: socket.socket) -> Hand:
    def handing(count: str = "1", process: int | None = None) -> None:
        monkeypatch.setattr(listening, "_FIRST", open_port.fileno())
        monkeypatch.setenv("LISTEN_FDS", count)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid() if process is None else process))

    return handing


def address_of(opened: socket.socket) -> Address:
    return Address(port=int(opened.getsockname()[1]))


def test_what_is_handed_is_served_and_stays_open_for_the_next(hand: Hand, open_port: socket.socket) -> None:
    hand()
    for _ in range(2):
        (bound,) = listening.bind(address_of(open_port))
        with socket.create_connection(open_port.getsockname()) as client:
            server, _ = bound.accept()
            with server:
                assert server.getpeername() == client.getsockname()
        listening.release([bound])
    # Nobody serves there now: who calls is heard later.
    with socket.create_connection(open_port.getsockname()):
        (bound,) = listening.bind(address_of(open_port))
        bound.accept()[0].close()
        listening.release([bound])


@pytest.mark.parametrize(("count", "process"), [("1", 1), ("", None), ("0", None), ("many", None)])
def test_what_is_anothers_is_in_use(hand: Hand, open_port: socket.socket, count: str, process: int | None) -> None:
    hand(count, process)
    with pytest.raises(EnvironmentFault):
        listening.bind(address_of(open_port))


def test_what_is_handed_for_another_port_is_left_alone(hand: Hand, open_port: socket.socket) -> None:
    hand()
    (bound,) = listening.bind(Address())
    assert bound.getsockname() != open_port.getsockname()
    listening.release([bound])


def test_what_was_handed_and_is_no_listening_socket_is_said(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        hand()
        monkeypatch.setattr(listening, "_FIRST", bound_only.fileno())
        with pytest.raises(EnvironmentFault):
            listening.bind(address_of(bound_only))
