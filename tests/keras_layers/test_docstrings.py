"""The examples in the docstrings of the layers run, and show what they say."""

import doctest
import importlib
import pkgutil

import pytest

import keras_layers

MODULES = [module.name for module in pkgutil.walk_packages(keras_layers.__path__, "keras_layers.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_layer_has_an_example():
    finder = doctest.DocTestFinder(recurse=False)
    without = [
        name
        for name in keras_layers.__all__
        if not any(found.examples for found in finder.find(getattr(keras_layers, name)))
    ]
    assert not without
