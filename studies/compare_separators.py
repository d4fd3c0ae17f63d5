r"""Compares separators on one task with equal budgets and several seeds: one table with intervals and rank tests.

    python studies/compare_separators.py --separators cass constant_mask nmf --max-epochs 5 --final-seeds 2

Without --separators it compares all that take the task's signal, at their published sizes and settings. These are meant
for GPUs and many more epochs than the default of 20: give --max-epochs, or --trials for an equal search first. In every
table stands the supervised mask, where the task has two sources (--baselines). Smaller, and the methods of NES:

    python studies/compare_separators.py --separators nmf sepgan:small neural_egg:defaults --trials 8
    python studies/compare_separators.py --separators cass "cass:CASS with cross adversarial training" --task ecg
    python studies/compare_separators.py --separators NES=neural_egg "FT=neural_egg:paper start=glo_masking:paper" \
        "NES-AM=neural_egg:paper start=adversarial_masking:paper" --task digits_split
"""

from sepray.comparison.command import main
from sepray.comparison.spec import Comparison

STUDY = Comparison(baselines=("supervised_mask",))

if __name__ == "__main__":
    main(STUDY)
