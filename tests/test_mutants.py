"""The script that draws mutants and finds those that no test notices, on a small project."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .mutations import Mutant, draw, mutants, package, reach

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", [("comparison", "a <= b")]),
        ("(a)  not  in (b)", [("comparison", "(a)  in (b)")]),
        ("a == 'x'", [("comparison", "a != 'x'"), ("string", "a == 'xXX'")]),
        ("a in ('x', b)", [("comparison", "a not in ('x', b)"), ("string", "a in ('xXX', b)")]),
        ("(a + b) * c", [("arithmetic", "(a + b) / c"), ("arithmetic", "(a - b) * c")]),
        ("a -= b", [("arithmetic", "a += b")]),
        ("-(a)", [("arithmetic", "(a)")]),
        ("é = a // b", [("arithmetic", "é = a / b")]),
        ("a + 'x'", []),
        ("A = Path | None", []),
        ("a = 1", [("constant", "a = 2")]),
        ("a = 0.0, 1.5", [("constant", "a = 0.0, 3.0"), ("constant", "a = 1.0, 1.5")]),
        ("a = True", [("constant", "a = False")]),
        ("not a", [("not", "a")]),
        ("a and (b) or c", [("and/or", "a and (b) and c"), ("and/or", "a or (b) or c")]),
        ("if a: b", [("not", "if not a: b")]),
        ("[a for a in b if a]", [("not", "[a for a in b if not a]")]),
        ("c = f(a, x=b)", [("keyword", "c = f(a)")]),
        ("c = f(x=a, **b)", [("keyword", "c = f(**b)"), ("keyword", "c = f(x=a)")]),
        ("c = f((a), x=(b))", [("keyword", "c = f((a))")]),
        ("c = f(encoding=b, linewidth=2)", []),
        ("c = new(2.5 + a, 1)", [("constant", "c = new(2.5 + a, 2)")]),
        ("f(a)", [("statement", "pass")]),
        ("c = max(a)", [("min/max", "c = min(a)")]),
        ("c = a.amin()", [("min/max", "c = a.amax()")]),
        ("def f():\n    return a", [("return", "    return None")]),
        ("def f():\n    return None", []),
        ("def f(a: 1 = b) -> 2: ...", []),
        ("def f():\n    'Text.'\n    raise E(1 + 2) from a", [("raise", "    pass")]),
        ("for a in b:\n    continue", [("continue", "    break")]),
        ("@a.b\ndef f(): ...", [("decorator", "")]),
        ("@dataclass(frozen=True)\nclass A: ...", [("decorator", "")]),
        ("@functools.cache\ndef f(): ...", []),
        ("logger.info(1)", []),
        ("c = math.log(1)", [("constant", "c = math.log(2)")]),
        ("if TYPE_CHECKING:\n    a = 1", []),
        ("assert a == 1", []),
        ("__all__ = [1]", []),
        ("f'{a + 1}'", []),
    ],
)
def test_mutants_of_a_line(source, expected):
    source = source.encode()
    found = [(m.kind, "\n".join(m.change(source)[1])) for m in mutants("sepray/a.py", source)]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("path", ["sepray/search/ledger.py", "sepray/separators/cass.py", "sepray/cli/doctor.py"])
def test_every_mutant_of_a_module_is_python_and_differs(path):
    source = (ROOT / path).read_bytes()
    found = mutants(path, source)
    assert len(found) > 50
    assert len({m.apply(source) for m in found} | {source}) == len(found) + 1
    for mutant in found:
        ast.parse(mutant.apply(source))
        before, _ = mutant.change(source)
        assert before == source.decode().splitlines()[mutant.line - 1 :][: len(before)]


def test_key_does_not_depend_on_the_place():
    source = b"a = 1\n\nb = a < 2\n"
    longer = b"c = 0\n" + source
    keys = {m.key(longer) for m in mutants("sepray/a.py", longer)}
    assert {m.key(source) for m in mutants("sepray/a.py", source)} < keys
    assert "sepray/a.py: b = a < 2 -> b = a <= 2" in keys


def test_sample_has_every_package_in_its_share_and_is_the_same_for_a_seed():
    numbers = {"sepray/a.py": 4, "sepray/big/a.py": 600, "sepray/big/b.py": 300, "sepray/middle/a.py": 96}
    population = [Mutant(path, line, "constant", line, line, "") for path, n in numbers.items() for line in range(n)]
    drawn = draw(population, 50, 0)
    # The shares are 45, 4.8 and 0.2 of 50: the smallest gets its one from who loses least.
    assert Counter(package(m.path) for m in drawn) == {"big": 45, "middle": 4, "sepray": 1}
    assert len(set(drawn)) == 50
    assert draw(population[::-1], 50, 0) == drawn
    assert draw(population, 50, 1) != drawn
    assert draw(population, 5000, 0) == sorted(population)


def test_reach_of_a_line():
    source = b"""
A = f(
    1,
)

@decorator
def g(a=1):
    if a:
        b = (
            2)
    return b

class C:
    x: int = 3
"""
    assert reach(source, 3) == (range(2, 5), {"A"})
    assert reach(source, 7) == (range(6, 12), {"g"})
    assert reach(source, 8) == (range(8, 9), set())
    assert reach(source, 10) == (range(9, 11), set())
    assert reach(source, 14) == (range(14, 15), {"x"})


# --- the script

PROJECT = {
    "sepray/__init__.py": "",
    "sepray/size.py": """
LIMIT = 3

def big(n):
    return n > LIMIT

def count(n):
    while n < 0:
        n += 1
    return n

def unseen(n):
    return n * n
""",
    "sepray/deep/__init__.py": "",
    "sepray/deep/command.py": """
import sys
from sepray.size import big

def main():
    print(big(int(sys.argv[1])))
""",
    "tests/__init__.py": "",
    "tests/test_size.py": """
from sepray.size import big, count

def test_big():
    assert big(4) is True
    assert big(1) is False

def test_count():
    assert count(-2) == 0

def test_wrong():
    assert big(1)
""",
    "tests/end_to_end/__init__.py": "",
    "tests/end_to_end/test_command.py": """
import subprocess, sys

def test_command():
    command = [sys.executable, "-c", "from sepray.deep.command import main; main()", "3"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\\n"
""",
    "tests/equivalent_mutants.txt": "sepray/size.py: return n * n -> return n / n || for the test's sake\n",
    "pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
}


def run(project, *arguments):
    command = [sys.executable, str(ROOT / "tests" / "mutants.py"), "--root", str(project), "--warm", "", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=project)
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a wrong test, code that no test sees, and code that end-to-end tests alone see."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def examined(project):
    return run(project, "--all", "--limit", "2")


@pytest.mark.slow
def test_verdicts_say_which_tests_killed(examined):
    unit, whole = "tests/test_size.py::test_", "tests/end_to_end/test_command.py::test_command"
    verdicts = {}
    for line in examined[1].splitlines():
        if re.match(r"\d+/\d+ (killed|late|survived)", line):
            _, verdict, kind, place, *by = line.split()
            verdicts.setdefault((place, kind), set()).add((verdict, *by))
    assert verdicts == {
        ("sepray/size.py:2", "constant"): {("killed", unit + "big")},
        ("sepray/size.py:5", "comparison"): {("killed", whole)},
        ("sepray/size.py:5", "return"): {("killed", unit + "big")},
        ("sepray/size.py:8", "comparison"): {("killed", unit + "count")},
        ("sepray/size.py:8", "constant"): {("killed", unit + "count")},
        ("sepray/size.py:9", "arithmetic"): {("late", unit + "count")},
        ("sepray/size.py:9", "constant"): {("survived",)},
        ("sepray/size.py:10", "return"): {("killed", unit + "count")},
        ("sepray/size.py:13", "return"): {("survived",)},
        ("sepray/deep/command.py:6", "statement"): {("killed", whole)},
        ("sepray/deep/command.py:6", "constant"): {("killed", whole)},
    }
    assert "by unit tests 6, by end-to-end tests alone 3; 1 by running out of time" in examined[1]


@pytest.mark.slow
def test_survivors_are_printed_with_their_change(examined):
    status, printed = examined
    assert status == 1
    assert printed.count("\nsurvived: ") == 2
    change = "-    return n * n\n+    return None"
    assert f"survived: sepray/size.py:13 (return, reached by no unit test)\n{change}" in printed
    assert "survived: sepray/size.py:9 (constant)\n-        n += 1\n+        n += 2" in printed
    assert "left out: tests/test_size.py::test_wrong" in printed


@pytest.mark.slow
def test_second_time_only_what_failed_is_measured_and_only_a_part_is_drawn(project, examined):
    assert (project / "sepray/size.py").read_text() == PROJECT["sepray/size.py"]
    status, printed = run(project, "--only", "sepray/deep", "--all", "--goal", "90")
    assert status == 0
    assert [line.split()[2] for line in printed.splitlines() if line.startswith("map ")] == ["tests/test_size.py"]
    assert "sepray/size.py" not in printed


def test_list_runs_nothing(project):
    _, printed = run(project, "--list", "--sample", "3", "--seed", "5")
    assert len(printed.splitlines()) == 4
    assert printed == run(project, "--list", "--sample", "3", "--seed", "5")[1]


def test_child_ends_with_the_script_when_a_signal_ends_it(project):
    lines = (
        "import os, sys, time",
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})",
        "import mutants",
        "mutants._child = lambda *_: (print(os.getpid(), flush=True), time.sleep(60))",
        "mutants.main()",
    )
    command = [sys.executable, "-c", "; ".join(lines), "--root", str(project), "--warm", "", "--near"]
    with subprocess.Popen([*command, "--only", "sepray/size.py"], stdout=subprocess.PIPE, text=True) as script:
        assert "mutants, seed 0" in script.stdout.readline()
        child = int(script.stdout.readline())
        script.terminate()
        assert script.wait(30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.slow
def test_near_tests_are_those_of_the_module_and_then_those_of_its_folder(project, examined):
    (project / "tests/test_other.py").write_text(
        "from sepray.size import unseen\n\ndef test_unseen():\n    unseen(2) + 1\n"
    )
    (project / "tests/test_size.py").write_text(PROJECT["tests/test_size.py"].partition("def test_wrong")[0])
    only = ("--near", "--only", "sepray/size.py", "--limit", "2")
    status, printed = run(project, *only, "--sample", "3", "--seed", "10")
    assert status == 1
    assert "map " not in printed
    lines = [line.split() for line in printed.splitlines() if re.match(r"\d+/\d+ ", line)]
    assert sorted((line[3], *line[4:]) for line in lines) == [
        ("sepray/size.py:13", "tests/test_other.py::test_unseen"),
        ("sepray/size.py:2", "tests/test_size.py::test_big"),
        ("sepray/size.py:5",),  # what the end-to-end test alone sees is not seen
    ]
    assert "by the module's own tests 1, by those beside them alone 1; 0 by running out of time" in printed
    refused = run(project, "--near", "--only", "sepray/deep", "--all")
    assert refused == (2, refused[1])
    assert "self-test failed: no test reaches sepray/deep/command.py" in refused[1]


def test_mutants_that_nobody_can_observe_are_still_made():
    lines = (ROOT / "tests" / "equivalent_mutants.txt").read_text().splitlines()
    listed = {line.partition(" || ")[0] for line in lines if not line.startswith("#")}
    sources = {path: (ROOT / path).read_bytes() for path in {line.partition(": ")[0] for line in listed}}
    assert listed <= {mutant.key(source) for path, source in sources.items() for mutant in mutants(path, source)}
