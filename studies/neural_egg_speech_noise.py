"""Neural egg separation of speech from noise; only the noise is observed (section 4.2 of the NES paper).

    python studies/neural_egg_speech_noise.py --task.speech ~/data/speech --task.noise ~/data/ESC-50-master/audio

The paper starts from half of each mixture, and from adversarial masking (``--separator.start adversarial_masking``).
The paper's sizes: ``--separator.width 64 --separator.epochs-per-iteration 25 --max-epochs 250 --gpus-per-trial 0.5``.
"""

from sepray.study import StudySpec, main

STUDY = StudySpec(
    name="neural-egg-speech-noise",
    separator="neural_egg",
    task="speech_noise",
    objective=("si_sdr",),
    max_epochs=50,
    grace_period=10,
)

if __name__ == "__main__":
    main(STUDY)
