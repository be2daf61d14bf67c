"""All the steps, and how often each is drawn.

The first byte of a program selects its *theme*: half of the themes draw from all steps, each of the others from a few
steps that affect one another.  Without themes, a state that takes several particular steps is hardly ever reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ..contract import Facility
from .access_steps import AccessSteps
from .draws import Draws
from .file_steps import FileSteps
from .mapping_steps import MappingSteps
from .model_view import Actor
from .process_steps import ProcessSteps
from .thread_steps import ThreadSteps

EVERYTHING: Final = """
mmap*7 store*7 load*3 munmap*3 mremap*3 pwrite*2 pread*2 msync*2 mprotect*2 ftruncate*2 fork*3 open*2 madvise*2
close dup unlink exit mlock munlock execute sysconf fsync read_into write_from rare*4
"""
"""The steps of an ordinary program; `name*N` gives a step the weight N."""

RARE_STEP: Final = "rare"
"""The step that is replaced by one of `RARE_STEPS`."""

RARE_STEPS: Final = (
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
    *("fallocate", "copy_file_range", "rename", "link"),
    *("full_file_table", "flock", "record_lock", "watch", "lseek", "fstat", "drop_cache", "use_noexec_directory"),
)
"""The steps that are drawn seldom, because they are slow or few clauses depend on them."""


class Theme(NamedTuple):
    """The steps that a program draws from, and where its files are."""

    steps: tuple[str, ...]
    mistakes: int = 1
    """Factor by which invalid calls are more frequent than usual."""
    facility: Facility | None = None
    """The directory or file system of its files; None for the system's working directory."""


def theme(steps: str, mistakes: int = 1, facility: Facility | None = None) -> Theme:
    """Return the theme with these steps; `name*N` gives a step the weight N."""
    drawn: list[str] = []
    for word in steps.split():
        name, _, times = word.partition("*")
        drawn += [name] * int(times or 1)
    return Theme(tuple(drawn), mistakes, facility)


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
    *(
        theme(
            "open*3 mmap*4 mprotect*6 protect_three fork mremap*3 munmap store*2 load toggle_append_only*2 madvise",
            mistakes=4,
        ),
    )
    * 2,
    theme("memfd*6 mmap*5 mprotect*3 ftruncate*3 store*2 pwrite*2 munmap fork madvise*2 mremap"),
    theme("map_dev_zero*5 store*4 load*3 fork*2 munmap*2 mremap mprotect madvise"),
    theme(
        "unusual_file_call*8 open*3 close memfd mmap exec*2 dup fork toggle_append_only*2 drop_capability ftruncate"
        " unlink read_into write_from"
    ),
    *(
        theme(
            "mlock*4 munlock*3 mlockall*2 munlockall*2 mlock2*2 mmap*4 fork*2 exec set_limit_headroom mincore*2"
            " pwrite*3 store mremap*2 msync*2 mprotect*3 madvise*2 drop_cache munmap relock_after_release*2"
            " make_locked_writable",
            mistakes=2,
        ),
    )
    * 2,
    theme(
        "mmap*3 mprotect*6 store*3 load*3 execute*3 fork exit memfd*2 open*2 munmap mremap msync use_noexec_directory"
    ),
    theme(
        "mmap*4 mlock*3 munlock mlock2 mlockall*2 munlockall set_limit_headroom*3 munmap*2 mremap*4 mprotect fork store"
        " mincore*2 relock_after_release*4"
    ),
    theme(
        "map_large*5 reach_data_limit*3 reach_mapping_limit*2 mmap*2 munmap*2 mremap*5 drop_capability mprotect fork"
        " full_file_table",
        mistakes=2,
    ),
    *(
        theme(
            "mseal*3 mmap*5 munmap*3 mprotect*3 mremap*4 madvise*3 store*3 fork*2 mlock exec execute*2 seal_and_shrink",
            mistakes=2,
        ),
    )
    * 3,
    theme(
        "set_old_mtime*6 has_old_mtime*8 mmap*4 store*6 load*3 fsync msync*2 pwrite ftruncate read_into open fork "
        "munmap"
    ),
    theme("map_growing*2 access_below_growing*6 mmap load store mprotect munmap fork"),
    *(
        theme(
            "mmap*6 fork*4 exit*4 exec spawn store*6 load*3 munmap madvise mprotect mremap msync run_concurrently"
            " add_without_lock"
        ),
    )
    * 5,
    theme("mmap*3 ftruncate*4 store*3 load pwrite*3 pread fork munmap mremap madvise msync open"),
    *(
        theme(
            "fallocate*7 mmap*4 store*5 load*2 pwrite*2 pread ftruncate*2 copy_file_range*2 fork munmap mremap msync"
            " memfd mlock mincore madvise mprotect open",
            mistakes=2,
        ),
    )
    * 3,
    theme("copy_file_range*5 mmap*3 store*4 pwrite*2 ftruncate pread fork open*2 munmap fallocate"),
    theme("rename*4 link*3 unlink*2 open*3 close*2 mmap*4 store*3 load pwrite pread fork exit munmap watch msync"),
    theme(
        "mmap*3 munmap*2 open*3 close*3 dup flock*4 record_lock*2 watch*4 unlink fork exit exec mremap*3 memfd"
        " unmap_and_close*3 exit_with_mapping*2 lock_and_close*2"
    ),
    theme(
        "mmap*2 pread*2 pwrite*2 ftruncate*2 lseek fstat*2 open*2 close dup read_into*2 write_from*2 memfd*3 drop_cache"
    ),
    theme("mmap*3 madvise*8 free_one_page store*4 load*3 fork*3 mlock*2 mincore*2 memfd pread", mistakes=2),
    *(theme("mmap*3 advise_inheritance*6 store*6 fork*4 exit*3 mlock"),) * 3,
    theme("mmap*4 mincore*8 store*4 load madvise munmap mremap mlock mprotect"),
    theme("mmap*4 store*4 load*2 munmap*2 execute*2 mprotect open*2 mincore use_noexec_directory*2", mistakes=3),
    *(theme("mmap*4 together*8 store*3 load*2 munmap mprotect*2 fork ftruncate*2 msync pread*2 pwrite madvise mremap"),)
    * 3,
    theme(STORAGE),
    *(theme(STORAGE, facility=Facility.CRASHING_FILE_SYSTEM),) * 3,
)
"""The themes, each as often as it is drawn.  The first is the simplest."""

FACILITY_ONE_IN: Final = 2
"""One of this many programs of a theme with a facility uses it: to create one is slow."""


def in_working_directory(header: bytes) -> bytes:
    """Return the first bytes of a program with the same steps whose files are in the system's working directory."""
    theme = THEMES[header[0] % len(THEMES)]
    return bytes((THEMES.index(theme._replace(facility=None)),)) + header[1:] if theme.facility else header


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
"""The steps that may fail partway through a range: only for Linux is the resulting state known."""


class ProgramGenerator(MappingSteps, AccessSteps, FileSteps, ProcessSteps, ThreadSteps):
    """The system, processes and files that a program acts on, with all its steps.

    Each step is a method that takes an actor and the draws of the step.  It makes one call, and further calls if a file
    or descriptor is missing.
    """

    steps = STEPS
    """The steps of this program's theme."""

    def begin(self, data: bytes) -> None:
        """Set the theme that the first bytes of a program select."""
        draws = Draws(data)
        theme = draws.choice(THEMES)
        if theme.facility is not None and not draws.one_in(FACILITY_ONE_IN):
            theme = theme._replace(facility=None)
        self.steps, self.mistakes = theme.steps, theme.mistakes
        if theme.facility is not None:
            self.use_facility(theme.facility)

    def step(self, data: bytes) -> None:
        """Make the step that `data` encodes; zeros encode none.  Raises Divergence, and Unresolved."""
        draws = Draws(data)
        kind = draws.below(256)
        if kind:
            name = self.steps[(kind - 1) % len(self.steps)]
            if name == RARE_STEP:
                name = draws.choice(RARE_STEPS)
            if self.level != "linux" and name in PARTIAL:
                name = "munmap"
            method: Callable[[Actor, Draws], None] = getattr(self, name)
            method(draws.choice(self.actors), draws)
