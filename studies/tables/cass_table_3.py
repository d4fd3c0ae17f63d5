"""CASS, Table 3 (section 4.4): heart and respiratory PPG, relative errors by three norms.

    python studies/tables/cass_table_3.py
    python studies/tables/cass_table_3.py --budget full --gpus-per-trial 0.5

The signals are synthetic, as the paper's; what its text leaves open is in ``tasks/ppg.py``. One direction of eq. 9 at a
time, the supervised mask and the floor are not in the paper.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

ROWS = (
    Row("Baseline AE", "cass:baseline autoencoder",
        {"heart": "0.02409 0.026174 0.051244", "respiration": "0.05874 0.066493 0.13064"}),
    Row("CASS", "cass:CASS", {"heart": "0.019765 0.021612 0.04225", "respiration": "0.05117 0.058100 0.11460"}),
    Row("CASS with Cross Training", "cass:CASS with cross adversarial training",
        {"heart": "0.02047 0.022261 0.043220", "respiration": "0.05310 0.06036 0.119324"}),
    Row("Cross, heart to respiration", "cass:CASS cross.heart_to_respiration=0.01"),
    Row("Cross, respiration to heart", "cass:CASS cross.respiration_to_heart=0.01"),
    Row("Supervised mask", "supervised_mask:defaults"),
    Row("One constant mask a bin", "bin_mask n_fft=64 hop=16"),
)  # fmt: skip
SMALL = {
    "cass": "width=8 depth=2 discriminator_width=4 discriminator_stages=1 "
    "batch_size=25 autoencoder_learning_rate=0.003 discriminator_learning_rate=0.003",
    "task": "train=300 validation=60 test=60",
}
FIGURES = (Figure("curves", "Error by epoch", ("Baseline AE", "CASS", "CASS with Cross Training"), tail=0.4),)
TABLE = Table("cass-table-3", "CASS, Table 3", ("relative_l1", "relative_l2", "relative_linf"),
              (Part("", Data("ppg", (), "synthetic PPG at rest (section 4.1)"), ROWS),), Form(500, 5),
              Form(12, 2, SMALL), {"cass": 500}, figures=FIGURES)  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
