"""Check verdicts under SIGKILL: fifty kills during a run, after which every case must have the correct verdict.

    python benchmarks/kills.py --victim=worker --dist=load
    python benchmarks/kills.py --victim=agent -n 0

The suite runs twice: once undisturbed, and once while its workers or their agents are killed at random moments, each
after it has begun to run cases.  A case during which a process was killed must be unresolved; all others must have the
verdict of the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

STARTED = """
import os
def pytest_runtest_logstart(nodeid):
    if "PYTEST_XDIST_WORKER" in os.environ or os.environ["ALONE"]:
        open(os.path.join(os.environ["STARTED"], str(os.getpid())), "w").close()
"""
"""A plugin that makes each process that runs cases record its start."""


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command(pid: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def victims(kind: str, pytest: int, started: Path) -> list[int]:
    """Return the processes to kill, among those that have begun to run cases."""
    begun = [int(path.name) for path in started.iterdir() if command(int(path.name))]
    if kind == "worker":
        return begun
    return [child for pid in begun for child in children(pid) if "mmap_agent" in command(child)]


def verdicts(report: Path) -> dict[str, str]:
    """Return the verdict on each case, for each worker if --dist=each."""
    found: dict[str, list[str]] = {}
    report_data = json.loads(report.read_text())
    for run in report_data.get("runs", [report_data]):
        for case in run["cases"]:
            found.setdefault(f"{run['backend'].get('worker', '')} {case['id']}", []).append(case["verdict"])
    return {id: " and ".join(several) for id, several in found.items()}


def run(asked: argparse.Namespace, folder: Path, kills: int, seed: int) -> tuple[dict[str, str], int, float, str]:
    """Run the suite and return its verdicts, the number of kills, the duration in seconds, and the output."""
    report, started, output = folder / f"v{kills}.json", folder / f"started-{kills}", folder / f"{kills}.txt"
    started.mkdir()
    (folder / "started.py").write_text(STARTED)
    workers = ["-n", str(asked.n), "--dist", asked.dist, "--max-worker-restart=1000"] if asked.n else []
    arguments = [f"--mmap-backend={asked.backend}", f"--mmap-level={asked.level}", f"--mmap-report={report}"]
    arguments += [f"--mmap-clause={asked.clause}"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "STARTED": str(started), "ALONE": "" if asked.n else "1"}
    random = Random(seed)
    done = 0
    began = time.monotonic()
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "started", "-p", "no:cacheprovider", *workers, *arguments],
            cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while process.poll() is None:
                if time.monotonic() - began > asked.timeout:
                    raise SystemExit(f"TIMEOUT: the run has not ended after {asked.timeout} s and {done} kills")
                time.sleep(random.uniform(0.01, asked.every))
                found = victims(asked.victim, process.pid, started) if done < kills else []
                if found:
                    os.kill(random.choice(found), signal.SIGKILL)
                    done += 1
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return verdicts(report), done, time.monotonic() - began, output.read_text()


def main() -> int:
    """Compare a run with kills with an undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--victim", choices=["worker", "agent"], default="worker")
    parser.add_argument("--backend", default="native")
    parser.add_argument("--level", default="linux")
    parser.add_argument("--clause", default="*", help="only cases of these clauses")
    parser.add_argument("-n", type=int, default=2)
    parser.add_argument("--dist", default="load")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--every", type=float, default=0.2, help="largest time between two kills, in seconds")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, _, undisturbed, _ = run(asked, folder, 0, asked.seed)
        seen, kills, seconds, text = run(asked, folder, asked.kills, asked.seed)
    lost = sorted(whole.keys() - seen.keys())
    changed = {id: seen[id] for id in whole.keys() & seen.keys() if seen[id] != whole[id]}
    wrong = {id: verdict for id, verdict in changed.items() if verdict != "unresolved"}
    print(
        f"{asked.victim}s killed, -n {asked.n} --dist {asked.dist}, seed {asked.seed}: {kills} kills,"
        f" {len(whole)} cases, {len(lost)} lost, {len(changed)} changed {dict(Counter(changed.values()))},"
        f" {seconds:.0f} s (undisturbed {undisturbed:.0f} s)"
    )
    if lost or wrong or len(changed) > kills:
        print("\n".join(text.splitlines()[-40:]))
        print("lost:", *lost[:20])
        print("wrong:", *list(wrong.items())[:20])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
