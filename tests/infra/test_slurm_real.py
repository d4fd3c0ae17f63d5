"""infra/slurm/study.sbatch on a SLURM of two nodes that the test starts on this machine; it needs to be root."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import INFRA, program

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES State=UP
"""
STUDY = """
import sys, time, ray
ray.init(sys.argv[sys.argv.index("--address") + 1], log_to_driver=False, logging_level="ERROR")
print("the study has", sum(node["Alive"] for node in ray.nodes()), "nodes", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("the study was interrupted", flush=True)
    sys.exit(130)
"""


@pytest.fixture
def slurm(tmp_path):
    """Return a function that runs a command of a SLURM with two nodes."""
    program("sbatch")
    if os.getuid() != 0:
        pytest.skip("a SLURM of the test's own is started by root alone")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    (tmp_path / "state").mkdir()
    (tmp_path / "munge").mkdir(mode=0o700)
    (tmp_path / "munge" / "key").write_bytes(os.urandom(1024))
    (tmp_path / "munge" / "key").chmod(0o400)
    host = socket.gethostname().split(".")[0]
    configuration = tmp_path / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path, host=host, ports=ports, cpus=os.cpu_count()))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    environment = os.environ | {"SLURM_CONF": str(configuration), "PATH": path}
    munge = [f"--{name}={tmp_path}/munge{place}" for name, place in MUNGE_FILES.items()]
    daemons = [
        ["munged", "--foreground", "--force", *munge],
        ["slurmctld", "-D", "-f", str(configuration)],
        *(["slurmd", "-D", "-N", name, "-f", str(configuration)] for name in ("n1", "n2")),
    ]
    log = (tmp_path / "log").open("w")
    running = [subprocess.Popen(daemon, env=environment, stdout=log, stderr=log) for daemon in daemons]

    def call(*command):
        return subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    yield call
    subprocess.run(["scancel", "--full", "--user=root"], env=environment, capture_output=True)
    time.sleep(5)
    for process in reversed(running):
        process.terminate()
        process.wait(60)


MUNGE_FILES = {"key-file": "/key", "socket": ".socket", "pid-file": "/pid", "log-file": "/log", "seed-file": "/seed"}


def until(seconds, found):
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline
        time.sleep(1)
    return answer


@pytest.mark.slow
def test_a_study_has_two_nodes_and_is_queued_again_before_the_time_limit(slurm, tmp_path):
    (tmp_path / "study.py").write_text(STUDY)
    until(60, lambda: slurm("sinfo", "--noheader", "--format=%t %D").strip() == "idle 2")
    slurm("sbatch", "--time=3", "--cpus-per-task=1", str(INFRA / "slurm" / "study.sbatch"), sys.executable, "study.py")
    output = tmp_path / "slurm-1.out"
    said = until(
        400, lambda: (text := output.read_text() if output.exists() else "") and "queued again" in text and text
    )
    assert "the study has 2 nodes" in said
    assert "the study was interrupted" in said
    assert until(60, lambda: slurm("squeue", "--noheader", "--format=%i %t").strip() == "1 PD")
