"""`archiver inspect --web` before it listens: what it refuses, and how it says so."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from subprocess import run
from sys import executable

import pytest
from click.testing import CliRunner, Result

from archiver.cli import main
from archiver.config import parse
from archiver.exceptions import ConfigError, UsageError
from archiver.web import password
from archiver.web.access import Account
from archiver.web.serving import Listening, checked, is_loopback

ACCOUNT = Account("auditor", "scrypt$")
SECURE = {"account": ACCOUNT, "certificate": "c.pem", "key": "k.pem"}


def call(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=typed)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8026", "example.org:80"])
def test_other_machines_are_refused_without_password_and_tls(tmp_path: Path, listen: str) -> None:
    outcome = call("--data", str(tmp_path), "inspect", "--web", "--listen", listen)
    assert outcome.exit_code == 2 and "password and TLS" in outcome.output and "certificate and key" in outcome.output


@pytest.mark.parametrize("lacking", [*SECURE, "hosts"])
def test_half_of_it_is_refused_too(lacking: str) -> None:
    given = {**SECURE, "hosts": ("archive.example.org",)}
    assert checked(Listening("0.0.0.0", 0, **given))
    if lacking != "key":  # the configuration has both or none
        with pytest.raises(UsageError, match="lacks"):
            checked(Listening("0.0.0.0", 0, **{**given, lacking: () if lacking == "hosts" else ""}))


def test_nobody_else_reads_without_a_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="loopback only"):
        checked(Listening("192.0.2.1", 0, **SECURE, asks_nothing=True))
    assert not Listening("192.0.2.1", 0, **SECURE).has_token and Listening("127.0.0.1", 0).has_token


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        *((name, True) for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost")),
        *((name, False) for name in ("0.0.0.0", "::", "10.0.0.1", "no.such.host.invalid", "x" * 300)),
    ],
)
def test_loopback_is_what_leads_to_this_machine_alone(host: str, ours: bool) -> None:
    assert is_loopback(host) == ours


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "127.0.0.1:0"),
        ("--no-token",),
        ("--make-password",),
        ("--web", "alice@example.org"),
        ("--web", "--kind", "im"),
        ("--web", "--verify"),
        ("--web", "--listen", "nowhere"),
        ("--web", "--listen", "/run/page.sock"),
        ("--web", "--listen", ":8026"),
    ],
)
def test_what_makes_no_sense_is_a_mistake(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert call("--data", str(tmp_path), "inspect", *arguments).exit_code == 2


def test_an_address_in_use_is_the_machines_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = call("--data", str(tmp_path), "inspect", "--web", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert outcome.exit_code == 3 and "can't listen on" in outcome.output


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("not one")
    config = tmp_path / "archiver.toml"
    config.write_text(f'[web]\ncertificate = "{tmp_path}/c.pem"\nkey = "{tmp_path}/none.pem"\n')
    outcome = call("--data", str(tmp_path), "--config", str(config), "inspect", "--web", "--listen", "127.0.0.1:0")
    assert outcome.exit_code == 2 and "web.certificate, web.key" in outcome.output


def test_without_its_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.cli.web._NEEDED", ("starlette", "no_such_package"))
    outcome = call("--data", str(tmp_path), "inspect", "--web")
    assert outcome.exit_code == 3 and "pip install 'conversation-archiver[web]'" in outcome.output


def test_everything_else_works_without_its_extra() -> None:
    """The command is loaded, and its help printed, without any of it."""
    tried = "import sys, archiver.cli.inspect; sys.exit(bool({'starlette', 'jinja2', 'uvicorn'} & set(sys.modules)))"
    assert run([executable, "-c", tried], check=False).returncode == 0


def test_a_password_is_printed_as_the_configuration_takes_it(tmp_path: Path) -> None:
    outcome = call("--data", str(tmp_path), "inspect", "--web", "--make-password", typed="open sesame\nopen sesame\n")
    (made,) = re.findall(r'^password = "(.+)"$', outcome.output, re.MULTILINE)
    assert password.matches(made, "open sesame")
    assert parse({"web": {"user": "auditor", "password": made}}).web.password == made


@pytest.mark.parametrize(
    ("web", "key"),
    [
        ({"user": "a"}, "web.password"),
        ({"user": "a", "password": "open sesame"}, "web.password"),
        ({"certificate": "c"}, "web.key"),
        ({"key": "k"}, "web.certificate"),
        ({"listen": "/run/page.sock"}, "web.listen"),
        ({"hosts": ["a b"]}, "web.hosts[1]"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_named(web: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"web": web})
    assert [problem.partition(":")[0].partition(" =")[0] for problem in caught.value.problems] == [key]
