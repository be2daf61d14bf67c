"""All the steps together, and how often each is drawn.

A program has a *theme*, which its first byte decides: half of them draw from everything, the others mostly from the few
steps that have to do with one another.  What hangs on several steps in a row is hardly ever met otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ..contract import Facility
from .access_steps import AccessSteps
from .draws import Digits
from .file_steps import FileSteps
from .mapping_steps import MappingSteps
from .model_view import Actor
from .process_steps import LifeSteps

EVERYTHING: Final = """
mmap*7 store*7 load*3 munmap*3 mremap*3 pwrite*2 pread*2 msync*2 mprotect*2 ftruncate*2 fork*3 open*2 madvise*2
close dup unlink exit mlock munlock execute sysconf fsync read_into write_from seldom*4
"""
"""The steps, each as often as it is drawn."""

SELDOM: Final = "seldom"
"""Stands for one of the rare steps."""

RARE: Final = (
    *(
        "memfd",
        "drop_capability",
        "set_limit_headroom",
        "mlockall",
        "mlock2",
        "munlockall",
        "mincore",
        "exec",
        "spawn",
        "run_concurrently",
    ),
    *("full_file_table", "flock", "record_lock", "watch", "lseek", "fstat", "drop_cache", "elsewhere"),
)
"""The steps that are drawn seldom, because they cost much or few clauses hang on them."""


class Theme(NamedTuple):
    """What a program is about."""

    steps: tuple[str, ...]
    mistakes: int = 1
    """How many times as often as usual something is wrong on purpose."""
    place: Facility | None = None
    """Where its files are."""


def theme(steps: str, mistakes: int = 1, place: Facility | None = None) -> Theme:
    """A theme by its steps, each as often as the number behind it says."""
    drawn: list[str] = []
    for word in steps.split():
        name, _, times = word.partition("*")
        drawn += [name] * int(times or 1)
    return Theme(tuple(drawn), mistakes, place)


STEPS: Final = theme(EVERYTHING).steps

STORAGE: Final = """
mmap*4 store*6 msync*5 munmap mremap mprotect pwrite fsync open fork*2 exit close mlock crash*3
"""

THEMES: Final = (
    *(theme(EVERYTHING),) * 12,
    theme(EVERYTHING, mistakes=4),
    *(theme("mmap*4 mremap*4 munmap*2 store*3 load*2 fork mprotect mlock madvise ftruncate msync", mistakes=4),) * 2,
    *(theme("mmap*8 memfd open dup mremap munmap", mistakes=5),) * 2,
    theme("mmap*4 mremap*6 munmap*2 store*4 load*2 fork*2 mprotect*2 mlock*2 mincore open close madvise"),
    *(theme("open*3 mmap*4 mprotect*6 protect_three fork mremap*3 munmap store*2 load append", mistakes=4),) * 2,
    theme("memfd*6 mmap*5 mprotect*3 ftruncate*3 store*2 pwrite*2 munmap fork madvise*2 mremap"),
    theme("zeros*5 store*4 load*3 fork*2 munmap*2 mremap mprotect madvise"),
    theme(
        "odd_call*8 open*3 close memfd mmap exec*2 dup fork append*2 drop_capability ftruncate unlink read_into"
        " write_from"
    ),
    *(
        theme(
            "mlock*4 munlock*3 mlockall*2 munlockall*2 mlock2*2 mmap*4 fork*2 exec set_limit_headroom mincore*2"
            " pwrite*3 store mremap*2 msync*2 mprotect*3 madvise*2 drop_cache munmap recount*2 gain_locked",
            mistakes=2,
        ),
    )
    * 2,
    theme("mmap*3 mprotect*6 store*3 load*3 execute*3 fork exit memfd*2 open*2 munmap mremap msync elsewhere"),
    theme(
        "mmap*4 mlock*3 munlock mlock2 mlockall*2 munlockall set_limit_headroom*3 munmap*2 mremap*4 mprotect fork store"
        " mincore*2 recount*4"
    ),
    theme("large*5 data*3 many*2 mmap*2 munmap*2 mremap*5 drop_capability mprotect fork full_file_table", mistakes=2),
    *(
        theme(
            "mseal*3 mmap*5 munmap*3 mprotect*3 mremap*4 madvise*3 store*3 fork*2 mlock exec execute*2 seal_and_cut",
            mistakes=2,
        ),
    )
    * 3,
    theme(
        "set_old_mtime*6 has_old_mtime*8 mmap*4 store*6 load*3 fsync msync*2 pwrite ftruncate read_into open fork "
        "munmap"
    ),
    theme("stack*2 below*6 mmap load store mprotect munmap fork"),
    *(
        theme(
            "mmap*6 fork*4 exit*4 exec spawn store*6 load*3 munmap madvise mprotect mremap msync run_concurrently"
            " add_alone"
        ),
    )
    * 5,
    theme("mmap*3 ftruncate*4 store*3 load pwrite*3 pread fork munmap mremap madvise msync open"),
    theme(
        "mmap*3 munmap*2 open*3 close*3 dup flock*4 record_lock*2 watch*4 unlink fork exit exec mremap*3 memfd let_go*3"
        " leave*2 lock_and_close*2"
    ),
    theme(
        "mmap*2 pread*2 pwrite*2 ftruncate*2 lseek fstat*2 open*2 close dup read_into*2 write_from*2 memfd*3 drop_cache"
    ),
    theme("mmap*3 madvise*8 free_some store*4 load*3 fork*3 mlock*2 mincore*2 memfd pread", mistakes=2),
    *(theme("mmap*3 inherit*6 store*6 fork*4 exit*3 mlock"),) * 2,
    theme("mmap*4 mincore*8 store*4 load madvise munmap mremap mlock mprotect"),
    theme("mmap*4 store*4 load*2 munmap*2 execute*2 mprotect open*2 mincore elsewhere*2", mistakes=3),
    theme(STORAGE),
    *(theme(STORAGE, place=Facility.CRASHING_FILE_SYSTEM),) * 3,
)
"""What programs are about, each as often as it is drawn.  The first is the simplest."""

COSTLY: Final = 2
"""One program in so many of a theme whose place costs much to make is really there."""


def at_home(begin: bytes) -> bytes:
    """What a program begins with whose files are in the system's own folder, and whose steps are the same."""
    theme = THEMES[begin[0] % len(THEMES)]
    return bytes((THEMES.index(theme._replace(place=None)),)) + begin[1:] if theme.place else begin


PARTIAL: Final = (
    "mseal",
    "mprotect",
    "protect_three",
    "mlock",
    "mlock2",
    "munlock",
    "mlockall",
    "munlockall",
    "madvise",
)
"""The steps that can fail half-way, what is done then being known for Linux only."""


class World(MappingSteps, AccessSteps, FileSteps, LifeSteps):
    """What a program acts in.

    Each step is a method, given an actor and the digits of the step; it makes one call, or a few more where a file or
    descriptor is missing.
    """

    steps = STEPS
    """The steps that are drawn from."""

    def begin(self, data: bytes) -> None:
        """Take the theme that a program's first bytes say."""
        digits = Digits(data)
        theme = digits.of(THEMES)
        if theme.place is not None and not digits.once_in(COSTLY):
            theme = theme._replace(place=None)
        self.steps, self.mistakes = theme.steps, theme.mistakes
        if theme.place is not None:
            self.move_to(theme.place)

    def step(self, data: bytes) -> None:
        """Make the step that `data` stands for; zeros for none.  Raises Divergence and what keeps from telling."""
        digits = Digits(data)
        kind = digits.below(256)
        if kind:
            name = self.steps[(kind - 1) % len(self.steps)]
            if name == SELDOM:
                name = digits.of(RARE)
            if self.level != "linux" and name in PARTIAL:
                name = "munmap"
            method: Callable[[Actor, Digits], None] = getattr(self, name)
            method(digits.of(self.actors), digits)
