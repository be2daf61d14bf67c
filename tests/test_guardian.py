"""No process of an agent is left when the client, or the agent, is killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_agent_client import GOOD, running

from pytest_mmapconf.agent.backend import CommandBackend
from pytest_mmapconf.agent.dead_agent import orphaned_directories, owned_directories
from pytest_mmapconf.contract import Options, Unresolved

STUBBORN = """
import os, signal, subprocess, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)", sys.argv[0]], start_new_session=True)
"""
"""An emulator that does not end with its stdin, and has a child in a session of its own."""


OWNER = """
def own(folder):
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    os.mkdir(folder + "/mmapconf-abcdefgh")
    os.symlink(f"{boot} {os.readlink('/proc/self/ns/pid')} {os.getpid()}", folder + "/mmapconf-abcdefgh/agent")
"""
"""How an agent makes its directory."""


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def write_agent(folder: Path, code: str, at_the_end: str = "") -> str:
    script = folder / "agent.py"
    script.write_text(f"{GOOD}\n{code}\nrun()\n{at_the_end}\n")
    return shlex.join([sys.executable, "-S", str(script)])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_client_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    owned = tmp_path / "owned"
    owned.mkdir()
    greeting = f'def greet():\n    own("{owned}")\n    say("mmapconf 1\\n")\n'
    command = write_agent(tmp_path, STUBBORN + OWNER + greeting, "time.sleep(300)")
    client = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time\n"
            "from pytest_mmapconf.agent.backend import CommandBackend\n"
            "from pytest_mmapconf.contract import Options\n"
            f"backend = CommandBackend({command!r})\n"
            f"backend.configure(Options(directory={str(owned)!r}))\n"
            "system = backend.boot()\n"
            "print('booted', flush=True)\n"
            "time.sleep(300)\n",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"booted\n"
    assert len(running(str(tmp_path / "agent.py"))) >= 2

    client.send_signal(number)
    client.wait(30)
    client.stdout.close()

    assert until(lambda: not running(str(tmp_path / "agent.py")) and not list(owned.iterdir()))


def test_a_child_in_a_session_of_its_own_ends_with_an_agent_that_fails(tmp_path: Path) -> None:
    refused = 'def greet(): say("mmapconf 99\\n")\n'
    backend = CommandBackend(write_agent(tmp_path, STUBBORN + refused, "time.sleep(300)"))
    backend.configure(Options(timeout=20))

    with pytest.raises(Unresolved, match="version 99"):
        backend.boot()

    assert not running(str(tmp_path))


def test_the_directory_of_an_agent_that_is_refused_is_removed(tmp_path: Path) -> None:
    agent = f"""
import os
{OWNER}
def greet():
    own(os.environ["FOLDER"])
    say(f"mmapconf 1 directory={{os.environ['FOLDER']}} page=0\\n")
"""
    command = write_agent(tmp_path, agent)
    (tmp_path / "of-others").mkdir()
    other = tmp_path / "of-others" / "mmapconf-abcdefgi"
    other.mkdir()
    (other / "agent").symlink_to("boot-id pid:[1] 1")
    backend = CommandBackend(f"env FOLDER={tmp_path / 'of-others'} {command}")

    with pytest.raises(Unresolved, match="page"):
        backend.boot()

    assert [path.name for path in (tmp_path / "of-others").iterdir()] == ["mmapconf-abcdefgi"]


@pytest.mark.parametrize("greeting", ["os.kill(os.getpid(), 9)", 'say("mmapconf 99\\n")'])
def test_the_directory_of_an_agent_that_has_not_greeted_is_removed(tmp_path: Path, greeting: str) -> None:
    owned = tmp_path / "owned"
    owned.mkdir()
    agent = f"import os\n{OWNER}\ndef greet():\n    own({str(owned)!r})\n    {greeting}\n"
    backend = CommandBackend(write_agent(tmp_path, agent))
    backend.configure(Options(timeout=20, directory=str(owned)))

    with pytest.raises(Unresolved):
        backend.boot()

    assert not list(owned.iterdir())


def test_the_guardian_of_a_client_that_ends_in_order_looks_at_no_directory(tmp_path: Path) -> None:
    """A file system could not be unmounted while it looks."""
    owned = tmp_path / "owned"
    (owned / "mmapconf-dead00").mkdir(parents=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (owned / "mmapconf-dead00" / "agent").symlink_to(f"{boot} {os.readlink('/proc/self/ns/pid')} {dead.pid}")
    client = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from pytest_mmapconf.agent import guardian\n"
            "from pytest_mmapconf.agent.backend import CommandBackend\n"
            "from pytest_mmapconf.contract import Options\n"
            f"backend = CommandBackend({write_agent(tmp_path, '')!r})\n"
            f"backend.configure(Options(directory={str(owned)!r}))\n"
            "backend.boot().close()\n"
            "print(guardian.mark())\n",
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert client.returncode == 0, client.stderr
    assert until(lambda: not running(client.stdout.strip()))
    assert [path.name for path in owned.iterdir()] == ["mmapconf-dead00"]


def test_only_directories_of_dead_agents_here_are_orphaned(tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = os.readlink("/proc/self/ns/pid")
    dead = subprocess.Popen(["true"])
    dead.wait()
    owners = {
        "mmapconf-dead00": f"{boot} {space} {dead.pid}",
        "mmapconf-alive0": f"{boot} {space} {os.getpid()}",
        "mmapconf-other0": f"{boot} pid:[1] {dead.pid}",
        "mmapconf-elsewh": f"another-boot {space} {dead.pid}",
        "mmapconf-wrong0": f"{boot} {space} x",
        "of-others": f"{boot} {space} {dead.pid}",
    }
    for name, owner in owners.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "agent").symlink_to(owner)
    (tmp_path / "mmapconf-ownerless").mkdir()

    assert orphaned_directories(str(tmp_path)) == [str(tmp_path / "mmapconf-dead00")]
    assert orphaned_directories(str(tmp_path / "missing")) == []


def test_the_directory_of_an_agent_that_was_killed_before_it_made_its_link_is_its_own(tmp_path: Path) -> None:
    """It is empty; one that has files, or another name, is left."""
    for name in ("mmapconf-41_Ab12Cd", "mmapconf-42_Ab12Cd", "mmapconf-41_notown", "mmapconf-41Ab12"):
        (tmp_path / name).mkdir()
    (tmp_path / "mmapconf-41_notown" / "file").touch()

    assert owned_directories(str(tmp_path), [41]) == [str(tmp_path / "mmapconf-41_Ab12Cd")]
