"""The reachability map: `python -m pytest_mmapconf reach`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_mmapconf import __main__
from pytest_mmapconf.contract import Facts, Options
from pytest_mmapconf.gates import reachability
from pytest_mmapconf.gates.reachability import Pair, Reason, Run

PAIRS = reachability.pairs()
REASONS = reachability.reasons()


@pytest.fixture(scope="module")
def reference() -> Run:
    """The pairs that the cases reach on the reference."""
    return reachability.run("reference", Options())


def test_pairs_are_derived_from_every_source() -> None:
    """Check a pair of each source: the catalogue, a refusal, a shared refusal, a fault, the agent."""
    assert PAIRS["mmap", "EBADF"] == ["mmap.errno.EBADF", "mmap.errno.EBADF.path"]
    assert PAIRS["msync", "EBUSY"] == ["msync.flag.invalidate.busy"]
    assert PAIRS["mremap", "EPERM"] == ["mmap.errno.EPERM.zero", "mremap.errno.EPERM"]
    assert "mmap.errno.EPERM.zero" in PAIRS["mmap", "EPERM"]
    assert {("SIGSEGV", "SEGV_ACCERR"), ("SIGSEGV", "SI_KERNEL"), ("SIGBUS", "BUS_OBJERR")} <= PAIRS.keys()
    calls = "fallocate madvise mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munmap sysconf"
    assert set(calls.split()) == {call for call, _ in PAIRS if not call.startswith("SIG")}
    assert ("munmap", "EACCES") not in PAIRS


def test_every_pair_is_reached_or_has_a_reason(reference: Run) -> None:
    assert reachability.find_gaps([reference], PAIRS, REASONS) == []


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason.system in ("", "reference")], ids=str)
def test_pair_without_its_reason_is_a_gap(reference: Run, reason: Reason) -> None:
    others = [other for other in REASONS if other != reason]

    gaps = reachability.find_gaps([reference], PAIRS, others)

    assert gaps == [f"{' '.join(reason.pair)}: neither reached on reference nor is there a reason"]


def test_unreachable_pair_is_a_gap(reference: Run) -> None:
    gaps = reachability.find_gaps([reference], [*PAIRS, ("munmap", "EDOM")], REASONS)

    assert gaps == ["munmap EDOM: neither reached on reference nor is there a reason"]


def test_reason_for_a_reached_pair_is_wrong(reference: Run) -> None:
    reasons = [*REASONS, Reason(("mmap", "EBADF"), "no case does so")]

    assert reachability.find_gaps([reference], PAIRS, reasons) == [
        "mmap EBADF: reached on reference, although there is a reason: no case does so"
    ]


def test_reason_for_an_unknown_pair_is_wrong(reference: Run) -> None:
    reasons = [*REASONS, Reason(("mmap", "EDOM"), "no such errno")]

    assert reachability.find_gaps([reference], PAIRS, reasons) == ["mmap EDOM: there is a reason, but no such pair"]


def test_unknown_reached_pair_is_an_error(reference: Run) -> None:
    pairs = [pair for pair in PAIRS if pair != ("mmap", "EBADF")]

    assert reachability.find_gaps([reference], pairs, REASONS) == [
        "mmap EBADF: reached on reference, unknown to the catalogue and the reference"
    ]


@pytest.mark.parametrize(
    ("without", "options", "reached", "wrong"),
    [
        ("disruptive", Options(), False, False),
        ("disruptive", Options(), True, True),
        ("disruptive", Options(disruptive=True), False, True),
        ("disruptive", Options(disruptive=True), True, False),
        ("a processor's feature", Options(), False, False),
        ("a processor's feature", Options(), True, False),
    ],
)
def test_conditions(without: str, options: Options, reached: bool, wrong: bool) -> None:
    pair: Pair = ("mmap", "ENFILE")
    run = Run("native", Facts("native", details={"kernel": "Linux 6.1"}), options, {pair: ()} if reached else {})
    reasons = [Reason(pair, "why", "Linux", without), Reason(pair, "elsewhere", "reference")]

    assert bool(reachability.find_gaps([run], [pair], reasons)) is wrong


def test_the_page(
    reference: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page has a row for each pair, with the smallest program or the reason."""
    monkeypatch.setattr(reachability, "run", lambda name, options: reference)
    path = tmp_path / "new" / "page.md"

    assert __main__.main(["reach", "-o", str(path)]) == 0

    rows = [line.split(" | ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    table = {(row[0][2:], row[1]): row[2:] for row in rows}
    assert PAIRS.keys() <= table.keys()
    assert table["sysconf", "EINVAL"] == ["paging.sysconf.invalid", "yes", "`p1.sysconf(-1)` |"]
    assert table["SIGSEGV", "SEGV_MAPERR"][0] == "yes"
    assert table["SIGSEGV", "SEGV_MAPERR"][1].endswith(", 1)` |")
    assert table["SIGSEGV", "SEGV_BNDERR"][0].startswith("no: a check of bounds by Intel MPX")
    for pair, cells in table.items():
        assert ("yes" in cells) is (pair in reference.reached) is ("`" in cells[-1]) or pair not in PAIRS
    assert capsys.readouterr().out == f"reference: {len(PAIRS.keys() & reference.reached)} of {len(PAIRS)} reached\n"


def test_programs_are_minimal(reference: Run) -> None:
    """Without any one of the steps before the last, the pair is not reached."""
    with reachability.started("reference", Options()) as backend:
        for pair, found in reachability.smallest([reference]).items():
            ((program, names),) = found
            assert names == ["reference"]
            assert reachability.reaches(backend, program, pair)
            for place in range(len(program) - 1):
                assert not reachability.reaches(backend, program[:place] + program[place + 1 :], pair)


def test_gap_fails_the_command(
    reference: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = {pair: program for pair, program in reference.reached.items() if pair != ("munmap", "EINVAL")}
    monkeypatch.setattr(reachability, "run", lambda name, options: replace(reference, reached=reached))

    assert __main__.main(["reach", "--check"]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "munmap EINVAL: neither reached on reference nor is there a reason\n"


def test_no_such_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["reach", "--backend", "natvie", "--check"]) == 2

    assert "did you mean native" in capsys.readouterr().err
