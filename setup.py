"""What pyproject.toml cannot say: which packages there are.

The folders ``search_spaces/`` and ``studies/`` of the repository are installed inside sepray, so that a wheel puts one
name into an environment. In an editable installation ``search_spaces`` can be imported by its own name too.
"""

import sys

from setuptools import find_packages, setup

FOLDERS = {
    "sepray.search_spaces": "search_spaces",
    "sepray.studies": "studies",
    "sepray.studies.tables": "studies/tables",
}
EDITABLE = "editable_wheel" in sys.argv

setup(
    packages=[
        *find_packages(include=["sepray", "sepray.*"]),
        *FOLDERS,
        *(["search_spaces"] if EDITABLE else []),
    ],
    package_dir=FOLDERS,
)
