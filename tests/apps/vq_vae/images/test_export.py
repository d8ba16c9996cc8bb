"""What leaves: the four signatures through the gate, codes out of range refused, and the LiteRT halves."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae.images.data import scaled
from apps.vq_vae.images.export import export, export_lite, lite_decoder, lite_encoder, signatures
from apps.vq_vae.images.runs import load_run
from apps.vq_vae.likelihoods import find
from apps.vq_vae.models import create, encoder_of
from tools.lite import Runner, convert


def test_signatures(trained_run, small_images):
    run = load_run(trained_run)
    found = signatures(run, small_images[:2])
    assert set(found) == {"serving_default", "reconstruct", "encode", "decode"}
    pixels = tf.constant(small_images[:5])
    codes = found["encode"].function(images=pixels)["codes"]
    np.testing.assert_array_equal(codes, encoder_of(run.model)(scaled(small_images[:5])))
    images = found["decode"].function(codes=codes)["images"]
    np.testing.assert_allclose(images, found["reconstruct"].function(images=pixels)["images"], atol=1e-3)
    expected = 255 * (np.asarray(run.model(scaled(small_images[:5]))) + 0.5)
    np.testing.assert_allclose(images, np.clip(expected, 0, 255), atol=1e-3)
    for wrong in (-1, 16):
        with pytest.raises(tf.errors.InvalidArgumentError, match="less than 16"):
            found["decode"].function(codes=tf.fill((1, 2, 3), wrong))


@pytest.mark.slow
def test_publishing(trained_run, small_images, tmp_path):
    published = export(load_run(trained_run), small_images, base=tmp_path, name="discs")
    assert published.report["parity"]["largest"] < 1e-5
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert card["codes"] == 16 and card["application"] == "vq_vae"
    loaded = tf.saved_model.load(published.path)
    codes = loaded.signatures["encode"](images=tf.constant(small_images[:2]))["codes"]
    assert codes.shape == (2, 2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["decode"](codes=codes + 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantizer", "options", "likelihood"),
    [
        ("gradient", {"heads": 2}, "gaussian"),
        ("residual", {"stages": 3}, "logistic_mixture"),
        ("finite_scalar", {"levels": (5, 4, 3)}, "categorical"),
    ],
)
def test_every_quantizer_and_likelihood_leaves(
    trained_run, small_images, small_overrides, tmp_path, quantizer, options, likelihood
):
    model = create(
        "vq_vae_tiny",
        **small_overrides,
        input_shape=(8, 12, 3),
        quantizer=quantizer,
        quantizer_options=options,
        likelihood=likelihood,
    )
    run = dataclasses.replace(load_run(trained_run), model=model, likelihood=find(likelihood))
    published = export(run, small_images, base=tmp_path, name="discs")
    assert published.report["likelihood"] == likelihood
    loaded = tf.saved_model.load(published.path)
    codes = loaded.signatures["encode"](images=tf.constant(small_images[:3]))["codes"]
    np.testing.assert_array_equal(codes, encoder_of(model)(scaled(small_images[:3])))
    assert Runner(lite_file(lite_decoder(run), tmp_path))(codes.numpy()).shape == (3, 8, 12, 3)
    np.testing.assert_array_equal(
        Runner(lite_file(lite_encoder(run), tmp_path))(small_images[:3].astype(np.float32)), codes
    )


def lite_file(model, folder):
    path = folder / f"{model.name}.tflite"
    dtype = np.float32 if model.name.endswith("encoder") else np.int32
    convert(model, path, rewrite=False, seconds=0.05, representative=np.zeros((4, *model.input_shape[1:]), dtype))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share", "error"), [("float32", 1.0, 0.1), ("int8", 0.7, 30.0)])
def test_lite(trained_run, small_images, tmp_path, precision, share, error):
    run = load_run(trained_run)
    encoder, decoder = export_lite(run, small_images, tmp_path, "discs", precision, lambda line: None)
    assert encoder["report"]["agreement"]["codes"]["equal_share"] >= share
    codes = Runner(encoder["path"])(small_images[:8].astype(np.float32))
    right = np.asarray(encoder_of(run.model)(scaled(small_images[:8])))
    assert (codes == right).mean() >= share
    images = Runner(decoder["path"])(right)
    expected = signatures(run, small_images[:2])["decode"].function(codes=tf.constant(right))["images"]
    np.testing.assert_allclose(images, expected, atol=error)
