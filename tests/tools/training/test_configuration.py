"""What the recipes check and keep: every check names its field, and what is kept is read back."""

import dataclasses
from typing import Any

import pytest

from tools.errors import InputError
from tools.training import configuration


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A configuration."""

    data: str = "clips"
    model: str = "net"
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 3
    dropout: float = 0.5
    patience: int | None = None
    monitor: str | None = None
    seed: int = 0


def check(recipe, validates=True):
    configuration.check_recipe(recipe, positive=("epochs",), shares=("dropout",), validates=validates)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"dropout": 1.0}, {"dropout": -0.1}, {"patience": 0}, {"seed": -1}, {"monitor": "auc"}],
)
def test_a_value_out_of_range_is_named(change):
    check(Recipe())
    (name,) = change
    with pytest.raises(InputError, match=f"Expected {name} to"):
        check(dataclasses.replace(Recipe(), **change))


def test_without_validation_no_value_of_it_can_be_watched():
    check(Recipe(monitor="val_loss"))
    with pytest.raises(InputError, match=r"one of accuracy, loss. Received 'val_loss'"):
        check(Recipe(monitor="val_loss"), validates=False)


def test_what_is_described_is_restored():
    recipe = Recipe(overrides={"width": 8}, seed=5)
    document = configuration.describe(recipe, ("data",), {"videos": 12})
    assert document["data"] == {"data": "clips", "found_videos": 12}
    assert document["model"] == {"name": "net", "overrides": {"width": 8}}
    assert configuration.restore(Recipe, document, "train") == recipe
    document["training"]["epoch"] = document["training"].pop("epochs")
    with pytest.raises(InputError, match=r"train writes. Received other \['epoch', 'epochs'\]"):
        configuration.restore(Recipe, document, "train")


def test_the_digest_tells_values_apart():
    assert configuration.digest([("a", 1)]) == configuration.digest([("a", 1)]) != configuration.digest([("a", 2)])
