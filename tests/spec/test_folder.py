"""One driver at a time in a study's folder."""

import subprocess
import sys

import pytest

from sepray.spec import folder


def test_folder_is_beside_the_work_where_checkpoints_are_remote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder.study_folder("s3://bucket/x", "n", "ab12") == tmp_path / "sepray-results" / "n" / "ab12"
    assert folder.study_folder("out", "n", "ab12") == tmp_path / "out" / "n" / "ab12"
    assert (tmp_path / "out" / "n" / "ab12").is_dir()


def test_second_driver_is_refused_until_the_first_is_dead(tmp_path):
    script = (
        "import sys, time, pathlib; from sepray.spec import folder; f = folder.lock(pathlib.Path(sys.argv[1]), 'n')\n"
    )
    script += "print('locked', flush=True); time.sleep(60)"
    first = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "locked\n"
    with pytest.raises(folder.RunningError, match="n is running already"):
        folder.lock(tmp_path, "n")
    first.kill()
    first.wait()
    first.stdout.close()
    folder.lock(tmp_path, "n").close()
