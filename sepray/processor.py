"""The CPUs of this machine: how many there are, their name and instructions, and whether they have bfloat16."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from pathlib import Path

_BFLOAT16 = ("avx512_bf16", "amx_bf16")


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def name() -> str:
    """Return the name of the CPU, as precisely as the operating system tells it."""
    return _told("model name") or platform.processor() or platform.machine()


def short_name(text: str | None = None) -> str:
    """Return the name of a CPU, of this machine's where none is given, without trade marks and doubled spaces."""
    text = name() if text is None else text
    for mark in ("(R)", "(TM)", "(r)", "(tm)"):
        text = text.replace(mark, "")
    return " ".join(text.split())


def flags() -> frozenset[str]:
    """Return the names of the CPU's instruction sets; empty if the operating system does not tell them."""
    return frozenset(_told("flags").split())


def has_bfloat16(flags: Collection[str]) -> bool:
    """Say whether a CPU with these instruction sets multiplies bfloat16 natively, without which bfloat16 is slow."""
    return any(flag in flags for flag in _BFLOAT16)


def _told(key: str) -> str:
    """Return the value that Linux gives for the first CPU under a key; empty if there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key)
    return next(found, "")
