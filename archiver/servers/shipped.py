"""The modules that are shipped, and copying one to where its server looks for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from archiver.exceptions import EnvironmentFault

HERE = Path(__file__).parent


class Shipped(Struct, frozen=True):
    """`folder` is copied whole, under its own name; `main` says in it which version it is."""

    server: str
    folder: Path
    main: str

    @property
    def version(self) -> str:
        found = re.search(r'VERSION\b[^"\n]*"([0-9.]+)"', (self.folder / self.main).read_text("utf-8"))
        assert found is not None, "a module says which version it is"
        return found[1]


MODULES = {
    "prosody": Shipped("prosody", HERE / "prosody" / "mod_archiver", "mod_archiver.lua"),
    "ejabberd": Shipped("ejabberd", HERE / "ejabberd" / "mod_archiver", "mod_archiver.erl"),
}
"""By the server's name."""


def copy(module: Shipped, into: Path) -> list[Path]:
    """Raises `EnvironmentFault`."""
    return put([each for each in sorted(module.folder.iterdir()) if each.is_file()], into / module.folder.name)


def put(files: Iterable[Path], target: Path) -> list[Path]:
    """Each file whole or not at all, over what was there; readable for everybody, as the server is another user.

    Raises `EnvironmentFault`.
    """
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o755)
        return [_put(each, target / each.name) for each in files]
    except OSError as fault:
        hint = "name a folder that you may write to, and that the server looks into"
        raise EnvironmentFault(f"can't copy the module to {target}: {fault.strerror}", hint=hint) from fault


def _put(source: Path, target: Path) -> Path:
    beside = target.with_name(f".{target.name}.new")
    beside.write_bytes(source.read_bytes())
    beside.chmod(0o644)
    return beside.replace(target)
