"""Samples of a prior as codes and images, and the prior as a published model."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from apps.vq_vae.prior.export import export, signatures
from apps.vq_vae.prior.runs import load_prior_run
from apps.vq_vae.prior.sampling import decode, sample_codes
from tools.errors import InputError


@pytest.fixture(scope="module")
def run(prior_run):
    return load_prior_run(prior_run)


def test_a_sample_depends_on_its_seed_and_label_alone(run):
    labels = run.class_numbers("label", ["dark", "bright", "dark"])
    together = sample_codes(run, [5, 6, 7], labels, temperature=0.9, top_k=5, top_p=0.9)
    assert together.shape == (3, 2, 3) and together.dtype == np.int32
    in_parts = sample_codes(run, [5, 6, 7], labels, temperature=0.9, top_k=5, top_p=0.9, batch=2)
    np.testing.assert_array_equal(together, in_parts)
    likeliest = sample_codes(run, [1, 2], labels[:1].repeat(2), temperature=0.0)
    np.testing.assert_array_equal(likeliest[0], likeliest[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -0.1}, "`temperature` to be at least 0"),
        ({"temperature": float("nan")}, "`temperature` to be at least 0"),
        ({"top_k": -1}, "`top_k` to be at least 0"),
        ({"top_p": 0.0}, "`top_p` to be more than 0 and at most 1"),
        ({"top_p": 1.5}, "`top_p` to be more than 0 and at most 1"),
        ({"labels": None}, "labels for a prior that knows classes"),
    ],
)
def test_values_out_of_range_are_one_line(run, options, words):
    with pytest.raises(InputError) as caught:
        sample_codes(run, [1], **{"labels": np.zeros(1, np.int32), **options})
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_classes_by_name(run):
    assert run.class_numbers("label", ["dark", "bright"]).tolist() == [1, 0]
    with pytest.raises(InputError, match=r"label to be one of bright, dark\. Received 'grey'"):
        run.class_numbers("label", ["grey"])
    with pytest.raises(InputError, match=r"no speaker: the prior .* knows none\. Received 'anna'"):
        run.class_numbers("speaker", ["anna"])


def test_decoding_refuses_codes_of_another_book(run):
    for wrong in (-1, 16):
        with pytest.raises(InputError, match=f"a code book of 16, 0 to 15. Received {wrong}"):
            decode(run.autoencoder, np.full((1, 2, 3), wrong))
    with pytest.raises(InputError, match="to be integers"):
        decode(run.autoencoder, np.zeros((1, 2, 3)))


def test_a_prior_of_another_medium_draws_no_images(run):
    other = dataclasses.replace(run, config={**run.config, "prior_of": "videos"})
    with pytest.raises(InputError, match=r"a prior of images or audio, to sample from\. Received .*, of videos"):
        sample_codes(other, [1], np.zeros(1, np.int32))


def test_signatures(run):
    found = signatures(run)
    assert set(found) == {"serving_default", "sample", "reconstruct", "encode", "decode"}
    inputs = {
        "seed": tf.constant([5, 6], tf.int64),
        "label": tf.constant([1, 0]),
        "temperature": tf.constant([0.9, 0.9]),
        "top_k": tf.constant([5, 5]),
        "top_p": tf.constant([0.9, 0.9]),
    }
    answer = found["sample"].function(**inputs)
    codes = sample_codes(run, [5, 6], np.array([1, 0], np.int32), temperature=0.9, top_k=5, top_p=0.9)
    np.testing.assert_array_equal(answer["codes"], codes)
    images = decode(run.autoencoder, codes)
    assert np.abs(answer["images"].numpy() - images).max() <= 0.5001
    with pytest.raises(tf.errors.InvalidArgumentError, match="label of at least 0 and less than 2"):
        found["sample"].function(**{**inputs, "label": tf.constant([0, 2])})


@pytest.mark.slow
def test_publishing(run, tmp_path):
    published = export(run, base=tmp_path, name="discs")
    assert published.report["parity"]["largest"] < 1e-5
    card = json.loads((published.path / "assets.extra" / "model.json").read_text())
    assert (card["prior"], card["classes"], card["codes"]) == ("pixelcnn_tiny", ["bright", "dark"], 16)
    loaded = tf.saved_model.load(published.path)
    inputs = {
        "seed": tf.range(20, dtype=tf.int64),
        "label": tf.repeat([0, 1], 10),
        "temperature": tf.fill([20], 1.0),
        "top_k": tf.fill([20], 0),
        "top_p": tf.fill([20], 1.0),
    }
    answer = loaded.signatures["sample"](**inputs)
    np.testing.assert_array_equal(answer["codes"], sample_codes(run, np.arange(20), inputs["label"].numpy()))
    again = loaded.signatures["decode"](codes=answer["codes"])["images"]
    np.testing.assert_allclose(answer["images"], again, atol=1e-3)
    for name, wrong in {"label": 2, "temperature": -1.0, "top_k": -1, "top_p": 0.0}.items():
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded.signatures["sample"](**{**inputs, name: tf.fill([20], wrong)})
