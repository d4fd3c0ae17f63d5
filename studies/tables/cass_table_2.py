"""CASS, Table 2 (section 4.3), figures 5 and 6: maternal and fetal ECG, relative errors by three norms.

    python studies/tables/cass_table_2.py
    python studies/tables/cass_table_2.py --budget full --gpus-per-trial 0.5

The signals are synthetic, as the paper's; what its text leaves open is in ``tasks/ecg.py``. One direction of eq. 9 at a
time (alpha_j of section 3.3), the supervised mask and the floor are not in the paper.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

ROWS = (
    Row("Baseline AE", "cass:baseline autoencoder",
        {"maternal": "0.45158 0.53502 0.85077", "fetal": "0.49818 0.57435 0.80709"}),
    Row("CASS", "cass:CASS", {"maternal": "0.40672 0.47942 0.77370", "fetal": "0.37387 0.46627 0.75402"}),
    Row("CASS with Cross Training", "cass:CASS with cross adversarial training",
        {"maternal": "0.40994 0.48082 0.77911", "fetal": "0.37218 0.45848 0.74462"}),
    Row("Cross, maternal to fetal", "cass:CASS cross.maternal_to_fetal=0.01"),
    Row("Cross, fetal to maternal", "cass:CASS cross.fetal_to_maternal=0.01"),
    Row("Supervised mask", "supervised_mask:defaults"),
    Row("One constant mask a bin", "bin_mask n_fft=64 hop=16"),
)  # fmt: skip
SMALL = {
    "cass": "width=8 depth=2 discriminator_width=4 discriminator_stages=1 "
    "batch_size=25 autoencoder_learning_rate=0.003 discriminator_learning_rate=0.003",
    "task": "train=300 validation=60 test=60 train_recordings=30 validation_recordings=10 recording_seconds=7.0",
}
FIGURES = (
    Figure("curves", "Figure 5", ("Baseline AE", "CASS", "CASS with Cross Training"), tail=0.8),
    Figure("discriminators", "Figure 6", ("CASS", "CASS with Cross Training")),
)
TABLE = Table("cass-table-2", "CASS, Table 2", ("relative_l1", "relative_l2", "relative_linf"),
              (Part("", Data("ecg", (), "synthetic ECG (section 4.1)"), ROWS),), Form(500, 5), Form(12, 2, SMALL),
              {"cass": 500}, figures=FIGURES)  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
