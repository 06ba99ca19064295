"""Names on disk: no two addresses or folders meet, nothing leads elsewhere, and every listing leads back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archiver.exceptions import ConfigError, ItemError
from archiver.store import check_template, mutf7
from archiver.store.names import (
    check_folder,
    escape,
    folder_from_disk,
    folder_on_disk,
    normal_address,
    split_file_name,
    unescape,
)
from archiver.store.template import Template

DEFAULT = "{data}/mail/{domain}/{local}"


@pytest.mark.parametrize(
    ("name", "code"),
    [  # the first is RFC 3501's own example, the rest what Dovecot makes of them
        ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("Besprechungen über uns", "Besprechungen &APw-ber uns"),
        ("A&B", "A&-B"),
        ("😀", "&2D3eAA-"),
    ],
)
def test_modified_utf7(name: str, code: str) -> None:
    assert mutf7.encode(name) == code
    assert mutf7.decode(code) == name


@given(st.text())
def test_modified_utf7_is_printable_ascii_and_leads_back(name: str) -> None:
    code = mutf7.encode(name)
    assert all(" " <= letter <= "~" for letter in code)
    assert mutf7.decode(code) == name


@pytest.mark.parametrize("code", ["&", "A&B", "&AOQ", "&!!!-", "&AGE-", "ä", "&2D0-", "&APw-&APw-"])
def test_what_is_no_modified_utf7_is_none(code: str) -> None:
    assert mutf7.decode(code) is None


@given(st.text(), st.integers(64, 200))
def test_a_component_stays_one(text: str, limit: int) -> None:
    component = escape(text, limit)
    assert len(component) <= limit + 33
    assert "/" not in component and not component.startswith(".")
    assert component.isascii() and component.isprintable()
    if "=" not in component:
        assert unescape(component) == text


@given(st.text(max_size=8) | st.sampled_from(["a=", "%61", "a", "%", "=", "."]), st.text(max_size=8))
def test_two_texts_never_share_a_component(one: str, other: str) -> None:
    assume(one != other)
    assert escape(one) != escape(other)
    assert escape("x" * 300 + one) != escape("x" * 300 + other)
    assert escape(escape("x" * 300 + one)) != escape("x" * 300 + one)


ADDRESSES = st.builds("{}@{}".format, st.text(min_size=1), st.text(st.characters(exclude_characters="@"), min_size=1))


@given(ADDRESSES)
def test_an_address_is_normal_once_for_all(address: str) -> None:
    once = "@".join(normal_address(address))
    assert "@".join(normal_address(once)) == once


@pytest.mark.parametrize("layout", [DEFAULT, "/var/mail/{local}@{domain}", "/home/{domain}/x-{local}/Maildir"])
@given(address=ADDRESSES)
def test_a_path_leads_back_to_its_address(layout: str, address: str) -> None:
    template = Template(layout, data=Path("/data"))
    parts = template.parts(address)
    assert all(0 < len(os.fsencode(part)) <= 255 and part not in {".", ".."} and "/" not in part for part in parts)
    listed = template.address(parts)
    assert listed is not None
    assert (template.raw_parts(listed) or template.parts(listed)) == parts


@pytest.mark.parametrize("layout", [DEFAULT, "/var/mail/{local}@{domain}", "/var/mail/{domain}!{local}"])
@given(one=ADDRESSES, other=ADDRESSES)
def test_two_addresses_never_share_a_path(layout: str, one: str, other: str) -> None:
    assume(normal_address(one) != normal_address(other))
    template = Template(layout, data=Path("/data"))
    assert template.parts(one) != template.parts(other)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("Alice@Example.ORG", ("example.org", "alice")),
        ("jürgen@bücher.example", ("xn--bcher-kva.example", "j%C3%BCrgen")),
        ("../..@../..", ("%2E.%2F..", "%2E.%2F..")),
        ("o'brien@example.org", ("example.org", "o%27brien")),
        ("a@b@example.org", ("example.org", "a%40b")),
    ],
)
def test_paths_as_documented(address: str, parts: tuple[str, ...]) -> None:
    assert Template(DEFAULT, data=Path("/data")).parts(address) == parts


def test_the_mail_root_is_what_stands_before_the_first_placeholder() -> None:
    assert Template(DEFAULT, data=Path("/srv/{local}")).root == Path("/srv/{local}/mail")
    assert Template("/var/mail/{local}", data=Path("/data"), domains=["example.org"]).root == Path("/var/mail")


def test_a_root_for_one_domain_takes_no_other() -> None:
    template = Template("/var/mail/{local}", data=Path("/data"), domains=["Example.org"])
    assert template.parts("alice@example.org") == ("alice",)
    assert template.address(("alice",)) == "alice@example.org"
    with pytest.raises(ItemError, match="this mail root is for"):
        template.parts("alice@example.com")


@pytest.mark.parametrize(
    "parts", [("example.org", "Carol"), ("example.org", "a%2e"), ("Example.org", "a"), ("x", "%GG")]
)
def test_a_directory_no_address_leads_to_is_nobodys(parts: tuple[str, ...]) -> None:
    assert Template(DEFAULT, data=Path("/data")).address(parts) is None


@pytest.mark.parametrize(
    "template",
    [DEFAULT, "/var/mail/{domain}/{local}/Maildir", "/var/mail/{local}@{domain}", "{data}/{local}/{domain}"],
)
def test_good_templates(template: str) -> None:
    assert check_template(template) is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("mail/{domain}/{local}", "must begin"),
        ("", "must begin"),
        ("{data}", "must begin"),
        ("/var/mail/{domain}", "without {local}"),
        ("/var/mail/{local}", "without {domain}"),
        ("/var/mail/{domain}-{local}", "could have one path"),
        ("/var/mail/{domain}{local}", "could have one path"),
        ("/var/mail/{domain}.=A{local}", "could have one path"),
        ("/var/mail/../{domain}/{local}", "'..'"),
        ("/var//{domain}/{local}", "empty"),
        ("/var/mail/{domain}/{local}/", "empty"),
        ("/var/{user}/{domain}/{local}", "only {data}"),
        ("/var/{data}/{domain}/{local}", "only {data}"),
        ("/var/{domain}/{local", "only {data}"),
        ("/var/}{domain}/{local}", "only {data}"),
        ("/var/{local}/{local}/{domain}", "twice"),
        ("/var/" + "x" * 200 + "{local}/{domain}", "too little room"),
        ("/var/\0/{domain}/{local}", "NUL"),
    ],
)
def test_bad_templates(template: str, problem: str) -> None:
    assert problem in (check_template(template) or "")
    with pytest.raises(ConfigError):
        Template(template, data=Path("/data"))


def test_a_template_without_domain_serves_one_domain() -> None:
    assert check_template("/var/mail/{local}", ["example.org"]) is None
    assert check_template("/var/mail/{local}", ["example.org", "example.com"])


FOLDERS = st.lists(st.text(st.characters(exclude_characters="/."), min_size=1), min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize("encoding", ["utf-7", "utf-8"])
@given(folder=FOLDERS)
def test_a_folder_leads_back(encoding: str, folder: str) -> None:
    assume(check_folder(folder) is None and folder.upper() != "INBOX")
    directory = folder_on_disk(folder, encoding)  # type: ignore[arg-type]
    assert directory.startswith(".") and "/" not in directory and ".." not in directory
    assert len(os.fsencode(directory)) <= 255
    listed = folder_from_disk(directory, encoding)  # type: ignore[arg-type]
    assert listed is not None
    assert folder_on_disk(listed, encoding) == directory  # type: ignore[arg-type]


def test_folders_as_dovecot_has_them() -> None:
    assert folder_on_disk("交談歷程記錄") == ".&TqSKx2t3eguKGJME-"
    assert os.fsencode(folder_on_disk("交談歷程記錄", "utf-8")) == ".交談歷程記錄".encode()
    assert folder_on_disk("Recoverable Items/Purges") == ".Recoverable Items.Purges"
    assert folder_on_disk("Inbox") == ""


@pytest.mark.parametrize("directory", ["cur", ".", "..", ".a&b", ".ü", ".a..b", ".INBOX", "dovecot-uidlist"])
def test_a_directory_no_folder_leads_to_is_none(directory: str) -> None:
    assert folder_from_disk(directory) is None


def test_too_many_levels_are_refused() -> None:
    assert check_folder("/".join(["level"] * 40)) == "it has too many levels"


@pytest.mark.parametrize(
    ("file", "name", "flags"),
    [("a", "a", ""), ("a:2,", "a", ""), ("a:2,SF", "a", "FS"), ("a,S=12:2,Sa", "a,S=12", "Sa"), ("a:1,x", "a", "")],
)
def test_file_names(file: str, name: str, flags: str) -> None:
    assert split_file_name(file) == (name, flags)
