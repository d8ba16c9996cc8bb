"""Fixtures for every test."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real data beside the checkout, or the one that KAPPS_DATA names; the test skips without it."""
    folder = pathlib.Path(os.environ.get("KAPPS_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder} (KAPPS_DATA names another place)")
    return folder
