"""The outcome of a call as one text, as `System.together` and the agent's protocol state it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..contract import Fault, errno_name
from ..outcomes import Failed, Faulted, Outcome, Returned
from .calls import CALLS

KEPT: Final = 64
"""Characters of an outcome that are kept."""


def result_text(result: object, kind: str = "") -> str:
    """Return the result of a call as the fields of an answer; `kind` is that of the result."""
    if result is None:
        return ""
    if isinstance(result, bytes):
        return result.hex()
    if isinstance(result, tuple):
        return " ".join(map(result_text, result))
    if isinstance(result, list):  # of mincore
        return "".join("1" if resident else "0" for resident in result)
    if kind == "address" and isinstance(result, int):
        return f"{result:#x}"
    return str(int(result)) if isinstance(result, int) else str(result)


def outcome_text(call: str, make: Callable[[], object]) -> str:
    """Make a call and return its outcome, without the address of a fault."""
    try:
        return f"ok {result_text(make(), CALLS[call].result)}".rstrip()[:KEPT]
    except OSError as error:
        return f"error {errno_name(error)}"
    except Fault as fault:
        return f"fault {fault.signal} {fault.code}"


def outcome_of(call: str, arguments: tuple[object, ...], text: str) -> Outcome:
    """Return the outcome that a text states; a fault is at the address of the access."""
    kind, _, rest = text.partition(" ")
    if kind == "error":
        return Failed(rest)
    if kind == "fault":
        signal, _, code = rest.partition(" ")
        addr = arguments[0] if arguments else None
        return Faulted(signal, code, int(addr) if isinstance(addr, int) and code != "SI_KERNEL" else None)
    of = CALLS[call].result
    if of == "data":
        return Returned(bytes.fromhex(rest))
    if of in ("address", "amount", "fd", "count") or (of == "plain" and rest.isdigit() and call != "mincore"):
        return Returned(int(rest, 0))
    if call == "mincore":
        return Returned([digit == "1" for digit in rest])
    return Returned(rest or None)
