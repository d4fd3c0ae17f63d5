"""A study whose trials share a GPU, and its model where there is none."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

import sepray

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parents[2]
TASK = {"train": 40, "validation": 20, "test": 20}
TASK |= {"train-recordings": 8, "validation-recordings": 4, "test-recordings": 4}
FLAGS = ["--max-epochs", "2", "--final-seeds", "1", "--cpus-per-trial", "1", "--separator.width", "4"]
FLAGS += ["--only-arms", "CASS", *(part for name, size in TASK.items() for part in (f"--task.{name}", str(size)))]
SEPARATE = """
import json, sys, numpy, sepray, torch
assert not torch.cuda.is_available()
model = sepray.load_model(sys.argv[1])
numpy.save(sys.argv[2], model.separate(numpy.load(sys.argv[3])))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder of a finished study."""
    folder = tmp_path_factory.mktemp("study")
    run(folder, environment(), "--name", "on-gpu", "--trials", "4", "--gpus-per-trial", "0.25")
    return folder


def run(folder: Path, environment: dict[str, str], *flags: str) -> None:
    command = [sys.executable, str(ROOT / "studies/cass_alpha_sweep.py"), *FLAGS, *flags]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr


def environment(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "120", **changes}


def test_every_trial_ran_on_the_gpu_and_several_at_once(study):
    trials = optuna.load_study(study_name="on-gpu", storage=f"sqlite:///{study}/optuna.db").trials
    assert len(trials) == 4
    for trial in trials:
        assert trial.user_attrs["conditions"]["device"] == torch.cuda.get_device_name(), json.dumps(trial.user_attrs)
    spans = sorted((t.datetime_start, t.datetime_complete) for t in trials)
    assert any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


def test_its_model_separates_alike_without_a_gpu(study, tmp_path, monkeypatch):
    monkeypatch.chdir(study)
    mixtures = np.random.default_rng(0).standard_normal((3, 1, 504)).astype(np.float32)
    np.save(tmp_path / "mixtures.npy", mixtures)
    uri = "models:/cass-ecg@champion"
    here = sepray.load_model(uri, device="cuda").separate(mixtures)
    command = [sys.executable, "-c", SEPARATE, uri, str(tmp_path / "out.npy"), str(tmp_path / "mixtures.npy")]
    subprocess.run(command, cwd=study, env=environment(CUDA_VISIBLE_DEVICES=""), check=True, timeout=200)
    there = np.load(tmp_path / "out.npy")
    assert np.linalg.norm(here - there) < 1e-3 * np.linalg.norm(there)
    assert np.linalg.norm(sepray.load_model(uri, device="cpu").separate(mixtures) - there) <= 1e-6


def test_a_model_trained_without_a_gpu_separates_alike_on_one(study, monkeypatch):
    run(study, environment(CUDA_VISIBLE_DEVICES=""), "--name", "without-gpu", "--trials", "2")
    monkeypatch.chdir(study)
    mixtures = np.random.default_rng(1).standard_normal((3, 1, 504)).astype(np.float32)
    uri = "models:/cass-ecg/2"
    on_gpu, on_cpu = (sepray.load_model(uri, device=device).separate(mixtures) for device in ("cuda", "cpu"))
    assert np.linalg.norm(on_gpu - on_cpu) < 1e-3 * np.linalg.norm(on_cpu)
