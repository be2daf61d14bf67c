"""The parameters of a reference machine that is like the system under test: as its facts state them, or measured."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from errno import EAGAIN
from typing import Any, Final

from ..contract import (
    LOCK_EX,
    LOCK_NB,
    MAP_ANONYMOUS,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    O_CREAT,
    O_RDWR,
    PROT_READ,
    Backend,
    Facts,
    Fault,
    Process,
)
from ..reference.constants import PROT_EXEC
from ..reference.machine import CAPABILITIES, Parameters

NUMBERS: Final = ("page", "bits", "end", "lowest", "mappings", "locked", "descriptors")
"""The numeric parameters that a backend's facts may state, by these names."""


def stated_parameters(facts: Facts) -> Parameters:
    """Return the parameters that a backend's facts state; a parameter that they do not state has its default."""
    details = facts.details
    numbers: dict[str, Any] = {name: int(details[name]) for name in NUMBERS if details.get(name, "").isdecimal()}
    if "capabilities" in details:
        capabilities = CAPABILITIES & frozenset(details["capabilities"].split(","))
    else:
        capabilities = CAPABILITIES if details.get("user", "root") == "root" else frozenset()
    if "lowest" in numbers:
        numbers["mmap_min_addr"] = numbers.pop("lowest")
    if details.get("byte order") == "big":
        numbers["byte_order"] = "big"
    return Parameters(**numbers, capabilities=capabilities)


def measure_parameters(backend: Backend) -> Parameters:
    """Return the stated parameters, and those that only an experiment shows.

    These are whether execute-only pages can be loaded, and whether mappings keep the locks of their file.  If an
    experiment is not possible, the default remains; the cases find what is wrong with the system.
    """
    parameters = stated_parameters(backend.facts())
    with suppress(Exception):
        system = backend.boot()
        try:
            process = system.spawn()
            for measure in (measure_execute_only, measure_locks):
                with suppress(NotImplementedError, OSError):
                    parameters = replace(parameters, **measure(process, parameters.page))
        finally:
            system.close()
    return parameters


def measure_locks(process: Process, page: int) -> dict[str, Any]:
    """Return the parameter that says what a mapping holds: the lock of a closed descriptor is there, or it is not."""
    fd, rival = (process.open("locked", O_RDWR | O_CREAT) for _ in range(2))
    process.flock(fd, LOCK_EX | LOCK_NB)
    process.mmap(0, page, PROT_READ, MAP_SHARED, fd, 0)
    process.close(fd)
    try:
        process.flock(rival, LOCK_EX | LOCK_NB)
    except OSError as error:
        if error.errno == EAGAIN:
            return {}
        raise
    return {"mappings_keep_locks": False}


def measure_execute_only(process: Process, page: int) -> dict[str, Any]:
    """Return the parameters of a machine that concern pages with PROT_EXEC alone, as observed in `process`."""
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    try:
        process.load(process.mmap(0, page, PROT_EXEC, flags, -1, 0), 1)
    except Fault as fault:
        if fault.code not in ("SEGV_ACCERR", "SEGV_PKUERR"):
            return {}
        code = fault.code
    else:
        return {}
    populates = code == "SEGV_ACCERR"
    with suppress(NotImplementedError, OSError):
        populates = all(process.mincore(process.mmap(0, page, PROT_EXEC, flags | MAP_POPULATE, -1, 0), page))
    return {"execute_only": code, "populates_execute_only": populates}
