"""Recipes: the file, the names, the backend, the list, and the deviations on record."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from pytest_mmapconf import backends
from pytest_mmapconf.agent.build import BuildError
from pytest_mmapconf.contract import SC_PAGESIZE, Options
from pytest_mmapconf.expectations.file import parse, read
from pytest_mmapconf.recipes import listing, recipe
from pytest_mmapconf.recipes.backend import RecipeBackend, prepared
from pytest_mmapconf.recipes.recipe import KNOWN, OWN, RecipeError, Resolved, recipes, resolve

MINE = """\
[mine]
text = "this kernel, started by a shell"
argument = "KIND"
options = { page = "the page size in bytes" }
run = 'echo "$KIND $EXTRA $PAGE." > "$FILES/../said"; exec "$@"'
prepare = 'echo "$KIND" > kind'
version = 'echo "mine 3.1 for $KIND"; echo more'
needs = { sh = "dash" }

[mine.values]
one = { EXTRA = "first" }
two = { EXTRA = "second", needs = { 'no-such-$KIND-program' = "package-of-it" } }
"""

with_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the files of `prepare` in the test's directory; agents stay in the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("pytest_mmapconf.recipes.backend.cache_folder", lambda: str(folder))
    return folder


def resolved(name: str, *files: Path) -> Resolved:
    result = resolve(name, recipes(files))
    assert result is not None
    return result


def test_the_suite_s_recipes_are_valid() -> None:
    """Each name is resolved, each variable that a program's name or a compiler contains has a value."""
    for one in recipes().values():
        for name in one.names():
            found = resolved(name)
            texts = [found.replaced(one.build), *map(found.replaced, found.needs)]
            assert not any("$" in text for text in texts), name
            assert all(found.needs.values()), name


def test_each_file_of_known_deviations_belongs_to_a_recipe_and_is_valid() -> None:
    files = {resolved(name).known() for one in recipes().values() for name in one.names()}
    for file in (OWN.parent / KNOWN).glob("*.toml"):
        assert file in files
        assert parse(read(file.name, file.parent))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mine", "Expected ']'"),
        ("mine = 3", "[mine]: must be a table"),
        ("[mine]\ntxt = 'a'", "[mine]: txt is not known; did you mean text"),
        ("[mine]\nrun = 'a'", "[mine]: text is missing"),
        ("[mine]\ntext = 3", "[mine]: text must be text"),
        ("[mine]\ntext = 'a'\nroot = 'yes'", "[mine]: root must be true"),
        ("[mine]\ntext = 'a'\nneeds = ['b']", "[mine]: needs must be a table"),
        ("[mine]\ntext = 'a'\nargument = 'X'", "[mine]: argument and values need each other"),
        ("[mine]\ntext = 'a'\nargument = 'X'\nvalues = { b = 3 }", "[mine]: values.b must be a table"),
    ],
)
def test_error_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)

    with pytest.raises(RecipeError, match=re.escape(message)) as error:
        recipes([file])
    assert str(error.value).startswith(str(file))


def test_a_recipe_of_the_user_replaces_one_of_the_suite(tmp_path: Path) -> None:
    file = tmp_path / "musl.toml"
    file.write_text("[musl]\ntext = 'another'")

    assert recipes([file])["musl"].text == "another"
    assert recipes([file]).keys() == recipes().keys()


def test_variables_of_a_name(mine: Path) -> None:
    found = resolved("mine:one,page=4096", mine)

    assert found.variables == {"KIND": "one", "EXTRA": "first", "PAGE": "4096"}
    assert found.missing() == []
    assert resolved("mine:two", mine).missing() == ["no-such-two-program (Debian: apt-get install package-of-it)"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "mine: needs a value, such as mine:one"),
        ("mine:on", "mine:on: 'on' is not known; did you mean one?"),
        ("mine:one,size=3", "mine:one,size=3: 'size' is not known"),
        ("mine:one,page", "mine:one,page: page needs a value: the page size in bytes"),
        ("musl:one", "musl:one: takes no value, such as musl"),
        ("musl,page=3", "musl,page=3: 'page' is not known; it has no options"),
    ],
)
def test_error_in_a_name_says_what_is_right(mine: Path, name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        resolve(name, recipes([mine]))


def test_another_name_is_no_recipe() -> None:
    assert resolve("native", recipes()) is None


def test_root_is_a_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert resolved("fs:ramfs").missing()[-1] == "root"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "root" not in resolved("fs:ramfs").missing()


@with_compiler
def test_the_backend_prepares_and_starts(mine: Path, tmp_path: Path, cache: Path) -> None:
    backend = RecipeBackend(resolved("mine:one,page=7", mine))
    backend.configure(Options(directory=str(tmp_path)))

    facts = backend.facts()
    system = backend.boot()
    assert system.spawn().sysconf(SC_PAGESIZE) > 0
    system.close()
    backend.close()

    assert facts.name == "mine:one,page=7"
    assert facts.version == "mine 3.1 for one"
    assert facts.details["directory"].startswith(str(tmp_path))
    assert (cache / "said").read_text() == "one first 7.\n"


def test_files_are_prepared_once(cache: Path) -> None:
    script = "echo run >> ../runs; echo $KIND > kind"
    folder = prepared("a:b", script, {"KIND": "x"})
    assert prepared("a:b", script, {"KIND": "x"}) == folder
    other = prepared("a:b", script, {"KIND": "y"})

    assert (folder / "kind").read_text() == "x\n"
    assert (other / "kind").read_text() == "y\n"
    assert (cache / "runs").read_text() == "run\n" * 2
    assert {path.name for path in cache.iterdir()} == {folder.name, other.name, "runs"}


def test_script_that_fails_leaves_nothing_and_is_named(cache: Path) -> None:
    with pytest.raises(BuildError, match="a:b cannot be prepared:\nno kernel"):
        prepared("a:b", "echo no kernel; exit 3", {})
    assert list(cache.iterdir()) == []


def test_list_says_what_can_run_and_what_is_missing(mine: Path) -> None:
    lines = list(listing.lines([mine]))

    assert "this kernel, started by a shell; option page=: the page size in bytes" in lines
    assert [line.split(None, 1) for line in lines if line.startswith("  mine")] == [
        ["mine:one", "can run here"],
        ["mine:two", "needs no-such-two-program (Debian: apt-get install package-of-it)"],
    ]


@pytest.mark.parametrize(("features", "missing"), [("fpu amx_tile", "a processor without amx_tile (why)"), ("fpu", "")])
def test_a_feature_of_the_processor_that_an_emulator_cannot_handle(
    monkeypatch: pytest.MonkeyPatch, features: str, missing: str
) -> None:
    monkeypatch.setattr(recipe, "processor_features", lambda: frozenset(features.split()))

    assert recipe.missing_program("cpu-without:amx_tile", "why") == missing


def test_the_features_of_this_processor() -> None:
    assert recipe.processor_features() or "flags" not in Path("/proc/cpuinfo").read_text("utf-8")


def test_the_list_for_programs_says_the_same(mine: Path) -> None:
    listed = [entry for entry in listing.entries([mine]) if entry["name"].startswith("mine")]
    one, two = listed

    assert one == {
        "name": "mine:one",
        "text": "this kernel, started by a shell",
        "needs": [],
        "has_known_deviations": False,
    }
    assert two["needs"] == ["no-such-two-program (Debian: apt-get install package-of-it)"]


def test_names_of_recipes_are_backends(mine: Path) -> None:
    assert isinstance(backends.make("mine:one", recipe_files=[mine]), RecipeBackend)
    with pytest.raises(pytest.UsageError, match=r"--mmap-backend=mine:two needs no-such-two-program \(Debian"):
        backends.make("mine:two", recipe_files=[mine])
    with pytest.raises(pytest.UsageError, match=r"--mmap-backend=mine: needs a value"):
        backends.make("mine", recipe_files=[mine])
    with pytest.raises(pytest.UsageError, match=r"no such backend; did you mean qemu-user:aarch64"):
        backends.make("qemu-user-aarch64")


@with_compiler
def test_options_of_the_plugin(mine: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe of the user is judged; the deviations on record beside its file are applied by name."""
    (mine.parent / "known").mkdir()
    expect = '[[expect]]\nclause = "munmap.errno.EINVAL"\nverdict = "fail"\nreason = "recorded"\n'
    (mine.parent / "known" / "mine-one.toml").write_text(expect)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path))
    arguments = ("--mmap-backend=mine:one", f"--mmap-recipes={mine}", "--mmap-clause=munmap.errno.EINVAL")

    pytester.runpytest_subprocess(*arguments).stdout.fnmatch_lines(["*: 1 pass*"])
    result = pytester.runpytest_subprocess(*arguments, "--mmap-expectations=known")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*mine-one.toml*"])
    result = pytester.runpytest_subprocess("--mmap-backend=native", "--mmap-expectations=known")
    result.stderr.fnmatch_lines(["*there is no file of known deviations of native"])


def test_known_deviations_are_those_of_the_value_or_of_the_recipe(mine: Path) -> None:
    folder = mine.parent / "known"
    folder.mkdir()
    resolved = resolve("mine:one", recipes([mine]))
    assert resolved is not None
    assert resolved.known() is None

    for name in "mine.toml", "mine-one.toml":
        (folder / name).touch()
        assert resolved.known() == folder / name


def test_recipes_are_toml_that_names_each_key() -> None:
    """The comment at the start of the file describes every key."""
    described = set(re.findall(r"^# (\w+) {2,}", OWN.read_text(), re.M))
    tables = tomllib.loads(OWN.read_text()).values()

    assert {key for table in tables for key in table} - {"values"} <= described
