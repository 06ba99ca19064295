"""Search: words in every script, the query language, the index against a plain look at everything."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_search import finds

from archiver.events import SECOND
from archiver.exceptions import UsageError
from archiver.search import Order, parse
from archiver.search.document import Document, Texts
from archiver.search.excerpt import LENGTH, excerpt, marked
from archiver.search.index import Index, Seen
from archiver.search.query import And, Field, Not, Or, Since, Until, Words, wanted_words
from archiver.search.statement import statement
from archiver.search.words import Sort, fold, folded, tokens, units
from archiver.store.protocol import Where

ALICE, BOB = "alice@example.org", "bob@example.org"
WORLD = st.text(
    st.sampled_from(
        "abz éßÉİıﬁ09_-.@:#\"'()*\n 東京都行交談カガｶﾞﾊﾟがー한글대화각\u1112\u1161\u11abสวัสดีกำ👍🏽👩\u200d💻🇩🇪ЙйΣς"
        "שָׁلُغ\u0301\u0308\u0327½№\ufe0f\u3099\x00\ud800"
    ),
    max_size=30,
)


# Words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Straße ÉCOLE naïve", ["strasse", "ecole", "naive"]),
        ("東京都に", ["東京", "京都", "都に", "に"]),
        ("한국어 대화", ["한국", "국어", "어", "대화", "화"]),
        ("LINEで話", ["line", "で話", "話"]),
        ("ดี ครับ", ["ดี", "ี", "คร", "รั", "ับ", "บ"]),
        ("👍🏽 👩\u200d💻", ["👍", "👩", "💻"]),
        ("ｶﾞ ガ", ["ガ", "ガ"]),
        ("a_b 10:30 e-mail", ["a", "b", "10", "30", "e", "mail"]),
        ("שָׁלוֹם", ["שלום"]),
        ("x" * 100, ["x" * 64]),
        ("... !", []),
    ],
)
def test_text_becomes_words(text, found):
    assert tokens(text) == found


@given(WORLD | st.text(max_size=40))
def test_units_are_the_tokens_and_lie_in_the_text(text):
    pieces = list(units(text))
    assert len(pieces) == len(tokens(text))
    assert all(token.startswith(piece.text) for token, piece in zip(tokens(text), pieces, strict=True))
    assert all(0 <= piece.start < piece.end <= len(text) for piece in pieces)
    assert folded(text).text == fold(text)


@given(WORLD | st.text(max_size=40))
def test_case_and_form_make_no_difference(text):
    assert tokens(text) == tokens(unicodedata.normalize("NFC", text)) == tokens(unicodedata.normalize("NFD", text))


@given(st.text(st.sampled_from("aéßÖÑ Σσς東한"), max_size=20))
def test_capitals_make_no_difference(text):
    assert tokens(text.upper()) == tokens(text.lower())


# The query language


def words(text: str, field: Field = Field.ANY) -> Words:
    (made,) = wanted_words(parse(f'"{text}"').part)
    return Words(field, text, made.sought)


DAY = 86_400 * SECOND
MAY = 1_714_521_600 * SECOND  # 2024-05-01


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("lunch", words("lunch")),
        ("a b", And((words("a"), words("b")))),
        ("a AND b", And((words("a"), words("b")))),
        ("a b OR c", Or((And((words("a"), words("b"))), words("c")))),
        ("a (b OR c)", And((words("a"), Or((words("b"), words("c")))))),
        ("-a", Not(words("a"))),
        ("NOT a", Not(words("a"))),
        ('-"a b"', Not(words("a b"))),
        ("-(a OR b)", Not(Or((words("a"), words("b"))))),
        ("FROM:alice", words("alice", Field.FROM)),
        ('in:"my room"', words("my room", Field.IN)),
        ("after:2024-05", Since(MAY)),
        ("before:2024-05-01", Until(MAY)),
        ("on:2024-5", And((Since(MAY), Until(MAY + 31 * DAY)))),
        ("https://example.org", words("https://example.org")),
        ("10:30", words("10:30")),
        ("foo(bar)", words("foo(bar)")),
        ("(foo(bar) OR x)", Or((words("foo(bar)"), words("x")))),
        ("or", words("or")),
        ("東京", words("東京")),
    ],
)
def test_what_is_typed_is_what_is_asked(text, part):
    assert parse(text).part == part


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("", 0, "a word is missing"),
        ("a OR", 4, "a word is missing"),
        ("OR a", 0, "a word is missing"),
        ("a (b", 2, "parenthesis has no end"),
        ('say "so', 4, "quotation has no end"),
        ("a from:", 2, "nothing to look for"),
        ("a :)", 2, "nothing to look for in ':\\)'"),
        ("after:yesterday", 0, "after: takes 2024, 2024-05 or 2024-05-17, not 'yesterday'"),
        ("on:2024-02-30", 0, "there is no day 2024-02-30"),
        ("kind:chat", 0, "kind: takes im, group, conference, mail"),
        ("has:fun", 0, "has: takes file"),
        ("(" * 30 + "a" + ")" * 30, 20, "more than 20 within each other"),
        ("a " * 101, 200, "at most 100 words"),
        ("a" * 2_001, 2_000, "at most 2,000 characters"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text, at, why):
    with pytest.raises(UsageError, match=why) as error:
        parse(text)
    assert error.value.facts["at"] == at
    assert f"at character {at + 1}" in str(error.value)


# The index, against a plain look at everything


def document(number: int, said: str, first: int = MAY, **more: str | bool | int) -> Document:
    texts = dict.fromkeys(Texts.__struct_fields__, "") | {"said": said}
    texts |= {name: str(more.pop(name)) for name in list(more) if name in texts}
    facts = {"last": first, "kind": "im", "missed": False, "has_file": False} | more
    return Document(digest=number.to_bytes(16), first=first, texts=Texts(**texts), **facts)


def seen(made: Document, mailbox: str = ALICE, name: str = "") -> Seen:
    return Seen(Where(mailbox, "F", name or made.digest.hex()), made.digest, made)


def found(index: Index, query: str, mailbox: str | None = None, order: Order = Order.NEWEST) -> list[int]:
    asked = statement(parse(query).part, mailbox, order)
    numbers = index.documents(asked.text, asked.page(1_000, 0))
    return [int.from_bytes(row.document.digest) for row in index.rows(numbers, mailbox)]


@pytest.fixture
def index(tmp_path: Path):
    with Index.open(tmp_path / "index" / "history.db") as index:
        yield index


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    with Index.open(tmp_path_factory.mktemp("index") / "index" / "history.db") as index:
        yield index


_TERM = st.sampled_from(
    [
        *(
            "a",
            "éa",
            "東京",
            "東",
            "都行",
            "한글",
            "글",
            "대화",
            "สวั",
            "ดี",
            "👍",
            "ガ",
            "b*",
            '"a b"',
            '"a 東"',
            "10:30",
        ),
        *("from:a", "with:bob", "in:room", "subject:b", "file:plan", "after:2024-05", "before:2024-05-02", "on:2024"),
        *("kind:im", "kind:group", "has:file", "text:ß", "東京都", '"東 a"', "ﬁ", "각*"),
    ]
)
_QUERY = st.recursive(
    _TERM,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(" ".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} OR {two[1]})"),
        inner.map(lambda one: f"-({one})"),
    ),
    max_leaves=6,
)
_TEXT = st.lists(
    st.sampled_from(
        [*"ab東京都行한글대화", "สวัสดี", "東京都", "한글대화", "👍🏽", "ｶﾞ", "10:30", "ÉA", "ﬁ", "ß", "각하", " ", "-"]
    ),
    max_size=12,
).map("".join)
_FACTS = st.builds(
    dict,
    said=_TEXT,
    subject=_TEXT,
    authors=st.sampled_from(["", "a b", "bob"]),
    people=st.sampled_from(["", "bob\na b"]),
    room=st.sampled_from(["", "#room"]),
    files=st.sampled_from(["", "plan.png"]),
    kind=st.sampled_from(["im", "group"]),
    has_file=st.booleans(),
    first=st.integers(MAY - DAY, MAY + 2 * DAY),
)


@settings(deadline=None)
@given(st.lists(_FACTS, max_size=6), st.lists(_QUERY, min_size=1, max_size=8), st.data())
def test_the_index_finds_what_a_look_at_everything_finds(nothing, corpus, queries, data):
    made = [document(number, **facts) for number, facts in enumerate(corpus)]
    gone = data.draw(st.sets(st.sampled_from(range(len(made))))) if made else set()
    left = [each for number, each in enumerate(made) if number not in gone]
    try:
        nothing.change([seen(each) for each in made])
        nothing.change([], [seen(made[number]).where for number in gone])
        for query in queries:
            part = parse(query).part
            wanted = [int.from_bytes(each.digest) for each in left if finds(part, each)]
            assert sorted(found(nothing, query)) == wanted, query
            assert sorted(found(nothing, query, order=Order.RELEVANCE)) == wanted, query
            assert found(nothing, query, BOB) == []
    finally:
        nothing.change([], [seen(each).where for each in made])
    assert nothing.count == 0


_PIECES = [*'()"-*: ', "OR ", "AND", "NOT ", "from:", "on:", "2024", "a", "東", "x y"]


@settings(deadline=None, max_examples=300)
@given(text=st.lists(st.sampled_from(_PIECES)).map("".join) | WORLD)
def test_no_query_breaks_anything(nothing, text):
    try:
        query = parse(text)
    except UsageError as error:
        assert 0 <= error.facts["at"] <= len(text)
        return
    asked = statement(query.part, ALICE, Order.NEWEST)
    assert nothing.documents(asked.text, asked.page(10, 0)) == []
    marked(text, list(wanted_words(query.part)))


def test_the_newest_come_first_and_the_fitting_by_relevance(index):
    index.change([seen(document(1, "tea", MAY)), seen(document(2, "tea and cake and more", MAY + 1))])
    index.change([seen(document(3, "cake", MAY - DAY, subject="tea"))])
    assert found(index, "tea") == [2, 1, 3]
    assert found(index, "tea", order=Order.RELEVANCE) == [3, 1, 2]


def test_one_mailbox_finds_what_lies_in_it_alone(index):
    both, whisper = document(1, "hello all"), document(2, "hello all psst secret")
    index.change([seen(both, ALICE), seen(whisper, BOB)])
    assert (found(index, "hello", ALICE), found(index, "secret", ALICE)) == ([1], [])
    assert (found(index, "hello", BOB), found(index, "secret")) == ([2], [2])


def test_equal_items_are_one_document_until_the_last_has_gone(index):
    both = document(1, "hello")
    index.change([seen(both, ALICE), Seen(seen(both, BOB).where, both.digest, None)])
    index.change([], [seen(both, ALICE).where])
    assert (index.count, found(index, "hello", ALICE), found(index, "hello", BOB)) == (1, [], [1])
    index.change([], [seen(both, BOB).where])
    assert (index.count, found(index, "hello")) == (0, [])


def test_another_content_under_the_same_name_replaces_it(index):
    index.change([seen(document(1, "old"), name="n")])
    index.change([seen(document(2, "new"), name="n")])
    assert (found(index, "old"), found(index, "new"), index.count) == ([], [2], 1)


def test_documents_of_one_second_keep_apart(index):
    index.change([seen(document(number, "x")) for number in range(50)])
    index.change([seen(document(number, "x")) for number in range(50, 100)])
    assert sorted(found(index, "x")) == list(range(100))


# Excerpts


def marks_of(query: str, text: str) -> list[str]:
    shown = excerpt(text, list(wanted_words(parse(query).part)))
    return [shown.text[start:end] for start, end in shown.marks]


@pytest.mark.parametrize(
    ("query", "text", "shown"),
    [
        ("cafe", "ann: the Café is open", ["Café"]),
        ("strasse", "STRAẞE, Straße", ["STRAẞE", "Straße"]),
        ("京都", "行東京都市", ["京都"]),
        ("京", "東京", ["京"]),
        ("한국", "한국어", ["한국"]),
        ("가", "ㄱ 가나", ["가"]),
        ("👍", "ok 👍🏽!", ["👍🏽"]),
        ("ガ", "ｶﾞｷﾞ", ["ｶﾞ"]),
        ("fin*", "ﬁnale und finis", ["ﬁnale", "finis"]),
        ('"two words"', "bob: two, words two", ["two, words"]),
        ("a -b", "a b", ["a"]),
        ("from:bob", "bob: hi", ["bob"]),
        ("subject:x", "x", []),
    ],
)
def test_the_words_found_are_marked_where_they_stand(query, text, shown):
    assert marks_of(query, text) == shown


def test_an_excerpt_is_around_the_first_words_found():
    shown = excerpt("a line\n" + "w " * 500 + "needle " + "z " * 500, [words("needle")])
    assert shown.text.startswith("…") and shown.text.endswith("…") and len(shown.text) <= LENGTH + 2
    ((start, end),) = shown.marks
    assert shown.text[start:end] == "needle"


@given(WORLD, WORLD)
def test_marks_lie_in_what_is_shown_and_apart(text, query):
    try:
        asked = list(wanted_words(parse(query).part))
    except UsageError:
        return
    for shown in (excerpt(text, asked), marked(text, asked, *Field)):
        at = -1
        for start, end in shown.marks:
            assert at < start < end <= len(shown.text)
            at = end


@given(st.text(st.sampled_from("ab 東京한グ👍é\n"), min_size=1, max_size=20), st.data())
def test_what_is_found_in_what_was_said_is_marked(text, data):
    pieces = [piece for piece in units(text) if piece.sort is not Sort.SYMBOL]
    if pieces:
        piece = data.draw(st.sampled_from(pieces))
        assert excerpt(text, [words(text[piece.start : piece.end])]).marks
