"""The configuration: defaults, every key, units, and all problems at once."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from archiver.config import Config, keys, load, parse, quantities, settings, values
from archiver.config.archiving import meet
from archiver.config.sources.listening import apart
from archiver.config.templates import collide
from archiver.config.values import Endpoint, Wrong
from archiver.exceptions import ConfigError, EnvironmentFault
from archiver.sources import listening

calm = profile(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIXTURES = Path(__file__).parent.parent / "fixtures" / "config"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(tomllib.loads(text))
    return caught.value.problems


# --- defaults and every key --------------------------------------------------------------------------------------


def test_without_a_file_the_defaults_work():
    config = load()
    assert config.store.version == "15.2.2562.17"
    assert config.store.mode == 0o600
    assert config.conversations.idle == 600_000_000
    assert config.conversations.continuation == 7 * 86_400 * 1_000_000
    assert config.conversations.part_bytes == 5 * 1024 * 1024
    assert config.smtp.listen == Endpoint("127.0.0.1", 8025)
    assert config.smtp.lmtp is None
    assert config.default_mailbox.zone == "UTC"
    assert config.directory.every_domain == ()


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "empty.toml").write_bytes(b"\xef\xbb\xbf# nothing\n")
    assert load(tmp_path / "empty.toml") == load()


def flattened(table: dict, above: str = "") -> dict[str, object]:
    """Dotted keys as `config.keys()` writes them; a mapping of free keys stays one value."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        match value:
            case dict() if above + key != "directory.people":
                flat |= flattened(value, f"{above}{key}.")
            case [dict(), *_]:
                for each in value:
                    which = each["type"] if key == "source" else ""
                    flat |= flattened(each, f"{above}{key}[{which}].")
            case _:
                flat[above + key] = value
    return flat


def test_the_example_has_every_key_and_its_default():
    written = flattened(tomllib.loads((FIXTURES / "full.toml").read_text()))
    documented = {each.key: each.default for each in keys()}
    assert written.keys() == documented.keys()
    examples = re.compile(r"directory\.|.*\[")
    assert {k: v for k, v in written.items() if not examples.match(k)} == {
        k: v for k, v in documented.items() if not examples.match(k)
    }


def test_the_example_loads():
    config = load(FIXTURES / "full.toml")
    (carol,) = config.mailbox
    assert (carol.mailbox, carol.folder) == ("carol@example.org", "交談歷程記錄")
    assert config.directory.rewrite[0].target == "example.org"
    assert dict(config.directory.people)["@alice:matrix.example.net"] == "alice@example.org"
    assert Path(config.directory.file) == FIXTURES / "people.csv"
    assert config.directory.every_domain == ()


def test_every_key_has_a_sentence_and_a_default_that_loads():
    for each in keys():
        assert each.sentence.endswith(".") and len(each.sentence) <= 160, each
    everything: dict = {}
    for each in keys():
        *above, key = each.key.split(".")
        table = everything
        if "[" in each.key:
            continue
        for step in above:
            table = table.setdefault(step, {})
        table[key] = each.default
    assert parse(everything) == load()


def test_the_digest_is_stable_and_tells_configurations_apart():
    assert parse({}).digest == parse({"log": {"level": "info"}}).digest
    assert parse({}).digest != parse({"log": {"level": "debug"}}).digest
    assert len(load().digest) == 16


def test_config_is_frozen_and_hashable():
    with pytest.raises(AttributeError):
        load().store.version = "1"
    assert hash(load(FIXTURES / "full.toml")) == hash(load(FIXTURES / "full.toml"))


# --- problems ----------------------------------------------------------------------------------------------------


def test_all_problems_come_at_once():
    with pytest.raises(ConfigError) as caught:
        load(FIXTURES / "bad_values.toml")
    found = {problem.split(" = ")[0].split(": is missing")[0]: problem for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    assert sorted(found) == sorted(
        [
            "colour",
            "store.layout",
            "store.mail",
            "store.mode",
            "store.pairing",
            "mailbox[1].address",
            "mailbox[1].zone",
            "mailbox[1].locale",
            "mailbox[1].folder",
            "mailbox[2].address",
            "directory.domains[2]",
            'directory.people."alice@libera"',
            "conversations.idel",
            "conversations.span",
            "conversations.part_events",
            "conversations.lateness",
            "conversations.tail",
            "conversation",
            "smtp.listen",
        ]
    )
    assert "did you mean conversations.idle?" in found["conversations.idel"]
    assert "did you mean conversations?" in found["conversation"]
    assert "did you mean Europe/Berlin?" in found["mailbox[1].zone"]
    assert "LAYOUT=fs" in found["store.layout"]
    assert caught.value.hint and caught.value.facts["file"].endswith("bad_values.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("idle = '1m'", "idle = '1m': is no key here; did you mean conversations.idle?"),
        ("[store]\nversion = 15.2", "store.version = 15.2: must be a string, in quotes"),
        ("[store]\nmode = 600", "store.mode = 600: must be a string, in quotes"),
        ("[store]\nmode = '0400'", "store.mode = '0400': must let the owner read and write"),
        ("store = 3", "store = 3: must be a table"),
        ("[mailbox]\naddress = 'a@example.org'", "must be an array of tables"),
        ("[conversations]\nidle = '13h'", "conversations.idle = '46800s': must not be longer than conversations.span"),
        ("[conversations]\nidle = '0s'", "conversations.idle = '0s': must be from 1s to 7d"),
        ("[conversations]\npart_events = 0", "conversations.part_events = 0: must be from 1 to 100000"),
        ("[conversations]\nidle = '10'", "must be a string like"),
        ("[conversations]\nidle = '-5m'", "must be a string like"),
        ("[conversations]\nidle = '5m!'", "must be a string like"),
        ("[history]\nenabled = 'yes'", "history.enabled = 'yes': must be true or false"),
        ("[log]\nformat = 'xml'", 'must be one of "auto", "json", "console"'),
        ("[smtp]\nlisten = 'localhost:99999'", "smtp.listen"),
        ("[store]\nowner = 'a b'", "store.owner = 'a b': must be a user's name or number"),
        (
            "[[mailbox]]\naddress='a@x.org'\n[[mailbox]]\naddress='A@x.org'",
            "mailbox[2].address = 'a@x.org': has a table",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nfolder='a/b'",
            "mailbox[1].folder = 'a/b': a folder's name can't contain '/'",
        ),
        ("[[mailbox]]\naddress='a@x.org'\nfolder='" + "x" * 250 + "'", "is too long"),
        ("[transcript]\nzone = '../../etc/passwd'", "transcript.zone = '../../etc/passwd': is no time zone"),
        ("[transcript]\nlocale = '../../etc'", "transcript.locale = '../../etc': is no locale"),
        ("[directory.people]\nbob = 'a@x.org'\nBOB = 'b@x.org'", "is the same address as one above"),
        (
            "[[directory.rewrite]]\nfrom='a.org'\nto='b.org'\n[[directory.rewrite]]\nfrom='b.org'\nto='c.org'",
            "apply once",
        ),
        (
            "[[directory.rewrite]]\nfrom='a.org'\nto='b.org'\n[[directory.rewrite]]\nfrom='A.org'\nto='c.org'",
            "earlier rule",
        ),
        ("[store]\nmail = '{data}/mail/{local}'", "store.mail = '{data}/mail/{local}'"),
        ("[store]\nmail = '{data}/mail/{domain}-{local}'", "store.mail"),
        ("[store]\nmail = '{data}/mail/{domain}{local}'", "store.mail"),
        ("[store]\nmail = 'mail/{domain}/{local}'", "store.mail"),
        ("[store]\nmail = '/a/../{domain}/{local}'", "store.mail"),
        ("[store]\nmail = '/a/{domain}/{home}/{local}'", "store.mail"),
        ("[store]\narchive = '{data}/mail/{domain}/{local}'", "give it a tree of its own"),
        ("[store]\nmail = '{data}/{domain}/{local}'", "give it a tree of its own"),
    ],
)
def test_one_problem(text, problem):
    (found,) = problems(text)
    assert problem in found


POOL = "[[archiving.pool]]\nname='{}'\nsources={}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[archiving]\narchive = 'all'", 'archiving.archive = \'all\': must be one of "none", "im", "im+conference"'),
        ("[archiving]\ncache_purge_hours = 3", "archiving.cache_purge_hours = 3: must be from 4 to 168"),
        ("[archiving]\ncache_purge_hours = 169", "archiving.cache_purge_hours = 169: must be from 4 to 168"),
        ("[archiving]\nkeep_days = 2563", "archiving.keep_days = 2563: must be from 1 to 2562"),
        ("[archiving]\npurge_hour = 24", "archiving.purge_hour = 24: must be from 0 to 23"),
        ("[[archiving.pool]]\nname = 'one'", "archiving.pool[1].sources: is missing"),
        (POOL.format("one", "[]"), "archiving.pool[1].sources = []: must be a list of sources with something in it"),
        (POOL.format("one two", "['x:y']"), "archiving.pool[1].name = 'one two': must be a plain name"),
        (
            POOL.format("one", "['a']") + POOL.format("one", "['b']"),
            "archiving.pool[2].name = 'one': has a table already",
        ),
        (
            POOL.format("one", "['irc:*']") + POOL.format("two", "['xmpp:x', '*/#ubuntu']"),
            "archiving.pool[2].sources[2] = '*/#ubuntu': can be a source of pool one too ('irc:*')",
        ),
        (
            POOL.format("one", "['a']") + "keep_days = 30",
            "archiving.pool[1].archive: is missing: a scope with keys of its own (keep_days) stands alone",
        ),
        (
            "[[archiving.site]]\nname = 'berlin'\npools = ['one']",
            "archiving.site[1].pools[1] = 'one': is no [[archiving.pool]]",
        ),
        (
            POOL.format("one", "['a']")
            + "".join(f"[[archiving.site]]\nname = '{name}'\npools = ['one']\n" for name in ("berlin", "bonn")),
            "archiving.site[2].pools[1] = 'one': is in site berlin already",
        ),
        ("[policy]\ninternal = 'yes'", "policy.internal = 'yes': must be true or false"),
        ("[[policy.site]]\nname = 'berlin'", "policy.site[1].name = 'berlin': is no [[archiving.site]]"),
        (
            "[[policy.user]]\naddress='a@x.org'\n[[policy.user]]\naddress='mailto:A@X.org'",
            "policy.user[2].address = 'a@x.org': has a table already",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nexchange_archiving='UseLyncArchivingPolicy'",
            "mailbox[1].exchange_archiving = 'UseLyncArchivingPolicy': is written \"local\" here",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nmigration='migrating'",
            "mailbox[1].migration_ends: is missing: both stores at once is a state of migration, and must have an end",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nmigration_ends='2099-01-31'",
            "mailbox[1].migration_ends = '2099-01-31': needs migration = \"migrating\"",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nmigration='migrating'\nmigration_ends='soon'",
            "mailbox[1].migration_ends = 'soon': must be a day like 2027-03-31",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nmigration='legacy'\nexchange_archiving='mailbox'",
            "mailbox[1].migration = 'legacy': contradicts exchange_archiving = \"mailbox\"",
        ),
        (
            "[[mailbox]]\naddress='a@x.org'\nmigration='migrating'\nmigration_ends=2099-01-31\nexchange_archiving='local'",
            "mailbox[1].migration = 'migrating': contradicts exchange_archiving = \"local\"",
        ),
    ],
)
def test_one_problem_of_archiving(text, problem):
    (found,) = problems(text)
    assert problem in found


def test_a_pool_without_keys_of_its_own_is_only_a_name():
    config = parse(tomllib.loads(POOL.format("one", "['a', 'a']") + POOL.format("two", "['b']") + "archive = 'none'"))
    assert [(pool.name, pool.sources, pool.is_own) for pool in config.archiving.pool] == [
        ("one", ("a",), False),
        ("two", ("b",), True),
    ]


def test_days_as_toml_writes_them_or_in_quotes():
    assert quantities.last_day("1970-01-01") == 86_400 * 1_000_000
    assert quantities.last_day(date(2027, 3, 31)) == quantities.last_day("2027-03-31")
    assert quantities.day(quantities.last_day("2027-03-31")) == "2027-03-31"
    for wrong in ("", "2027-02-30", 20270331, datetime(2027, 3, 31), None):
        with pytest.raises(Wrong, match="must be"):
            quantities.last_day(wrong)


signs = st.text("ab*?", max_size=4)


@calm
@given(signs, signs)
def test_two_patterns_meet_where_one_source_fits_both(one, other):
    fits = [re.compile(re.escape(each).replace(r"\*", ".*").replace(r"\?", ".")) for each in (one, other)]
    sources = ("".join(each) for length in range(7) for each in product("abc", repeat=length))
    assert meet(one, other) == any(all(fit.fullmatch(source) for fit in fits) for source in sources)


def test_an_archive_inside_mailboxes_is_a_problem():
    with pytest.raises(ConfigError, match="tree of its own"):
        load(FIXTURES / "bad_tree.toml")


def test_a_path_without_domain_is_allowed_where_there_is_only_one():
    text = "[store]\nmail='/var/vmail/{local}'\n[directory]\ndomains=['example.org']\n"
    assert parse(tomllib.loads(text)).directory.every_domain == ("example.org",)
    assert "store.mail" in problems(text + "people={bob='bob@example.net'}")[0]
    assert "store.mail" in problems(text + "file='people.csv'")[0]


def test_nothing_of_a_problem_can_move_a_terminal():
    (found,) = problems('[log]\nlevel = "\\u001b[2J\\n\\u202e"')
    (unknown,) = problems('"\\u001b[2J\\n" = 1')
    assert (found + unknown).isprintable()
    (long,) = problems(f"[log]\nlevel = '{'x' * 5000}'")
    assert len(long) < 200


@pytest.mark.parametrize("name", ["bad_syntax.toml", "bad_charset.toml"])
def test_what_is_no_toml_is_the_users_mistake(name):
    with pytest.raises(ConfigError) as caught:
        load(FIXTURES / name)
    assert "is not TOML" in caught.value.problems[0] and caught.value.hint


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(path) in caught.value.problems[0]


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("1h 30m", 5400), ("90 s", 90), ("1500ms", 1.5), ("1w", 604_800)],
)
def test_durations(text, seconds):
    assert quantities.duration("0s", "366d")(text) == seconds * 1_000_000


@pytest.mark.parametrize(("text", "count"), [("0B", 0), ("5MiB", 5 << 20), ("5MB", 5_000_000), ("64KiB", 65_536)])
def test_sizes(text, count):
    assert quantities.size("0B", "1GiB")(text) == count


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:25", Endpoint("127.0.0.1", 25)),
        ("[::1]:25", Endpoint("::1", 25)),
        (":8025", Endpoint("", 8025)),
        ("/run/archiver/lmtp", Endpoint(path="/run/archiver/lmtp")),
    ],
)
def test_endpoints(text, endpoint):
    assert values.endpoint(text) == endpoint


def test_locales_come_out_in_babels_name():
    assert values.locale("zh-TW") == "zh_Hant_TW"
    assert values.locale("de") == "de"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@calm
@given(st.dictionaries(st.sampled_from([key for key, _, _ in settings.settings_of(Config)]), anything, max_size=4))
def test_any_input_is_a_config_or_named_problems(raw):
    try:
        assert isinstance(parse(raw), Config)
    except ConfigError as error:
        assert error.problems and all(problem.isprintable() for problem in error.problems)


@calm
@given(st.sampled_from([each.key for each in keys() if "[" not in each.key]), anything)
def test_any_value_of_any_key_is_taken_or_named(key, value):
    section, name = key.split(".")
    try:
        parse({section: {name: value}})
    except ConfigError as error:
        assert error.problems and all(problem.startswith((key, "store.", section)) for problem in error.problems)


@calm
@given(st.text(max_size=30))
def test_readers_raise_nothing_but_wrong(text):
    for read in (values.zone, values.locale, values.folder, values.address, values.domain, values.endpoint):
        try:
            assert read(text) is not None
        except Wrong as wrong:
            assert str(wrong)


def test_trees_that_meet():
    assert collide("/v/{domain}/{local}", "/v/{domain}/{local}")
    assert collide("/v/{domain}", "/v/archive/{local}")
    assert not collide("/v/mail/{domain}/{local}", "/v/archive/{domain}/{local}")
    assert not collide("/v/{local}@{domain}", "/v/archive/{domain}/{local}")
    assert not collide("{data}/{domain}/{local}", "/v/{domain}/{local}")


# --- sources -----------------------------------------------------------------------------------------------------

DIGEST = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
LOGIN = {"name": "exchange", "sha256": DIGEST}


def http(**more: object) -> dict:
    token = {"name": "gateway", "sources": ["xmpp:*"], "sha256": DIGEST}
    return {"type": "http", "name": "chat", "token": [token]} | more


def webhook(**more: object) -> dict:
    secret = {"name": "slack", "env": "SLACK_SECRET"}
    return {"type": "webhook", "name": "slack", "product": "slack", "secret": [secret]} | more


def source_problems(*tables: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse({"source": list(tables)})
    return caught.value.problems


def test_a_source_has_its_defaults_and_listens_where_it_says():
    config = parse({"source": [http(), http(name="other", listen="/run/archiver/http")]})
    assert [key for key, _ in config.endpoints] == ["smtp.listen", "source[1].listen", "source[2].listen"]
    assert not config.blocking and parse({"source": [http(blocking=True)]}).blocking
    assert config.source[0].token[0].sources == ("xmpp:*",)


@pytest.mark.parametrize(
    ("tables", "key", "why"),
    [
        ([7], "source[1]", "must be a table"),
        ([{}], "source[1].type", "is missing"),
        ([{"type": 7}], "source[1].type", "must be a string"),
        ([http(type="carrier pigeon")], "source[1].type", "must be one of"),
        ([http(token=[])], "source[1].token", "nobody may write"),
        ([http(colour="red")], "source[1].colour", "is no key"),
        ([http(name="Not a name")], "source[1].name", "plain name"),
        ([http(), http(listen="127.0.0.1:9999")], "source[2].name", "already"),
        ([http(), http(name="b")], "source[2].listen", "is source[1].listen already"),
        ([http(listen="127.0.0.1:8025")], "source[1].listen", "is smtp.listen already"),
        ([http(listen=":8025")], "source[1].listen", "is smtp.listen already"),
        ([{"type": "smtp", "name": "mail", "listen": "127.0.0.1:1"}], "source[1].name", "the name of [smtp]"),
        (
            [{"type": "smtp", "name": "b", "listen": "127.0.0.1:1", "require_tls": True}],
            "source[1].require_tls",
            "needs",
        ),
        ([{"type": "smtp", "name": "b", "listen": ":1", "login": [LOGIN]}], "source[1].login", "loopback"),
        ([{"type": "smtp", "name": "b", "listen": ":1", "clients": ["x"]}], "source[1].clients[1]", "no network"),
        ([webhook(certificate="/a.pem")], "source[1].certificate", "needs its key"),
        ([webhook(product="telex")], "source[1].product", "must be one of"),
        ([webhook(product="bigbluebutton")], "source[1].url", "checksum"),
        ([webhook(secret=[])], "source[1].secret", "anybody could write"),
        ([webhook(secret=[{"name": "a", "sha256": DIGEST}])], "source[1].secret[1].sha256", "the secret itself"),
        ([http(certificate="/a.pem")], "source[1].certificate", "needs its key"),
        ([http(key="/a.pem")], "source[1].certificate", "needs its key"),
        ([http(client_ca="/a.pem")], "source[1].client_ca", "needs a certificate"),
        ([http(certificate="a.pem", key="/k")], "source[1].certificate", "path from the root"),
        ([http(token=[{"name": "a", "sources": ["*"]}])], "source[1].token[1]", "needs one of"),
        (
            [http(token=[{"name": "a", "sources": ["*"], "env": "A", "file": "/a"}])],
            "source[1].token[1]",
            "needs one of",
        ),
        ([http(token=[{"name": "a", "sources": [], "env": "A"}])], "source[1].token[1].sources", "something in it"),
        ([http(token=[{"name": "a", "sources": ["*"], "sha256": "secret"}])], "source[1].token[1].sha256", "64"),
        (
            [http(token=[{"name": n, "sources": ["*"], "sha256": DIGEST} for n in "ab"])],
            "source[1].token[2].sha256",
            "another's secret",
        ),
        (
            [http(token=[{"name": "a", "sources": ["*"], "env": n} for n in "AB"])],
            "source[1].token[2].name",
            "another's name",
        ),
    ],
)
def test_what_is_wrong_with_a_source(tables, key, why):
    (problem,) = source_problems(*tables)
    assert problem.startswith(key) and why in problem


HOSTS = ("", "0.0.0.0", "::", "127.0.0.1", "127.0.0.2", "::1", "localhost")


@pytest.mark.parametrize("one", HOSTS)
@pytest.mark.parametrize("other", HOSTS)
def test_two_that_meet_are_those_that_the_system_keeps_apart(one: str, other: str, free_port) -> None:
    """Where the machine has both versions of IP. That `localhost` is ::1 too isn't everywhere so, and not told."""
    port = free_port()
    told = list(apart([("first", Endpoint(one, port)), ("second", Endpoint(other, port))]))
    bound = listening.bind(listening.Address(one, port))
    try:
        listening.release(listening.bind(listening.Address(other, port)))
        assert not told
    except EnvironmentFault:
        uncertain = "localhost" in (one, other) and {one, other} & {"::", "::1"}
        assert [why for _, _, why in told] == ["is first already"] or uncertain
    finally:
        listening.release(bound)


def test_one_port_is_apart_from_another_and_socket_files_by_their_paths() -> None:
    places = [
        Endpoint("", 1),
        Endpoint("", 2),
        Endpoint("127.0.0.1", 0),
        Endpoint("", 0),
        Endpoint(path="/a"),
        Endpoint(path="/b"),
    ]
    assert not list(apart([(str(number), each) for number, each in enumerate(places)]))
    assert list(apart([("a", Endpoint(path="/a")), ("b", Endpoint(path="/a"))])) == [("b", "/a", "is a already")]


@calm
@given(st.sampled_from([each.key for each in keys() if each.key.startswith("source[http].")]), anything)
def test_any_value_of_any_key_of_a_source_is_taken_or_named(key, value):
    *above, name = key.removeprefix("source[http].").split(".")
    table = http()
    (table["token"][0] if above else table)[name] = value
    try:
        parse({"source": [table]})
    except ConfigError as error:
        assert error.problems and all(problem.startswith("source[1].") for problem in error.problems)


COMPONENT = {
    "type": "xmpp-component",
    "name": "plain",
    "component": "archiver.example.org",
    "hosts": ["example.org"],
    "secret": [{"name": "server", "file": "/etc/secret"}],
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"server": "/run/xmpp"}, "source[1].server"),
        ({"server": "nowhere"}, "source[1].server"),
        ({"component": "not a host"}, "source[1].component"),
        ({"hosts": []}, "source[1].hosts"),
        ({"rooms": ["Example.org"]}, "source[1].rooms"),
        ({"secret": []}, "source[1].secret"),
        ({"secret": [{"name": "server", "sha256": "a" * 64}]}, "source[1].secret[1].sha256"),
        ({"secret": [{"name": each, "file": "/etc/secret"} for each in "ab"]}, "source[1].secret"),
        ({"listen": "127.0.0.1:1"}, "source[1].listen"),
    ],
)
def test_a_component_is_told_what_is_wrong_with_it(change, told):
    assert parse({"source": [COMPONENT]}).source[0].rooms == ()
    with pytest.raises(ConfigError) as caught:
        parse({"source": [COMPONENT | change]})
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith(told)
