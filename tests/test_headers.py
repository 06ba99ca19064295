"""Header fields: ASCII, folded, read back by the standard library as they were meant, never forged."""

from __future__ import annotations

from base64 import b64decode
from email import message_from_bytes
from email.headerregistry import AddressHeader
from email.policy import default

import pytest
from conversation_builder import address, words
from hypothesis import given

from archiver.rendering.headers import (
    addr_spec,
    addresses,
    answer_link,
    bare,
    clean,
    file_name,
    file_parameters,
    mailbox,
    normal,
    phrase,
    token,
    unstructured,
)


def read(field: str):
    message = message_from_bytes((field + "\n").encode("ascii"), policy=default)
    assert not message.defects
    (name,) = message.keys()
    assert not message[name].defects
    return message[name]


@given(words)
def test_free_text_survives_folding_and_encoding(value):
    field = unstructured("Subject", value)
    assert str(read(field)).strip() == clean(value, 1_000)
    assert max(map(len, field.splitlines())) <= 78


@given(words, address)
def test_mailboxes_survive_with_any_name(name, whose):
    spec = addr_spec("irc:libera/#room", whose)
    field = addresses("From", [mailbox(name, spec)])
    header = read(field)
    assert isinstance(header, AddressHeader)
    (one,) = header.addresses
    # Python up to 3.12 keeps the space between two encoded words of a phrase, which RFC 2047 6.2 drops.
    assert one.display_name.replace(" ", "") == clean(name).replace(" ", "")
    assert one.addr_spec == spec
    assert max(map(len, field.splitlines())) < 998


@given(words.filter(lambda name: not clean(name).isascii()))
def test_each_encoded_word_is_whole(name):
    encoded = phrase(name).split("\n ")
    assert all(len(word) <= 75 for word in encoded)
    assert "".join(b64decode(word[len("=?utf-8?b?") : -2]).decode() for word in encoded) == clean(name)


@given(words, address)
def test_every_address_becomes_a_valid_one(source, whose):
    spec = addr_spec(source, whose)
    local, _, domain = spec.rpartition("@")
    assert 0 < len(local) <= 64
    assert 0 < len(domain) <= 253
    assert spec.isascii()
    assert all(0 < len(label) <= 63 and label.strip("-") == label for label in domain.split("."))


@pytest.mark.parametrize(
    ("source", "given_", "expected"),
    [
        ("xmpp:chat.example.org", "alice@example.org/phone", "alice@example.org"),
        ("xmpp:chat.example.org", "xmpp:alice@example.org", "alice@example.org"),
        ("sip:example.org", "sip:alice@example.org;transport=tls", "alice@example.org"),
        ("matrix:example.org", "@alice:example.org", "alice@example.org"),
        ("irc:libera/#ubuntu", "nick|away", "nick=7Caway@libera.irc.invalid"),
        ("bbb:meet.example.org", "w_abc", "w_abc@meet.example.org.bbb.invalid"),
        ("x:y", "jörg@example.org", "j=C3=B6rg=40example=2Eorg@y.x.invalid"),
        ("x:y", "ceo@bücher.example", "ceo@xn--bcher-kva.example"),
        ("x:y", "a@b\r\nBcc: c@d", "a=40b=0D=0ABcc=3A=20c=40d@y.x.invalid"),
        ("x:y", "a..b@example.org", "a=2E=2Eb=40example=2Eorg@y.x.invalid"),
    ],
)
def test_addresses(source, given_, expected):
    assert addr_spec(source, given_) == expected


def test_long_ids_stay_apart():
    one, two = addr_spec("x:y", "ü" * 80 + "1"), addr_spec("x:y", "ü" * 80 + "2")
    assert one != two


@pytest.mark.parametrize(
    ("source", "whose", "link"),
    [
        ("xmpp:chat.example.org", "alice@example.org/phone", "xmpp:alice@example.org"),
        ("sip:example.org", "sip:alice@example.org", "sip:alice@example.org"),
        ("lync:example.org", "alice@example.org", "sip:alice@example.org"),
        ("im:example.org", "alice@example.org", "im:alice@example.org"),
        ("smtp:mail.example.org", "alice@example.org", "mailto:alice@example.org"),
        ("matrix:example.org", "@alice:example.org", "matrix:u/alice:example.org"),
        ("irc:libera/#ubuntu", "alice@example.org", ""),
        ("bbb:meet", "w_abc", ""),
        ("xmpp:x", "a?b%&c@example.org", ""),
    ],
)
def test_links_to_answer(source, whose, link):
    assert answer_link(source, whose) in (link, "xmpp:a%3Fb%25%26c@example.org" if "?" in whose else link)


@given(words)
def test_file_names_survive(name):
    in_type, in_disposition = file_parameters(name)
    fields = f"Content-Type: image/png{in_type}\nContent-Disposition: attachment{in_disposition}\n\n"
    message = message_from_bytes(fields.encode("ascii"), policy=default)
    assert not message["Content-Type"].defects
    assert not message["Content-Disposition"].defects
    assert message.get_filename() == file_name(name)
    assert max(map(len, fields.splitlines())) <= 80


@given(words)
def test_file_names_stay_in_their_folder(name):
    made = file_name(name)
    assert made
    assert not set(made) & set("/\\:\0\r\n\u202e")
    assert not made.startswith(".")


@given(words)
def test_identifiers_are_one_short_line_of_ascii(value):
    field = token("X-Archiver-Conversation", value)
    assert field.isascii()
    assert field.count("\n") == 1
    assert len(field) < 998
    assert str(read(field)) == field.partition(": ")[2].strip()


@given(address)
def test_normal_form_is_stable(whose):
    assert normal(normal(whose)) == normal(whose) or bare(bare(whose)) != bare(whose)


def test_no_line_break_control_or_override_is_left():
    assert clean("a\r\nb\0c\u202ed\u2028e\x85f\x1b[0m") == "a b c d e f [0m"
    assert clean("  ") == ""
    assert clean("x" * 300).endswith("…")
