"""Neural egg separation of digits 0-4 from digits 5-9; only digits 5-9 are observed (section 4.1.1 of the NES paper).

    python studies/neural_egg_mnist_split.py --task.folder ~/data/mnist

``--separator.start glo_masking`` is the paper's FT. The paper's sizes: ``--separator.width 64 --separator.layers 3
--separator.epochs-per-iteration 25 --max-epochs 250 --gpus-per-trial 0.5``.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="neural-egg-mnist-split",
    separator="neural_egg",
    task="mnist_split",
    objective=("psnr",),
    max_epochs=50,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
