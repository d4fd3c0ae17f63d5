"""Neural egg separation of held notes from bursts of noise; only the bursts are observed.

Searches the learning rate and the share of a mixture that the first estimates get. To start from GLO masking instead
(the paper's FT): ``--separator.start glo_masking``; from another study's model: ``--separator.start
models:/adversarial-masking-notes-and-bursts@champion``.

At the default settings, 30 epochs improve SI-SDR over that of the mixture (a constant mask: 0 dB) on seeds 0, 1 and 2
by 11.78, 11.53 and 11.74 dB. FT improves it by 11.93, 11.99 and 11.85 dB, and the supervised mask, which sees both
sources, by 12.23, 12.12 and 12.31 dB. The paper's orders hold (tests/separators/test_nes_orders.py).
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="neural-egg-notes-and-bursts",
    separator="neural_egg",
    task="notes_and_bursts",
    objective=("si_sdr",),
    max_epochs=50,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
