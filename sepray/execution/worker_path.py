"""Has the workers of a study import from the folders that its driver imports from, in the same order, and no others.

Ray itself lets workers import from the folder that a study was started in, before anything that is installed. There may
be files of others in it: a ``numpy.py`` in ``/tmp`` would run in every study that is started there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

from ray.job_config import JobConfig


class _Permitted(list[str]):
    """Folders that Ray puts first on the path: only those that this process looks into before installed packages."""

    def extend(self, folders: Iterable[str]) -> None:
        """Add those of the folders that the driver looks into before it looks where packages are installed."""
        first = _before_installed()
        super().extend(folder for folder in folders if os.path.abspath(folder) in first)


def job_config() -> JobConfig:
    """Return Ray's description of this driver, to which Ray adds no folder that this process would not import from."""
    config = JobConfig()
    config._py_driver_sys_path = _Permitted()
    return config


@contextlib.contextmanager
def like_this_process() -> Iterator[None]:
    """Let the workers of a Ray that is started in the block import from where this process does.

    That includes folders that a notebook has put on ``sys.path``, also behind those of installed packages.
    """
    before = os.environ.get("PYTHONPATH")
    paths = [os.path.abspath(path) for path in sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*paths, *([before] if before else [])]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _before_installed() -> set[str]:
    installed = (sys.prefix, sys.base_prefix)
    count = next((number for number, path in enumerate(sys.path) if path.startswith(installed)), len(sys.path))
    return {os.path.abspath(path) for path in sys.path[:count]}
