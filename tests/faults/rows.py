"""The campaign's table: a row is a fault, the moment at which it comes, and what the study needs for it."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass

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
        moment: when, one of ``harness.MOMENTS``; the exact one is drawn.
        flags: flags of the study's command.
        server: whether the study tracks to a server, behind a proxy.
        failed: numbers of the trials of the search that fail, because the separator is to blame.
        disk: what lies on the small disk, if there is one.
        program: program that the row needs; it is skipped without.
    """

    name: str
    fault: inject.Fault
    moment: str = "search"
    flags: tuple[str, ...] = ()
    server: bool = False
    failed: frozenset[int] = _NONE
    disk: str = ""
    program: str = ""

    def missing(self) -> str:
        """Return why the row cannot be run here; empty if it can."""
        return f"{self.program} is not installed" if self.program and shutil.which(self.program) is None else ""


_STAGES = ("startup", "search", "finals", "packaging", "registration", "report")
_RAY = ("raylet", "gcs_server", "ray::")

ROWS = [
    Row("worker killed", inject.kills("Trainable")),
    Row("worker killed in finals", inject.kills("Trainable"), "finals"),
    Row("raylet killed", inject.kills("raylet/raylet")),
    Row("whole Ray killed", inject.kills(*_RAY, every=True)),
    *(Row(f"driver killed, {stage}", inject.driver_killed, stage) for stage in _STAGES),
    Row("sender killed", inject.kills("tracking.sender")),
    *(
        Row(f"{number.name}, {stage}", inject.signalled(number), stage)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for stage in ("startup", "search", "finals", "packaging")
    ),
    *(
        Row(f"{number.name} twice", inject.signalled(number, twice=True))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ),
    *(
        Row(f"{number.name} of the process group, {stage}", inject.signalled(number, group=True), stage)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for stage in ("search", "finals")
    ),
    Row("MLflow down at the start, 20 s", inject.mlflow("refuse", 20), "begin", server=True),
    Row("MLflow down for 20 s", inject.mlflow("refuse", 20), server=True),
    Row("MLflow down for 60 s", inject.mlflow("refuse", 60), server=True),
    Row("MLflow down for ever", inject.mlflow("refuse"), server=True),
    Row("MLflow hangs for 20 s", inject.mlflow("hang", 20), server=True),
    Row("MLflow slow", inject.mlflow("slow"), "begin", server=True),
    Row("MLflow answers 5xx", inject.mlflow("error"), "begin", server=True),
    Row("MLflow's answers lost", inject.mlflow("lose"), "begin", server=True),
    Row("Optuna locked for 5 s", inject.optuna_locked(5)),
    Row("Optuna locked for 30 s", inject.optuna_locked(30)),
    Row("Optuna locked for 200 s", inject.optuna_locked(200)),
    Row("Optuna read-only for 15 s", inject.optuna_read_only, program="chattr"),
    Row("Optuna corrupt", inject.optuna_corrupt),
    *(
        Row(f"disk full under {what}", inject.disk_full(what), disk=what)
        for what in ("checkpoints", "outbox", "optuna", "mlflow")
    ),
    *(
        Row(f"checkpoints {how}, {'finished' if finished else 'unfinished'}", inject.damaged(how, finished), stage)
        for finished, stage in ((False, "search"), (True, "packaging"))
        for how in ("damaged", "truncated", "missing", "foreign")
    ),
    Row("result emptied", inject.result_emptied, "registration"),
    Row("model deleted", inject.model_deleted, "registration"),
    *(Row(f"separator: {kind}", inject.misbehaves(kind), "begin", failed=_ONE) for kind in ("nan", "inf", "raise")),
    *(Row(f"separator: {kind}", inject.misbehaves(kind), "begin", failed=_ONE) for kind in ("exit", "segfault")),
    *(Row(f"separator: {kind} once", inject.misbehaves(kind, once=True), "begin") for kind in ("exit", "segfault")),
    Row("separator: memory once", inject.misbehaves("memory", once=True), "begin"),
    Row("separator: hang once", inject.misbehaves("hang", once=True), "begin", flags=("--epoch-timeout", "15")),
    Row("clock a day back", inject.clock("-1d"), program="faketime"),
    Row("clock a day forth", inject.clock("+1d"), program="faketime"),
    Row("second driver", inject.second_driver),
    Row("second driver from another folder", inject.second_folder),
    Row("folder moved", inject.moved),
    Row("code changed", inject.code_changed),
]
