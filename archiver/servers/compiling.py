"""A module in Erlang, compiled for the ejabberd of this machine: its records differ from version to version."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver.exceptions import EnvironmentFault
from archiver.servers.shipped import Shipped, put

LIBRARIES = ("usr/lib/*-linux-gnu", "usr/lib", "usr/lib/erlang/lib", "usr/lib64/erlang/lib", "opt/ejabberd*/lib")
"""Where packages put Erlang's libraries, under the root."""
_HEADERS = {"ejabberd": ("ejabberd-*", "mod_muc_room.hrl"), "xmpp": ("*xmpp-*", "xmpp.hrl")}
_MINUTE = 60.0


def install(module: Shipped, into: Path, libraries: Sequence[Path] = ()) -> list[Path]:
    """The folder that ejabberd's own installer would make: `mod_archiver/ebin/*.beam` and a description beside it.

    `libraries` are folders with Erlang libraries, such as `ejabberd-23.01`; none, and packages' places are looked into.
    Raises `EnvironmentFault` where something to compile with is missing, or `into` can't be written to.
    """
    erlc = shutil.which("erlc")
    if erlc is None:
        hint = (
            "install it where ejabberd runs (Debian: apt-get install erlang-base), in the version that ejabberd runs on"
        )
        raise EnvironmentFault("there is no erlc, by which the module is compiled", hint=hint)
    places = list(libraries) or [each for pattern in LIBRARIES for each in sorted(Path("/").glob(pattern))]
    found = [_library(name, places) for name in _HEADERS]
    with TemporaryDirectory() as made:
        _compile(erlc, sorted(module.folder.glob("*.erl")), found, places, Path(made))
        described = sorted(module.folder.glob("*.spec"))
        target = into / module.folder.name
        return put(described, target) + put(sorted(Path(made).glob("*.beam")), target / "ebin")


def _library(name: str, places: Sequence[Path]) -> Path:
    pattern, header = _HEADERS[name]
    for place in places:
        for found in sorted(place.glob(f"{pattern}/include/{header}"), reverse=True):
            return found.parent.parent
    looked = ", ".join(map(str, places)) or "no folder"
    hint = "run this where ejabberd is installed, or name the folder of its Erlang libraries with --libraries"
    raise EnvironmentFault(f"{name}'s {header} isn't there: looked for {pattern}/include in {looked}", hint=hint)


def _compile(erlc: str, sources: list[Path], libraries: list[Path], places: Sequence[Path], into: Path) -> None:
    options = [option for each in libraries for option in ("-I", str(each / "include"), "-pa", str(each / "ebin"))]
    environment = os.environ | {"ERL_LIBS": os.pathsep.join(map(str, places))}
    command = [erlc, *options, "-o", str(into), *map(str, sources)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_MINUTE)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise EnvironmentFault(f"{erlc} can't be run: {fault}") from fault
    if done.returncode:
        told = (done.stdout + done.stderr).strip()[:2000]
        hint = f"it was written for ejabberd 23.01; compiled against {' and '.join(each.name for each in libraries)}"
        raise EnvironmentFault(f"the module doesn't compile for this ejabberd:\n{told}", hint=hint)
