"""Measures memory and start of a trial's process on the machine, and the share of torch and Ray alone.

    python benchmarks/worker.py
    python benchmarks/worker.py --tree OTHER   # the last line alone, of another checkout's study
    python benchmarks/worker.py --at-once 64   # that many trials, of one epoch each, on this machine's CPUs

First each step of a worker is taken in a process by itself: Ray Tune's import, torch's, sepray's, the data of ``ecg``,
the separator ``cass``, and two epochs. Then ``studies/cass_alpha_sweep.py`` runs for two trials of two epochs, and its
workers are looked at every half second (the largest figures count). Megabytes: ``private`` is what a process has for
itself, ``resident`` has also the pages of libraries and data that it shares with others. ``CPU`` is the CPU time of the
process from its start; what a study's worker does beside these steps is to be called by Ray.

On two cores of an Intel Xeon (AVX-512), Python 3.11, torch 2.11 with CUDA's libraries, Ray 2.60:

    after                 private   resident   CPU, s
    Ray Tune                  110        188      1.1
    torch                     369        654      2.6
    sepray's worker           370        657      2.7
    the data                  386        681      2.8
    the separator             391        693      2.8
    an epoch                  439        762      5.7
    two epochs                440        762      8.5
    a worker of a study       165        625
    64 workers at once        165        625    11,114 for all processes, where shared pages count once
    a worker at e0bc3af       542        934    by pages in no file; 481 before workers were forked
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from large import Watch

ROOT = Path(__file__).resolve().parents[1]
STEPS = """
import sys
import time
from pathlib import Path

def show(after):
    with open("/proc/self/smaps_rollup") as lines:
        found = {words[0]: int(words[1]) * 1024 / 1e6 for line in lines if len(words := line.split()) == 3}
    print(f"{after:20}{found['Anonymous:']:9.0f}{found['Rss:']:11.0f}{time.process_time():9.1f}", flush=True)

import ray.tune
show("Ray Tune")
import torch
show("torch")
torch.set_num_threads(1)
from sepray.execution import trainable
show("sepray's worker")
from sepray.loading import load_task
from sepray.separators import cass
from sepray.tasks import ecg
from sepray.training.trainer import Trainer, build
data = load_task(ecg.Config(), Path(sys.argv[1]))
show("the data")
config = cass.Config()
separator = build(config, data.signal, 0)
split = {"mixture": data.train.mixture, "sources": data.train.sources}
trainer = Trainer(separator, split, {}, 0, config.batch_size, config.betas)
show("the separator")
trainer.epoch()
show("an epoch")
trainer.epoch()
show("two epochs")
"""


def main() -> None:
    """Print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT, help="checkout whose study runs")
    parser.add_argument("--at-once", type=int, default=0, help="only a search of so many trials, all of them at once")
    given = parser.parse_args()
    tree = given.tree.resolve()
    with tempfile.TemporaryDirectory() as folder:
        cache, environment = f"{folder}/cache", {**os.environ, "PYTHONPATH": str(tree)}
        study = [str(tree / "studies" / "cass_alpha_sweep.py"), "--cache", cache]
        if given.at_once:
            share = math.floor(1000 * len(os.sched_getaffinity(0)) / given.at_once) / 1000
            study += ["--trials", str(given.at_once), "--concurrency", str(given.at_once), "--max-epochs", "1"]
            study += ["--cpus-per-trial", str(share), "--finalists", "1", "--final-seeds", "1"]
        else:
            study += ["--trials", "2", "--max-epochs", "2"]
        watch = Watch()
        watch.start()
        done = subprocess.run(
            [sys.executable, *study], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        watch.end()
        if done.returncode:
            sys.exit(f"the study ended with status {done.returncode}: {done.stderr}")
        print(f"{'after':20}{'private':>9}{'resident':>11}{'CPU, s':>9}", flush=True)
        if tree == ROOT and not given.at_once:
            subprocess.run([sys.executable, "-c", STEPS, cache], cwd=Path(__file__).parent, check=True)
        largest = watch.largest["worker"]
        print(f"{'a worker of a study':20}{largest['private'] / 1e6:9.0f}{largest['resident'] / 1e6:11.0f}")
        print(f"{'all processes':20}{watch.together / 1e6:9.0f}{'':11}    {watch.workers} workers at once")


if __name__ == "__main__":
    main()
