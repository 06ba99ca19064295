"""What every store must do. An implementation joins by a subclass whose `world` fixture gives its `World`.

The archive joins `FilingContract`: nobody takes anything out of it by a mere name.

Nothing here knows how a store keeps its items; `World` does to them what a mail client or server would.
"""

from __future__ import annotations

from typing import Protocol

import pytest

from archiver.exceptions import ItemError, UsageError
from archiver.store.protocol import Put, Store, Where
from archiver.types import Item

ALICE, BOB = "alice@example.org", "bob@example.org"
HISTORY = "Conversation History"
CHANGED = 1_700_000_001_234_567


class World(Protocol):
    """A store, empty at first, and the hands of its mailboxes' owners."""

    store: Store

    def reflag(self, mailbox: str, folder: str, name: str, flags: str) -> None: ...

    def move(self, mailbox: str, folder: str, name: str, target: str, new_name: str) -> None: ...

    def expunge(self, mailbox: str, folder: str, name: str) -> None: ...


def make_item(number: int, content: str = "said", changed: int = CHANGED) -> Item:
    message_id = f"<{number:032x}@archiver.example>"
    return Item(
        key=f"{number:032x}",
        name=f"archiver.{number:032x}",
        message_id=message_id,
        subject="Conversation",
        date=changed - 60_000_000,
        changed=changed,
        seen=True,
        content=f"Subject: {number}\nMessage-ID: {message_id}\n\n{content} {number}\n".encode(),
    )


ONE, TWO = make_item(1), make_item(2)


class FilingContract:
    """Filing and reading, in whosever folders."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    def names(self, world: World, mailbox: str = ALICE, folder: str = HISTORY) -> list[str]:
        return [found.name for found in world.store.items(mailbox, folder)]

    def test_puts_an_item_as_it_is(self, world: World) -> None:
        assert world.store.put([Put(ALICE, HISTORY, ONE)]) == [None]
        found = world.store.locate(ALICE, HISTORY, ONE.name)
        assert found and (found.name, found.flags, found.is_new) == (ONE.name, "S", False)
        assert (found.size, found.modified, found.seen) == (len(ONE.content), CHANGED, True)
        assert world.store.read(ALICE, HISTORY, ONE.name) == ONE.content

    def test_an_item_without_flags_is_new(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE, "")])
        found = world.store.locate(ALICE, HISTORY, ONE.name)
        assert found and (found.flags, found.is_new, found.seen) == ("", True, False)

    def test_flags_and_keywords_are_kept_in_order(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE, "cSaFS")])
        found = world.store.locate(ALICE, HISTORY, ONE.name)
        assert found and found.flags == "FSac"

    @pytest.mark.parametrize("careful", [False, True])
    @pytest.mark.parametrize("flags", ["", "S"])
    def test_a_repeated_put_changes_nothing(self, world: World, careful: bool, flags: str) -> None:
        put = Put(ALICE, HISTORY, ONE, flags)
        world.store.put([put])
        assert world.store.put([put, put], careful=careful) == [None, None]
        assert self.names(world) == [ONE.name]

    @pytest.mark.parametrize("flags", ["", "F", "FST", "RSab"])
    def test_careful_finds_it_under_other_flags(self, world: World, flags: str) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        world.reflag(ALICE, HISTORY, ONE.name, flags)
        assert world.store.put([Put(ALICE, HISTORY, ONE)], careful=True) == [None]
        assert [(each.name, each.flags) for each in world.store.items(ALICE, HISTORY)] == [(ONE.name, flags)]

    def test_careful_files_what_was_moved_to_another_folder(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        world.move(ALICE, HISTORY, ONE.name, "Kept", "1700000000.M1P1.host")
        world.store.put([Put(ALICE, HISTORY, ONE)], careful=True)
        assert self.names(world) == [ONE.name]

    def test_locate_follows_flags_until_it_is_deleted(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        for flags in ("", "FS", "RSbc"):
            world.reflag(ALICE, HISTORY, ONE.name, flags)
            found = world.store.locate(ALICE, HISTORY, ONE.name)
            assert found and found.flags == flags
        world.reflag(ALICE, HISTORY, ONE.name, "ST")
        assert world.store.locate(ALICE, HISTORY, ONE.name) is None
        world.expunge(ALICE, HISTORY, ONE.name)
        assert world.store.locate(ALICE, HISTORY, ONE.name) is None

    def test_a_moved_item_is_not_there(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        world.move(ALICE, HISTORY, ONE.name, "Kept", "1700000000.M1P1.host")
        assert world.store.locate(ALICE, HISTORY, ONE.name) is None
        assert world.store.folders(ALICE) == [HISTORY, "INBOX", "Kept"]
        assert world.store.read(ALICE, "Kept", "1700000000.M1P1.host") == ONE.content

    def test_locates_many_in_order(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE), Put(BOB, HISTORY, TWO, "")])
        world.reflag(ALICE, HISTORY, ONE.name, "FRS")
        wanted = [
            Where(ALICE, HISTORY, TWO.name),
            Where(BOB, HISTORY, TWO.name),
            Where("nobody@example.org", HISTORY, ONE.name),
            Where(ALICE, HISTORY, ONE.name),
        ]
        found = world.store.locate_all(wanted)
        assert [each and each.flags for each in found] == [None, "", None, "FRS"]

    def test_lists_mailboxes_folders_and_items_sorted(self, world: World) -> None:
        assert world.store.mailboxes() == []
        world.store.put([Put(BOB, "交談歷程記錄", TWO), Put(ALICE, HISTORY, TWO), Put(ALICE, HISTORY, ONE, "")])
        assert world.store.mailboxes() == [ALICE, BOB]
        assert world.store.folders(BOB) == ["INBOX", "交談歷程記錄"]
        assert self.names(world) == [ONE.name, TWO.name]
        assert world.store.folders("nobody@example.org") == []
        assert list(world.store.items(ALICE, "No such folder")) == []

    def test_names_and_contents_of_many(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, TWO), Put(ALICE, HISTORY, ONE, "FRS")])
        assert world.store.names(ALICE, HISTORY) == [ONE.name, TWO.name]
        assert world.store.names(ALICE, "No such folder") == []
        wanted = [Where(ALICE, HISTORY, name) for name in (TWO.name, "nothing", ONE.name)]
        two, nothing, one = world.store.read_all(wanted)
        assert nothing is None
        assert two and one and [two[1], one[1], one[0].flags] == [TWO.content, ONE.content, "FRS"]
        assert [read and read[1] for read in world.store.read_all(wanted, 4)] == [b"Subj", None, b"Subj"]

    def test_asking_makes_nothing(self, world: World) -> None:
        assert world.store.locate(ALICE, HISTORY, ONE.name) is None
        with pytest.raises(UsageError):
            world.store.read(ALICE, HISTORY, ONE.name)
        assert world.store.mailboxes() == []

    def test_one_mailbox_however_its_address_is_written(self, world: World) -> None:
        world.store.put([Put("Jürgen@Bücher.Example", HISTORY, ONE)])
        assert world.store.locate("JU\u0308RGEN@xn--bcher-kva.example", HISTORY, ONE.name)
        assert world.store.mailboxes() == ["jürgen@xn--bcher-kva.example"]

    def test_nested_folders_and_inbox(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY + "/2024", ONE), Put(ALICE, "inbox", TWO)])
        assert world.store.folders(ALICE) == [HISTORY + "/2024", "INBOX"]
        assert self.names(world, folder="INBOX") == [TWO.name]

    @pytest.mark.parametrize(
        "folder", ["..", ".", "a.b", "a//b", "/a", "a/", "", " ", "a\0b", "a\nb", "\ud800", "../../x"]
    )
    def test_a_folder_name_that_leads_elsewhere_fails_alone(self, world: World, folder: str) -> None:
        bad, good = world.store.put([Put(ALICE, folder, ONE), Put(ALICE, HISTORY, ONE)])
        assert isinstance(bad, ItemError) and good is None

    @pytest.mark.parametrize("mailbox", ["", "@", "nick", "a@", "@b"])
    def test_what_is_no_address_fails_alone(self, world: World, mailbox: str) -> None:
        bad, good = world.store.put([Put(mailbox, HISTORY, ONE), Put(ALICE, HISTORY, ONE)])
        assert isinstance(bad, ItemError) and good is None
        assert world.store.mailboxes() == [ALICE]

    @pytest.mark.parametrize(
        "mailbox",
        [
            "../../etc@example.org",
            "..@..",
            "a/b@c/d",
            ".hidden@.example",
            "a\0b@example.org",
            "x" * 300 + "@" + "y" * 300,
        ],
    )
    def test_a_hostile_address_is_a_mailbox_like_any_other(self, world: World, mailbox: str) -> None:
        assert world.store.put([Put(mailbox, HISTORY, ONE), Put(ALICE, HISTORY, ONE)]) == [None, None]
        assert world.store.locate(mailbox, HISTORY, ONE.name)
        listed = [each for each in world.store.mailboxes() if each != ALICE]
        assert len(listed) == 1
        assert world.store.read(listed[0], HISTORY, ONE.name) == ONE.content

    @pytest.mark.parametrize("folder", ["對話" * 100, "x" * 300, "對話" * 100 + "/" + "y" * 200, "~" * 254])
    def test_a_long_folder_name_ends_well(self, world: World, folder: str) -> None:
        other = folder[:-1] + "z"
        assert world.store.put([Put(ALICE, folder, ONE), Put(ALICE, other, TWO)]) == [None, None]
        assert world.store.locate(ALICE, folder, ONE.name) and world.store.locate(ALICE, other, TWO.name)
        listed = [each for each in world.store.folders(ALICE) if each != "INBOX"]
        assert sorted(self.names(world, folder=each) for each in listed) == [[ONE.name], [TWO.name]]

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "a:2,S", ".x", "a\0", "x" * 201, "a b"])
    def test_a_base_name_that_cannot_be_ours_is_a_bug(self, world: World, name: str) -> None:
        """To look for it is none: others name theirs as they like."""
        item = make_item(1)
        assert world.store.locate(ALICE, HISTORY, name) is None
        with pytest.raises(ValueError, match="base name"):
            world.store.put(
                [
                    Put(
                        ALICE,
                        HISTORY,
                        type(item)(**{f: getattr(item, f) for f in item.__struct_fields__} | {"name": name}),
                    )
                ]
            )
        assert world.store.mailboxes() == []

    def test_reading_takes_no_path(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        with pytest.raises(UsageError):
            world.store.read(ALICE, "INBOX", f"../.{HISTORY}/cur/{ONE.name}:2,S")

    def test_many_at_once(self, world: World) -> None:
        items = [make_item(number) for number in range(1100)]
        puts = [Put(mailbox, HISTORY, item) for item in items for mailbox in (ALICE, BOB)]
        assert world.store.put(puts) == [None] * len(puts)
        assert self.names(world) == self.names(world, BOB) == [item.name for item in items]
        assert world.store.put([]) == []

    def test_where_there_can_be_no_item_none_is_found(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        wanted = [Where("nobody", HISTORY, ONE.name), Where(ALICE, "..", ONE.name), Where(ALICE, HISTORY, ONE.name)]
        assert [found is not None for found in world.store.locate_all(wanted)] == [False, False, True]


class StoreContract(FilingContract):
    """Folders that are their owners': these copy what lies there, and items are taken out of them."""

    def test_careful_finds_it_by_message_id_after_a_copy(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        world.move(ALICE, HISTORY, ONE.name, HISTORY, "1700000000.M1P1.host")
        outcomes = world.store.put([Put(ALICE, HISTORY, ONE), Put(ALICE, HISTORY, TWO)], careful=True)
        assert outcomes == [None, None]
        assert self.names(world) == ["1700000000.M1P1.host", TWO.name]

    @pytest.mark.parametrize("flags", ["", "S", "FSTb"])
    def test_removes_its_own_under_any_flags(self, world: World, flags: str) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE), Put(ALICE, HISTORY, TWO), Put(BOB, HISTORY, ONE)])
        world.reflag(ALICE, HISTORY, ONE.name, flags)
        assert world.store.remove(ALICE, HISTORY, ONE.name) is True
        assert world.store.remove(ALICE, HISTORY, ONE.name) is False
        assert self.names(world) == [TWO.name]
        assert world.store.read(BOB, HISTORY, ONE.name) == ONE.content

    def test_removes_only_the_exact_name(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        world.move(ALICE, HISTORY, ONE.name, HISTORY, ONE.name + "x")
        assert world.store.remove_all([Where(ALICE, HISTORY, ONE.name), Where(BOB, "No", ONE.name)]) == [False, False]
        assert self.names(world) == [ONE.name + "x"]

    def test_where_there_can_be_no_item_none_is_removed(self, world: World) -> None:
        world.store.put([Put(ALICE, HISTORY, ONE)])
        unwanted = [Where("nobody", HISTORY, ONE.name), Where(ALICE, "..", ONE.name), Where(ALICE, HISTORY, ONE.name)]
        assert world.store.remove_all(unwanted) == [False, False, True]

    @pytest.mark.parametrize("name", ["../x", "a/b", "a:2,S"])
    def test_removing_nothing_makes_nothing(self, world: World, name: str) -> None:
        assert world.store.remove(ALICE, HISTORY, ONE.name) is False
        with pytest.raises(ValueError, match="base name"):
            world.store.remove(ALICE, HISTORY, name)
        assert world.store.mailboxes() == []
