"""A study whose data are larger than Ray's object store: memory of its processes, and how long epochs wait for data.

    python benchmarks/large.py --gigabytes 4
    python benchmarks/large.py --gigabytes 4 --copied     # as up to a gigabyte: through the object store

Items of noise (a mixture and its two sources, 65536 samples each) are made once, in an entry of a cache. Then a search
of two trials at once, and a retraining, train a separator of two weights on them for an epoch each, for which next to
nothing is computed. While they do so, the memory of all processes of the study is looked at, every half second:
``private`` is what a process has for itself (pages that no other process shares and that no file has), ``resident`` has
the pages that it shares too.
``object store`` is what Ray holds in it. ``written`` is what is new in the cache after its entry was made: a copy would
be there.

``same batch`` are the seconds of epochs of 400 items in a process by itself whose batches are all the same, so that
nothing is read: an epoch that waits for its data takes longer. ``mapped`` reads all batches, in such a process too.

Measured on two cores of an Intel Xeon with 24 GB of memory that ten to fifteen other processes kept busy, torch 2.11,
megabytes, before workers were forked (``private`` were the pages that lie in no file, which no others shared then):

    --gigabytes                       1.2      2.4       20
    worker, private, at most          640      707      704
    worker, resident, at most        2200     3425     9097
    driver, private                   475      475      475
    object store                        0        0        0
    written to the cache                0        0        0

Both trials of the search map the same pages, which the system takes back as it needs them. Of 640 MB, 256 are what
``prepare`` measures, for a moment, and 370 are what torch and Ray Tune take (``worker.py``). Epochs of 400 items: the
same batch 0.8 to 1.4 s, all batches 0.8 to 1.9 s, where nearly nothing is computed. The data of these were in the
system's cache: neither figure says how fast the disk is. An epoch of all 20 GB took 330 s, two trials at once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch
from _large import ITEM_BYTES, SIGNAL, Config, GainsConfig
from torch import Tensor

from sepray.contracts import Split
from sepray.disk import mapping
from sepray.training.trainer import Trainer, build

FEW = 400
"""Items of the epochs that are timed by themselves."""


class SameBatch(Trainer):
    """A trainer whose batches are all the first one."""

    _first: dict[str, Tensor] | None = None

    def _batch(self) -> dict[str, Tensor]:
        if self._first is None:
            self._first = super()._batch()
        return dict(self._first)


class Watch(threading.Thread):
    """Looks at the memory of this process and of all that it has started.

    Attributes:
        largest: largest ``private`` and ``resident`` memory of a process of each kind, bytes.
        store: most in the object store, bytes.
        together: most memory of all processes, where pages that several share count once, bytes.
        workers: most workers at once.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest: dict[str, dict[str, int]] = {}
        self.store = self.together = self.workers = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Look every half second until ``end``."""
        while not self._over.wait(0.5):
            own, store, together, workers = psutil.Process(), 0, 0, 0
            for process in (own, *own.children(recursive=True)):
                try:
                    words = process.cmdline() or [""]
                    found = _memory(process.pid)
                except (psutil.Error, OSError):
                    continue
                name = "driver" if process == own else words[0].split("/")[-1].split("(")[0]
                kind = name if name in ("driver", "raylet") else "worker" if "Trainable" in name else "others"
                largest = self.largest.setdefault(kind, {"private": 0, "resident": 0})
                store += found.pop("store")
                together += found.pop("share")
                workers += kind == "worker"
                for key, value in found.items():
                    largest[key] = max(largest[key], value)
            self.store = max(self.store, store)
            self.together = max(self.together, together)
            self.workers = max(self.workers, workers)

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


def _memory(pid: int) -> dict[str, int]:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        found = {words[0]: 1024 * int(words[1]) for line in lines if len(words := line.split()) == 3}
    return {
        "private": found["Private_Dirty:"],
        "resident": found["Rss:"],
        "store": found["Pss_Shmem:"],
        "share": found["Pss:"],
    }


def alone(folder: str, items: int, kind: str, pipe: object) -> None:
    """Train three epochs on few items in a process by itself; send the seconds of the last two, and its memory."""
    torch.set_num_threads(1)
    whole = Config(items).load(Path(folder)).train
    data = Split(whole.mixture[:FEW], whole.sources[:FEW])
    config = GainsConfig()
    trainer = (SameBatch if kind == "same batch" else Trainer)(
        build(config, SIGNAL, 0),
        {"mixture": data.mixture, "sources": data.sources},
        {},
        0,
        config.batch_size,
        config.betas,
    )
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        trainer.epoch()
        seconds.append(time.monotonic() - started)
    pipe.send((seconds[1:], _memory(os.getpid())["private"]))  # type: ignore[attr-defined]


def study(folder: Path, items: int) -> list[float]:
    """Run a search of two trials and a retraining of one; return the seconds of their epochs."""
    from optuna.distributions import FloatDistribution

    from sepray.console import terminal
    from sepray.driver.prepared import prepare
    from sepray.driver.retrainings import Retraining
    from sepray.driver.stage import finals_stage, run_stage, search_stage
    from sepray.driver.stores import StudyStores
    from sepray.execution import cluster
    from sepray.loading import load_task
    from sepray.study import StudySpec

    terminal.console.quiet = True
    spec = StudySpec(
        name="large",
        separator=GainsConfig(),
        task=Config(items),
        space={"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
        trials=2,
        max_epochs=1,
        concurrency=2,
        scheduler="none",
        storage=f"sqlite:///{folder}/optuna.db",
        tracking_uri=f"sqlite:///{folder}/mlflow.db",
        storage_path=f"{folder}/results",
        cache=folder / "cache",
    )
    prepared = prepare(spec, load_task(spec.task, spec.stores.cache))
    stores = StudyStores(prepared)
    try:
        slots = cluster.connect(None, 2, 1.0, 0.0, spec.modules())
        run_stage(search_stage(prepared, stores.search), prepared, stores, slots)
        plan = [Retraining("again seed 1", "again", {"learning_rate": 1e-3}, 7)]
        run_stage(finals_stage(plan, finals := stores.open_finals()), prepared, stores, slots)
        trials = [*stores.search.get_trials(deepcopy=False), *finals.get_trials(deepcopy=False)]
    finally:
        cluster.disconnect()
        stores.close()
    return [(t.datetime_complete - t.datetime_start).total_seconds() for t in trials if t.datetime_complete]


def _written(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file() and not path.name.startswith("large"))


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the training split (10^9 bytes)")
    parser.add_argument("--copied", action="store_true", help="hand the items over through Ray's object store")
    parser.add_argument("--folder", default=None, help="folder for the data, on a disk; default: a temporary one")
    options = parser.parse_args()
    items = round(options.gigabytes * 1e9 / ITEM_BYTES)
    if options.copied:
        mapping.LARGE_BYTES = 1 << 60
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        folder = Path(place)
        started = time.monotonic()
        Config(items).load(folder / "cache")
        made = time.monotonic() - started
        figures: dict[str, object] = {"gigabytes": options.gigabytes, "items": items, "made in": round(made, 1)}
        if not options.copied:
            for kind in ("same batch", "mapped"):
                ours, theirs = multiprocessing.Pipe()
                process = multiprocessing.get_context("spawn").Process(
                    target=alone, args=(f"{folder}/cache", items, kind, theirs)
                )
                process.start()
                seconds, private = ours.recv()
                process.join()
                figures[kind] = {"epochs": [round(s, 2) for s in seconds], "private MB": round(private / 1e6)}
        watch = Watch()
        watch.start()
        started = time.monotonic()
        epochs = study(folder, items)
        watch.end()
        figures |= {
            "study": round(time.monotonic() - started, 1),
            "seconds of a trial": round(statistics.median(epochs), 2),
            "MB": {k: {n: round(v / 1e6) for n, v in m.items()} for k, m in sorted(watch.largest.items())},
            "object store MB": round(watch.store / 1e6),
            "written MB": round(_written(folder / "cache") / 1e6),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
