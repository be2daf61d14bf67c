"""Kill pytest, workers, agents and emulators at random moments, and list what remains of the runs.

    python benchmarks/remains.py --kills=200

Each run judges some cases, crash cases and cases with --mmap-disruptive among them, and one of its processes is killed
by SIGKILL at a random moment.  After it, every report must be whole: final, or of a run that states that it is
unfinished; a run without all its results must not have the status 0; and no process, directory, mount, loop device or
changed limit of the machine may remain.  Prints the counts; the status is 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

RUN = "MMAPCONF_KILLED_RUN"
"""The environment variable of every process of a run."""

CASES = ("-m", "mmap_crash or not mmap_random and not mmap_tour")
KINDS = {
    "crash": ("--mmap-backend=native", "--mmap-disruptive", "-m", "mmap_crash"),
    "disruptive": ("--mmap-backend=native", "--mmap-disruptive", "--mmap-clause=mmap.*", *CASES),
    "native": ("--mmap-backend=native", "--mmap-clause=munmap.*", *CASES),
    "workers": ("--mmap-backend=native", "--mmap-disruptive", "-n", "2", "--mmap-clause=m*sync.*", *CASES),
    "emulator": ("--mmap-backend=qemu-user:{machine}", "--mmap-clause=munmap.*", *CASES),
}
"""The arguments of the runs."""

VICTIMS = {"crash": "pa", "disruptive": "pa", "native": "pa", "workers": "pwa", "emulator": "pa"}
"""The process that is killed in each: pytest, a worker, or a process of an agent (of an emulator in the last)."""

LIMITS = ("fs/file-max", "vm/max_map_count", "vm/overcommit_memory", "kernel/randomize_va_space")
"""Values of the machine that a run could change, in /proc/sys."""

PATIENCE = 15.0
"""Seconds after which nothing may be left."""


def processes(run: str) -> Iterator[tuple[int, bool, str]]:
    """Yield the processes of a run: number, whether it is an agent's, and command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "environ").read_bytes().split(b"\0")
                if f"{RUN}={run}".encode() in words:
                    is_agent = any(word.startswith(b"MMAPCONF_AGENT_OF=") for word in words)
                    yield int(entry.name), is_agent, (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
            except OSError:
                continue


def victims(kind: str, run: str, pytest: int) -> list[int]:
    """Return the processes of this kind, of which one is killed."""
    if kind == "p":
        return [pytest]
    found = list(processes(run))
    if kind == "a":
        return [pid for pid, is_agent, _ in found if is_agent]
    return [pid for pid, is_agent, command in found if not is_agent and "execnet" in command]


def backing_file(loop: Path) -> str:
    """Return the file of a loop device; empty if the device has been released meanwhile, by another run."""
    try:
        return loop.read_text()
    except OSError:
        return ""


def state(folder: Path) -> dict[str, object]:
    """Return what a run may not change for good."""
    loops = [backing_file(loop) for loop in Path("/sys/block").glob("loop*/loop/backing_file")]
    return {
        "limits": [Path("/proc/sys", name).read_text() for name in LIMITS],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line],
        "loop devices": [loop for loop in loops if str(folder) in loop],
        "files": sorted(path.name for path in (folder / "files").iterdir()),
    }


def wrong_reports(folder: Path, status: int, is_begun: bool) -> list[str]:
    """Return what is wrong with the reports and the exit status of a run; `is_begun`: it has written reports."""
    if not (folder / "r.json").exists():
        return ["it has no report"] if is_begun or status == 0 else []
    try:
        report = json.loads((folder / "r.json").read_text())
    except ValueError as error:
        return [f"its JSON report is not whole: {error}"]
    wrong = [] if status or not report.get("unfinished") else ["unfinished, but its status is 0"]
    if not report.get("unfinished") and any(case["verdict"] == "unresolved" for case in report["cases"]) and not status:
        wrong.append("unresolved, but its status is 0")
    for name, end in {"r.html": "</html>", "r.md": "\n"}.items():
        if (folder / name).exists() and not (folder / name).read_text().endswith((end, f"{end}\n")):
            wrong.append(f"{name} is not whole")
    return wrong


def kill_in_a_run(asked: argparse.Namespace, kind: str, random: Random, run: str) -> tuple[str, list[str]]:
    """Start a run, kill one of its processes; return which, and what is wrong afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="killed-"))
    (folder / "files").mkdir()
    before = state(folder)
    reports = [f"--mmap-report={folder / name}" for name in ("r.json", "r.html", "r.md")]
    arguments = [word.format(machine=asked.machine) for word in KINDS[kind]]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--mmap-dir={folder / 'files'}"]
    output = folder / "output.txt"
    with output.open("w") as stream:
        pytest = subprocess.Popen(
            [*command, "--mmap-level=linux", "--mmap-timeout=20", *arguments, *reports],
            cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env={**os.environ, RUN: run},
        )  # fmt: skip
    victim, killed = random.choice(VICTIMS[kind]), False
    time.sleep(random.uniform(0, asked.latest))
    deadline = time.monotonic() + asked.latest
    while not killed and pytest.poll() is None and time.monotonic() < deadline:
        if found := victims(victim, run, pytest.pid):
            try:
                os.kill(random.choice(found), signal.SIGKILL)
                killed = True
            except OSError:  # it has just ended
                continue
        time.sleep(0.01)
    is_begun = (folder / "r.json").exists()
    wrong = []
    try:
        status = pytest.wait(asked.timeout)
    except subprocess.TimeoutExpired:
        wrong.append(f"the run has not ended in {asked.timeout} s")
        pytest.kill()
        status = pytest.wait()
    left = time.monotonic() + PATIENCE
    while (list(processes(run)) or state(folder) != before) and time.monotonic() < left:
        time.sleep(0.1)
    wrong += [f"a process is left: {pid} {command}" for pid, _, command in processes(run)]
    after = state(folder)
    wrong += [f"{name}: {after[name]}, before {before[name]}" for name in before if after[name] != before[name]]
    wrong += wrong_reports(folder, status, is_begun)
    if "INTERNALERROR" in (text := output.read_text()):
        wrong.append("an error of the suite")
    if wrong:
        print(f"{kind}, {victim} killed, status {status}: {'; '.join(wrong)}\n{text[-1500:]}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return f"{kind}, {'pytest' if victim == 'p' else 'worker' if victim == 'w' else 'agent'}" if killed else "", wrong


def main() -> int:
    """Kill processes of as many runs as asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of runs, separated by commas")
    parser.add_argument("--machine", default="aarch64", help="what qemu-user emulates")
    parser.add_argument("--latest", type=float, default=8.0, help="seconds after the start in which a kill comes")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10000)
    asked = parser.parse_args()
    random = Random(asked.seed)
    kinds = asked.kinds.split(",")
    counts: Counter[str] = Counter()
    failures = runs = 0
    while counts.total() < asked.kills and runs < 3 * asked.kills:
        victim, wrong = kill_in_a_run(asked, kinds[runs % len(kinds)], random, f"{os.getpid()}-{asked.seed}-{runs}")
        counts.update([victim] if victim else [])
        failures += bool(wrong)
        runs += 1
        if runs % 20 == 0:
            print(f"{counts.total()} kills, {failures} wrong", flush=True)
    print(f"{counts.total()} kills in {runs} runs, seed {asked.seed}: {failures} wrong; {dict(sorted(counts.items()))}")
    return int(failures > 0 or counts.total() < asked.kills)


if __name__ == "__main__":
    sys.exit(main())
