"""A mutant: the reference with one thing wrong, as some real system had it wrong.

A suite is as good as what it catches.  So there are many copies of the reference with known defects, each breaking one
clause, and the suite must find every one of them (`pytest_mmapconf.gates.mutation_matrix`).  They are listed in
`mutants`, a module for each call, and each is a backend like any other: ``--mmap-backend=mutant:ID``.

A mutant is the reference's own modules, imported once more under another name, with one method of one class replaced.
The change affects no other copy: the reference that judges it, in the same Python, is unchanged.

There are four forms, the first three of them data:

* `never`: a refusal is not made;
* `other`: it is made with another errno;
* `refuses`: a call is refused that should not be;
* `wrong`: a method does something else, written as a function that is given the original method first, or the `Call`.
"""

from __future__ import annotations

import functools
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from types import CodeType, ModuleType
from typing import Any, ClassVar, Final, TypeAlias

from ..contract import errno_name
from .backend import ReferenceBackend
from .refusal import Refusals

Original: TypeAlias = Callable[..., Any]
"""A method of the reference as it is."""

NO_KNOWN_BUG: Final = "own"
"""The `bug` of a mutant that stands for none that is known: it is our suggestion."""

COPIES: Final = count(1)


@dataclass(frozen=True)
class Mutant:
    """One defect, and how to patch it into a copy of the reference."""

    id: str
    """Its name, "munmap-takes-the-next-page"; unlike the ids of cases and clauses it may change."""
    clauses: tuple[str, ...]
    """The clause that it breaks, then others that are broken with it: a failing case of one of them catches it."""
    bug: str
    """The real bug that it stands for: "Fiwix #18"; NO_KNOWN_BUG for none that is known."""
    text: str
    """A description of the wrong behaviour."""
    method: Original
    """The method of the reference that is replaced."""
    change: Callable[..., Any]
    """The replacement; given the original method, and then the method's own arguments."""
    when: Callable[..., object] = lambda *arguments, **keywords: True
    """True for the calls that are replaced; given the method's own arguments."""

    def boot(self) -> ReferenceBackend:
        """A backend of it: a copy of the reference, changed."""
        return self.boot_with(())

    def boot_with(self, others: Sequence[Mutant]) -> ReferenceBackend:
        """A backend that has its defect and those of others."""
        package = copied()
        for mutant in (self, *others):
            patch(package, mutant.method, mutant.patched)
        backend: ReferenceBackend = package_backend(package)
        backend.name = "mutant:" + "+".join(mutant.id for mutant in (self, *others))
        return backend

    def patched(self, original: Original, *arguments: Any, **keywords: Any) -> Any:
        """The method, as it is in the mutant."""
        if self.when(*arguments, **keywords):
            return self.change(original, *arguments, **keywords)
        return original(*arguments, **keywords)


# ----------------------------------------------------------------------------------------------------------- the forms


class Call:
    """A call of a method that has many arguments: they are attributes, and to make the call is to call this.

    A class for a method names it, and annotates its parameters in their order.
    """

    method: ClassVar[Original]

    def __init__(self, original: Original, subject: object, *arguments: Any, **keywords: Any) -> None:
        self.original = original
        self.subject = subject
        vars(self).update(zip(self.__annotations__, arguments, strict=False), **keywords)

    def __call__(self, **changed: Any) -> int:
        """The original method, with the arguments as they now are, but those that are given here."""
        arguments = {name: getattr(self, name) for name in self.__annotations__}
        result: int = self.original(self.subject, **arguments | changed)
        return result

    @classmethod
    def given_to(cls, function: Original) -> Original:
        """A change that gives a function the object and the call."""

        def change(original: Original, subject: object, *arguments: Any, **keywords: Any) -> Any:
            return function(subject, cls(original, subject, *arguments, **keywords))

        return change


def wrong(
    method: Original | property | type[Call], clause: str, *also: str, bug: str = NO_KNOWN_BUG
) -> Callable[[Original], Mutant]:
    """A mutant in which `method` of the reference is the decorated function, whose docstring says what is wrong.

    The function is given the original method first, then what the method is given; with a class of `Call`, the object
    and then the call.  Its name, with dashes, is the id.
    """
    kind = method if isinstance(method, type) and issubclass(method, Call) else None
    original = kind.method if kind is not None else method.fget if isinstance(method, property) else method
    assert original is not None

    def made(function: Original) -> Mutant:
        change = function if kind is None else kind.given_to(function)
        text = " ".join((function.__doc__ or "").split())
        return Mutant(function.__name__.replace("_", "-"), (clause, *also), bug, text, original, change)

    return made


def never(
    id: str,
    clause: str,
    *also: str,
    reason: str | tuple[str, ...] = (),
    call: str = "",
    named: str = "",
    bug: str = NO_KNOWN_BUG,
) -> Mutant:
    """Make a mutant that does not refuse by a clause; given `reason` (ids) or `call`, only for these.

    `named`: the clause that the reference's refusal names, where that is another one than the mutant breaks.
    """

    def refuse(
        original: Original, self: Refusals, errno: int, by: str, why: str, text: str, late: bool = False
    ) -> None:
        """Do not refuse."""

    reasons = (reason,) if isinstance(reason, str) else reason
    text = f"never refused: {_what(reasons, call)}"
    return _refusing(id, clause, also, reasons, call, named, bug, text, refuse)


def other(
    id: str,
    errno: int,
    clause: str,
    *also: str,
    reason: str | tuple[str, ...] = (),
    call: str = "",
    named: str = "",
    bug: str = NO_KNOWN_BUG,
) -> Mutant:
    """Make a mutant that refuses by a clause, but with another errno; `reason`, `call` and `named` as for `never`."""

    def refuse(
        original: Original, self: Refusals, right: int, by: str, why: str, text: str, late: bool = False
    ) -> None:
        original(self, errno, by, why, text, late)

    reasons = (reason,) if isinstance(reason, str) else reason
    text = f"{errno_name(OSError(errno, ''))} where {_what(reasons, call)}"
    return _refusing(id, clause, also, reasons, call, named, bug, text, refuse)


def _refusing(
    id: str,
    clause: str,
    also: tuple[str, ...],
    reasons: tuple[str, ...],
    call: str,
    named: str,
    bug: str,
    text: str,
    refuse: Original,
) -> Mutant:
    """A mutant that has something else than the reference where that refuses."""

    def when(self: Refusals, errno: int, by: str, why: str, text: str, late: bool = False) -> bool:
        return by == (named or clause) and (not reasons or why in reasons) and call in ("", self.call)

    clauses = tuple(dict.fromkeys(filter(None, (clause, named, *also))))
    return Mutant(id, clauses, bug, text, Refusals.__call__, refuse, when)


def refuses(
    id: str,
    method: Original,
    errno: int,
    when: Callable[..., object],
    clause: str,
    *also: str,
    text: str,
    bug: str = NO_KNOWN_BUG,
) -> Mutant:
    """A mutant whose `method` fails with `errno` when(process, *arguments) is true; `text` says when that is."""

    def call(original: Original, *arguments: Any, **keywords: Any) -> None:
        raise OSError(errno, f"the mutant refuses it: {text}")

    name = errno_name(OSError(errno, ""))
    return Mutant(id, (clause, *also), bug, f"{method.__name__} fails with {name}: {text}", method, call, when)


def _what(reasons: tuple[str, ...], call: str) -> str:
    what = " or ".join(reasons) or "any reason"
    return f"{call}: {what}" if call else what


# ---------------------------------------------------------------------------------------------------------- the copies


def copied() -> str:
    """Import the reference's modules once more; the name of the package that they are in."""
    original = sys.modules[__package__]
    name = f"{__package__}_copy_{next(COPIES)}"
    if not any(isinstance(finder, Copies) for finder in sys.meta_path):
        sys.meta_path.insert(0, Copies())
    spec = spec_from_file_location(name, original.__file__, submodule_search_locations=list(original.__path__))
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(package)
    return name


class Copies(MetaPathFinder):
    """Finds the modules of copies."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = fullname.rpartition(".")
        if path is None or not package.startswith(f"{__package__}_copy_"):
            return None
        return spec_from_file_location(fullname, loader=Once(fullname, f"{path[0]}/{module}.py"))


class Once(SourceFileLoader):
    """Compiles a module once for all copies: that takes longer than all else."""

    def get_code(self, fullname: str) -> CodeType:
        return compiled(self.path)


@functools.cache
def compiled(path: str) -> CodeType:
    """The code of a module."""
    with open(path, encoding="utf-8") as file:
        return compile(file.read(), path, "exec", dont_inherit=True)


def package_backend(package: str) -> Any:
    """A backend of a copy."""
    return import_module(f"{package}.backend").ReferenceBackend()


def patch(package: str, method: Original, change: Original) -> Callable[[], None]:
    """Replace a method in a copy, the same one as `method` is in the reference; return a function that undoes it."""
    module = import_module(f"{package}.{method.__module__.rpartition('.')[2]}")
    kind_name, name = method.__qualname__.split(".")
    kind = getattr(module, kind_name)
    there: Any = vars(kind)[name]
    original: Original = getattr(there, "fget", there)

    @functools.wraps(original)
    def patched(*arguments: Any, **keywords: Any) -> Any:
        return change(original, *arguments, **keywords)

    setattr(kind, name, property(patched) if isinstance(there, property) else patched)
    return functools.partial(setattr, kind, name, there)


# ------------------------------------------------------------------------------------------------------------ the list


@functools.cache
def load() -> Mapping[str, Mutant]:
    """Every mutant by its id, module by module."""
    package = import_module(f"{__package__}.mutants")
    modules = [import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)]
    return by_id(modules)


def by_id(modules: list[ModuleType]) -> dict[str, Mutant]:
    """The mutants of modules: those that a name or a tuple of theirs is."""
    mutants: dict[str, Mutant] = {}
    for module in modules:
        for value in vars(module).values():
            for mutant in value if isinstance(value, tuple) else (value,):
                if isinstance(mutant, Mutant):
                    if mutant.id in mutants:
                        raise ValueError(f"{module.__name__}: there are two mutants {mutant.id}")
                    mutants[mutant.id] = mutant
    return mutants
