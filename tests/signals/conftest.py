import pytest

from sepray.signals import array_files, sound_files, table_files


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in (array_files, sound_files, table_files):
        monkeypatch.setattr(module, "BLOCK_SAMPLES", 100)
