"""The campaign's table: a row is a fault, the moment at which it comes, and what the study needs for it."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass

from . import conditions as condition
from . import injectors as inject
from .files import MISBEHAVING

_NONE: frozenset[int] = frozenset()
_ONE = frozenset({MISBEHAVING})


@dataclass(frozen=True)
class Row:
    """A row of the campaign.

    Attributes:
        name: what happens.
        fault: makes it happen.
        moment: when, one of ``harness.MOMENTS``, or several, which the seeds take in turn; the exact one is drawn.
        prepare: is called before the study's first start.
        study: which study, a key of ``files.STUDIES``.
        flags: flags of the study's command.
        server: whether the study tracks to a server, behind a proxy.
        failed: numbers of the trials of the search that fail, because the separator is to blame.
        disk: what lies on the small disk, if there is one.
        program: program that the row needs; it is skipped without.
        outage: seconds for which something does not work, whatever the study does.
        traceback: whether the output may have a traceback, of the user's own error.
        others: number of other studies on the same stores.
        loads: whether the registered model is loaded in the end.
    """

    name: str
    fault: inject.Fault
    moment: str | tuple[str, ...] = "search"
    prepare: inject.Fault = inject.nothing
    study: str = "given"
    flags: tuple[str, ...] = ()
    server: bool = False
    failed: frozenset[int] = _NONE
    disk: str = ""
    program: str = ""
    outage: float = 0.0
    traceback: bool = False
    others: int = 0
    loads: bool = False

    def missing(self) -> str:
        """Return why the row cannot be run here; empty if it can."""
        return f"{self.program} is not installed" if self.program and shutil.which(self.program) is None else ""

    @property
    def moments(self) -> tuple[str, ...]:
        """All moments of the row."""
        return (self.moment,) if isinstance(self.moment, str) else self.moment

    def moment_of(self, seed: int) -> str:
        """Return the moment of a seed."""
        return self.moments[seed % len(self.moments)]

    def seeds(self, wanted: int) -> range:
        """Return the seeds of the row where this many are wanted: at least one for each moment."""
        return range(max(wanted, len(self.moments)))

    @property
    def kind(self) -> str:
        """The kind of undisturbed run that the row is compared with, in wall time."""
        return f"{self.study}{', server' if self.server else ''}"


STAGES = ("startup", "search", "finals", "packaging", "registration", "report")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_RAY = ("raylet", "gcs_server", "ray::")
_SERVER = {"server": True}


def _at_start(name: str, prepare: inject.Fault, **given: object) -> Row:
    """Return a row whose fault is there before the study's first start."""
    return Row(name, inject.nothing, "end", prepare, **given)  # type: ignore[arg-type]


UNDISTURBED = [
    Row("undisturbed", inject.nothing, "end"),
    Row("undisturbed, with a tracking server", inject.nothing, "end", server=True),
    Row("undisturbed, trials stopped early", inject.nothing, "end", study="stopped"),
]
"""What the rows are compared with, one of each ``kind``."""

PROCESSES = [
    Row("worker killed", inject.kills("Trainable")),
    Row("worker killed in finals", inject.kills("Trainable"), "finals"),
    Row("raylet killed", inject.kills("raylet/raylet")),
    Row("whole Ray killed", inject.kills(*_RAY, every=True)),
    Row("all workers and agents of Ray killed", inject.workers_and_agents_killed),
    *(Row(f"driver killed, {stage}", inject.driver_killed, stage) for stage in STAGES),
    Row("workers without memory for 8 s", inject.memory_short, outage=60),  # trials wait 10, 20 and 30 s for memory
    Row("workers ended by Ray for lack of memory", inject.ended_by_ray_for_memory, outage=30),
    Row("sender killed", inject.kills("tracking.sender")),
    Row("sender killed five times", inject.killed_again_and_again("tracking.sender", 5)),
]

LEAVING = [
    *(Row(number.name, inject.signalled(number), STAGES) for number in SIGNALS),
    *(Row(f"{number.name} twice", inject.signalled(number, twice=True), STAGES) for number in SIGNALS),
    *(
        Row(f"{number.name} of the process group", inject.signalled(number, group=True), ("search", "finals"))
        for number in SIGNALS
    ),
    _at_start("reader of the output gone", condition.reader_gone),
    _at_start("ASCII terminal", condition.ascii_terminal),
]

TRACKING = [
    _at_start("MLflow down at the start, for 20 s", inject.mlflow("refuse", 20), **_SERVER, outage=20),
    _at_start("MLflow down at the start, for 60 s", inject.mlflow("refuse", 60), **_SERVER, outage=60),
    _at_start("MLflow down at the start, for ever", inject.mlflow("refuse"), **_SERVER, outage=60),
    Row("MLflow down for 20 s", inject.mlflow("refuse", 20), **_SERVER, outage=20),
    Row("MLflow down for 60 s", inject.mlflow("refuse", 60), **_SERVER, outage=60),
    Row("MLflow down for ever", inject.mlflow("refuse"), **_SERVER, outage=60),
    Row("MLflow hangs for 20 s", inject.mlflow("hang", 20), **_SERVER, outage=20),
    _at_start("MLflow slow", inject.mlflow("slow"), **_SERVER, outage=60),
    _at_start("MLflow answers 5xx", inject.mlflow("error"), **_SERVER),
    _at_start("MLflow's answers lost", inject.mlflow("lose"), **_SERVER),
    Row("MLflow slow, from the search on", inject.mlflow("slow"), **_SERVER, outage=60),
    Row("MLflow answers 5xx, from the search on", inject.mlflow("error"), **_SERVER),
    Row("MLflow's answers lost, from the search on", inject.mlflow("lose"), **_SERVER),
]

OPTUNA = [
    Row("Optuna locked for 5 s", inject.optuna_locked(5), outage=5),
    Row("Optuna locked for 30 s", inject.optuna_locked(30), outage=30),
    Row("Optuna locked for 200 s", inject.optuna_locked(200), outage=200),
    Row("Optuna locked for 30 s, driver killed", inject.optuna_locked(30, kill=True), outage=30),
    Row("Optuna read-only for 15 s", inject.optuna_read_only, program="chattr", outage=15),
    # The driver has patience with a storage for 120 s.
    Row("Optuna read-only for good", inject.optuna_read_only_for_good, program="chattr", outage=120),
    Row("Optuna mounted read-only at a start", inject.optuna_mounted_read_only, program="unshare"),
    Row("Optuna corrupt", inject.optuna_corrupt),
]

FILES = [
    *(
        Row(f"disk full under {what}", inject.disk_full(what), disk=what, outage=8)
        for what in ("checkpoints", "outbox", "optuna", "mlflow")
    ),
    *(
        Row(f"checkpoints {how}, {'finished' if finished else 'unfinished'}", condition.damaged(how, finished), stage)
        for finished, stage in ((False, "search"), (True, "packaging"))
        for how in ("damaged", "truncated", "missing", "foreign")
    ),
    *(
        Row(f"result {how}", condition.result_damaged(how), "registration")
        for how in ("damaged", "truncated", "emptied", "missing", "foreign")
    ),
    *(
        Row(f"model {how}", condition.model_damaged(how), "registration", loads=True)
        for how in ("damaged", "truncated", "missing", "deleted")
    ),
    Row("model with foreign weights", condition.model_foreign(whole=False), "registration", loads=True),
    Row("model of another study", condition.model_foreign(whole=True), "registration", loads=True),
]

SEPARATOR = [
    *(_at_start(f"separator: {kind}", condition.misbehaves(kind), failed=_ONE) for kind in ("nan", "inf")),
    _at_start("separator: raise", condition.misbehaves("raise"), failed=_ONE, traceback=True),
    *(_at_start(f"separator: {kind}", condition.misbehaves(kind), failed=_ONE) for kind in ("exit", "segfault")),
    *(_at_start(f"separator: {kind} once", condition.misbehaves(kind, once=True)) for kind in ("exit", "segfault")),
    # The trial waits 10, 20 and 30 s for memory.
    _at_start("separator: memory", condition.misbehaves("memory"), failed=_ONE, outage=60),
    _at_start("separator: memory once", condition.misbehaves("memory", once=True), outage=10),
    _at_start("separator: hang", condition.misbehaves("hang"), failed=_ONE, flags=("--epoch-timeout", "10"), outage=45),
    _at_start(
        "separator: hang once", condition.misbehaves("hang", once=True), flags=("--epoch-timeout", "10"), outage=15
    ),
]

SURROUNDINGS = [
    Row("clock a day back", condition.clock("-1d"), program="faketime"),
    Row("clock a day forth", condition.clock("+1d"), program="faketime"),
    *(
        Row(
            f"clock set a day {way} under a driver",
            condition.clock_set(shift),
            "search",
            condition.clock_that_will_be_set,
        )
        for way, shift in (("back", -86_400), ("forth", 86_400))
    ),
    Row("second driver", condition.second_driver),
    Row("second driver, journal", condition.second_driver, "search", condition.journal),
    Row("second driver, gRPC proxy", condition.second_driver, "search", condition.behind_a_proxy),
    Row("second driver from another folder", condition.second_folder),
    Row("second driver from another host", condition.second_host, program="unshare", outage=45),
    Row("second driver from another folder and host", condition.second_folder_and_host, program="unshare"),
    _at_start("two drivers at once", condition.at_once),
    _at_start("two drivers at once from two hosts", condition.at_once_from_two_hosts, program="unshare", outage=10),
    _at_start("two drivers at once from two folders", condition.at_once_from_two_folders),
    _at_start("two studies at once in a fresh folder", condition.two_studies_at_once, others=1),
    Row("taken over from a driver that runs", condition.taken_over(stopped=False), outage=10),
    Row("taken over from a suspended driver", condition.taken_over(stopped=True), outage=10),
    Row("taken over at another host", condition.taken_over_at_another_host, program="unshare", outage=10),
    Row("taken over in another folder", condition.taken_over_in_another_folder, outage=20),
    Row("driver killed, goes on at another host", condition.goes_on_at_another_host, program="unshare", outage=45),
    Row("folder moved", condition.moved),
    Row("folder copied", condition.copied),
    Row("goes on in another folder", condition.goes_on_in_another_folder),
    Row("code changed", condition.code_changed),
]

STOPPED = [
    Row(f"trials stopped early: {name}", fault, stage, study="stopped", outage=outage, **more)  # type: ignore[arg-type]
    for name, fault, stage, outage, more in (
        ("worker killed", inject.kills("Trainable"), "search", 0, {}),
        ("whole Ray killed", inject.kills(*_RAY, every=True), "search", 0, {}),
        ("driver killed, search", inject.driver_killed, "search", 0, {}),
        ("driver killed, finals", inject.driver_killed, "finals", 0, {}),
        ("SIGTERM, search", inject.signalled(signal.SIGTERM), "search", 0, {}),
        ("Optuna locked for 30 s", inject.optuna_locked(30), "search", 30, {}),
        ("Optuna locked for 30 s, driver killed", inject.optuna_locked(30, kill=True), "search", 30, {}),
        ("disk full under checkpoints", inject.disk_full("checkpoints"), "search", 8, {"disk": "checkpoints"}),
        ("checkpoints damaged, unfinished", condition.damaged("damaged", False), "search", 0, {}),
    )
]

ROWS = [*PROCESSES, *LEAVING, *TRACKING, *OPTUNA, *FILES, *SEPARATOR, *SURROUNDINGS, *STOPPED]
BY_NAME = {row.name: row for row in [*UNDISTURBED, *ROWS]}
