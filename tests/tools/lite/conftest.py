"""The graphs that the tests of the edge share."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def graphs():
    """The module graphs.py of this folder; the tests are no package that could import it."""
    specification = importlib.util.spec_from_file_location("graphs", pathlib.Path(__file__).with_name("graphs.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
