"""Mutation testing: makes small changes of the code, runs the tests that reach each, prints those that none notices.

    make mutants                          # 100, drawn with seed 0
    make mutants ONLY=sepray/search ALL=1 # every mutant of one package
    make mutants SEED=3 SAMPLE=300 JOBS=1
    make mutants ONLY="sepray/fault.py sepray/console"
    make mutants NEAR=1 ONLY=sepray/report  # without the map of step 1: the module's test file, then those beside it

Nothing is changed in the working tree: each of the ``--jobs`` children has a copy of it under ``.mutants/``, from which
pytest, and every process that a test starts, imports the project. The children are forked from a process that has
imported torch, Ray and MLflow already.

1. Each test file runs once under coverage (also of the processes that its tests start): which test reaches which line,
   and how long it takes. That is kept in ``.mutants/map.json``; a file is run again only after a change of itself, of
   a conftest or of a module that it reaches. Tests that fail here are named and left out, and run again next time.
2. A module that cannot be imported must be noticed, and the unchanged copy must pass: otherwise nothing is reported.
3. For each mutant the tests that reach its line, those of the module's own test file first, then the other tests of
   the same files, cheapest file first; then those of ``tests/end_to_end``. For a line that runs at import, tests
   reach it that reach a mention of the name that it binds. The first failure ends it. Where the tests that reach a line
   take more than ``--budget`` seconds, those beyond are not run.

A mutant that makes a test (or the child) run out of time counts as killed, and is named so. So would one whose test
fails by chance: the machine should have nothing else to do. Ray ends its processes before they can say what they
reached; so an end-to-end test counts as reaching all of a module of which it reaches a line.

Mutants that change nothing that can be observed may be listed in ``tests/equivalent_mutants.txt`` (the line that is
printed for a survivor, two bars, the reason) and are never drawn. Exit status: 0 if at least ``--goal`` percent are
killed, 1 if not, 2 if step 2 fails.
"""

import argparse
import atexit
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mutations import Mutant, draw, mutants, package, reach

sys.path.pop(0)  # the folder of this file, whose packages have names such as `data`

WARM = """torch torchaudio torchmetrics scipy.signal scipy.stats sklearn pandas matplotlib.pyplot optuna ray.tune
mlflow.pyfunc safetensors.torch soundfile pyarrow rich tyro"""
ENDING = (signal.SIGTERM, signal.SIGHUP)  # signals that end this process, and with it its children
END_TO_END = "tests/end_to_end/"
OWN = ("tests/mutants.py", "tests/mutations.py")
COVERAGE = """[run]
source = {tree}/sepray
data_file = {data}
parallel = True
sigterm = True
context = ${{PYTEST_CURRENT_TEST-}}
"""


@dataclass
class Task:
    """The work of a child: pytest on some files of its copy of the tree.

    Attributes:
        subject: what it is done for.
        files: test files.
        order: tests of these to run, in this order; all if empty.
        seconds: after these it is killed.
        edits: files of the copy to change, and their content meanwhile.
        limit: seconds after which a test has failed.
        measure: whether coverage is measured.
        temporary: folder for what its tests write, outside of any repository.
    """

    subject: object
    files: list[str]
    order: list[str] = field(default_factory=list)
    seconds: float = 900.0
    edits: dict[str, bytes] = field(default_factory=dict)
    limit: float = 300.0
    measure: bool = False
    temporary: Path | None = None


class Watch:
    """Pytest plugin of a child: puts the tests in order, times them, and notes the first that fails."""

    def __init__(self, order: list[str], coverage: object = None) -> None:
        self.order = {test: place for place, test in enumerate(order)}
        self.coverage = coverage
        self.tests: dict[str, dict] = {}
        self.failed: dict | None = None

    def pytest_collection_modifyitems(self, config: object, items: list) -> None:
        if self.order:
            items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid])

    def _context(self, item: object, phase: str) -> None:
        if self.coverage is not None:
            self.coverage.switch_context(f"{phase} {item.nodeid}")

    def pytest_runtest_setup(self, item: object) -> None:
        self._context(item, "setup")

    def pytest_runtest_call(self, item: object) -> None:
        self._context(item, "call")

    def pytest_runtest_teardown(self, item: object) -> None:
        self._context(item, "setup")

    def pytest_runtest_logreport(self, report: object) -> None:
        entry = self.tests.setdefault(report.nodeid, {"seconds": 0.0, "passed": True})
        entry["seconds"] += report.duration
        entry["passed"] &= report.outcome != "failed"
        self._note(report)

    def pytest_collectreport(self, report: object) -> None:
        self._note(report)

    def _note(self, report: object) -> None:
        if report.outcome == "failed" and self.failed is None:
            self.failed = {"test": report.nodeid, "late": "Timeout" in str(report.longrepr)[-500:]}


class Children:
    """Forks children from this warm process, one a copy of the tree at a time."""

    def __init__(self, root: Path, folder: Path, jobs: int) -> None:
        self.trees = [folder / f"tree{slot}" for slot in range(jobs)]
        self.own = [folder / f"job{slot}" for slot in range(jobs)]
        self.temporary = Path(tempfile.mkdtemp(prefix="mutants-"))
        self.running: dict[int, tuple[Task, int, float, dict[str, bytes]]] = {}
        command = ["git", "ls-files", "-coz", "--exclude-standard"]
        listed = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
        for tree in self.trees:
            shutil.rmtree(tree, ignore_errors=True)
            for name in filter(None, listed.split("\0")):
                if (root / name).is_file() and not name.startswith(".mutants/"):
                    (tree / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(root / name, tree / name)
            # Checked by content: a mutant of the same size, made in the same second, must not run older bytecode.
            command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "sepray"]
            subprocess.run(command, cwd=tree, check=True)

    def close(self) -> None:
        """End what still runs, and remove what the tests wrote."""
        self._end()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _end(self) -> None:
        """Kill the children that still run, and what they have started."""
        while self.running:
            pid, _ = self.running.popitem()
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for own in self.own:
            _end_processes(str(own))

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, dict]]:
        """Yield each task as it ends, with its result: tests, failed, lines, status, late, seconds."""
        waiting, running = iter(tasks), self.running
        free = list(range(len(self.trees)))
        try:
            while True:
                while free and (task := next(waiting, None)) is not None:
                    slot = free.pop()
                    before = {name: (self.trees[slot] / name).read_bytes() for name in task.edits}
                    running[self._fork(task, slot)] = (task, slot, time.monotonic(), before)
                if not running:
                    return
                time.sleep(0.02)
                for pid, (task, slot, began, before) in list(running.items()):
                    seconds = time.monotonic() - began
                    late = seconds > task.seconds
                    if late:
                        os.killpg(pid, signal.SIGKILL)
                    ended, status = os.waitpid(pid, 0 if late else os.WNOHANG)
                    if ended:
                        del running[pid]
                        free.append(slot)
                        for name, content in before.items():
                            (self.trees[slot] / name).write_bytes(content)
                        result = self._result(slot) | {"late": late, "seconds": seconds}
                        yield task, {"status": os.waitstatus_to_exitcode(status)} | result
        finally:
            self._end()

    def _fork(self, task: Task, slot: int) -> int:
        tree, own = self.trees[slot], self.own[slot]
        task.temporary = self.temporary / str(slot)
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        for name, content in task.edits.items():
            (tree / name).write_bytes(content)
        if threading.active_count() > 1:
            raise RuntimeError(f"a process with threads must not be forked: {threading.enumerate()}")
        sys.stdout.flush()
        if pid := os.fork():
            os.setpgid(pid, pid)
            return pid
        try:
            os.setpgid(0, 0)
            for number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            _child(task, tree, own)
            atexit._run_exitfuncs()  # Ray ends its processes there
        except BaseException as error:
            print(f"the child failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(70)
        os._exit(0)

    def _result(self, slot: int) -> dict:
        _end_processes(str(self.own[slot]))
        report = self.own[slot] / "report.json"
        return json.loads(report.read_text()) if report.exists() else {"tests": {}, "failed": None, "lines": {}}


def _end_processes(job: str) -> None:
    """Kill what a job has started and left behind."""
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get("SEPRAY_MUTANTS_JOB") == job and process.pid != os.getpid():
                process.kill()
        except psutil.Error:
            pass


def _child(task: Task, tree: Path, own: Path) -> None:
    """Run pytest on the copy of the tree and write the report."""
    log = os.open(own / "log.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(tree)
    site = own / "site"
    site.mkdir()
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    path = [str(site), str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {"PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1", "SEPRAY_MUTANTS_JOB": str(own)}
    measured = None
    if task.measure:
        import coverage

        (own / "coverage.ini").write_text(COVERAGE.format(tree=tree, data=own / "coverage"))
        (site / "sitecustomize.py").write_text("import coverage\n\ncoverage.process_startup()\n")
        os.environ["COVERAGE_PROCESS_START"] = str(own / "coverage.ini")
        source = str(tree / "sepray")
        measured = coverage.Coverage(data_file=str(own / "coverage.main"), config_file=False, source=[source])
        measured.start()
    import pytest

    watch = Watch(task.order, measured)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", ".", "--basetemp", str(task.temporary)]
    options += ["--timeout", str(task.limit)]
    status = pytest.main([*options, *([] if task.measure else ["-x"]), *task.files], plugins=[watch])
    imported = getattr(sys.modules.get("sepray"), "__file__", None)
    if imported is not None and not Path(imported).is_relative_to(tree):
        raise RuntimeError(f"sepray was imported from {imported}, not from {tree}")
    report = {"status": int(status), "tests": watch.tests, "failed": watch.failed, "lines": {}}
    if measured is not None:
        measured.stop()
        measured.save()
        report["lines"] = _lines(tree, sorted(own.glob("coverage.*")))
    (own / "report.json").write_text(json.dumps(report))
    sys.stdout.flush()


def _lines(tree: Path, files: list[Path]) -> dict[str, dict[str, list[int]]]:
    """Return test -> module -> lines; what runs at import is the test "", what fixtures run is "setup"."""
    import coverage

    found: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for file in files:
        if file.suffix == ".ini":
            continue
        data = coverage.CoverageData(str(file))
        data.read()
        for name in data.measured_files():
            for line, contexts in data.contexts_by_lineno(name).items():
                for context in contexts:
                    # "call NODE" here, "NODE (call)" in a process that a test started.
                    phase, _, test = context.partition(" ") if context.startswith(("call ", "setup ")) else ("", "", "")
                    if not phase and (match := re.fullmatch(r"(.*) \((setup|call|teardown)\)", context)):
                        test, phase = match.groups()
                    own = test if phase == "call" else "setup" if phase else ""
                    found[own][str(Path(name).relative_to(tree))].add(line)
    return {test: {name: sorted(lines) for name, lines in modules.items()} for test, modules in found.items()}


class Map:
    """The lines that tests reach, and how long the tests take."""

    def __init__(
        self, root: Path, folder: Path, children: Children, limit: float, within: list[str], unit_only: bool
    ) -> None:
        self.root = root
        self.limit = limit
        path = folder / "map.json"
        old = json.loads(path.read_text()) if path.exists() else {}
        python = sorted(str(f.relative_to(root)) for f in (root / "tests").rglob("*.py"))
        files = [name for name in python if Path(name).name.startswith("test_")]
        shared = [name for name in python if name not in files and name not in OWN]
        files = [name for name in files if any(Path(name).is_relative_to(path) for path in within)]
        files = [name for name in files if not (unit_only and name.startswith(END_TO_END))]
        self.entries = {name: old[name] for name in files if name in old and self._fresh(old[name]["digests"])}
        missing = sorted(set(files) - set(self.entries), key=lambda name: (END_TO_END not in name, name))
        for done, (task, result) in enumerate(children.run(Task(f, [f], measure=True) for f in missing), start=1):
            modules = {name for lines in result["lines"].values() for name in lines}
            helpers = [name for name in shared if _helps(name, task.subject, (root / task.subject).read_text())]
            digests = {name: _digest(children.trees[0] / name) for name in [*sorted(modules), *helpers, task.subject]}
            self.entries[task.subject] = {"digests": digests, "tests": result["tests"], "lines": result["lines"]}
            if result["failed"] is None and not result["late"]:
                old[task.subject] = self.entries[task.subject]
                path.write_text(json.dumps(old))
            seconds, number = result["seconds"], len(result["tests"])
            print(f"map {done}/{len(missing)}  {task.subject}  {number} tests, {seconds:.0f} s", flush=True)
            if not number and result["status"] not in (0, 5):
                print(f"  no test ran: {result['failed']}, {result['late']=}")
        self.failing = sorted(t for e in self.entries.values() for t, n in e["tests"].items() if not n["passed"])
        self.seconds = {t: n["seconds"] for e in self.entries.values() for t, n in e["tests"].items() if n["passed"]}
        python = [f for folder in ("sepray", "tests") for f in (root / folder).rglob("*.py")]
        self.texts = {str(f.relative_to(root)): f.read_text() for f in python}

    def task(self, subject: object, order: list[str], edits: dict[str, bytes]) -> Task:
        """Return the task of running tests with files changed, with a time limit by what they took before."""
        seconds = 120 + 4 * sum(self.seconds[test] for test in order)
        files = list(dict.fromkeys(test.partition("::")[0] for test in order))
        limit = self.limit + 3 * max(self.seconds[test] for test in order)
        return Task(subject, files, order, seconds, edits, limit)

    def reaching(self, path: str) -> list[list[str]]:
        """Return the tests of each file that reaches a module, the cheapest file first."""
        files = [e for e in self.entries.values() if any(path in modules for modules in e["lines"].values())]
        known = [tests for e in files if (tests := [t for t in e["tests"] if t in self.seconds])]
        return sorted(known, key=lambda tests: sum(self.seconds[t] for t in tests))

    def _fresh(self, digests: dict[str, str]) -> bool:
        return all((self.root / name).is_file() and _digest(self.root / name) == d for name, d in digests.items())

    def order(self, mutant: Mutant) -> tuple[list[str], list[str], bool]:
        """Return unit and end-to-end tests for a mutant, in the order to run them; whether a unit test reaches it."""
        span, names = reach((self.root / mutant.path).read_bytes(), mutant.line)
        spots = {mutant.path: set(span)}
        mention = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(names)))
        if names:
            for path, text in self.texts.items():
                lines = {number for number, line in enumerate(text.splitlines(), start=1) if mention.search(line)}
                spots[path] = spots.get(path, set()) | lines
        unit: list[tuple[tuple, list[str]]] = []
        later: list[str] = []
        for file, entry in self.entries.items():
            tests = [t for t in entry["tests"] if t in self.seconds]
            modules = {name for lines in entry["lines"].values() for name in lines}
            if file.startswith(END_TO_END):
                later += tests if mutant.path in modules else []
                continue

            def hit(test: str, entry: dict = entry) -> bool:
                reached = entry["lines"].get(test, {})
                return any(not lines.isdisjoint(reached.get(path, ())) for path, lines in spots.items())

            whole = hit("setup") or (mutant.path in modules and bool(names) and bool(spots.get(file)))
            direct = [test for test in tests if whole or hit(test)]
            mirrored = file == _mirror(mutant.path)
            if direct or mirrored:
                near = file.startswith(f"{Path(_mirror(mutant.path)).parent}/")
                rank = (not mirrored, not near, sum(self.seconds[t] for t in direct))
                unit.append(((False, *rank), direct))
                unit.append(((True, *rank), [t for t in tests if t not in direct]))
        ordered = [test for _, tests in sorted(unit, key=lambda each: each[0]) for test in tests]
        reached = any(direct for (beside, *_), direct in unit if not beside)
        return ordered, sorted(later, key=self.seconds.__getitem__), reached


class Near:
    """Stands in for a map: a mutant's tests are the module's own test file, then the other files of its folder.

    It needs no coverage run (of minutes a package), and asks for more: that a module's tests notice its mutants.
    """

    def __init__(self, root: Path, limit: float) -> None:
        self.root, self.limit = root, limit
        self.failing: list[str] = []
        self.seconds: Counter[str] = Counter()  # not known

    def files(self, path: str) -> tuple[list[str], list[str]]:
        """Return the module's test file, if there is one, and the others of its folder."""
        own = _mirror(path)
        beside = sorted(str(f.relative_to(self.root)) for f in (self.root / own).parent.glob("test_*.py"))
        return [f for f in beside if f == own], [f for f in beside if f != own]

    def order(self, mutant: Mutant) -> tuple[list[str], list[str], bool]:
        """Return the test files for a mutant, in two stages; whether the first has one."""
        own, others = self.files(mutant.path)
        return own, others, bool(own)

    def reaching(self, path: str) -> list[list[str]]:
        """Return the test files of a module."""
        return [files for files in self.files(path) if files]

    def task(self, subject: object, order: list[str], edits: dict[str, bytes]) -> Task:
        """Return the task of running test files with files changed."""
        return Task(subject, order, [], 900.0, edits, self.limit)


def _helps(helper: str, test: str, text: str) -> bool:
    """Return whether a file in ``tests`` is a conftest of a test file, or is mentioned there."""
    path = Path(helper)
    above = path.name == "conftest.py" and Path(test).is_relative_to(path.parent)
    return above or re.search(rf"\b{re.escape(path.stem)}\b", text) is not None


def _mirror(path: str) -> str:
    """Return the test file of a module: sepray/a/b.py -> tests/a/test_b.py."""
    inner = Path(path).relative_to("sepray")
    return str("tests" / inner.parent / f"test_{inner.name}")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@dataclass
class Trial:
    """A mutant and what became of it.

    Attributes:
        verdict: killed, late (killed: out of time) or survived.
        stage: unit or end-to-end, whose test killed it.
        by: the test.
        reached: whether a unit test reaches its line.
        cut: tests that ``--budget`` left out.
    """

    mutant: Mutant
    unit: list[str]
    later: list[str]
    reached: bool
    verdict: str = ""
    stage: str = "unit"
    by: str = ""
    cut: int = 0


def _judge(trial: Trial, result: dict) -> None:
    failed = result["failed"]
    if result["late"] or (failed and failed["late"]):
        trial.verdict = "late"
    elif failed or result["status"] not in (0, 5):
        trial.verdict = "killed"
    trial.by = failed["test"] if failed else f"exit status {result['status']}" if trial.verdict else ""


def examine(
    drawn: list[Mutant], tests: Map | Near, children: Children, sources: dict[str, bytes], budget: float
) -> Iterator[Trial]:
    """Yield what became of each mutant: all through their unit tests, then those that are left end to end."""

    def tasks(trials: list[Trial], attribute: str) -> Iterator[Task]:
        for trial in trials:
            order, spent = [], 0.0
            for test in getattr(trial, attribute):
                spent += tests.seconds[test]
                if order and spent > budget:
                    break
                order.append(test)
            trial.cut += len(getattr(trial, attribute)) - len(order)
            path = trial.mutant.path
            yield tests.task(trial, order, {path: trial.mutant.apply(sources[path])})

    trials = [Trial(m, *tests.order(m)) for m in drawn]
    left = [trial for trial in trials if not trial.unit]
    for task, result in children.run(tasks([t for t in trials if t.unit], "unit")):
        _judge(task.subject, result)
        if task.subject.verdict:
            yield task.subject
        else:
            left.append(task.subject)
    for trial in left:
        trial.stage = "end-to-end"
    for task, result in children.run(tasks([t for t in left if t.later], "later")):
        _judge(task.subject, result)
        task.subject.verdict = task.subject.verdict or "survived"
        yield task.subject
    for trial in left:
        if not trial.later:
            trial.verdict = "survived"
            yield trial


def self_test(tests: Map | Near, children: Children, path: str) -> str | None:
    """Return what is wrong: that a module that cannot be imported goes unnoticed, or that the unchanged one fails."""
    reaching = tests.reaching(path)
    if not reaching:
        return f"no test reaches {path}"
    order = reaching[0]
    for edits in ({}, {path: b"raise RuntimeError('self-test')\n"}):
        ((_, result),) = children.run([tests.task("self-test", order, edits)])
        if bool(edits) != (result["status"] != 0):
            log = (children.own[0] / "log.txt").read_text()[-2000:]
            return f"{order[0]} {'does not notice a broken' if edits else 'fails on an unchanged'} {path}: {log}"
    return None


def main() -> int:
    """Draw, examine, report."""
    parser = argparse.ArgumentParser(description="Draws mutants and prints those that no test notices.")
    parser.add_argument("--sample", type=int, default=100, help="number of mutants")
    parser.add_argument("--all", action="store_true", help="every mutant instead of a sample")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    only = "files or folders that mutants are drawn from, such as sepray/search; all if none"
    parser.add_argument("--only", nargs="+", default=["."], help=only)
    parser.add_argument("--tests", nargs="+", default=["tests"], help="files or folders of the tests that run")
    parser.add_argument("--jobs", type=int, default=2, help="children at a time")
    parser.add_argument("--goal", type=float, default=95.0, help="percent to be killed")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of tests for one mutant, a stage")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for a test, beside thrice what it took")
    parser.add_argument("--unit-only", action="store_true", help="no end-to-end tests, which take the longest")
    parser.add_argument("--near", action="store_true", help="no map: the module's test file, then those beside it")
    parser.add_argument("--list", action="store_true", help="print the mutants drawn, and run nothing")
    parser.add_argument("--warm", default=WARM, help="modules to import before forking")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="tree that is examined")
    arguments = parser.parse_args()
    root, folder = arguments.root.resolve(), arguments.root.resolve() / ".mutants"

    sources = {str(f.relative_to(root)): f.read_bytes() for f in sorted((root / "sepray").rglob("*.py"))}
    listed = root / "tests" / "equivalent_mutants.txt"
    lines = listed.read_text().splitlines() if listed.exists() else []
    equivalent = {line.partition(" || ")[0] for line in lines if not line.startswith("#")}
    chosen = [p for p in sources if any(Path(p).is_relative_to(place) for place in arguments.only)]
    population = [m for p in chosen for m in mutants(p, sources[p]) if m.key(sources[p]) not in equivalent]
    if not population:
        parser.error(f"--only {' '.join(arguments.only)}: no mutants there")
    drawn = population if arguments.all else draw(population, arguments.sample, arguments.seed)
    print(f"{len(drawn)} of {len(population)} mutants, seed {arguments.seed}, of {len(chosen)} modules", flush=True)
    if arguments.list:
        for mutant in drawn:
            print(f"{mutant.kind:10} {mutant.line:4} {mutant.key(sources[mutant.path])}")
        return 0

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in [*arguments.warm.split(), "pytest"]:
        importlib.import_module(name)
    folder.mkdir(exist_ok=True)
    for number in ENDING:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    children = Children(root, folder, arguments.jobs)
    try:
        return _examine_and_report(children, drawn, sources, arguments, root)
    finally:
        children.close()


def _examine_and_report(
    children: Children, drawn: list[Mutant], sources: dict[str, bytes], arguments: argparse.Namespace, root: Path
) -> int:
    tests: Map | Near = Near(root, arguments.limit)
    if not arguments.near:
        tests = Map(root, root / ".mutants", children, arguments.limit, arguments.tests, arguments.unit_only)
    for name in tests.failing:
        print(f"fails on the unchanged tree, left out: {name}")
    reached = next((mutant.path for mutant in drawn if tests.order(mutant)[0]), drawn[0].path)
    if problem := self_test(tests, children, reached):
        print(f"self-test failed: {problem}")
        return 2

    trials = []
    for trial in examine(drawn, tests, children, sources, arguments.budget):
        trials.append(trial)
        place = f"{trial.mutant.path}:{trial.mutant.line}"
        print(f"{len(trials)}/{len(drawn)} {trial.verdict:8} {trial.mutant.kind:10} {place}  {trial.by}", flush=True)
    stages = ("the module's own tests", "those beside them") if arguments.near else ("unit tests", "end-to-end tests")
    return _report(trials, sources, arguments.goal, stages)


def _report(trials: list[Trial], sources: dict[str, bytes], goal: float, stages: tuple[str, str]) -> int:
    killed = [t for t in trials if t.verdict != "survived"]
    survivors = sorted((t for t in trials if t.verdict == "survived"), key=lambda t: t.mutant)
    for title, group in (("package", lambda t: package(t.mutant.path)), ("kind", lambda t: t.mutant.kind)):
        whole, dead = Counter(map(group, trials)), Counter(map(group, killed))
        print(f"\nkilled, by {title}: " + ", ".join(f"{name} {dead[name]}/{whole[name]}" for name in sorted(whole)))
    for trial in survivors:
        before, after = trial.mutant.change(sources[trial.mutant.path])
        notes = ", reached by no unit test" * (not trial.reached) + f", {trial.cut} tests not run" * bool(trial.cut)
        print(f"\nsurvived: {trial.mutant.path}:{trial.mutant.line} ({trial.mutant.kind}{notes})")
        print(*(f"-{line}" for line in before), *(f"+{line}" for line in after), sep="\n")
        print(f"  {trial.mutant.key(sources[trial.mutant.path])}")
    share = 100 * len(killed) / len(trials)
    late = sum(t.verdict == "late" for t in killed)
    alone = sum(t.stage == "end-to-end" for t in killed)
    print(f"\n{len(killed)} of {len(trials)} killed ({share:.1f}%), the goal is {goal:g}%")
    print(f"by {stages[0]} {len(killed) - alone}, by {stages[1]} alone {alone}; {late} by running out of time")
    return int(share < goal)


if __name__ == "__main__":
    sys.exit(main())
