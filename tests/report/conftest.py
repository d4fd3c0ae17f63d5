import pytest

from sepray.report.study_results import StudyResults

from .studies import finished_study


@pytest.fixture
def finished(tmp_path) -> StudyResults:
    """A study at its end: the champion is final 0, a CASS on five test items."""
    return finished_study(tmp_path)
