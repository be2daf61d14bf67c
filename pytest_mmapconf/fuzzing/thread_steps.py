"""The steps that make calls of two threads concurrently."""

from __future__ import annotations

from ..contract import (
    Call,
    Process,
)
from ..reference.constants import (
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
)
from .draws import Draws
from .model_view import Actor, ProgramState


class ThreadSteps(ProgramState):
    """Steps with threads."""

    def together(self, actor: Actor, draws: Draws) -> None:
        """Make concurrent calls of a process and another thread of it on one page, then load from the page in both."""
        mapping = self.draw_mapping(actor, draws, PROT_WRITE)
        if self.level == "documented" or mapping is None or mapping.grows_down or "together" in self.lacks:
            return
        addr, room = self.symbolic(actor, mapping.start)
        thread = self.thread_of(actor)
        if room < self.page or thread is None:
            return
        byte = draws.choice("xyz").encode()
        own = draws.choice(
            (
                ("store", (addr, byte)),
                ("load", (addr, 1)),
                ("load_in_child", (addr, 16 if self.level == "linux" and not mapping.shared else 1)),
                ("munmap", (addr, self.page)),
                ("mprotect", (addr, self.page, PROT_READ)),
                ("mprotect", (addr, self.page, PROT_NONE)),
                ("mprotect", (addr, self.page, PROT_READ | PROT_WRITE)),
                ("msync", (addr, self.page, 4)),
            )
        )
        other = draws.choice((("store", (addr, b"t")), ("store", (addr + 8, b"t")), ("load", (addr, 1))))
        before = [Call(thread, *other)] if draws.below(2) else []
        calls = [*before, Call(actor.process, *own, 1), Call(thread, *other, draws.choice((1, 2)))]
        if own[0] == "load_in_child":  # a child that has the latter of two stores has the former
            calls = [calls[-2], *(Call(thread, "store", (addr + at, byte), 1) for at in (0, 8))]
        calls += [Call(who, "load", (addr, 1), 3) for who in (actor.process, thread)]
        try:
            self.system.together(calls, 1 + draws.below(3))
        except NotImplementedError as error:
            self.lacks["together"] = str(error)

    def thread_of(self, actor: Actor) -> Process | None:
        """Return another thread of a process, made when it is first asked for; None if there can be none."""
        if actor.thread is None:
            try:
                actor.thread = actor.process.thread()
            except NotImplementedError as error:
                self.lacks["together"] = str(error)
        return actor.thread
