"""infra/slurm/study.sbatch: with programs that stand for SLURM's and Ray's, and with SLURM where it is installed."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from .conftest import INFRA

SCRIPT = INFRA / "slurm" / "study.sbatch"

# `srun` and `ray start --block` last until they are ended; everything writes down how it was called.
PROGRAMS = {
    "srun": 'echo "srun $*" >> calls; exec sleep 60',
    "ray": 'echo "ray $* $RAY_AUTH_MODE $(wc -c < "$RAY_AUTH_TOKEN_PATH")" >> calls',
    "python": 'if [ "$1" = -c ]; then echo 192.0.2.7; else cat > /dev/null; fi',
    "scontrol": 'echo "scontrol $*" >> calls',
}
STUDY = """
import sys, time
open("calls", "a").write("study " + " ".join(sys.argv[1:]) + "\\n")
try:
    open("running", "w").close()
    if "long" in sys.argv:
        time.sleep(60)
except KeyboardInterrupt:
    open("calls", "a").write("interrupted\\n")
    sys.exit(130)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def job(tmp_path):
    """Start the script as SLURM would, in a folder with stand-ins for its programs."""
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    (tmp_path / "study.py").write_text(STUDY)
    variables = {"SLURM_JOB_ID": "4711", "SLURMD_NODENAME": "one", "SLURM_JOB_NUM_NODES": "3"}
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "4", **variables}
    started = []

    def start(*arguments):
        command = ["bash", str(SCRIPT), sys.executable, "study.py", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **PIPES)
        started.append(process)
        return process

    yield start
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def test_head_workers_and_study_are_started_with_a_token(job, tmp_path):
    process = job("0")
    output, _ = process.communicate(timeout=50)
    assert process.returncode == 0, output
    lines = calls(tmp_path)
    head, workers = sorted((line for line in lines if line.startswith("srun")), key=lambda line: "--head" not in line)
    assert "--nodes=1 --ntasks=1 " in head
    assert "--nodelist=one" in head
    assert "ray start --head --block --node-ip-address=192.0.2.7 --port=24711" in head
    assert "--num-cpus=4" in head
    assert "--nodes=2 --ntasks=2 " in workers
    assert "--exclude=one" in workers
    assert "ray start --block --address=192.0.2.7:24711 --num-cpus=4" in workers
    assert "study 0 --address 192.0.2.7:24711" in lines
    assert "ray health-check --address 192.0.2.7:24711 token 48" in lines
    assert not [line for line in lines if "requeue" in line]
    assert not list(tmp_path.glob(".sepray-slurm-*"))  # the token is gone


def test_the_exit_status_is_that_of_the_study(job, tmp_path):
    process = job("3")
    process.communicate(timeout=50)
    assert process.returncode == 3
    assert not [line for line in calls(tmp_path) if "requeue" in line]


def test_before_the_time_limit_the_study_is_interrupted_and_the_job_queued_again(job, tmp_path):
    process = job("0", "long")
    while not (tmp_path / "running").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=50)
    assert process.returncode == 130
    assert calls(tmp_path)[-2:] == ["interrupted", "scontrol requeue 4711"]
    assert "the job is queued again, and the study goes on" in output
    assert not list(tmp_path.glob(".sepray-slurm-*"))


def test_without_a_command_it_says_how_to_call_it():
    done = subprocess.run(["bash", str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sbatch study.sbatch COMMAND")


def test_directives_queue_the_job_again_and_leave_a_minute():
    directives = re.findall(r"^#SBATCH (\S+)", SCRIPT.read_text(), re.MULTILINE)
    assert {"--requeue", "--signal=B:TERM@60", "--open-mode=append"} <= set(directives)
    assert re.search(r"^set -euo pipefail", SCRIPT.read_text(), re.MULTILINE)
    before = SCRIPT.read_text().split("set -euo")[0].splitlines()
    assert all(line.startswith("#") for line in before)  # sbatch reads no directive after the first command
