"""Makes ``kept.tar.xz``: what studies of an older commit left in their folder.

Commit e0bc3af, the last one with flat modules in ``sepray/``, made it. To make it anew::

    git worktree add /somewhere/old e0bc3af
    PYTHONPATH=/somewhere/old python tests/kept/make.py

It holds three studies: ``finished`` (CASS, with the registered champion), ``published`` (finished too, of what was
``cass:published`` then and is ``cass:logarithmic`` now) and ``halfway`` (CASS, interrupted by Ctrl-C while a trial was
in its middle). Databases are SQL text. The path of the folder is written as ``@FOLDER@`` in them, and what says who
made them, and on which machine, is left out.
``unpack`` turns all of it into such a folder again.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVE = HERE / "kept.tar.xz"
SCRIPTS = ("kept_task.py", "kept_cass.py", "kept_published.py")
# Small checkpoints: flags of "published".
TINY = {"n-fft": 16, "hop": 12, "width": 2, "stages": 1, "discriminator-width": 2, "discriminator-stages": 1}
TINY |= {"dense": 4, "code": 2}
COMMANDS = {
    "finished": ("kept_cass.py", "--name", "finished", "--trials", "2"),
    "published": ("kept_published.py", *(text for k, v in TINY.items() for text in (f"--separator.{k}", str(v)))),
    "halfway": ("kept_cass.py",),
}
PLACEHOLDER = "@FOLDER@"
EPOCHS = 6  # of a whole trial of "halfway"
LEFT_OUT = ("report", "ray", "outbox.db.files", "__pycache__", "figures")  # folders
PRIVATE = ("mlflow.user", "platform")  # tags of runs


def unpack(folder: Path) -> None:
    """Make ``folder`` what the folder of the old studies was: scripts, databases, checkpoints, models."""
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, folder / name)
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has it from 3.11.4 on
        archive.extractall(folder)
    for path in [p for p in folder.rglob("*") if p.is_file() and p.suffix in (".sql", ".json", ".yaml", "")]:
        text = path.read_text(encoding="utf-8").replace(PLACEHOLDER, str(folder))
        if path.suffix == ".sql":
            with sqlite3.connect(path.with_suffix(".db")) as connection:
                connection.executescript(f"PRAGMA synchronous=OFF;{text}")
            connection.close()
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")


def main() -> None:
    """Run the three studies, with the sepray that PYTHONPATH names, and pack what they leave."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for script in SCRIPTS:
            shutil.copyfile(HERE / script, folder / script)
        for study in ("finished", "published"):
            subprocess.run([sys.executable, *COMMANDS[study]], cwd=folder, env=_environment(), check=True)
        before = folder.with_name(f"{folder.name}-before")
        shutil.copytree(folder, before, symlinks=True)
        try:
            for _ in range(10):
                if _interrupt(folder):
                    _pack(folder)
                    return
                # Databases hold the path of the folder, so the copy goes back to it.
                shutil.rmtree(folder)
                shutil.copytree(before, folder, symlinks=True)
        finally:
            shutil.rmtree(before)
        raise SystemExit("ten tries did not interrupt a trial in its middle")


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "RAY"))}
    return kept | {"LOGNAME": "user", "OMP_NUM_THREADS": "1"}


def _interrupt(folder: Path) -> bool:
    """Interrupt "halfway" in the middle of a trial; say whether that trial's last reported epoch is in a checkpoint."""
    import optuna

    command = [sys.executable, *COMMANDS["halfway"]]
    process = subprocess.Popen(command, cwd=folder, env=_environment(), start_new_session=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db")
    middle = None
    while process.poll() is None and middle is None:
        time.sleep(0.02)
        if "halfway" in optuna.get_all_study_names(storage):
            trials = optuna.load_study(study_name="halfway", storage=storage).get_trials()
            running = [t for t in trials if t.state.name == "RUNNING" and 2 <= len(t.intermediate_values) < EPOCHS - 1]
            if running and {t.state.name for t in trials} >= {"COMPLETE", "PRUNED"}:
                middle = running[0].number
                process.send_signal(signal.SIGINT)
    process.wait()
    if middle is None:
        return False
    trial = optuna.load_study(study_name="halfway", storage=storage).get_trials()[middle]
    files = folder.glob(f"sepray-results/halfway/*/search/trial-{middle:05d}/epoch-*.safetensors")
    epochs = [int(path.name.split("-")[1]) for path in files]
    print(f"trial {middle}: {trial.state.name}, epochs {sorted(trial.intermediate_values)}, checkpoints {epochs}")
    return trial.state.name == "RUNNING" and max(trial.intermediate_values) <= max(epochs, default=0) < EPOCHS


def _pack(folder: Path) -> None:
    """Write the archive: databases as SQL, texts with the placeholder, of ended trials the newest checkpoint alone."""
    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
            inner = path.relative_to(folder)
            if set(inner.parts) & set(LEFT_OUT) or inner.name in SCRIPTS or path.suffix in (".html", ".png", ".svg"):
                continue
            if re.search(r"\.db-|lock$", path.name) or (path.suffix == ".safetensors" and _superseded(path)):
                continue
            if path.suffix == ".db":
                inner, content = inner.with_suffix(".sql"), _dump(path).replace(str(folder), PLACEHOLDER).encode()
            elif path.suffix == ".safetensors":
                content = path.read_bytes()
            else:
                content = path.read_text(encoding="utf-8").replace(str(folder), PLACEHOLDER).encode()
            entry = tarfile.TarInfo(str(inner))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
            print(f"{len(content):8d} {inner}")
    print(f"{ARCHIVE.stat().st_size} bytes")


def _superseded(path: Path) -> bool:
    """Say whether a newer checkpoint of the same trial makes this one needless; the interrupted trial keeps both."""
    newest = max(path.parent.glob("epoch-*.safetensors"), default=path)
    return path != newest and not ("halfway" in path.parts and int(newest.name.split("-")[1]) < EPOCHS)


def _dump(path: Path) -> str:
    """Return a database as SQL, without what identifies its maker."""
    with sqlite3.connect(path) as connection:
        if path.name == "mlflow.db":
            for tag in PRIVATE:
                connection.execute("DELETE FROM tags WHERE key = ?", (tag,))
            connection.execute("UPDATE runs SET user_id = ''")
        lines = list(connection.iterdump())
    connection.close()
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
