"""The modules for other people's servers: installed or compiled, told of by doctor, and in the package."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from archiver.cli import main
from archiver.servers import MODULES
from archiver.sources.xmpp.remembering import Module, Remembered

ROOT = Path(__file__).parent.parent
TABLE = """
[[source]]
type = "xmpp"
name = "{name}"
listen = "127.0.0.1:0"
[[source.token]]
name = "prosody"
sources = ["xmpp:*"]
env = "XMPP_TOKEN"
"""
CURRENT = f"mod_archiver/{MODULES['prosody'].version} (Prosody 0.12.3)"


def run(tmp_path: Path, *arguments: str, names: tuple[str, ...] = ("chat",)) -> tuple[int, str]:
    (tmp_path / "config.toml").write_text("".join(TABLE.format(name=name) for name in names))
    options = ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "config.toml")]
    done = CliRunner(env={"XMPP_TOKEN": "t" * 32}).invoke(main, [*options, *arguments])
    return done.exit_code, done.output


def test_a_module_is_copied_whole_and_over_an_older_one(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    for _ in range(2):
        status, told = run(tmp_path, "xmpp", "install", "prosody", str(folder))
        assert status == 0 and str(folder) in told and "archiver_url" in told
        copied = {each.name: each.read_bytes() for each in (folder / "mod_archiver").iterdir()}
        assert copied == {each.name: each.read_bytes() for each in MODULES["prosody"].folder.iterdir()}
        (folder / "mod_archiver" / "mod_archiver.lua").write_text("older")


@pytest.mark.slow
def test_for_ejabberd_it_is_compiled_where_ejabberd_looks(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    for _ in range(2):
        status, told = run(tmp_path, "xmpp", "install", "ejabberd", str(folder))
        assert status == 0 and str(folder) in told and "mod_archiver:" in told and "token_file" in told
        made = {each.stem for each in (folder / "mod_archiver" / "ebin").iterdir()}
        assert made == {each.stem for each in MODULES["ejabberd"].folder.glob("*.erl")}
        (folder / "mod_archiver" / "ebin" / "mod_archiver.beam").write_text("older")


@pytest.mark.slow
def test_what_is_missing_to_compile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ("xmpp", "install", "ejabberd", str(tmp_path / "m"))
    status, told = run(tmp_path, *wanted, "--libraries", str(tmp_path))
    assert status == 3 and "mod_muc_room.hrl" in told and "where ejabberd is installed" in told
    headers = tmp_path / "libraries"
    for library, header in (("ejabberd-99", "mod_muc_room.hrl"), ("xmpp-99", "xmpp.hrl")):
        (headers / library / "include").mkdir(parents=True)
        (headers / library / "include" / header).write_text("% of a version that nobody knows\n")
    status, told = run(tmp_path, *wanted, "--libraries", str(headers))
    assert status == 3 and "doesn't compile for this ejabberd" in told and "ejabberd-99" in told
    assert run(tmp_path, "xmpp", "install", "prosody", str(tmp_path / "m"), "--libraries", str(headers))[0] == 2
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    status, told = run(tmp_path, *wanted)
    assert status == 3 and "erlang-base" in told
    assert not (tmp_path / "m").exists()


def test_mistakes_are_told(tmp_path: Path) -> None:
    assert run(tmp_path, "xmpp", "install", "prosody", str(tmp_path / "m"), names=())[0] == 2
    status, told = run(tmp_path, "xmpp", "install", "prosody", str(tmp_path / "m"), names=("one", "two"))
    assert status == 2 and "--source one or two" in told
    (tmp_path / "file").write_text("")
    status, told = run(tmp_path, "xmpp", "install", "prosody", str(tmp_path / "file" / "m"))
    assert status == 3 and "Traceback" not in told


@pytest.mark.parametrize(
    ("agent", "silent", "verdict", "told"),
    [
        (CURRENT, 10, "ok", "3 records waiting"),
        (CURRENT, 600, "bad", "is its server running"),
        ("mod_archiver/0.1.0 (Prosody 0.12.3)", 10, "warn", "xmpp install prosody"),
        (f"mod_archiver/{MODULES['ejabberd'].version} (ejabberd 23.01)", 10, "ok", "3 records waiting"),
        ("mod_archiver/0.1.0 (ejabberd 23.01)", 10, "warn", "xmpp install ejabberd"),
    ],
)
def test_doctor_says_which_module_was_heard_when(
    tmp_path: Path, agent: str, silent: int, verdict: str, told: str
) -> None:
    now = time.time_ns() // 1000
    memory = Remembered(tmp_path / "data" / "sources" / "xmpp-chat.db")
    memory.hear(Module("prosody", agent, now - silent * 1_000_000, 3))
    memory.close()
    _, output = run(tmp_path, "doctor")
    lines = output.splitlines()
    (number,) = (number for number, line in enumerate(lines) if "chat's modules" in line)
    assert lines[number].startswith(verdict) and told in "\n".join(lines[number : number + 2])


def test_doctor_says_that_none_was_heard(tmp_path: Path) -> None:
    assert "none was heard yet" in run(tmp_path, "doctor")[1]


def test_the_package_has_the_modules_whole() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    servers = ROOT / "archiver" / "servers"
    found = {path for pattern in packed["archiver.servers"] for path in servers.glob(pattern)}
    for module in MODULES.values():
        assert {each for each in module.folder.iterdir() if each.is_file()} <= found
