"""Gives changed files to every reader of data: ``python -m tests.hostile.fuzz --minutes 10`` (``make fuzz``).

A reader may read a changed file, or refuse it: by one line that names it (``SeprayError``, ``OSError``). Anything else
is a finding: another exception, a process that ends, more than 5 s of CPU time, more than a gigabyte of memory beyond
what the libraries take, a warning. Findings are kept in a folder, with the file and how to repeat it; the status is 1.
The files are read in a process of its own, which is started again where one has ended it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CPU_SECONDS = 5
MEMORY = 1 << 30
_BATCH = 2000  # files a process
_LONGEST = 400  # characters of a line, beside the name of the file


def address_space() -> int:
    """Return the bytes of address space that this process has."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmSize")


def work(names: Sequence[str], first: int, count: int, deadline: float, current: Path) -> None:
    """Read changed files, and print a line of JSON for each finding; ``current`` says which file is being read."""
    from .readers import READERS

    goods = {name: READERS[name].content() for name in names}
    everything = [content for good in goods.values() for content in good.values()]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:  # all libraries are imported and have their memory before the limit
            _lay(Path(folder), goods[name], READERS[name].pack)
            READERS[name].read(Path(folder) / READERS[name].name)
        limit = address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        done = 0
        for seed in range(first, first + count):
            name = names[seed % len(names)]
            if time.monotonic() > deadline:
                break
            current.write_text(json.dumps({"reader": name, "seed": seed}))
            content = changed(goods[name], name, seed, everything)
            _lay(Path(folder), content, READERS[name].pack)
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # whose signal ends the process, wherever it is
            found = _outcome(name, Path(folder))
            signal.setitimer(signal.ITIMER_PROF, 0)
            done += 1
            if found:
                print(json.dumps({"reader": name, "seed": seed, "found": found}), flush=True)
        print(json.dumps({"done": done}), flush=True)


def changed(good: dict[str, bytes], name: str, seed: int, others: Sequence[bytes]) -> dict[str, bytes]:
    """Return the files of a reader, one of them changed."""
    from .mutations import mutated

    which = sorted(good)[seed // 7 % len(good)]
    return {**good, which: mutated(good[which], f"{name} {seed}", others)}


def _lay(folder: Path, content: dict[str, bytes], pack: Any) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, data in content.items():
        (folder / name).write_bytes(pack(data) if pack else data)


def _outcome(name: str, folder: Path) -> str:
    """Return what is wrong with what a reader makes of a file; empty if nothing is."""
    from sepray.errors import SeprayError

    from .readers import READERS

    reader = READERS[name]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            reader.read(folder / reader.name)
        except (SeprayError, OSError) as error:
            text = str(error)
            if "\n" in text or len(text.replace(str(folder), "")) > _LONGEST:
                return f"more than a line: {text[:2000]!r}"
            if not any(file.name in text for file in folder.iterdir()) and folder.name not in text:
                return f"no name: {text!r}"
            if "MemoryError" in text or "Unable to allocate" in text or "cannot allocate" in text.lower():
                return f"memory: {text!r}"
        except BaseException as error:
            import traceback

            frames = traceback.extract_tb(error.__traceback__)
            where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:]))
            return f"{type(error).__name__}: {str(error)[:300]} at {where}"
    told = [warning for warning in warned if issubclass(warning.category, RuntimeWarning)]
    return f"warning: {told[0].message} at {Path(told[0].filename).name}:{told[0].lineno}" if told else ""


def run(names: Sequence[str], first: int, count: int, seconds: float) -> tuple[int, list[dict[str, Any]]]:
    """Read changed files in processes of their own.

    Returns:
        the number of files, and the findings.
    """
    end = time.monotonic() + seconds
    findings: list[dict[str, Any]] = []
    done, seed = 0, first
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "current"
        while seed < first + count and time.monotonic() < end:
            batch = min(_BATCH, first + count - seed)
            command = [sys.executable, "-m", "tests.hostile.fuzz", "--work", str(current)]
            command += ["--seed", str(seed), "--count", str(batch), "--minutes", str((end - time.monotonic()) / 60)]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
            result = subprocess.run(
                [*command, "--readers", *names], capture_output=True, text=True, env=environment, check=False
            )
            lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
            findings += [line for line in lines if "found" in line]
            if result.returncode == 0:
                done += sum(line.get("done", 0) for line in lines)
                seed += batch
                continue
            if not current.exists():
                raise RuntimeError(result.stderr)
            at = json.loads(current.read_text())
            end_of = "5 s of CPU time" if result.returncode == -signal.SIGPROF else result.stderr[-400:]
            findings.append({**at, "found": f"ended with {result.returncode}: {end_of}"})
            done += at["seed"] - seed + 1
            seed = at["seed"] + 1
    return done, findings


def keep(folder: Path, finding: dict[str, Any]) -> Path:
    """Write the file of a finding into a folder of its own, and return that."""
    from .readers import READERS

    reader = READERS[finding["reader"]]
    place = folder / f"{finding['reader'].replace(' ', '-')}-{finding['seed']}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "finding.txt").write_text(json.dumps(finding) + "\n")
    everything = [content for name in finding["names"] for content in READERS[name].content().values()]
    files = changed(reader.content(), finding["reader"], finding["seed"], everything)
    for name, data in files.items():
        (place / name).write_bytes(reader.pack(data) if reader.pack else data)
    return place


def main() -> int:
    """Run from the command line; the exit status is 1 where there are findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=None, help="of the first file (default: by the clock)")
    parser.add_argument("--count", type=int, default=10**9, help="most files")
    parser.add_argument("--readers", nargs="*", default=None, help="kinds of files (default: all)")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"), help="where findings are kept")
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.readers, given.seed, given.count, time.monotonic() + 60 * given.minutes, given.work)
        return 0
    from .readers import READERS

    names = given.readers or list(READERS)
    seed = int(time.time()) % 10**8 if given.seed is None else given.seed
    print(f"{len(names)} readers, from seed {seed} on", flush=True)
    done, findings = run(names, seed, given.count, 60 * given.minutes)
    for finding in findings:
        place = keep(given.folder, {**finding, "names": names})
        print(f"{finding['reader']} {finding['seed']}: {finding['found']} ({place})")
    print(f"{done} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
