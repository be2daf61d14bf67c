"""Conditions: when they are true, the invalid ones, and cases of clauses with a false condition."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from vendored import CASES, CLAUSES, NAME, build

from pytest_mmapconf.catalogue.conditions import FACTS, ConditionError, parse
from pytest_mmapconf.contract import Facts
from pytest_mmapconf.reference.backend import ReferenceBackend

NATIVE = Facts(
    "native",
    "Linux 6.17.3-amd64, glibc 2.36",
    {
        "kernel": "Linux 6.17.3-amd64",
        "machine": "x86_64",
        "libc": "glibc 2.36",
        "page": "4096",
        "file system": "ext4",
        "byte order": "little",
        "user": "uid 1000",
        "capabilities": "CAP_SYS_ADMIN,CAP_KILL",
    },
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('kernel = ">=6.17"', True),
        ('kernel = ">=6.18"', False),
        ('kernel = ">=6.9"', True),  # numbers, not text
        ('kernel = ">=5.18"', True),
        ('kernel = "<6.17"', False),
        ('kernel = "<6.17.4"', True),
        ('kernel = "<=6.17"', True),  # compared to the precision of the test
        ('kernel = ">6.17"', False),
        ('kernel = "==6.17"', True),
        ('kernel = "!=6.17"', False),
        ('kernel = "==6.17.3.0"', True),  # missing parts are 0
        ('kernel = ">=6.1,<6.17"', False),
        ('kernel = ">=6.1, < 6.18"', True),
        ('kernel = ["<5", ">=6"]', True),
        ('kernel = "FreeBSD >=6"', False),
        ('kernel = "Linux >=6"', True),
        ('kernel = "!<6"', True),
        ('kernel = "Linux"', True),
        ('kernel = "Linux 6.17*"', True),
        ('machine = "x86_64"', True),
        ('machine = "x86*"', True),
        ('machine = "x86"', False),
        ('machine = ["aarch64", "riscv64"]', False),
        ('libc = "glibc >=2.36"', True),
        ('libc = "glibc >=2.37"', False),
        ('libc = "musl >=1"', False),
        ('libc = "glibc"', True),
        ("page = 4096", True),
        ("page = [16384, 65536]", False),
        ('page = ">4096"', False),
        ('file_system = ["tmpfs", "ext*"]', True),
        ('file_system = "!ext4"', False),
        ('byte_order = "little"', True),
        ('user = "root"', False),
        ('user = "!root"', True),
        ('user = "uid"', True),
        ('user = "uid >=1000"', True),
        ('capabilities = "*CAP_KILL*"', True),
        ('capabilities = "!*CAP_KILL*"', False),
        ('backend = "native"', True),
        ('backend = "agent:*"', False),
        ('version = ">=6"', True),
        ('machine = ">=1"', False),  # x86_64 has no number
        ('kernel = ">=6"\nuser = "root"', False),
        ('kernel = ">=6"\nuser = "uid *"', True),
        ("bits = 64", False),  # not reported
        ('bits = "!32"', False),  # not reported, so a negated test is false as well
    ],
)
def test_condition_is_true_or_false(condition: str, holds: bool) -> None:
    assert (parse(tomllib.loads(condition)).unmet(NATIVE) is None) == holds


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ('kernel = ">=6.18"', "only for kernel >=6.18; this is Linux 6.17.3-amd64"),
        ('file_system = ["tmpfs", "xfs"]', "only for file system tmpfs or xfs; this is ext4"),
        ("bits = 64", "only for bits 64; the backend does not report its bits"),
    ],
)
def test_reason_for_a_false_condition(condition: str, reason: str) -> None:
    assert parse(tomllib.loads(condition)).unmet(NATIVE) == reason


def test_question_marks_of_an_agent_are_no_facts() -> None:
    facts = Facts("agent:x", details={"kernel": "? ?", "libc": "?"})

    assert parse({"libc": "!musl"}).unmet(facts) == "only for libc !musl; the backend does not report its libc"
    assert parse({"kernel": "!<6"}).unmet(facts) == "only for kernel !<6; the backend does not report its kernel"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({}, "{} is not a condition; write one as { kernel"),
        (">=6.17", "'>=6.17' is not a condition; "),
        ({"kernal": ">=6.17"}, "there is no fact 'kernal'; did you mean kernel?"),
        ({"colour": "red"}, f"there is no fact 'colour'; there are: {', '.join(FACTS)}"),
        ({"kernel": ">=six"}, "kernel: '>=six' is not a test; write a name"),
        ({"kernel": ">=6.17 Linux"}, "kernel: '>=6.17 Linux' is not a test; "),
        ({"kernel": "=6.17"}, "kernel: '=6.17' is not a test; "),
        ({"kernel": "=" * 100_000}, "kernel: '===="),
        ({"[" * 100_000: ""}, "there is no fact '[[[["),
        ({"kernel": ""}, "kernel: '' is not a test; "),
        ({"kernel": "!"}, "kernel: '!' is not a test; "),
        ({"kernel": True}, "kernel: True is not a test; "),
        ({"kernel": []}, "kernel: an empty list is never true"),
        ({"kernel": 6.1}, "kernel: 6.1 is a decimal fraction; write a version as text"),
    ],
)
def test_invalid_conditions(condition: object, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(condition)

    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 1000


def test_condition_as_text() -> None:
    condition = parse({"kernel": ">=6.17", "file_system": ["tmpfs", "ext*"], "page": 4096})

    assert str(condition) == "kernel >=6.17, file system tmpfs or ext*, page 4096"


def test_reference_reports_a_recent_kernel() -> None:
    facts = ReferenceBackend(bits=64).facts()

    for condition in ({"kernel": ">=6.17"}, {"machine": "x86_64"}, {"page": 4096, "bits": 64, "user": "root"}):
        assert parse(condition).unmet(facts) is None


# --------------------------------------------------------------------------------------------------------- on a clause


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy in which two clauses have a condition; one case judges one of these and a clause without condition."""
    library = build(
        tmp_path / "the library",
        {**CASES, "both.py": "from ..testing import clause\n@clause('map.size', 'map.address')\ndef test_both(): pass"},
    )
    catalogue = library.joinpath(*NAME.split("."), "conformance", "clauses.toml")
    catalogue.write_text(
        CLAUSES.replace('id = "map.address"', 'id = "map.address"\nwhen = { kernel = "Toy >=4" }').replace(
            'id = "file.content"', 'id = "file.content"\nwhen = { kernel = "Toy >=3", machine = ["paper", "pen"] }'
        )
    )
    return library


@pytest.mark.parametrize("mode", [[], ["-n", "2"], ["--setup-show"]], ids=["plain", "two-workers", "setup-show"])
def test_clause_with_a_false_condition_is_unsupported(
    judge: Callable[..., pytest.RunResult], pytester: pytest.Pytester, library: Path, mode: list[str]
) -> None:
    result = judge("Known", "--mmap-report=v.json", *mode, library=library)

    result.assert_outcomes(passed=4, skipped=2)
    report = json.loads((pytester.path / "v.json").read_text())
    verdicts = {clause["id"]: clause["verdict"] for clause in report["clauses"]}
    assert verdicts == {"file.content": "pass", "map.address": "unsupported", "map.size": "pass"}
    reasons = {case["id"]: case["reason"] for case in report["cases"] if case["reason"]}
    why = "map.address is only for kernel Toy >=4; this is Toy 3"
    assert reasons == {"both.both": why, "mapping.aligned": why}
    result.stdout.fnmatch_lines([f"*{why}*", "*map.address*"])


def test_backend_that_reports_no_facts(judge: Callable[..., pytest.RunResult], library: Path) -> None:
    result = judge("Good", library=library)

    result.assert_outcomes(passed=2, skipped=4)
    result.stdout.fnmatch_lines(["*file.content is only for kernel Toy >=3; the backend does*"])
