"""Compares separators on one task with equal budgets and several seeds: one table with intervals and rank tests.

    python studies/compare_separators.py --separators cass constant_mask nmf --max-epochs 5 --final-seeds 2

Without --separators it compares all that take the task's signal, at their published sizes and settings. These are meant
for GPUs and many more epochs than the default of 20: give --max-epochs, or --trials for an equal search first. Smaller:

    python studies/compare_separators.py --separators nmf sepgan:small cyclegan:small ssgan:small --trials 8
    python studies/compare_separators.py --separators cass nmf --settings cass.width=8 task.train=128
    python studies/compare_separators.py --separators cass "cass:CASS with cross adversarial training" --task ecg
"""

import importlib
import pkgutil
from typing import Any

import search_spaces
from sepray.comparison.command import main
from sepray.comparison.spec import Comparison


def spaces() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the search space and the published settings of every separator that has a file in ``search_spaces``."""
    names = [module.name for module in pkgutil.iter_modules(search_spaces.__path__)]
    modules = {name: importlib.import_module(f"search_spaces.{name}") for name in names}
    return {name: (module.SPACE, module.PAPER) for name, module in modules.items()}


if __name__ == "__main__":
    main(Comparison(), spaces())
