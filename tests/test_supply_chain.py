"""Everything installed is locked and hashed, no file names an index, and nothing becomes root unasked."""

import contextlib
import os
import pty
import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(path for path in (ROOT / "requirements").glob("*.txt") if path.name != "constraints.txt")
SCRIPT = ROOT / "tests" / "need_ffmpeg.sh"


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ;\\\n]+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_version_of_a_lock_has_hashes_and_no_lock_names_an_index(lock):
    text = lock.read_text()
    blocks = re.split(r"^(?=[\w.-]+(?:\[[\w,-]+\])?==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(lock)) > 0
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", block) for block in blocks)
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash", ""), re.MULTILINE)  # options such as --extra-index-url


def test_what_builds_is_what_is_installed():
    build, run, tools = (pins(ROOT / "requirements" / f"{name}.txt") for name in ("build", "run", "tools"))
    assert set(build) == {"setuptools"}
    assert build.items() <= run.items()
    assert build.items() <= tools.items()
    [needed] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert int(build["setuptools"].partition(".")[0]) >= int(needed.removeprefix("setuptools>="))
    assert {"cyclonedx-bom", "pip-licenses", "uv"} <= tools.keys()


def test_constraints_are_the_versions_of_the_lock():
    assert pins(ROOT / "requirements" / "constraints.txt") == pins(ROOT / "requirements" / "run.txt")


def test_every_installation_is_hashed_or_of_sepray_alone():
    """``-c`` is for people, and the pages say that it has no hashes."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    installs = [line for line in text.splitlines() if re.search(r"pip (install|wheel)|\$\((INSTALL|LOCKED)\)", line)]
    commands = [line for line in installs if not line.startswith(("INSTALL :=", "#"))]
    assert len(commands) > 6
    for line in commands:
        hashed = "--require-hashes" in line or line.lstrip().startswith("$(LOCKED)")
        assert (
            hashed
            or ("--no-deps" in line and ("--no-build-isolation" in line or "$(FLOOR)" in line))
            or (
                "$(FLOOR)/floor.txt" in line  # the oldest versions, chosen when they are tried
            )
        ), line
    pages = [ROOT / "README.md", ROOT / "docs" / "pages" / "start.md", ROOT / "docs" / "pages" / "cluster.md"]
    assert all("without hashes" in page.read_text() for page in pages)


def test_no_file_names_the_host_of_an_index():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no clone")
    hosts = re.compile("|".join((r"pypi\." + "org", "python" + "hosted", "conda" + r"\.anaconda", "index" + "-url +h")))
    names = listed.stdout.decode().split("\0")
    if names == [""]:
        pytest.skip("a copy of a clone")  # in a folder that git ignores, as make mutants makes it
    texts = {name: (ROOT / name).read_bytes().decode(errors="ignore") for name in names if (ROOT / name).is_file()}
    assert len(texts) > 500
    assert [name for name, text in texts.items() if hosts.search(text)] == []


def test_list_of_what_a_release_is_made_of_names_no_index():
    """From a lock without an index, cyclonedx-py writes a guessed index, and puts the digests beside it."""
    digests = [{"alg": "SHA-256", "content": "ab" * 32}, {"alg": "SHA-256", "content": "cd" * 32}]
    guessed = {"type": "distribution", "url": "https://an.index/simple/torch/", "hashes": digests}
    home = {"type": "website", "url": "https://home.example"}
    tool = {
        "name": "cyclonedx-py",
        "externalReferences": [{"type": "distribution", "url": "https://an.index/project/x"}],
    }
    bom = {
        "components": [{"name": "torch", "version": "2.9", "externalReferences": [guessed, home]}, {"name": "bare"}],
        "metadata": {"tools": {"components": [tool]}},
    }
    module = runpy.run_path(str(ROOT / "requirements" / "without_index.py"))
    assert module["without_index"](bom) == {
        "components": [
            {"name": "torch", "version": "2.9", "externalReferences": [home], "hashes": digests},
            {"name": "bare"},
        ],
        "metadata": {"tools": {"components": [{"name": "cyclonedx-py"}]}},
    }
    recipe = (ROOT / "Makefile").read_text().split("release: licences")[1].split("\n\n")[0]
    assert recipe.index("cyclonedx-py") < recipe.index("without_index.py dist/*.cdx.json") < recipe.index("sha256sum")


def test_allowed_licences_ask_nothing_of_a_program_that_uses_them():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pip-licenses"]
    allowed = [licence.strip() for licence in table["allow-only"].split(";")]
    assert {"MIT", "Apache-2.0", "BSD-3-Clause"} <= set(allowed)
    assert not [licence for licence in allowed if re.search(r"GPL|SSPL|BUSL|Commons Clause|UNKNOWN|^Other", licence)]
    locked = pins(ROOT / "requirements" / "run.txt")
    assert set(table["ignore-packages"]) <= locked.keys()


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that note how they were called; ffmpeg and ffprobe are missing."""
    notes = tmp_path / "notes"
    notes.write_text("")
    for name in ("apt-get", "sudo"):
        program(tmp_path, name, f'echo "{name} $*" >> {notes}')
    for name in ("id", "cat"):
        program(tmp_path, name, "echo 1000")
    (tmp_path / "sh").symlink_to("/bin/sh")
    return tmp_path


def program(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def asked(machine: Path, answer: str | None = None) -> tuple[int, str, str]:
    """Run the script, at a terminal where there is an answer; return its status, its words, and what was called."""
    environment = {"PATH": str(machine)}
    if answer is None:
        done = subprocess.run(
            ["/bin/sh", SCRIPT], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        )
        return done.returncode, done.stderr, (machine / "notes").read_text()
    controller, terminal = pty.openpty()
    os.write(controller, f"{answer}\n".encode())
    process = subprocess.Popen(["/bin/sh", SCRIPT], env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    words = b""
    with contextlib.suppress(OSError):  # the end of a terminal that nobody writes to any more
        while more := os.read(controller, 10_000):
            words += more
    status = process.wait(20)
    os.close(controller)
    return status, words.decode(), (machine / "notes").read_text()


def test_nothing_is_done_where_ffmpeg_is_there(machine):
    for name in ("ffmpeg", "ffprobe"):
        program(machine, name, "")
    assert asked(machine) == (0, "", "")


def test_without_a_terminal_the_command_is_said_and_nothing_is_called(machine):
    status, words, called = asked(machine)
    assert (status, called) == (1, "")
    assert "sudo sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends ffmpeg'" in words


@pytest.mark.parametrize(("answer", "calls"), [("y", True), ("", False), ("n", False), ("yellow", False)])
def test_at_a_terminal_somebody_is_asked(machine, answer, calls):
    status, words, called = asked(machine, answer)
    assert "? [y/N]" in words
    assert called.startswith("sudo sh -c apt-get update") if calls else called == ""
    assert status == (0 if calls else 1)


def test_root_needs_not_be_asked(machine):
    program(machine, "id", "echo 0")
    status, _, called = asked(machine)
    assert status == 0
    assert called == "apt-get update -qq\napt-get install -y -qq --no-install-recommends ffmpeg\n"


def test_a_machine_without_a_known_installer_is_told_what_is_needed(machine):
    (machine / "apt-get").unlink()
    assert asked(machine) == (1, "ffmpeg and ffprobe are needed by museval: please install them\n", "")
