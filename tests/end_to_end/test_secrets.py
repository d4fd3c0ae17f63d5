"""Canaries: secrets of addresses, environment, errors and fields of a task are in nothing that a study leaves.

The default suite looks for them after the whole study of test_study.py; here studies are interrupted.
"""

import base64
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from optuna.trial import TrialState

from .conftest import SCRIPTS, Laboratory, opened
from .test_interruption import has_one_in_the_middle

pytestmark = pytest.mark.timeout(600)

KNOWN = {  # what the study's process is given
    "LAB_TOKEN": "Canary-Token-1",
    "AWS_SECRET_ACCESS_KEY": "Canary/Aws+2",
    "DATABASE_URL": "postgresql://me:Canary%40TailOf3@host/db",
    "OTHER_URL": "postgresql://me:Canary%40Slash/TailOf15@host/db",
    "DB_PASSWORD": "canarysesame",
    "REDIS_AUTH": "Canary-Redis-16",
    "PRIVATE_KEY": "Canary-Line-17\nCanary-Line-18\n",
    "STORE": "AccountName=me;AccountKey=Canary/Account+19==;X=y",
}
URL = "https://me:Canary-Address-14@host/data?sv=1&sig=CanarySig4%3D"
FIELDS = ("--task.url", URL, "--task.token", "Canary-Field-5")
SAID = (  # what an error of the separator's says: what is known, and what only looks like a secret
    "cannot read https://host/data?sig=CanarySig4%3D with Canary-Token-1, Canary/Aws+2, Canary@TailOf3 or\n"
    "Canary-Field-5; postgresql+psycopg://me:canary6@host, https://host/x?x=1&sas=canary7, PWD%3Dcanary8%3B,\n"
    "password: canary9, {'secret': 'canary, TailOf10'}, Authorization: Bearer canary11,\n"
    "https://canary12@host, pwd=canary,TailOf13; the Canary-Address-14 of https://other?x=Canary-Address-14\n"
    "Canary@Slash/TailOf15 or Canary%40Slash%2fTailOf15, canarysesame, Canary-Redis-16, Canary-Line-18,\n"
    "Canary/Account+19==, {'password': b'canary20'}, ['mysql', '--password', 'canaryword'], password => canary22,\n"
    "Authorization: Negotiate canary23=, X_PAT: canary24, https://hooks.slack.com/services/T0/B0/canary25\n"
    "password: the canary 26TailOf\nCookie: session=canary27; id=TailOf28\nsk-proj-Canary29-abcdefghijklmnop,\n"
    "https://host/back?code=canary30 -----BEGIN PRIVATE KEY-----\nCanaryTailOf31\n-----END PRIVATE KEY-----"
)
_SECRETS = ("Canary", "canary", "TailOf")
SEPARATOR = SCRIPTS["my_separator.py"].replace(
    "        total =",
    "        if (weights['weight'] == 0).any():\n"
    "            import base64, os\n"
    "            raise RuntimeError(base64.b64decode(os.environ['PLANTED']).decode())\n"
    "        total =",
)
TASK = SCRIPTS["my_task.py"].replace(
    "    seed: int = 0\n", "    seed: int = 0\n    url: str = ''\n    token: str = ''\n"
)
STUDY = SCRIPTS["study.py"].replace(
    "reference_points={", 'reference_points={"broken": {"learning_rate": 2e-3, "weight": 0.0}, '
)
COMMAND = (
    "--separator.pause",
    "1.0",  # seconds a call, so that the middle of a trial is seen on a busy machine
    "--trials",
    "2",
    "--max-epochs",
    "5",
    "--scheduler",
    "none",
    "--final-seeds",
    "1",
    "--concurrency",
    "1",  # one worker to start
)


@pytest.fixture
def canaries(tmp_path):
    """A laboratory whose study is given secrets, and whose separator tells them in an error."""
    scripts = {"my_separator.py": SEPARATOR, "my_task.py": TASK, "study.py": STUDY}
    (tmp_path / "lab").mkdir()
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as ray,
        opened(Laboratory(tmp_path / "lab", scripts)) as laboratory,
    ):
        planted = {
            "PLANTED": base64.b64encode(SAID.encode()).decode(),
            "XDG_STATE_HOME": str(tmp_path / "lab" / "state"),
            "RAY_TMPDIR": ray,
        }
        laboratory.ray = Path(ray)
        laboratory.environment |= KNOWN | planted
        yield laboratory


def found(folder: Path) -> list[str]:
    """The files below a folder that hold a canary, or are named after one.

    Another process reads them: where this one closed a database that SQLite has open here, its locks would be gone.
    """
    patterns = [part for secret in _SECRETS for part in ("-e", secret)]
    done = subprocess.run(["grep", "-rlaF", *patterns, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    named = [str(path) for path in folder.rglob("*") if any(s in path.name for s in _SECRETS)]
    return [*done.stdout.splitlines(), *named]


def is_halfway(laboratory):
    """Say whether the broken trial has failed and another one is in its middle."""
    failed = any(t.state is TrialState.FAIL for t in laboratory.trials())
    return failed and has_one_in_the_middle(laboratory)


def interrupted(canaries, number: int) -> None:
    """Start the study, interrupt it in its middle, and look at what it has printed and left."""
    process = canaries.start(*COMMAND, *FIELDS)
    canaries.wait(lambda: is_halfway(canaries), process, seconds=180)
    logs = [path for path in canaries.ray.rglob("*.log") if path.stat().st_size]
    assert logs, "Ray has a session"
    (canaries.folder / "planted").write_text("canary")
    assert found(canaries.folder) == [str(canaries.folder / "planted")]  # grep finds what there is
    (canaries.folder / "planted").unlink()
    # Ray's own files of a study that runs are for its user alone, and go with it.
    [session] = canaries.ray.glob("sepray.*")
    assert session.stat().st_mode & 0o777 == 0o700
    process.send_signal(number)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + number, printed
    assert "with your secrets where *** stands" in printed
    assert "--task.token '***'" in printed
    assert "--task.url 'https://me:***@host/data?sv=1&sig=***'" in printed
    assert not [secret for secret in _SECRETS if secret in printed], printed
    assert found(canaries.folder) == []
    assert list(canaries.ray.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_that_a_study_leaves_holds_a_secret(canaries, number):
    interrupted(canaries, number)
    printed = canaries.run(*COMMAND, *FIELDS)
    [broken] = [t for t in canaries.trials() if t.state is TrialState.FAIL]
    assert broken.user_attrs["reason"].startswith("RuntimeError: cannot read https://host/data?sig=***")
    assert "PWD%3D***" in broken.user_attrs["traceback"]
    assert "the *** of https://other?x=***" in broken.user_attrs["traceback"]
    for text in (printed, broken.user_attrs["traceback"], canaries.sepray("show", "lab", "--json").stdout):
        assert not [secret for secret in _SECRETS if secret in text], text
    assert found(canaries.folder) == []
    assert found(canaries.ray) == []
