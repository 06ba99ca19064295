"""What the documents say is what the code does: configuration keys, commands, the two commands at the top."""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from click.testing import CliRunner

from archiver.cli import main
from archiver.events import GUESSES
from archiver.importers import IMPORTERS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_keys_is_the_configuration() -> None:
    loader = SourceFileLoader("refresh_docs", str(ROOT / "scripts" / "refresh_docs"))
    spec = spec_from_loader("refresh_docs", loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    assert script.refreshed(README) == README, "run scripts/refresh_docs"


def test_nothing_listens_by_default_where_something_else_does() -> None:
    """But for mail, which `[smtp]` and a source of it describe alike."""
    found = dict(re.findall(r"^\| `([\w\[\]-]+)\.listen` \| `([\d.:]+)`", README, re.MULTILINE))
    assert found.pop("smtp") == found["source[smtp]"]
    assert len(set(found.values())) == len(found) > 5, found


def test_every_sub_command_stands_in_the_readme_and_no_other() -> None:
    told = set(re.findall(r"^\| `archiver (\w+)", README, re.MULTILINE))
    listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:")[2]
    assert told == set(re.findall(r"^  (\w+) ", listed, re.MULTILINE))


def test_both_commands_stand_at_the_top_and_can_be_run() -> None:
    top = README[:800]
    for name in ("scripts/demo", "scripts/test"):
        assert name in top
        assert (ROOT / name).stat().st_mode & 0o111


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


def test_nothing_tells_of_the_machine_it_was_made_on() -> None:
    """A clone stands alone: no path beside the checkout stands in what is shipped."""
    for path in [*ROOT.glob("archiver/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("scripts/*")]:
        if path.is_file():
            assert "../shared" not in path.read_text(encoding="utf-8", errors="replace"), path


def test_every_format_is_in_the_table_of_formats() -> None:
    table = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == sorted(IMPORTERS)


def test_every_reason_of_a_guess_is_in_the_event_format() -> None:
    page = (ROOT / "docs" / "event-format.md").read_text(encoding="utf-8")
    table = (
        page.partition("## Attributes of the archiver's own")[2].partition("| --- | --- |")[2].partition("| reason")[2]
    )
    told = re.findall(r"^\| `([\w-]+)(?:=…)?` \| (.*) \|$", table.partition("## ")[0], re.MULTILINE)
    assert told == [(reason, words.format(value="…")) for reason, words in GUESSES.items()]
