"""NES, Table 1 (section 4.1) and figure 1: digits in both directions, and pairs of images; PSNR and SSIM of X.

    python studies/tables/nes_table_1.py --budget full --folder mnist=~/mnist shoes=~/shoes bags=~/handbags

FT is NES started from GLO masking; the figures of NES started from AM are in sections 4.1.1 and 4.1.2.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Table, rows_of

METHODS = {"Const": "constant_mask", "NMF": "nmf", "AM": "adversarial_masking layers=4", "GLOM": "glo_masking",
           "NES": "neural_egg", "FT": "neural_egg:paper start=glo_masking:paper", "Supervised": "supervised_mask",
           "FT from AM": "neural_egg:paper start=adversarial_masking:paper start.layers=4"}  # fmt: skip
SMALLER = METHODS | {"AM": "adversarial_masking", "GLOM": "glo_masking size=32", "NES": "neural_egg layers=3",
    "FT": "neural_egg:paper layers=3 start=glo_masking:paper start.size=32", "Supervised": "supervised_mask layers=3",
    "FT from AM": "neural_egg:paper layers=3 start=adversarial_masking:paper"}  # MNIST's (A.1)  # fmt: skip
LOW = "10.6 0.65, 16.5 0.71, 17.8 0.83, 15.1 0.76, 23.4 0.95, 23.9 0.95, 24.1 0.96, 24.0 0.95"
HIGH = "10.8 0.65, 15.5 0.66, 18.2 0.84, 15.3 0.79, 23.4 0.95, 23.8 0.95, 24.4 0.96, 23.8 0.95"
BAGS = "6.9 0.48, 13.9 0.48, 15.5 0.67, 15.1 0.66, 22.3 0.85, 22.7 0.86, 22.9 0.86, 22.5 0.85"
SHOES = "10.8 0.65, 11.8 0.51, 16.2 0.65, 14.8 0.65, 22.4 0.85, 22.8 0.86, 22.8 0.86, 22.7 0.86"
FIRST, SECOND, PHOTOS, MADE = "names=bags,shoes", "names=shoes,bags", "Shoes and Handbags", "made-up discs and stripes"
MNIST, DIGITS, SIZE = "MNIST at 32 x 32", "scikit-learn's digits of 8 x 8, each pixel doubled", "size=16"
DISCS, STRIPES = ("first=example:discs", "second=example:stripes"), ("first=example:stripes", "second=example:discs")
PARTS = (
    Part("X 0-4, B 5-9", Data("mnist_split", ("folder={mnist}", "observed=5-9"), MNIST), rows_of(SMALLER, "0-4", LOW),
         ("0-4",), Data("digits_split", ("observed=5-9",), DIGITS)),
    Part("X 5-9, B 0-4", Data("mnist_split", ("folder={mnist}", "observed=0-4"), MNIST), rows_of(SMALLER, "5-9", HIGH),
         ("5-9",), Data("digits_split", ("observed=0-4",), DIGITS)),
    Part("X bags, B shoes", Data("image_pairs", ("first={bags}", "second={shoes}", FIRST), PHOTOS),
         rows_of(METHODS, "bags", BAGS), ("bags",), Data("image_pairs", (*DISCS, SIZE, FIRST), MADE)),
    Part("X shoes, B bags", Data("image_pairs", ("first={shoes}", "second={bags}", SECOND), PHOTOS),
         rows_of(METHODS, "shoes", SHOES), ("shoes",), Data("image_pairs", (*STRIPES, SIZE, SECOND), MADE)),
)  # fmt: skip
SMALL = {
    "neural_egg": "width=8 layers=3 epochs_per_iteration=1 batch_size=16 start_epochs=10",
    "glo_masking": "width=8 batch_size=32 size=16", "supervised_mask": "width=8 layers=3 batch_size=16",
    "adversarial_masking": "width=8 discriminator_width=8 batch_size=16", "nmf": "observed_updates=50",
    "FT": "start.width=8 start.size=16", "FT-from-AM": "start.width=8", "task": "train=200 validation=20 test=40",
}  # fmt: skip
TABLE = Table("nes-table-1", "NES, Table 1", ("psnr", "ssim"), PARTS,
              Form(250, 3, dict.fromkeys(("FT", "FT-from-AM"), "start_epochs=250")), Form(10, 1, SMALL),
              {"neural_egg": 250}, figures=(Figure("item", "Figure 1"),))  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
