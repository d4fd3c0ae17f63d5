"""SSGAN, figure 4 (section 3.2): bass, drums and vocals of DSD100, and vocals against the rest with ablations.

    python studies/tables/ssgan_figure_4.py --budget full --folder ~/data/DSD100 --museval-results OZE=~/sisec/OZE

The figure has boxes and no numbers: the text alone gives one, that SSGAN is about 1.32 dB of SDR above OZE on average.
KAM and the flexible framework (OZE's method) are our implementations; SiSEC's own results are rows beside them. LoU has
no skips, GAN no energy term, ENG that term alone. The supervised mask is not in the paper.
"""

from sepray.tables.command import main
from sepray.tables.spec import Data, Figure, Form, Part, Row, Table

FOUR, TWO = "sources=bass,drums,vocals,other", "sources=vocals,accompaniment"
MADE = ("folder=:synthesised:", "sample_rate=8000")
WORDS, STAND_IN = "DSD100, whole test songs", "five synthesised tracks"
PARTS = (
    Part("four sources", Data("stems", ("folder={dsd100}", FOUR), WORDS),
         (Row("SSGAN", "ssgan"), Row("OZE (ours)", "flexible_nmf"), Row("KAM (ours)", "kam")),
         stand_in=Data("stems", (*MADE, FOUR), STAND_IN)),
    Part("vocals and the rest", Data("stems", ("folder={dsd100}", TWO), WORDS), (
        Row("SSGAN-V", "ssgan"), Row("LoU-V", "ssgan:lou"), Row("GAN-V", "ssgan:gan"), Row("ENG-V", "ssgan:eng"),
        Row("OZE (ours)", "flexible_nmf"), Row("KAM (ours)", "kam"), Row("KAM light (ours)", "kam:light"),
        Row("Supervised mask", "supervised_mask:defaults"),
    ), stand_in=Data("stems", (*MADE, TWO), STAND_IN)),
)  # fmt: skip
SMALL = {
    "ssgan": "n_fft=256 hop=64 context=16 context_hop=16 batch_size=8 "
    "encoder_filters=16,32,64 decoder_filters=32,16 critic_filters=8,8,16,16,32,32 critic_steps=1",
    "SSGAN": "skips=2",
    "SSGAN-V": "skips=2",
    "GAN-V": "skips=2",
    "ENG-V": "skips=2",
    "task": "train=64 validation=16 test=16 item_samples=2048",
}
NOTE = "The paper gives no number of epochs, and its figure no numbers."
TABLE = Table("ssgan-figure-4", "SSGAN, figure 4", ("sdr", "sir", "sar", "isr"), PARTS, Form(500, 3),
              Form(10, 1, SMALL), note=NOTE, figures=(Figure("boxes", "Figure 4"),))  # fmt: skip
if __name__ == "__main__":
    main(TABLE)
