"""The comparison of VQ-VAE, VAE and VIMCO: its figures, its table, and what it refuses."""

import json
import pathlib
import re

import numpy as np
import pytest

from apps.vq_vae import models
from apps.vq_vae.baselines import comparison as comparison
from apps.vq_vae.models.baselines import MODELS
from tools.commands import run_command

README = (pathlib.Path(__file__).parents[4] / "apps" / "vq_vae" / "README.md").read_text(encoding="utf-8")
RUNS = [
    {"model": "VQ-VAE", "seed": 0, "bits_per_dim_upper_bound": 3.0, "rate_bits_per_dim": 0.2},
    {"model": "VAE", "seed": 0, "bits_per_dim_upper_bound": 2.0, "single_sample_bits_per_dim_upper_bound": 2.5},
    {"model": "VQ-VAE", "seed": 1, "bits_per_dim_upper_bound": 4.0, "rate_bits_per_dim": 0.1},
]


def test_the_summary_is_of_the_seeds_of_each_model():
    found = comparison.summary(RUNS)
    assert found["VQ-VAE"]["bits_per_dim_upper_bound"] == {"mean": 3.5, "least": 3.0, "largest": 4.0}
    assert found["VQ-VAE"]["rate_bits_per_dim"] == {"mean": pytest.approx(0.15), "least": 0.1, "largest": 0.2}
    assert "single_sample_bits_per_dim_upper_bound" not in found["VQ-VAE"]
    assert found["VAE"]["single_sample_bits_per_dim_upper_bound"]["mean"] == 2.5


def test_the_table_tells_published_figures_from_measured_ones():
    text = comparison.as_text(comparison.summary(RUNS))
    row = next(line for line in text.splitlines() if line.startswith("VQ-VAE"))
    assert "3.500 (3.000 to 4.000)" in row and row.split()[-1] == "4.67"
    assert "published" in text and "CIFAR-10 *" in text


@pytest.mark.parametrize("name", [info.name for info in MODELS])
def test_the_readme_shows_what_the_registry_says(name):
    info = models.info(name)
    figures = f"{'x'.join(map(str, info.input_shape))} | {info.parameters:,} | {info.multiply_adds:,} |"
    assert re.search(rf"^\| `{name}` \| .* \| {re.escape(figures)}$", README, re.MULTILINE)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--seeds", "0", "seeds to be at least 1"),
        ("--steps", "0", "steps to be at least 1"),
        ("--batch-size", "-1", "batch_size to be at least 1"),
        ("--test-images", "0", "test_images to be at least 1"),
        ("--likelihood", "mse", "likelihood to be one of"),
    ],
)
def test_refusals_are_one_line(flag, value, words, tmp_path, capsys):
    arguments = ["training.npz", "test.npz", "--output", str(tmp_path / "runs"), flag, value]
    assert run_command(comparison.build_parser(), arguments) == 1
    line = capsys.readouterr().err.strip()
    assert words in line and "Received" in line and "\n" not in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_all_three_are_trained_once_and_measured(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (230, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    file, runs = str(tmp_path / "images.npy"), tmp_path / "runs"
    arguments = [file, file, "--output", str(runs), "--seeds", "1", "--steps", "1", "--batch-size", "2", "--json"]
    arguments += ["--test-images", "4"]
    assert run_command(comparison.build_parser(), arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in document["runs"]] == list(comparison.MODELS)
    assert document == json.loads((runs / "comparison.json").read_text())
    assert all(row["images"] == 4 and np.isfinite(row["bits_per_dim_upper_bound"]) for row in document["runs"])
    written = (runs / "vimco_tiny_0" / "state.npz").stat().st_mtime_ns
    assert run_command(comparison.build_parser(), arguments) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert (runs / "vimco_tiny_0" / "state.npz").stat().st_mtime_ns == written
