"""What is done with studies and models beside running a study.

Exit status: 0 done; 1 done, and the answer is bad (doctor: something is missing); 2 bad input, one line says what;
130 interrupted. Completion for a shell: sepray --tyro-print-completion bash.
"""

from __future__ import annotations

import os
import sys

from ..console.terminal import one_line
from ..errors import EXPECTED
from ..tracking.environment import mask
from . import compare, doctor, evaluate, listing, reconcile, report, separate
from .application import parse

__all__ = ["compare", "doctor", "evaluate", "listing", "main", "reconcile", "report", "separate"]

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exits with 2 and one line on bad input."""
    try:
        status = parse(arguments, __doc__)()
    except BrokenPipeError:  # who reads the output has had enough, e.g. head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except EXPECTED as error:
        if os.environ.get("SEPRAY_TRACEBACK"):
            raise
        print(f"sepray: {mask(one_line(error))}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("sepray: interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status or 0)
