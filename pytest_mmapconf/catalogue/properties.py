"""The properties of systems that cases and clauses depend on; each is observed, once a run, by an experiment.

A property is a precondition: a case that needs it is not judged where it does not hold.  The clauses that promise the
property, if there are any, fail by their own cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..contract import Facility, Process, System
from . import experiments
from .call_experiments import CALLS, is_implemented
from .experiments import Experiment, FacilityExperiment


@dataclass(frozen=True)
class Property:
    """A property that a system has or does not have."""

    name: str
    text: str
    """The sentence that is true on a system that has it."""
    experiment: Experiment | tuple[Facility, FacilityExperiment]
    clauses: tuple[str, ...] = ()
    """The ids of the clauses that promise it; empty if none does, so that a system need not have it."""
    names: tuple[str, ...] = ()
    """Constants and calls that need it: a case whose code has one of these names needs the property."""

    def observe(self, system: System, process: Process) -> bool:
        """Make the experiment with a new process of a system that was booted for it."""
        if isinstance(self.experiment, tuple):
            facility, experiment = self.experiment
            return experiment(process, system.facility(facility))
        return self.experiment(process)


def call_property(call: str) -> str:
    """Return the name of the property that a call is implemented."""
    return f"call-{call}"


PROPERTIES: Final[Mapping[str, Property]] = {
    property.name: property
    for property in (
        Property(
            "anonymous-memory",
            "MAP_ANONYMOUS maps memory without a file.",
            experiments.has_anonymous_memory,
            ("mmap.flag.anonymous",),
            ("MAP_ANONYMOUS", "ANONYMOUS"),
        ),
        Property(
            "shared-mapping",
            "A mapping with MAP_SHARED can be made: of a file, or without one on a system without files.",
            experiments.has_shared_mapping,
            ("mmap.flag.shared",),
            ("MAP_SHARED",),
        ),
        Property(
            "reservation",
            "Memory with PROT_NONE can be mapped, and cannot be accessed.",
            experiments.has_reservation,
            ("mmap.prot.none",),
        ),
        Property(
            "fixed",
            "MAP_FIXED maps at exactly the address asked for, in place of what is mapped there.",
            experiments.has_fixed,
            ("mmap.flag.fixed", "mmap.flag.fixed-replaces"),
            ("MAP_FIXED",),
        ),
        Property(
            "noreplace",
            "MAP_FIXED_NOREPLACE maps a free range at exactly that address, and refuses another with EEXIST.",
            experiments.has_noreplace,
            ("mmap.flag.fixed-noreplace", "mmap.errno.EEXIST"),
            ("MAP_FIXED_NOREPLACE",),
        ),
        Property(
            "unmapped-code",
            "An access where nothing is mapped reports SIGSEGV with the code SEGV_MAPERR.",
            experiments.has_code_of_unmapped_page,
            ("fault.unmapped",),
        ),
        Property("fork", "A process can be forked.", experiments.has_fork, ("fork.mappings",), ("fork",)),
        Property(
            "no-execute",
            "The machine refuses to execute code in a page without PROT_EXEC.",
            experiments.has_no_execute,
        ),
        Property(
            "remove-advice",
            "madvise(MADV_REMOVE) makes a hole in the file of a shared mapping.",
            experiments.has_remove_advice,
            ("madvise.remove", "madvise.remove.file"),
            ("MADV_REMOVE",),
        ),
        Property(
            "aligned-ranges",
            "munmap and msync refuse an address, and mmap an offset, that is not a multiple of the page size.",
            experiments.must_ranges_be_aligned,
            ("munmap.errno.EINVAL.address", "msync.errno.EINVAL.address", "mmap.errno.EINVAL.offset"),
        ),
        Property(
            "known-advice",
            "madvise refuses advice that it does not know, so that the success of another means something.",
            experiments.is_unknown_advice_refused,
            ("madvise.errno.EINVAL.advice",),
        ),
        Property(
            "shared-validate",
            "MAP_SHARED_VALIDATE maps a file.",
            experiments.has_shared_validate,
            ("mmap.flag.shared-validate",),
            ("MAP_SHARED_VALIDATE",),
        ),
        Property(
            "droppable-memory",
            "MAP_DROPPABLE maps memory without a file.",
            experiments.has_droppable_memory,
            ("mmap.flag.droppable",),
            ("MAP_DROPPABLE",),
        ),
        Property(
            "old-size-zero",
            "mremap with old_size 0 maps shared memory a second time.",
            experiments.has_old_size_zero,
            ("mremap.old-size-zero",),
        ),
        Property(
            "new-size-zero",
            "mremap to a new size of 0 fails with EINVAL.",
            experiments.is_new_size_zero_refused,
            ("mremap.errno.EINVAL",),
        ),
        Property(
            "no-room",
            "mmap fails with ENOMEM, in time, once no gap of the address space is large enough.",
            experiments.is_exhaustion_reported,
            ("mmap.errno.ENOMEM.no-room",),
        ),
        Property(
            "noexec-mount",
            "A file on a mount with noexec cannot be mapped with PROT_EXEC: EPERM.",
            (Facility.NOEXEC_DIRECTORY, experiments.is_noexec_kept),
            ("mmap.errno.EPERM",),
        ),
        Property(
            "unmappable-proc-file",
            "A file of /proc cannot be mapped.",
            (Facility.PROC_FILE, experiments.is_unmappable),
            ("mmap.errno.ENODEV.proc",),
        ),
        Property(
            "populate",
            "MAP_POPULATE makes the pages resident.",
            experiments.has_populated_pages,
            ("mmap.flag.populate",),
        ),
        Property(
            "lock-on-fault",
            "mlock2 accepts MLOCK_ONFAULT.",
            experiments.has_lock_on_fault,
            ("mlock2.onfault",),
            ("MLOCK_ONFAULT",),
        ),
        Property(
            "address-space-limit",
            "The limit of address space (RLIMIT_AS) is kept: mmap beyond it fails with ENOMEM.",
            experiments.is_limit_of_address_space_kept,
            ("mmap.errno.ENOMEM.address-space",),
            ("ADDRESS_SPACE",),
        ),
        Property(
            "locked-memory-limit",
            "The limit of locked memory (RLIMIT_MEMLOCK) is kept: mlock beyond it fails.",
            experiments.is_limit_of_locked_memory_kept,
            ("mlock.errno.ENOMEM",),
            ("LOCKED_MEMORY",),
        ),
        Property(
            "invalidate-busy",
            "msync(MS_INVALIDATE) of a locked page fails with EBUSY, and of another page it succeeds.",
            experiments.is_invalidation_refused,
            ("msync.flag.invalidate.busy",),
        ),
        Property(
            "locks-follow-mapped-file",
            "A mapping keeps the open file description of its descriptor, and so that description's locks.",
            experiments.do_locks_follow_the_mapped_file,
        ),
        Property(
            "residency",
            "mincore reports a page of private memory as resident once it has been accessed, and not before.",
            experiments.is_residency_reported,
            ("mincore.vector",),
        ),
        Property(
            "size-changes-seen",
            "A mapping made before its file grows or shrinks gains and loses the pages.",
            experiments.are_size_changes_seen,
            ("growth.accessible", "truncation.pages"),
        ),
        Property(
            "private-follows",
            "A page of a private mapping that has not been stored to shows later changes of the file.",
            experiments.do_private_pages_follow_the_file,
            ("private.follows",),
        ),
        Property(
            "coherent",
            "A store through a shared mapping is seen immediately by read and through other mappings of the file.",
            experiments.are_views_coherent,
            ("mmap.flag.shared", "overview.shared-by-processes", "coherence.write", "coherence.opens"),
        ),
        Property(
            "holes",
            "munmap succeeds for a range of which some pages, or all, are not mapped.",
            experiments.can_holes_be_unmapped,
            ("munmap.hole",),
        ),
        Property(
            "write-exec",
            "Memory may be both writable and executable.",
            experiments.can_be_writable_and_executable,
        ),
        Property(
            "msync-without-type",
            "msync accepts flags with neither MS_SYNC nor MS_ASYNC.",
            experiments.has_msync_without_type,
            ("msync.flags.zero",),
        ),
        Property(
            "unaligned-locks",
            "mlock and munlock accept an address that is not a multiple of the page size.",
            experiments.has_unaligned_locks,
            ("mlock.rounding",),
        ),
        Property(
            "native-width",
            "The kernel computes with as many bits as the program's addresses have.",
            experiments.has_native_width,
        ),
        Property(
            "upper-addresses-outside",
            "Of 64-bit addresses, those from 2^62 on are outside user space; on s390x they belong to it.",
            experiments.are_upper_addresses_outside,
        ),
        Property(
            "evictable-pages",
            "Pages of a file that have been written back can be evicted from memory.",
            experiments.can_evict_pages,
        ),
        Property(
            "huge-pages",
            "The kernel and the machine know huge pages (MAP_HUGETLB), whether there are any or not.",
            experiments.has_huge_pages,
        ),
        Property(
            "large-mappings",
            "64 GiB of a file can be mapped: the process has not inherited a low limit of address space.",
            experiments.has_large_mappings,
        ),
        Property(
            "moves-if-needed",
            "mremap with MREMAP_MAYMOVE leaves a mapping where it is if its size does not change.",
            experiments.moves_only_if_needed,
            ("mremap.flags.maymove",),
        ),
        *(
            Property(call_property(call), f"{call} does not answer ENOSYS.", is_implemented(make), (clause,))
            for call, (clause, make) in CALLS.items()
        ),
    )
}
"""Every property by name."""
