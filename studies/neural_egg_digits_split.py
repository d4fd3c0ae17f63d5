"""Neural egg separation of scikit-learn's small digits, 0-4 from 5-9; only digits 5-9 are observed.

The study of ``neural_egg_mnist_split.py`` without a download. ``--separator.start glo_masking`` is the paper's FT.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="neural-egg-digits-split",
    separator="neural_egg",
    task="digits_split",
    objective=("psnr",),
    max_epochs=50,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
