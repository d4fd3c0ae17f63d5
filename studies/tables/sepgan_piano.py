"""S-SepGAN against CycleGAN on piano (sections 3.2 to 4 of the S-SepGAN paper), and a supervised mask.

    python studies/tables/sepgan_piano.py --budget full --folder piano=~/data/piano others=~/data/IRMAS-TrainingData

The paper has no figures: it says that samples of S-SepGAN outperformed those of CycleGAN, whose output is "more of
domain transfer", and names SDR, SIR and SAR as further work. It gives no number of epochs; the full form has 200.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

ROWS = (
    Row("CycleGAN", "cyclegan"),
    Row("S-SepGAN", "sepgan"),
    Row("Supervised mask", "supervised_mask:defaults"),
)
PIANO = Data("piano_mix", ("piano={piano}", "others={others}"), "piano, and other instruments of IRMAS")
MADE = ("piano=:synthesised:", "others=:synthesised:", "sample_rate=8000")
STAND_IN = Data("piano_mix", MADE, "a synthesised recording of plucked strings, and four of other instruments")
SMALL = {
    "sepgan": "width=8 blocks=2 discriminator_width=8 discriminator_stages=2 window=1024",
    "cyclegan": "width=8 blocks=2 discriminator_width=8 discriminator_stages=1 window=1024",
    "task": "train=64 validation=16 test=16 item_samples=1024",
}
NOTE = 'Of the paper\'s claim, that S-SepGAN outperforms CycleGAN, the column "piano" is the measure.'
TABLE = Table("sepgan-piano", "S-SepGAN, section 4", ("si_sdr", "snr"),
              (Part("", PIANO, ROWS, ("piano",), STAND_IN),), Form(200, 3), Form(10, 2, SMALL), note=NOTE,
              figures=(Figure("curves", "Error by epoch"), Figure("item", "One item")))  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
