"""The examples in the docstrings of the layers run, and show what they say."""

import doctest
import importlib
import pkgutil

import pytest

import keras_layers
from keras_layers import losses

MODULES = [module.name for module in pkgutil.walk_packages(keras_layers.__path__, "keras_layers.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_everything_public_has_an_example():
    finder = doctest.DocTestFinder(recurse=False)
    public = {name: getattr(keras_layers, name) for name in keras_layers.__all__}
    public |= {name: getattr(losses, name) for name in losses.__all__}
    # The bases, a table and the folder of losses are no thing to call; `names` lists.
    rest = {"MARGIN_LOSSES", "MarginLoss", "MarginProperties", "losses", "names"}
    without = [name for name, thing in public.items() if not any(found.examples for found in finder.find(thing, name))]
    assert set(without) <= rest
