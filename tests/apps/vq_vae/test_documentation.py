"""The README shows what the registry and the code say."""

import pathlib
import re

from apps.vq_vae import models
from apps.vq_vae.likelihoods import LIKELIHOODS
from apps.vq_vae.models.image_autoencoder import MODELS, QUANTIZERS

README = (pathlib.Path(__file__).parents[3] / "apps" / "vq_vae" / "README.md").read_text(encoding="utf-8")


def test_the_autoencoders_are_those_of_the_registry():
    rows = {row["name"]: row for row in models.table()}
    for info in MODELS:
        row = rows[info.name]
        figures = rf"{row['input']} \| {row['parameters']:,} \| {row['multiply_adds']:,} \|"
        assert re.search(rf"\| `{info.name}` \| .* \| {figures}", README)


def test_the_tables_of_settings_are_whole():
    assert re.findall(r"^\| `(\w+)` \| `\w+Quantizer\w*` \|", README, re.MULTILINE) == list(QUANTIZERS)
    for name, layer in QUANTIZERS.items():
        assert f"| `{name}` | `{layer.__name__}` |" in README
    below = README[README.index("| `--likelihood` |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", below, re.MULTILINE) == list(LIKELIHOODS)
