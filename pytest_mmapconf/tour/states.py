"""The values of the axes that describe a state: what is mapped, its history, and who else has it.

Each value is a function of the scene.  A docstring says what the value is.
"""

from __future__ import annotations

from ..contract import (
    SEAL_FUTURE_WRITE,
)
from ..reference.constants import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    MS_SYNC,
    O_APPEND,
    O_RDONLY,
    O_RDWR,
    PROT_NONE,
    PROT_READ,
)
from .scene import MAIN, NEIGHBOUR, PAGES, RW, SECOND, Scene, Setting

# ------------------------------------------------------------------------------------------------ which file, and how


def shared(setting: Setting) -> None:
    """A shared mapping of a file, whose descriptor stays open."""


def private(setting: Setting) -> None:
    """A private mapping of a file."""
    setting.flags = MAP_PRIVATE


def anonymous(setting: Setting) -> None:
    """Private anonymous memory."""
    setting.flags = MAP_PRIVATE | MAP_ANONYMOUS


def shared_anonymous(setting: Setting) -> None:
    """Shared anonymous memory."""
    setting.flags = MAP_SHARED | MAP_ANONYMOUS


def private_read_only(setting: Setting) -> None:
    """A private mapping by a descriptor that is open for reading only."""
    setting.flags, setting.open_flags = MAP_PRIVATE, O_RDONLY


def append(setting: Setting) -> None:
    """A shared mapping by a descriptor with O_APPEND."""
    setting.open_flags = O_RDWR | O_APPEND


def same_name(setting: Setting) -> None:
    """A shared mapping of one of two files with the same base name; the other is mapped beside it."""

    def make(scene: Scene) -> int:
        for folder in ("x", "y"):
            scene.call("mkdir", folder)
        other = scene.create("y/a", b"ABCDEFGH")
        scene.map_file(scene.actor, other, scene.at(SECOND + 2), setting.offset, 1)
        return scene.create("x/a")

    setting.make_file = make


def memfd(setting: Setting) -> None:
    """A shared mapping of a memfd."""
    setting.make_file = make_memfd


def memfd_private(setting: Setting) -> None:
    """A private mapping of a memfd."""
    setting.flags, setting.make_file = MAP_PRIVATE, make_memfd


def sealed(setting: Setting) -> None:
    """A private mapping of a memfd that is sealed against later writes."""

    def make(scene: Scene) -> int:
        fd = make_memfd(scene)
        scene.call("seal", fd, SEAL_FUTURE_WRITE)
        return fd

    setting.flags, setting.make_file = MAP_PRIVATE, make


def make_memfd(scene: Scene) -> int:
    """Return the descriptor of a new memfd with content."""
    fd = scene.call("memfd")
    if fd is None:
        return -1
    scene.fill(fd)
    return int(fd)


def nothing(scene: Scene) -> None:
    """No further step."""


def closed(scene: Scene) -> None:
    """The descriptor is closed after the history of the pages."""
    scene.io = int(scene.call("open", "a", O_RDWR) or 0)
    scene.call("close", scene.fd)


def reused(scene: Scene) -> None:
    """The descriptor is closed, and another file gets its number."""
    scene.io = int(scene.call("open", "a", O_RDWR) or 0)
    scene.call("close", scene.fd)
    scene.create("other", b"OPQRSTUV")


def unlinked(scene: Scene) -> None:
    """The file loses its name."""
    scene.call("unlink", "a")


# ---------------------------------------------------------------------------------------------------- size and place


def fixed(scene: Scene) -> None:
    """At a fixed address, from the beginning of the file."""


def chosen(scene: Scene) -> None:
    """At an address that the system chooses."""
    scene.setting.is_fixed = False


def window(scene: Scene) -> None:
    """From the second page of the file on."""
    scene.setting.offset = scene.page


def tail(scene: Scene) -> None:
    """The file ends within the last page of the mapping."""
    scene.setting.tail = 100


def across_2_gib(scene: Scene) -> None:
    """The offset of the first page is 2 GiB less one page, so that the mapping crosses 2 GiB."""
    scene.setting.offset = (1 << 31) - scene.page


def at_3_gib(scene: Scene) -> None:
    """From 3 GiB on: bits 30 and 31 of the offset are set."""
    scene.setting.offset = 3 << 30


def across_4_gib(scene: Scene) -> None:
    """The offset of the first page is 4 GiB less one page."""
    scene.setting.offset = (1 << 32) - scene.page


def at_4_gib(scene: Scene) -> None:
    """From 4 GiB on: the lower 32 bits of the offset are zero."""
    scene.setting.offset = 1 << 32


# ------------------------------------------------------------------------------------------------ what the range covers


def whole(scene: Scene) -> None:
    """The main mapping, three pages."""


def first(scene: Scene) -> None:
    """The first page of the mapping."""
    scene.length = 1 * scene.page


def middle(scene: Scene) -> None:
    """The second of the three pages."""
    scene.addr, scene.length = scene.main + scene.page, 1 * scene.page


def last(scene: Scene) -> None:
    """The last page of the mapping."""
    scene.addr, scene.length = scene.main + 2 * scene.page, 1 * scene.page


def odd(scene: Scene) -> None:
    """The first page and one byte of the second."""
    scene.length = scene.page + 1


def neighbours(scene: Scene, slot: int = NEIGHBOUR) -> None:
    """Map a page of another file, and then anonymous memory, next to the main mapping."""
    other = scene.create("b", b"ABCDEFGH")
    scene.map_file(scene.actor, other, scene.at(slot), scene.setting.offset, 1)
    flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    scene.call("mmap", scene.at(slot + 1), 1 * scene.page, RW, flags, -1, 0)


def two(scene: Scene) -> None:
    """The main mapping and the page after it, of another file."""
    neighbours(scene)
    scene.length = (PAGES + 1) * scene.page


def border(scene: Scene) -> None:
    """From the last page of the main mapping into the next mapping."""
    neighbours(scene)
    scene.addr, scene.length = scene.main + (PAGES - 1) * scene.page, 2 * scene.page


def three(scene: Scene) -> None:
    """The main mapping and two more, of another file and of none."""
    neighbours(scene)
    scene.length = (PAGES + 2) * scene.page


def alike(scene: Scene) -> None:
    """The main mapping and one next to it that is like it, of the following pages of its file."""
    setting = scene.setting
    if not scene.is_anonymous:
        scene.call("pwrite", scene.io, b"Y" * scene.program.page, setting.offset + PAGES * scene.page)
    offset = 0 if scene.is_anonymous else setting.offset + PAGES * scene.page
    scene.call("mmap", scene.at(NEIGHBOUR), 1 * scene.page, setting.prot, setting.flags | MAP_FIXED, scene.fd, offset)
    scene.addr, scene.length = scene.main + (PAGES - 1) * scene.page, 2 * scene.page


def hole_after(scene: Scene) -> None:
    """The last two pages of the mapping, and a page that is not mapped."""
    scene.addr, scene.length = scene.main + scene.page, PAGES * scene.page


def hole_before(scene: Scene) -> None:
    """A page that is not mapped, and the first page of the mapping."""
    scene.addr, scene.length = scene.main - scene.page, 2 * scene.page


def hole_between(scene: Scene) -> None:
    """The end of the mapping, a page that is not mapped, and another mapping."""
    neighbours(scene, NEIGHBOUR + 1)
    scene.addr, scene.length = scene.main + 2 * scene.page, 3 * scene.page


# ------------------------------------------------------------------------------------------- what the pages have been


def untouched(scene: Scene) -> None:
    """No page has been accessed."""


def loaded(scene: Scene) -> None:
    """Each page has been loaded from."""
    scene.load_each(scene.actor)


def stored(scene: Scene) -> None:
    """Each page has been stored to."""
    scene.store_each(scene.actor, b"S")


def partly(scene: Scene) -> None:
    """The second page has been stored to, the last one loaded from."""
    scene.call("store", scene.main + scene.page + 10, b"P")
    scene.call("load", scene.main + 2 * scene.page, 1)


def synced(scene: Scene) -> None:
    """Stored to, and written back by msync."""
    stored(scene)
    scene.call("msync", scene.main, PAGES * scene.page, MS_SYNC)


def stored_again(scene: Scene) -> None:
    """Stored to, written back, and stored to again."""
    synced(scene)
    scene.store_each(scene.actor, b"A", 20)


def written(scene: Scene) -> None:
    """Loaded from, and then changed by pwrite."""
    loaded(scene)
    scene.call("pwrite", scene.io, b"W" * 9, scene.setting.offset + scene.page - 4)


def stored_and_written(scene: Scene) -> None:
    """Stored to, and then changed by pwrite beside that."""
    stored(scene)
    scene.call("pwrite", scene.io, b"W" * 9, scene.setting.offset + scene.page + 40)


def cut(scene: Scene) -> None:
    """Stored to, and then the file was cut to its first mapped page."""
    stored(scene)
    scene.call("ftruncate", scene.io, scene.setting.offset + scene.page)


def regrown(scene: Scene) -> None:
    """Loaded from; the file was cut within the first page, and has its size again."""
    loaded(scene)
    scene.call("ftruncate", scene.io, scene.setting.offset + 100)
    scene.call("ftruncate", scene.io, scene.size)


def regrown_stored(scene: Scene) -> None:
    """Stored to, cut within the first page, grown again, and stored to past the cut."""
    stored(scene)
    scene.call("ftruncate", scene.io, scene.setting.offset + 100)
    scene.call("ftruncate", scene.io, scene.size)
    scene.store_each(scene.actor, b"G", 2000)


# ------------------------------------------------------------------------------------------ what the rights have been


def rw(scene: Scene) -> None:
    """Mapped with PROT_READ and PROT_WRITE."""


def mapped_read(setting: Setting) -> None:
    """Mapped with PROT_READ."""
    setting.prot = PROT_READ


def upgraded(scene: Scene) -> None:
    """Mapped and loaded with PROT_READ, and then given PROT_WRITE, before the history of the pages."""
    scene.load_each(scene.actor)
    protect(scene, RW)


def protect(scene: Scene, *prots: int, page: int = 0, pages: int = PAGES) -> None:
    """Set the protection of pages of the main mapping, one protection after another."""
    for prot in prots:
        scene.call("mprotect", scene.main + page * scene.page, pages * scene.page, prot)


def round_trip_before(scene: Scene) -> None:
    """Loaded; PROT_READ, PROT_NONE, and both rights again, before the history of the pages."""
    scene.load_each(scene.actor)
    protect(scene, PROT_READ, PROT_NONE, RW)


def round_trip(scene: Scene) -> None:
    """After the history of the pages PROT_READ, PROT_NONE, and both rights again."""
    protect(scene, PROT_READ, PROT_NONE, RW)


def read(scene: Scene) -> None:
    """After the history of the pages PROT_READ."""
    protect(scene, PROT_READ)


def none(scene: Scene) -> None:
    """After the history of the pages PROT_NONE."""
    protect(scene, PROT_NONE)


def split(scene: Scene) -> None:
    """The second page has PROT_READ only: three mappings."""
    protect(scene, PROT_READ, page=1, pages=1)


def split_first(scene: Scene) -> None:
    """The first page has PROT_NONE, so that the rest begins within the original mapping."""
    protect(scene, PROT_NONE, page=0, pages=1)


def split_back(scene: Scene) -> None:
    """The second page had PROT_NONE for a moment."""
    protect(scene, PROT_NONE, RW, page=1, pages=1)


# --------------------------------------------------------------------------------------------------- who else has it


def alone(scene: Scene) -> None:
    """None has: there is one mapping, in one process."""


def second(scene: Scene) -> None:
    """A second mapping of the same pages in the process, touched before the history of the pages."""
    scene.second = scene.at(SECOND)
    scene.map_file(scene.actor, scene.io, scene.second, scene.setting.offset)
    scene.call("load", scene.second + scene.page, 1)


def second_after(scene: Scene) -> None:
    """A second mapping of the same pages in the process, made after the history of the pages."""
    scene.second = scene.at(SECOND)
    scene.map_file(scene.actor, scene.io, scene.second, scene.setting.offset)


def overlapping(scene: Scene) -> None:
    """A second mapping in the process that begins at the second page."""
    scene.second = scene.at(SECOND)
    scene.map_file(scene.actor, scene.io, scene.second, scene.setting.offset + scene.page, 2)
    scene.call("load", scene.second, 1)


def child(scene: Scene) -> None:
    """A child, forked before the call."""
    scene.fork(scene.actor)


def child_touching(scene: Scene) -> None:
    """A child, forked before the call, that has stored to the pages."""
    born = scene.fork(scene.actor)
    if born is not None:
        scene.store_each(born, b"C", 30)


def parent_touching(scene: Scene) -> None:
    """A child, forked before the call; the parent has stored to the pages since."""
    scene.fork(scene.actor)
    scene.store_each(scene.actor, b"F", 30)


def in_child(scene: Scene) -> None:
    """A child, forked before the call, which makes the call."""
    born = scene.fork(scene.actor)
    scene.caller = born or scene.caller


def in_child_touching(scene: Scene) -> None:
    """A child that makes the call, after it has stored to the pages."""
    in_child(scene)
    if scene.caller is not scene.actor:
        scene.store_each(scene.caller, b"C", 30)


def child_ended(scene: Scene) -> None:
    """A child that has stored to the pages, and has ended."""
    born = scene.fork(scene.actor)
    if born is not None:
        scene.store_each(born, b"C", 30)
        scene.end(born)


def child_unmapped(scene: Scene) -> None:
    """A child that has unmapped its copy and closed its descriptors."""
    born = scene.fork(scene.actor)
    if born is not None:
        scene.call_of(born, "munmap", scene.main, PAGES * scene.page)
        for fd in {scene.fd, scene.io} - {-1}:
            scene.call_of(born, "close", fd)


def child_replaced(scene: Scene) -> None:
    """A child that has mapped other memory over its copy, and has stored to that."""
    born = scene.fork(scene.actor)
    if born is not None:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        scene.call_of(born, "mmap", scene.main, PAGES * scene.page, RW, flags, -1, 0)
        scene.store_each(born, b"R")


def grandchild(scene: Scene) -> None:
    """A grandchild, whose parent has ended."""
    born = scene.fork(scene.actor)
    if born is not None:
        scene.fork(born)
        scene.end(born)


def process(scene: Scene) -> None:
    """An unrelated process that maps the same file."""
    other = scene.program.new_actor(scene.program.system.spawn())
    scene.program.actors.append(other)
    fd = scene.call_of(other, "open", "a", O_RDWR)
    if fd is not None:
        addr = other.regions[0][0] + MAIN * scene.page
        scene.map_file(other, fd, addr, scene.setting.offset)
        scene.call_of(other, "load", addr, 1)
