"""A filter between the suite and a correct agent that makes one kind of answer wrong.

Usage: `python wrong_agent.py WAY AGENT ARGUMENTS…`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

Way = Callable[[str, str], str]
"""Makes an answer wrong, given (request, answer)."""


def at(verb: str, way: Way) -> Way:
    """Apply `way` only to answers to requests of this verb."""
    return lambda request, answer: way(request, answer) if request.split()[1:2] == [verb] else answer


def die(request: str, answer: str) -> str:
    print("out of ideas", file=sys.stderr)
    os._exit(3)


def hang(request: str, answer: str) -> str:
    time.sleep(60)
    return answer


WAYS: dict[str, Way] = {
    "right": lambda request, answer: answer,
    "dies": at("load", die),
    "hangs": at("mmap", hang),
    "wrong-process": at("sysconf", lambda request, answer: re.sub(r"^\d+", "77", answer)),
    "babbles": at("sysconf", lambda request, answer: f"DEBUG: asked for {request}\n{answer}"),
    "no-answer-kind": at("munmap", lambda request, answer: answer.replace("ok", "0")),
    "errno-by-number": lambda request, answer: answer.replace("error EINVAL", "error 22"),
    "errno-as-result": lambda request, answer: re.sub(r"error EINVAL", "ok -22", answer),
    "errno-of-another-call": lambda request, answer: answer.replace("error EINVAL", "error ENOTTY"),
    "fault-as-error": lambda request, answer: re.sub(r"fault .*", "error EFAULT", answer),
    "dies-of-a-fault": lambda request, answer: re.sub(r"fault .*", "died SIGSEGV", answer),
    "fault-at-its-page": lambda request, answer: (
        re.sub(r"(0x[0-9a-f]+)[0-9a-f]{3}$", r"\g<1>000", answer) if "fault" in answer else answer
    ),
    "no-number": at("mmap", lambda request, answer: answer.replace("0x", "address ")),
    "bytes-with-blanks": at("load", lambda request, answer: re.sub(r"ok (..)(..)", r"ok b'\1\2", answer)),
    "too-many-bytes": at("load", lambda request, answer: answer + "00"),
    "other-verbs": at("munmap", lambda request, answer: f"{request.split()[0]} bad no such verb"),
    "page-size-in-kib": at("sysconf", lambda request, answer: re.sub(r"ok .*", "ok 4", answer)),
    "leaves-its-emulator": at("exec", lambda request, answer: re.sub(r"front=\S*", "front=qemu%00", answer)),
    "reports-no-front-after-exec": at("exec", lambda request, answer: answer.partition("ok")[0] + "ok"),
    "no-process": at("spawn", lambda request, answer: "0 ok"),
}


def main() -> None:
    way, command = WAYS[sys.argv[1]], sys.argv[2:]
    agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert agent.stdin is not None
    assert agent.stdout is not None
    print(agent.stdout.readline(), end="", flush=True)
    for request in sys.stdin:
        agent.stdin.write(request)
        agent.stdin.flush()
        print(way(request.rstrip(), agent.stdout.readline().rstrip()), flush=True)


if __name__ == "__main__":
    main()
