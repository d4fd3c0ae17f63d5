"""Workers import from where their driver does."""

import os
import sys

from sepray.execution import worker_path


def test_ray_puts_before_all_others_what_is_so_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/script", "relative", sys.prefix + "/lib", "/behind"])
    given = ["/script", str(tmp_path / "relative"), "/elsewhere", "/behind", sys.prefix + "/lib", str(tmp_path)]
    config = worker_path.job_config()
    config._py_driver_sys_path.extend(given)
    assert list(config._py_driver_sys_path) == given[:2]
    assert list(config._get_proto_job_config().py_driver_sys_path) == given[:2]


def test_order_of_folders_is_kept(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/script", "", sys.prefix + "/lib", "/behind", "/script"])
    monkeypatch.setenv("PYTHONPATH", "/before")
    with worker_path.like_this_process():
        found = os.environ["PYTHONPATH"].split(os.pathsep)
    assert found == ["/script", os.getcwd(), sys.prefix + "/lib", "/behind", "/before"]
    assert os.environ["PYTHONPATH"] == "/before"
    monkeypatch.delenv("PYTHONPATH")
    with worker_path.like_this_process():
        assert "/behind" in os.environ["PYTHONPATH"]
    assert "PYTHONPATH" not in os.environ
