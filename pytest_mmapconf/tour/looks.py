"""The values of the axis that says where one looks after the call, in addition to the pages and files of every process.

Each has steps before the call, where what is looked at needs some, and steps after it.
"""

from __future__ import annotations

from ..contract import (
    LOCK_EX,
    LOCK_NB,
)
from ..reference.constants import (
    MAP_SHARED,
    O_RDWR,
    PROT_READ,
)
from .scene import MAIN, PAGES, ROOM, Scene


def pages(scene: Scene) -> None:
    """The pages of every process, those next to them, and the open files."""


def store(scene: Scene) -> None:
    """Each page that may be stored to is, in each process, and then everything is compared."""
    for actor in list(scene.program.actors):
        numbers = [MAIN - 1 + number for number in range(ROOM - MAIN)]
        places = [scene.at(number) + 60 for number in numbers]
        if not scene.setting.is_fixed:
            places = [scene.main + number * scene.page + 60 for number in range(PAGES)] + places
        for place in places:
            if actor.model.space.find(int(place)) is not None:
                scene.call_of(actor, "store", place, b"L")


def fork(scene: Scene) -> None:
    """A child that is forked after the call, and stores; then everything is compared in both."""
    if scene.caller not in scene.program.actors:
        return
    child = scene.fork(scene.caller)
    if child is not None:
        scene.store_each(child, b"K", 70)


def storage(scene: Scene) -> None:
    """Load the file's storage, once its pages have left memory."""
    fd = io_of(scene)
    if fd is not None:
        scene.call_of(scene.program.actors[0], "drop_cache", fd)


def end(scene: Scene) -> None:
    """End the process that made the call; compare other processes and the file."""
    program = scene.program
    if scene.caller in program.actors:
        if len(program.actors) == 1:
            program.actors.append(program.new_actor(program.system.spawn()))
        scene.end(scene.caller)
    for actor in program.actors[:1]:
        fd = scene.call_of(actor, "open", "a", O_RDWR)
        if fd is not None:
            scene.call_of(actor, "pread", fd, PAGES * scene.page, scene.setting.offset)


def again(scene: Scene) -> None:
    """The same call, a second time."""


def remap(scene: Scene) -> None:
    """A new mapping of the file, after the main one was removed."""
    if scene.actor not in scene.program.actors:
        return
    scene.call("munmap", scene.main, PAGES * scene.page)
    if scene.io >= 0:
        start = scene.call("mmap", 0, PAGES * scene.page, PROT_READ, MAP_SHARED, scene.io, scene.setting.offset)
        if start is not None:
            scene.call("load", start, 1)


def times_before(scene: Scene) -> None:
    """Make the times of the file old."""
    scene.call("set_old_mtime", scene.io)


def times(scene: Scene) -> None:
    """Ask whether the file's time of modification is new."""
    fd = io_of(scene)
    if fd is not None:
        scene.call_of(scene.program.actors[0], "fsync", fd)
        scene.call_of(scene.program.actors[0], "has_old_mtime", fd)


def references_before(scene: Scene) -> None:
    """Lock the open file description of the main mapping."""
    scene.call("flock", scene.fd, LOCK_EX | LOCK_NB)


def references(scene: Scene) -> None:
    """Close the descriptors; a lock shows whether the mapping still holds its open file description."""
    program = scene.program
    for actor in program.actors:
        if scene.fd in actor.model.descriptors:
            scene.call_of(actor, "close", scene.fd)
    for actor in program.actors[:1]:
        fd = scene.call_of(actor, "open", "a", O_RDWR)
        if fd is not None:
            scene.call_of(actor, "flock", fd, LOCK_EX | LOCK_NB)


def io_of(scene: Scene) -> int | None:
    """Return the descriptor of the file, if the first process that is left has it."""
    actors = scene.program.actors
    return scene.io if actors and scene.io in actors[0].model.descriptors else None
