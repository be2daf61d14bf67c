"""Backends, systems and processes around those of another backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..contract import Backend, Call, Facts, Options, Process, System


class WrappingBackend(Backend):
    """A backend that passes everything on to `subject`; a subclass wraps the systems that it boots."""

    def __init__(self, subject: Backend) -> None:
        self.subject = subject
        self.name = subject.name

    def configure(self, options: Options) -> None:
        super().configure(options)
        self.subject.configure(options)

    def facts(self) -> Facts:
        return self.subject.facts()

    def boot(self) -> System:
        return self.subject.boot()

    def close(self) -> None:
        self.subject.close()


class Transparent:
    """A wrapper of an object of a user's backend; it forwards attributes that are not in the contract."""

    wrapped: ClassVar[str] = "inside"
    """The attribute with the object."""

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, self.wrapped), name)


class TransparentBackend(Transparent, WrappingBackend):
    """A wrapping backend with the attributes of its subject."""

    wrapped = "subject"


class WrappingProcess(Transparent, Process):
    """A process around another; a subclass makes its calls."""

    def __init__(self, inside: Process) -> None:
        self.inside = inside
        self.bits = inside.bits

    def maps(self) -> str:
        return self.inside.maps()


class WrappingSystem(Transparent, System):
    """A system around another; a subclass makes its calls."""

    def __init__(self, inside: System) -> None:
        self.inside = inside

    def close(self) -> None:
        self.inside.close()


def unwrapped(calls: Sequence[Call]) -> list[Call]:
    """Return calls of wrapping processes as calls of the processes inside."""
    return [call._replace(process=getattr(call.process, "inside", call.process)) for call in calls]
