"""Fuzz the parser of the agent in C with libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.

    python benchmarks/fuzz_parser.py [--lines 1000000] [--seed 1]

The first lines are one of each verb of the agent's table; libFuzzer mutates them, and keeps those that reach new code.
Needs clang.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz_agent import verbs

from pytest_mmapconf.agent.build import SOURCE

TARGET = Path(__file__).with_suffix(".c")
WORDS = {
    "a": "0x1000",
    "n": "3",
    "p": "a%20b",
    "x": "61*4096,0102,00fe+40",
    "*": "; 0 0 sysconf 30 ; 1 1 store 0x1000 61*9",
}
"""By the form of an argument, an argument."""


def main() -> int:
    """Build the target and run it; the status is 1 if a sanitizer has reported an error."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        target, lines = Path(name, "parser"), Path(name, "lines")
        flags = ["-g", "-O1", "-std=gnu11", "-w", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
        subprocess.run(["clang", *flags, f"-I{SOURCE.parent}", "-pthread", "-o", target, TARGET], check=True)
        lines.mkdir()
        for verb, form in verbs().items():
            (lines / verb).write_text(" ".join([verb, *(WORDS[letter] for letter in form)]))
        limits = [f"-runs={asked.lines}", f"-seed={asked.seed}", "-max_len=4000", "-timeout=10", "-print_final_stats=1"]
        run = subprocess.run([target, *limits, lines], cwd=name, stderr=subprocess.PIPE, text=True, errors="replace")
        if run.returncode:
            print(run.stderr[-6000:])
        counts = [line for line in run.stderr.splitlines() if line.startswith(("stat::number", "Done"))]
    print(f"seed {asked.seed}:", *counts, f"status {run.returncode}", sep="\n")
    return int(run.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
