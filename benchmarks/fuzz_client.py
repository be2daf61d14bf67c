"""Answer the client of an agent with hostile lines: it must raise errors of the contract only, and end every wait.

    python benchmarks/fuzz_client.py [--lines 1000000] [--seed 1]

The answers are those of tests/hostile_agent.py.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from hostile_agent import Feed, converse

LONGEST = 60.0
"""Seconds that some calls with their answers may take; there is no wait in them but for the start of an agent."""


def main() -> int:
    """Make calls until the count of answers is reached; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    feed = Feed(Random(options.seed))
    began = time.monotonic()
    try:
        while feed.lines < options.lines:
            before = time.monotonic()
            converse(feed, 1)
            if time.monotonic() - before > LONGEST:
                raise TimeoutError(f"{LONGEST:g} s for some calls")
    except Exception:
        print(f"after {feed.lines} lines of seed {options.seed}")
        traceback.print_exc()
        return 1
    finally:
        feed.close()
    print(f"{feed.lines} lines, seed {options.seed}, {time.monotonic() - began:.0f} s: no other error")
    return 0


if __name__ == "__main__":
    sys.exit(main())
