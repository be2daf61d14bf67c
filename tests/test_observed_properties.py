"""plugin.observed_properties and plugin.condition_hooks: what a case needs, and cases that cannot be judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from vendored import CASES, CLAUSES, NAME, build

from pytest_mmapconf.catalogue.properties import PROPERTIES, Property
from pytest_mmapconf.contract import MAP_FIXED, Process, Resource, Unresolved, Unsupported
from pytest_mmapconf.plugin import observed_properties
from pytest_mmapconf.plugin.needed_properties import needs_of
from pytest_mmapconf.plugin.observed_properties import ObservedProperties
from pytest_mmapconf.plugin.used_calls import calls_of
from pytest_mmapconf.reference.backend import ReferenceBackend
from pytest_mmapconf.testing import needs, optional_calls


class CountingBackend(ReferenceBackend):
    """A reference that counts the systems that were booted."""

    booted = 0

    def boot(self):  # type: ignore[no-untyped-def]
        self.booted += 1
        return super().boot()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Process], bool]], None]:
    """`toy(experiment)`: define a property "toy", promised by the clause "munmap.range"."""

    def define(experiment: Callable[[Process], bool]) -> None:
        properties = {**PROPERTIES, "toy": Property("toy", "It is a toy.", experiment, ("munmap.range",))}
        monkeypatch.setattr(observed_properties, "PROPERTIES", properties)

    return define


def test_property_is_observed_once_when_it_is_needed() -> None:
    backend = CountingBackend()
    observed = ObservedProperties(backend)
    assert backend.booted == 0
    assert observed.news() == {}

    assert observed.unmet(["noreplace", "fork"], ()) is None
    assert observed.unmet(["fork"], ()) is None
    assert backend.booted == 2
    assert observed.news() == {"noreplace": "holds", "fork": "holds"}
    assert observed.news() == {}


def test_property_that_does_not_hold(toy: Callable[[Callable[[Process], bool]], None]) -> None:
    toy(lambda process: False)
    observed = ObservedProperties(ReferenceBackend())

    reason = "needs toy (It is a toy), which does not hold on this system; judged by munmap.range"
    assert observed.unmet(["fork", "toy"], ["munmap.result"]) == reason
    assert observed.news() == {"fork": "holds", "toy": "does not hold"}


def test_case_of_the_clause_that_promises_the_property_is_judged(
    toy: Callable[[Callable[[Process], bool]], None],
) -> None:
    toy(lambda process: False)
    backend = CountingBackend()

    assert ObservedProperties(backend).unmet(["toy"], ["munmap.result", "munmap.range"]) is None
    assert backend.booted == 0


@pytest.mark.parametrize("error", [Unsupported("no fork"), Unresolved("no fork\nand more"), OSError("no fork")])
def test_property_that_cannot_be_observed(toy: Callable[[Callable[[Process], bool]], None], error: Exception) -> None:
    def experiment(process: Process) -> bool:
        raise error

    toy(experiment)
    observed = ObservedProperties(ReferenceBackend())

    assert observed.unmet(["toy"], ()) == (
        "needs toy (It is a toy), which could not be observed: no fork; judged by munmap.range"
    )
    assert observed.news() == {"toy": "is not known: no fork"}


def test_system_that_cannot_be_closed_is_no_observation() -> None:
    class Stuck(ReferenceBackend):
        def boot(self):  # type: ignore[no-untyped-def]
            system = super().boot()
            system.close = self.fail  # type: ignore[method-assign]
            return system

        def fail(self) -> None:
            raise OSError("still mounted")

    observed = ObservedProperties(Stuck())
    with pytest.raises(OSError, match="still mounted"):
        observed.observe("fork")
    assert observed.news() == {}


def test_observations_are_forgotten_with_their_backend() -> None:
    backend = CountingBackend()
    observed = ObservedProperties(backend)
    observed.observe("fork")
    observed.clear()
    observed.observe("fork")

    assert backend.booted == 2
    assert observed.news() == {"fork": "holds"}


# --------------------------------------------------------------------------------------------------- what a case needs


@needs("noreplace")
def helper() -> None:
    other_helper()


@needs("fork", "fixed")
def other_helper() -> None:
    pass


@needs("fork", "reservation")
def case_with_helpers() -> None:
    helper()


def test_case_needs_what_its_helpers_need() -> None:
    assert set(needs_of(case_with_helpers)) == {"fork", "reservation", "noreplace", "fixed"}
    assert needs_of(other_helper) == ("fork", "fixed")
    assert needs_of(None) == ()


@optional_calls
def helper_with_optional_calls(process: Process) -> None:
    process.mmap(0, 1, 0, MAP_FIXED, -1, 0)
    helper()


@needs("reservation")
@optional_calls
def other_helper_with_optional_calls() -> None:
    pass


def case_by_names(process: Process) -> None:
    helper_with_optional_calls(process)
    other_helper_with_optional_calls()
    process.set_limit_headroom(Resource.ADDRESS_SPACE, 0)
    process.fork()


def test_case_needs_what_its_names_need() -> None:
    assert set(needs_of(case_by_names)) == {"reservation", "address-space-limit", "fork"}
    assert calls_of(case_by_names) == {"set_limit_headroom", "fork"}


def test_unknown_property() -> None:
    with pytest.raises(ValueError, match=r"^there is no property 'noreplce'; did you mean noreplace\?$"):
        needs("noreplce")


# ---------------------------------------------------------------------------------------------------------- in a run

NEEDY = """
import pytest
from ..testing import clause, needs

@needs("noreplace")
def helper(process):
    pass

@clause("map.size")
def test_by_helper(process):
    helper(process)

@clause("map.size")
@pytest.mark.parametrize("kind", ["any", pytest.param("forked", marks=needs("fork"))])
def test_by_parameter(process, kind):
    pass

@clause("map.address")
def test_condition(process):
    pass
"""


@pytest.fixture
def needy_library(tmp_path: Path) -> Path:
    """A copy with cases that need properties, and a clause with a condition on one."""
    library = build(tmp_path, {"needy.py": NEEDY, "files.py": CASES["files.py"]})
    catalogue = library.joinpath(*NAME.split("."), "conformance", "clauses.toml")
    when = 'when = { kernel = "Toy", property = ["!noreplace"] }'
    catalogue.write_text(CLAUSES.replace('id = "map.address"', f'id = "map.address"\n{when}'))
    return library


@pytest.mark.parametrize("mode", [[], ["-n", "2"]], ids=["plain", "two-workers"])
def test_case_without_its_needs_is_unsupported(
    judge: Callable[..., pytest.RunResult], pytester: pytest.Pytester, needy_library: Path, mode: list[str]
) -> None:
    result = judge("Known", "--mmap-report=v.json", *mode, library=needy_library)

    report = json.loads((pytester.path / "v.json").read_text())
    unknown = "the backend has no fork"
    assert report["properties"] == {
        "fork": f"is not known: {unknown}",
        "noreplace": "does not hold",
    }
    reasons = {case["id"]: case["reason"] for case in report["cases"] if case["verdict"] == "unsupported"}
    text = PROPERTIES["noreplace"].text.rstrip(".")
    assert reasons == {
        "needy.by_helper": f"needs noreplace ({text}), which does not hold on this system; "
        "judged by mmap.flag.fixed-noreplace, mmap.errno.EEXIST",
        "needy.by_parameter[forked]": "needs fork (A process can be forked), which could not be observed: "
        f"{unknown}; judged by fork.mappings",
    }
    result.assert_outcomes(passed=4, skipped=2)
    result.stdout.fnmatch_lines(["observed properties: 0 hold, 1 not known; noreplace does not hold"])
