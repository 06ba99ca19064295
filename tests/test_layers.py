"""The drawing of the layers stays true: who imports whom, read from the source.

A layer imports the records and itself; what else it needs is passed in. Only joiners import layers. A new module
is put into one of the tables below; one that stands in none fails the test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "archiver"

RECORDS = {"events", "types", "exceptions"}
"""What everybody may import; they import only each other."""

LAYERS = {
    "sources": {"sources"},
    "importers": {"importers"},
    "spool": {"spool"},
    "conversations": {"conversations"},
    "directory": {"directory", "addresses", "people"},
    "decisions": {"decisions"},
    "rendering": {"rendering"},
    "store": {"store"},
    "config": {"config"},
    "logs": {"logs"},
    "servers": {"servers"},
    "hypertext": {"hypertext"},
    "inspection": {"inspection", "search"},
}
"""Top-level modules and folders of each layer."""

JOINERS = {
    "assembly",
    "backfill",
    "cli",
    "compliance",
    "daemon",
    "doctor",
    "exporting",
    "filing",
    "preview",
    "selection",
    "web",
}
JOINERS |= {"tui", "__main__"}

SPECIAL = {
    # What is written in HTML is read as text, live or from a file.
    ("sources", "hypertext"),
    ("importers", "hypertext"),
    # Who a hold names is compared in the form that mailboxes have.
    ("decisions", "addresses"),
    # An address or a path template is wrong for the same reasons in the file as in use: one check, not two.
    ("config", "addresses"),
    ("config", "store.template"),
    # A mail gives the same events live and from a file.
    ("importers", "sources.mail"),
    ("importers", "sources.decoding"),
    ("importers", "sources.parts"),
    # A product says the same in its webhook as in its export: one reading, so that both give the same events.
    ("sources", "importers.slack.message"),
    ("sources", "importers.bigbluebutton.action"),
    ("sources", "importers.bigbluebutton.chat"),
    ("sources", "importers.bigbluebutton.text"),
    ("sources", "importers.teams.message"),
    ("sources", "importers.telling"),
    # A room's event means the same live as in its history.
    ("sources", "importers.jsonfile"),
    ("sources", "importers.matrix.event"),
    ("sources", "importers.matrix.poll"),
    ("sources", "importers.matrix.survey"),
    ("sources", "importers.matrix.telling"),
    ("sources", "importers.media"),
    ("sources", "importers.protocol"),
    # A stanza means the same live as in a server's archive.
    ("sources", "importers.xmlfile"),
    ("sources", "importers.xmpp.archive"),
    ("sources", "importers.xmpp.inviting"),
    ("sources", "importers.xmpp.meaning"),
    ("sources", "importers.xmpp.memory"),
    ("sources", "importers.xmpp.said"),
    ("sources", "importers.xmpp.stanza"),
    # What our own items carry is read by what writes it.
    ("importers", "rendering.evidence"),
    # The inspector reads with the writer's types, so that it can't disagree with the archiver.
    ("inspection", "store"),
    ("inspection", "rendering.evidence"),
    ("search", "store.protocol"),
    ("search", "rendering.evidence"),
}
"""Imports across layers that have a reason: (top-level importer, imported module)."""

PURE = {"conversations", "decisions", "directory", "rendering"}
WORLD = {
    "asyncio",
    "os",
    "pathlib",
    "random",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}


def modules() -> dict[str, Path]:
    """Dotted names below the package, with their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
HOME = {name: layer for layer, names in LAYERS.items() for name in names}


def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf-8"))


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Every module of the package that this one imports, wherever in it; '' is the package itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name.removeprefix("archiver").lstrip(".") for each in names if is_ours(each.name))
            case ast.ImportFrom(level=0, module=str(module), names=names) if is_ours(module):
                yield from (resolved(module, each.name) for each in names)
            case ast.ImportFrom(level=level, module=module, names=names) if level:
                steps = ["archiver", *name.split(".")]
                is_package = (PACKAGE / Path(*steps[1:]) / "__init__.py").exists()
                above = steps[: len(steps) - level + is_package] + ([module] if module else [])
                yield from (resolved(".".join(above), each.name) for each in names)


def is_ours(module: str) -> bool:
    return module == "archiver" or module.startswith("archiver.")


def resolved(module: str, name: str) -> str:
    """`from archiver import logs` imports the module logs, `from archiver import __version__` the package."""
    inner = f"{module}.{name}".removeprefix("archiver.")
    return inner if inner in MODULES else module.removeprefix("archiver").lstrip(".")


def faults(name: str, tree: ast.Module) -> Iterator[str]:
    own = name.partition(".")[0]
    if own in JOINERS or not own:
        return
    for imported in imports(name, tree):
        other = imported.partition(".")[0]
        if not other or other in RECORDS or (own not in RECORDS and HOME.get(other) == HOME[own]):
            continue
        if (own, imported) not in SPECIAL and (own, other) not in SPECIAL:
            yield f"{name} imports {imported}"


def test_every_module_has_a_place():
    known = RECORDS | JOINERS | HOME.keys() | {""}
    assert {name.partition(".")[0] for name in MODULES} - known == set()


def test_the_tables_do_not_overlap():
    assert not HOME.keys() & RECORDS and not HOME.keys() & JOINERS and not RECORDS & JOINERS
    assert sum(map(len, LAYERS.values())) == len(HOME)


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_imports_only_the_records(name):
    if name.partition(".")[0] in RECORDS | JOINERS | HOME.keys() | {""}:
        assert list(faults(name, tree_of(name))) == []


@pytest.mark.parametrize("name", [name for name in MODULES if HOME.get(name.partition(".")[0]) in PURE])
def test_a_pure_layer_knows_no_world_and_no_clock(name):
    for node in ast.walk(tree_of(name)):
        match node:
            case ast.Import(names=names):
                assert not WORLD & {each.name.partition(".")[0] for each in names}
            case ast.ImportFrom(level=0, module=str(module)):
                assert module.partition(".")[0] not in WORLD
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attribute)):
                assert (owner, attribute) not in CLOCKS
            case ast.Call(func=ast.Name(id=called)):
                assert called not in {"open", "print", "input"}


def test_special_permissions_are_used():
    """One that nobody needs any more goes."""
    used = {(name.partition(".")[0], imported) for name in MODULES for imported in imports(name, tree_of(name))}
    present = {name.partition(".")[0] for name in MODULES}
    for own, imported in SPECIAL:
        if own in present:
            assert any(user == own and f"{what}.".startswith(f"{imported}.") for user, what in used), (own, imported)


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("spool.intake", "from archiver.store.names import escape", ["spool.intake imports store.names"]),
        ("spool.intake", "def f():\n    import archiver.config", ["spool.intake imports config"]),
        ("spool.intake", "from archiver import logs", ["spool.intake imports logs"]),
        ("spool", "from ..store import protocol", ["spool imports store.protocol"]),
        ("spool.intake", "from ..store import protocol", ["spool.intake imports store.protocol"]),
        (
            "spool.intake",
            "from . import places\nfrom archiver.events import Event\nfrom archiver import __version__",
            [],
        ),
        ("types", "from archiver.decisions.gate import decide", ["types imports decisions.gate"]),
        ("decisions.gate", "from archiver.decisions import capability", []),
        ("decisions.gate", "from archiver.config import load", ["decisions.gate imports config"]),
        ("cli.run", "from archiver.config import load", []),
    ],
)
def test_the_test_notices(name, source, found):
    assert list(faults(name, ast.parse(source))) == found
