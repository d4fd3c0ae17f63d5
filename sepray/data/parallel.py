"""Work on many items by one thread for each CPU, with a progress bar where it takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from .. import processor
from ..plain_text import in_one_line

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item], label: str = "") -> list[Result]:
    """Return ``function`` of each item, in their order, computed by one thread for each CPU.

    Threads, because decoding, resampling and hashing release Python's lock, and processes would import the user's
    program anew. Each keeps torch to one thread. A progress bar is shown if this takes more than a second.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(processor.cpus(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(_with_progress(pool.map(function, items), len(items), label))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _with_progress(results: Iterator[Result], total: int, label: str) -> Iterator[Result]:
    """Yield the results, with a progress bar on stderr from the first second on."""
    bar: Any = None
    start = time.monotonic()
    try:
        for done, result in enumerate(results, 1):
            if bar is None and time.monotonic() - start > 1 and done < total:
                from rich.console import Console
                from rich.control import Control
                from rich.markup import escape
                from rich.progress import Progress
                from rich.segment import ControlType

                bar = Progress(console=Console(stderr=True))
                bar.console.control(Control((ControlType.ERASE_IN_LINE, 2)))  # erases what the command waits for
                bar.start()
                task = bar.add_task(escape(in_one_line(label)), total=total)
            if bar is not None:
                bar.update(task, completed=done)
            yield result
    finally:
        if bar is not None:
            bar.stop()
