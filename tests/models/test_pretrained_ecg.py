"""The model that comes with sepray on real records: DaISy's five abdominal leads, and an adult without a fetus."""

import shutil

import pytest

from sepray.models.real_recordings import evaluate_recordings
from sepray.tracking import pretrained

from ..tasks.sounds import DATA

NAME = "pretrained:ecg"
KNOWN = "record,source,rate,leads\nFOETAL_ECG.dat,maternal,81,1-5\nFOETAL_ECG.dat,fetal,134,\n100,fetal,0,\n"


def test_is_there_and_small_and_of_the_flagship():
    described = pretrained.describe(NAME)
    assert described["study"] == "cass-ecg-varied"
    assert described["task"].endswith("ecg_varied")
    weights = pretrained.folder_of(NAME) / pretrained.DATA / "weights.safetensors"
    assert weights.stat().st_size <= 2 * 2**20


@pytest.mark.timeout(300)
def test_finds_the_fetus_in_leads_of_a_patient_and_none_in_an_adult(tmp_path):
    if not (DATA / "ecg").is_dir():
        pytest.skip("needs ../shared/data/ecg")
    for name in ("FOETAL_ECG.dat", "mitbih/100.hea", "mitbih/100.dat", "mitbih/100.atr"):
        shutil.copy(DATA / "ecg" / name, tmp_path)
    (tmp_path / "rates.csv").write_text(KNOWN)

    results = {result.record: result for result in evaluate_recordings(NAME, tmp_path).records}

    abdomen = {source: systems[NAME] for source, systems in results["FOETAL_ECG.dat"].scores.items()}
    assert abdomen["maternal"].leads == abdomen["fetal"].leads == 5
    assert abdomen["maternal"].leads_right == 5
    assert abdomen["fetal"].leads_right >= 4
    adult = {source: systems[NAME] for source, systems in results["100.hea"].scores.items()}
    assert adult["fetal"].segments == 360
    assert adult["fetal"].invented <= 0.05
    assert adult["maternal"].beat_f1 > 0.99
