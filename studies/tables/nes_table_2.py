"""NES, Table 2 (section 4.2), figures 2 and 3: speech in environmental noise at 0 dB; PSNR of X.

    python studies/tables/nes_table_2.py --budget full --folder speech=~/LibriSpeech noise=~/ESC-50-master/audio

The paper's speech is LRW. PSNR of sounds is the energy of the source over that of the error (the mixture at 0 dB has
0.0). Figure 3 is the score on validation by iteration, of which NES has ten; the paper's is of the test set.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Table, rows_of

METHODS = {"Const": "constant_mask", "NMF": "nmf", "AM": "adversarial_masking", "GLOM": "glo_masking",
           "NES": "neural_egg", "FT": "neural_egg:paper start=glo_masking:paper",
           "Supervised": "supervised_mask"}  # fmt: skip
SPEECH = Data("speech_noise", ("speech={speech}", "noise={noise}"), "recordings of speech and of noise, whole")
SYNTHESISED = ("speech=:synthesised:", "noise=:synthesised:", "sample_rate=8000")
STAND_IN = Data("speech_noise", SYNTHESISED, "five synthesised voices and noises of under a second")
SMALL = {
    "neural_egg": "width=8 layers=3 epochs_per_iteration=2 batch_size=16 start_epochs=10",
    "glo_masking": "width=8 batch_size=32 size=32",
    "supervised_mask": "width=8 layers=3 batch_size=16",
    "adversarial_masking": "width=8 discriminator_width=8 batch_size=16 bands=32",
    "FT": "start.width=8 start.size=32",
    "nmf": "observed_updates=50",
    "task": "train=100 validation=20 test=20 item_samples=2048",
}
FIGURES = (Figure("item", "Figure 2"), Figure("iterations", "Figure 2, iterations of NES", ("NES",)),
           Figure("curves", "Figure 3", ("NES", "FT"), by="iteration"))  # fmt: skip
PSNR = {"snr": "PSNR"}
ROWS = rows_of(METHODS, "speech", "0.0, 2.4, 5.7, 3.3, 7.5, 7.5, 8.3")
TABLE = Table("nes-table-2", "NES, Table 2", ("snr", "si_sdr"), (Part("", SPEECH, ROWS, ("speech",), STAND_IN),),
              Form(250, 3, {"FT": "start_epochs=250"}), Form(20, 1, SMALL), {"neural_egg": 250},
              headings=PSNR, figures=FIGURES)  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
