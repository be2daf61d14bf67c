"""The calls of the contract as data, derived from the signatures of `contract.Process` and `contract.System`.

A call that is added to the contract is thereby known to programs, recorders, lockstep and the client of an agent.  Each
argument and result has a *kind*, the name of its `contract.Kind`; where a signature states a plain type, the kind
follows from that type.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

from .. import contract
from ..contract import Facility, Kind, Process, Resource, System

OBSERVATIONS: Final = ("audit", "batch", "maps")
"""The methods of a process with which a runner observes it; no program calls them."""

KIND_OF_TYPE: Final = {
    bytes: Kind("data"),
    bool: Kind("count"),
    str: Kind("text"),
    Resource: Kind("text"),
    Facility: Kind("text"),
}
"""The kind of an argument that has a plain type."""

KIND_OF_RESULT: Final = {
    bytes: Kind("data"),
    None: Kind("nothing"),
    Process: Kind("process"),
}
"""The kind of a result that has a plain type; "plain" for all others."""


class Signature(NamedTuple):
    """The arguments and the result of a call, by kind."""

    arguments: Mapping[str, str]
    """The kind of each argument, in order."""
    result: str
    defaults: Mapping[str, int]
    keywords: frozenset[str] = frozenset()
    """The arguments that are passed by keyword."""


def _kind(annotation: Any, otherwise: Mapping[Any, Kind], default: Kind | None = None) -> Kind:
    if get_origin(annotation) is Annotated:
        return next(kind for kind in get_args(annotation) if isinstance(kind, Kind))
    return otherwise[annotation] if default is None else otherwise.get(annotation, default)


def _kind_of_argument(call: str, parameter: inspect.Parameter) -> Kind:
    try:
        return _kind(parameter.annotation, KIND_OF_TYPE)
    except KeyError:
        raise TypeError(
            f"{call}: annotate {parameter.name} with a kind that the contract defines, such as Address, Length or Fd"
        ) from None


_KINDS: Final[dict[str, Kind]] = {}
"""The kinds of the arguments of all calls, by name."""


def _derive(owner: type[Process] | type[System], left_out: Collection[str]) -> dict[str, Signature]:
    """Return the signatures of the calls of a class of the contract, and add the kinds that they mention to _KINDS."""
    calls: dict[str, Signature] = {}
    for name, function in vars(owner).items():
        if name.startswith("_") or name in left_out or not inspect.isfunction(function):
            continue
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]
        call = f"{owner.__name__}.{name}"
        arguments = {parameter.name: _kind_of_argument(call, parameter) for parameter in parameters}
        _KINDS.update((kind.name, kind) for kind in arguments.values())
        is_context = get_origin(signature.return_annotation) is AbstractContextManager
        result = _kind(signature.return_annotation, KIND_OF_RESULT, Kind("nothing" if is_context else "plain"))
        calls[name] = Signature(
            {argument: kind.name for argument, kind in arguments.items()},
            result.name,
            {p.name: p.default for p in parameters if p.default is not p.empty},
            frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY),
        )
        if is_context:
            calls[f"end_{name}"] = Signature({}, "nothing", {})
    return calls


PROCESS_CALLS: Final = _derive(Process, OBSERVATIONS)
"""The signature of each call that a process makes, by name."""

_OF_THE_SYSTEM: Final = _derive(System, ("close",))

CALLS: Final = PROCESS_CALLS | _OF_THE_SYSTEM
"""The signature of every call by name: first the calls of a process, then those of the system.

A call of the system that returns a context manager is two calls: the second one, `end_…`, leaves the context.
"""

SYSTEM_CALLS: Final = tuple(_OF_THE_SYSTEM)
"""The calls that the system makes rather than one of its processes."""

ACCESSES: Final = ("load", "store", "execute", "add")
"""The calls that access memory as an instruction does."""

BY_ADDRESS: Final = frozenset(name for name, call in CALLS.items() if [*call.arguments.values()][:1] == ["address"])
"""The calls whose first argument is an address."""

BY_DESCRIPTOR: Final = frozenset(
    name for name, call in CALLS.items() if [*call.arguments.values()][:1] == ["fd"] and "addr" not in call.arguments
)
"""The calls about a file: their first argument is a descriptor, and none is an address."""

BUFFERS: Final = frozenset(name for name, call in CALLS.items() if [*call.arguments.values()][:2] == ["fd", "address"])
"""The calls with a descriptor and the address of a buffer as their first arguments."""

LENGTHS: Final = {
    name: tuple(
        at for at, argument in enumerate(CALLS[name].arguments) if argument in ("length", "old_size", "new_size")
    )
    for name in sorted(BY_ADDRESS - {"load"})
}
"""The calls by address, each with the places of its lengths, which are rounded up to whole pages.

The length of a load is that of its result.
"""

PREFIXES: Final = {name: kind.prefix for name, kind in _KINDS.items() if kind.prefix}
"""The prefix of the names of each kind of constants."""

NAMES: Final = {
    kind: {name: int(value) for name, value in vars(contract).items() if name.startswith(prefix)}
    for kind, prefix in PREFIXES.items()
}
"""The constants of each kind."""

NUMBERS: Final = ("address", "amount", "fd", "count", "mode")
"""The kinds of arguments that are sums of a named value, pages and bytes."""


def flag_names(kind: str, value: int) -> list[str]:
    """Return the constants that make up a value: the type or access mode first, unknown bits last."""
    names = NAMES[kind]
    if not _KINDS[kind].combined or not 0 < value < 1 << 64:
        return [next((name for name, number in names.items() if number == value), str(value))]
    parts = []
    if kind == "open" and not value & 3:
        parts.append("O_RDONLY")
    for name, number in sorted(names.items(), key=lambda item: (-item[1].bit_count(), item[1])):
        if number and value & number == number:
            parts.append(name)
            value &= ~number
    return [*parts, hex(value)] if value else parts


# ------------------------------------------------------------------------------------------------------ making a call


WITH_KEYWORDS: Final = frozenset(call for call, signature in CALLS.items() if signature.keywords)
"""The calls that have arguments which are passed by keyword."""


def invoke(owner: Process | System, call: str, arguments: tuple[Any, ...]) -> Any:
    """Call the method `call` of a process or system with all its arguments in the contract's order."""
    if call not in WITH_KEYWORDS:
        return getattr(owner, call)(*arguments)
    signature = CALLS[call]
    by_name = dict(zip(signature.arguments, arguments, strict=False))
    keywords = {name: by_name.pop(name) for name in signature.keywords}
    return getattr(owner, call)(*by_name.values(), **keywords)


def forwarder(call: str, make: Callable[[Any, str, tuple[Any, ...]], Any]) -> Callable[..., Any]:
    """Return a method with the contract's signature of `call` that returns ``make(self, call, arguments)``.

    `arguments` are all arguments in the contract's order, those passed by keyword and the defaults included.  Arguments
    that the contract does not accept raise TypeError.
    """
    names = tuple(CALLS[call].arguments)
    defaults = CALLS[call].defaults
    positional = len(names) - len(CALLS[call].keywords)

    def complete(arguments: tuple[Any, ...], by_name: Mapping[str, Any]) -> tuple[Any, ...]:
        rest = names[len(arguments) :]
        if len(arguments) > positional:
            raise TypeError(f"{call}() takes {positional} positional arguments but {len(arguments)} were given")
        if unexpected := [name for name in by_name if name not in rest]:
            raise TypeError(f"{call}() got an unexpected argument {unexpected[0]}")
        try:
            return arguments + tuple(by_name[name] if name in by_name else defaults[name] for name in rest)
        except KeyError as error:
            raise TypeError(f"{call}() lacks {error.args[0]}") from None

    count = positional if positional == len(names) else -1

    def method(self: Any, *arguments: Any, **by_name: Any) -> Any:
        if by_name or len(arguments) != count:
            arguments = complete(arguments, by_name)
        return make(self, call, arguments)

    method.__name__ = call
    method.__code__ = method.__code__.replace(co_name=call)  # a traceback names the call
    method.__doc__ = getattr(Process, call).__doc__
    return method


def forward_calls(owner: type[Process], make: Callable[[Any, str, tuple[Any, ...]], Any]) -> None:
    """Give a class a forwarder for each call of a process that the class does not define itself."""
    for call in PROCESS_CALLS:
        if call not in vars(owner):
            setattr(owner, call, forwarder(call, make))
