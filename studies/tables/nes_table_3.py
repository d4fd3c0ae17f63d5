"""NES, Table 3 (section 4.3): vocals from their accompaniment, drums from instrumental music; median SDR of X.

    python studies/tables/nes_table_3.py --budget full --folder ~/data/musdb18hq

Mono at 20,480 Hz, whole tracks by BSS Eval v4. NES starts from a tenth of the mixture, as the authors' code does for
music. The figures of FT from AM are in the section's text.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Form, Part, Table, rows_of

NES = "neural_egg:authors' code, music"
METHODS = {"Const": "constant_mask", "NMF": "nmf", "AM": "adversarial_masking", "GLOM": "glo_masking", "NES": NES,
           "FT": f"{NES} start=glo_masking:paper", "Supervised": "supervised_mask",
           "FT from AM": f"{NES} start=adversarial_masking:paper"}  # fmt: skip
VOCALS, DRUMS = "-3.5, 0.0, 0.3, 0.6, 0.3, 2.1, 2.7, 0.9", "-3.3, -0.5, 1.5, 0.8, 1.3, 3.5, 3.6, 2.9"
MUSDB, WORDS = ("folder={musdb}", "sample_rate=20480", "item_samples=10240"), "MUSDB18, whole test tracks"
MADE, STAND_IN = ("folder=:synthesised:", "sample_rate=8000"), "five synthesised tracks of half a second"
PARTS = (
    Part("X vocals, B instrumental", Data("stems", (*MUSDB, "sources=vocals,accompaniment"), WORDS),
         rows_of(METHODS, "vocals", VOCALS), ("vocals",),
         Data("stems", (*MADE, "sources=vocals,accompaniment"), STAND_IN)),
    Part("X drums, B instrumental", Data("stems", (*MUSDB, "sources=drums,instrumental"), WORDS),
         rows_of(METHODS, "drums", DRUMS), ("drums",), Data("stems", (*MADE, "sources=drums,instrumental"), STAND_IN)),
)  # fmt: skip
SMALL = {
    "neural_egg": "width=8 layers=3 epochs_per_iteration=2 batch_size=16 start_epochs=10",
    "glo_masking": "width=8 batch_size=32 size=32",
    "supervised_mask": "width=8 layers=3 batch_size=16",
    "adversarial_masking": "width=8 discriminator_width=8 batch_size=16 bands=32",
    "FT": "start.width=8 start.size=32",
    "FT-from-AM": "start.width=8 start.bands=32",
    "nmf": "observed_updates=50",
    "task": "train=100 validation=20 test=20 item_samples=2048",
}
STARTS = dict.fromkeys(("FT", "FT-from-AM"), "start_epochs=250")  # as the rows of GLOM and AM
TABLE = Table("nes-table-3", "NES, Table 3", ("sdr", "si_sdr"), PARTS, Form(250, 3, STARTS), Form(20, 1, SMALL),
              {"neural_egg": 250})  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
