"""A filter between the suite and a correct agent that makes one answer wrong, as a table of faults.

Usage: `python faulty_agent.py FAULT VERB NTH AGENT ARGUMENTS…`: the answer to the NTH request of VERB (of the
supervisor, or of a process) has this fault, once for all agents that are started in the current directory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

Fault = Callable[[bytes, bytes], bytes]
"""Returns what is written in place of an answer, given the request and the answer, both with their newlines."""


def ends(number: int) -> Fault:
    """End the agent by a signal, or by an exit status below 0."""

    def fault(request: bytes, answer: bytes) -> bytes:
        if number < 0:
            os._exit(-number)
        os.kill(os.getpid(), number)
        time.sleep(60)
        return b""

    return fault


def late(seconds: float) -> Fault:
    def fault(request: bytes, answer: bytes) -> bytes:
        time.sleep(seconds)
        return answer

    return fault


def floods(unit: bytes) -> Fault:
    def fault(request: bytes, answer: bytes) -> bytes:
        while True:
            os.write(1, unit)

    return fault


def trickles(request: bytes, answer: bytes) -> bytes:
    for _ in range(400):
        os.write(1, b"1")
        time.sleep(0.05)
    return b""


def half_then(then: Fault) -> Fault:
    def fault(request: bytes, answer: bytes) -> bytes:
        os.write(1, answer[: len(answer) // 2])
        return then(request, answer)

    return fault


def instead(result: bytes) -> Fault:
    """Answer with this text after the process's number."""
    return lambda request, answer: request.split(b" ", 1)[0] + b" " + result + b"\n"


def raw(line: bytes) -> Fault:
    return lambda request, answer: line


FAULTS: dict[str, Fault] = {
    **{f"dies of {int(n)}": ends(n) for n in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL)},
    **{f"exits with {n}": ends(-n) for n in (1, 3, 127, 255)},
    "hangs": late(60),
    "is late": late(6),
    "says nothing": raw(b""),
    "half, then hangs": half_then(late(60)),
    "half, then dies": half_then(ends(signal.SIGSEGV)),
    "half line": lambda request, answer: answer[: len(answer) // 2] + b"\n",
    "no newline": lambda request, answer: answer.rstrip(b"\n"),
    "doubled": lambda request, answer: answer + answer,
    "ten times": lambda request, answer: answer * 10,
    "empty line": raw(b"\n"),
    "blank": raw(b" \n"),
    "flood of lines": floods(b"77 died x\n" * 100),
    "flood of answers": floods(b"1 ok 4096\n" * 100),
    "flood of bytes": floods(b"x" * 4096),
    "flood of newlines": floods(b"\n" * 4096),
    "flood of zeros": floods(b"\0" * 4096),
    "slow bytes": trickles,
    "other process": lambda request, answer: b"77 " + answer.split(b" ", 1)[1],
    "the supervisor": lambda request, answer: (b"1 " if request[:2] == b"0 " else b"0 ") + answer.split(b" ", 1)[1],
    "negative process": lambda request, answer: b"-1 " + answer.split(b" ", 1)[1],
    "huge process": lambda request, answer: b"9" * 5000 + b" ok\n",
    "no number": raw(b"ok 0x1000\n"),
    "console message": raw(b"[  12.3] kernel: something\n"),
    "panic": raw(b"Kernel panic - not syncing: Fatal exception\n"),
    "the request": lambda request, answer: request,
    "greeting again": raw(b"mmapconf 1 page=4096\n"),
    "control characters": instead(b"ok \x1b[31m\x07\x00"),
    "not ASCII": instead(b"ok \xff\xfe\xc3"),
    "carriage returns": instead(b"ok \r\r\r"),
    "tabs": lambda request, answer: answer.replace(b" ", b"\t"),
    "two blanks": lambda request, answer: answer.replace(b" ", b"  "),
    "upper case": lambda request, answer: answer.upper(),
    "no kind": instead(b""),
    "unknown kind": instead(b"nonsense"),
    "bad": instead(b"bad no such verb"),
    "unknown error": instead(b"error EWHATEVER"),
    "error of no name": instead(b"error"),
    "error 0": instead(b"error errno-0"),
    "error 4095": instead(b"error errno-4095"),
    "error EIO": instead(b"error EIO"),
    "fault without fields": instead(b"fault"),
    "fault of no address": instead(b"fault SIGSEGV SEGV_MAPERR nowhere"),
    "fault of an unknown signal": instead(b"fault SIGWHAT CODE 0x1"),
    "fault": instead(b"fault SIGSEGV SEGV_MAPERR 0x10"),
    "died of a signal": instead(b"died SIGSEGV"),
    "died of a real-time signal": instead(b"died 35"),
    "died of nothing": instead(b"died"),
    "not a number": instead(b"ok zz"),
    "huge number": instead(b"ok " + b"9" * 3000),
    "negative": instead(b"ok -1"),
    "minus errno": instead(b"ok -22"),
    "zero": instead(b"ok 0"),
    "2^64": instead(b"ok 18446744073709551616"),
    "hexadecimal without digits": instead(b"ok 0x"),
    "float": instead(b"ok 1.5"),
    "two numbers": instead(b"ok 1 2"),
    "a thousand numbers": instead(b"ok " + b"1 " * 1000),
    "odd digits": instead(b"ok abc"),
    "percent": instead(b"ok %zz%"),
    "path out of the directory": instead(b"ok /../../etc/passwd"),
    "markup": instead(b"ok <script>alert(1)</script>"),
}


def main() -> None:
    name, verb, nth = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
    agent = subprocess.Popen(sys.argv[4:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert agent.stdin is not None
    assert agent.stdout is not None
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(agent.stdout.fileno(), "rb", closefd=False)
    os.write(1, answers.readline())
    seen = 0
    for request in iter(requests.readline, b""):
        agent.stdin.write(request)
        answer = answers.readline()
        seen += request.split()[1:2] == [verb]
        if seen == nth and not os.path.exists("injected"):
            with open("injected", "w") as file:
                file.write(name)
            answer = FAULTS[name](request, answer)
        while answer:
            answer = answer[os.write(1, answer) :]
    agent.stdin.close()
    agent.wait()


if __name__ == "__main__":
    main()
