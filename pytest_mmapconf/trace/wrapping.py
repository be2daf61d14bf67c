"""A backend around another backend."""

from __future__ import annotations

from ..contract import Backend, Facts, Options, System


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
