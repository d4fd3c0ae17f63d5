"""Compares separators on one task with equal budgets and several seeds: one table with intervals and rank tests.

    python studies/compare_separators.py --separators cass constant_mask nmf --max-epochs 5 --final-seeds 2

Without --separators it compares all that take the task's signal, at their published sizes and settings. These are meant
for GPUs and many more epochs than the default of 20: give --max-epochs, or --trials for an equal search first. Smaller:

    python studies/compare_separators.py --separators nmf sepgan:small cyclegan:small ssgan:small --trials 8
    python studies/compare_separators.py --separators cass nmf --settings cass.width=8 --task.train 128
    python studies/compare_separators.py --separators cass "cass:CASS with cross adversarial training" --task ecg
"""

from sepray.comparison.command import main
from sepray.comparison.spec import Comparison

STUDY = Comparison()

if __name__ == "__main__":
    main(STUDY)
