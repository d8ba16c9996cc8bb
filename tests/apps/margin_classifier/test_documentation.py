"""The page about the losses shows what the code says, and its snippet runs."""

import pathlib
import re

import cv2

from apps.margin_classifier import models
from apps.margin_classifier.loss_facts import main, properties_table
from keras_layers import losses

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / "docs" / "margin_losses.md"
README = ROOT / "apps" / "margin_classifier" / "README.md"


def test_the_models_are_those_of_the_registry():
    shown = README.read_text(encoding="utf-8")
    for row in models.table():
        assert re.search(rf"\| `{row['name']}` \| .* \| {row['parameters']:,} \| {row['multiply_adds']:,} \|", shown)


def test_the_choice_of_a_loss_names_those_whose_scores_tell_the_probability():
    row = re.search(r"\| probabilities \|([^|]*)\|", README.read_text(encoding="utf-8"))[1]
    named = re.findall("`(.*?)`", row)
    assert named and all(losses.get(name).properties.proper for name in named)


def test_the_table_is_that_of_the_code():
    assert "\n".join(properties_table()) in PAGE.read_text(encoding="utf-8")


def test_the_snippet_runs():
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(snippet, "margin_losses.md", "exec"), {})  # noqa: S102


def test_the_picture_is_drawn_by_the_command(tmp_path, capsys):
    assert main([str(tmp_path / "losses.png")]) == 0
    drawn, shown = (cv2.imread(str(path)) for path in (tmp_path / "losses.png", PAGE.with_name("margin_losses.png")))
    assert drawn.shape == shown.shape and abs(drawn.astype(float) - shown).mean() < 1
    assert "| `zero_one` |" in capsys.readouterr().out
    assert main([]) == 2
