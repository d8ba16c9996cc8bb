"""Training on recordings: the run folder, resuming, what is measured, and what is refused."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest

from apps.vq_vae.audio import evaluation
from apps.vq_vae.audio.data import Recordings, padded, read_recordings
from apps.vq_vae.audio.evaluation import measure
from apps.vq_vae.audio.runs import load_run as load_audio_run
from apps.vq_vae.audio.training import TrainingConfig, config_of, describe, read_data, train
from apps.vq_vae.images.runs import load_run
from keras_layers import mu_law_encode
from tests.conformance.models import randomise
from tools.errors import InputError


class Cut(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_leaves_a_run_folder(trained_audio, small_audio):
    names = {path.name for path in trained_audio.iterdir()}
    assert {"config.json", "best.keras", "last.keras", "log.csv", "summary.json", "report.json", "curves.png"} <= names
    config = json.loads((trained_audio / "config.json").read_text())
    assert config["medium"] == "audio" and config["found"]["speakers"] == ["high", "low"]
    assert config["found"]["rate"] == 4000 and config["found"]["recordings"] == 18
    assert config_of(config) == TrainingConfig(**small_audio, steps=4, steps_per_epoch=2)
    run = load_audio_run(trained_audio)
    assert (run.rate, run.speakers, run.speaker("low")) == (4000, ["high", "low"], 1)
    with pytest.raises(InputError, match=r"a speaker that .* knows \(high, low\)\. Received 'anna'"):
        run.speaker("anna")
    with pytest.raises(InputError, match=r"Expected a run of an autoencoder of images. Received .*, of audio"):
        load_run(trained_audio)


def test_a_run_of_images_is_none_of_audio(trained_run):
    with pytest.raises(InputError, match=r"Expected a run of an autoencoder of audio. Received .*, of images"):
        load_audio_run(trained_run)


def test_measures_are_those_of_the_model(trained_audio, small_audio):
    run = load_audio_run(trained_audio)
    randomise(run.model)
    # Larger, so that codes and speakers are heard.
    for weight in run.model.get_layer("decoder").trainable_weights:
        weight.assign(3.0 * weight)
    recordings = run.read(small_audio["data"]).take([0, 5, 7, 1])
    measures = measure(run, recordings, batch=2)

    def bits(other: int) -> float:
        nats = 0.0
        for waveform, speaker in zip(recordings.waveforms, recordings.speakers, strict=True):
            whole = np.pad(waveform, (0, -len(waveform) % 8))[None]
            number = (run.speaker(speaker) + other) % 2
            logits = run.model({"speaker": np.array([number]), "waveform": whole})
            levels = mu_law_encode(whole)
            losses = keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True)
            nats += float(np.asarray(losses)[0, : len(waveform)].sum())
        return nats / math.log(2) / samples

    samples = sum(map(len, recordings.waveforms))
    assert measures["bits_per_sample"] == pytest.approx(bits(0), rel=1e-5)
    assert measures["other_speaker_bits_per_sample"] == pytest.approx(bits(1), rel=1e-5)
    assert abs(bits(1) - bits(0)) > 1e-3
    assert abs(measures["shuffled_codes_bits_per_sample"] - bits(0)) > 1e-3
    assert measures["rate_bits_per_second"] == 3 * 4000 / 8
    # A whole code for the beginning of one.
    rate = 3 * sum(math.ceil(len(waveform) / 8) for waveform in recordings.waveforms) / samples
    assert measures["bits_per_sample_upper_bound"] == pytest.approx(measures["bits_per_sample"] + rate)
    alone = measure(run, recordings, batch=1)
    assert {**alone, "shuffled_codes_bits_per_sample": 0} == pytest.approx(
        {**measures, "shuffled_codes_bits_per_sample": 0}, rel=1e-5
    )
    assert measures["seconds"] == samples / 4000 and 0 < measures["codes_used"] <= 1


@pytest.mark.slow
def test_a_run_that_was_cut_ends_with_the_weights_of_one_that_was_not(small_audio, tmp_path, monkeypatch):
    config = TrainingConfig(**small_audio, steps=4, steps_per_epoch=2)
    train(config, tmp_path / "whole")
    from apps.vq_vae.audio import training as audio_training

    fit = audio_training.fit

    def cut_fit(*args, callbacks, **kwargs):
        return fit(*args, callbacks=[*callbacks, Cut()], **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(audio_training, "fit", cut_fit)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "cut")
    with pytest.raises(InputError, match="whose training has ended"):
        load_audio_run(tmp_path / "cut")
    with pytest.raises(InputError, match=r"segment is 64 in the run and 32 now"):
        train(dataclasses.replace(config, segment=32), tmp_path / "cut", resume=True)
    train(config, tmp_path / "cut", resume=True)
    whole, cut = (keras.models.load_model(tmp_path / name / "last.keras") for name in ("whole", "cut"))
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps to be at least 1"),
        ({"steps": 7, "steps_per_epoch": 2}, "a multiple of steps_per_epoch, 2"),
        ({"segment": 60}, "segment to be a multiple of 8"),
        ({"learning_rate": 0.0}, "learning_rate to be above 0"),
        ({"seed": -1}, "seed"),
        ({"validation_recordings": 24}, "more recordings"),
        ({"model": "vq_vae_tiny"}, "an autoencoder of audio"),
        ({"overrides": {"classes": 3}}, "overrides without classes"),
        ({"data": "nowhere"}, "no such file or folder"),
    ],
)
def test_refuses_in_one_line_and_leaves_nothing(small_audio, tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        train(TrainingConfig(**{**small_audio, "steps": 4, "steps_per_epoch": 2, **changes}), tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_recordings_without_speakers_and_further_ones_to_measure_on(small_audio, small_recordings, tmp_path):
    config = {**small_audio, "pattern": None, "validation": str(small_recordings), "steps": 1, "steps_per_epoch": 1}
    report = train(TrainingConfig(**config), tmp_path / "run")
    assert report["held_out"]["recordings"] == 6 and report["held_out"]["other_speaker_bits_per_sample"] is None
    run = load_audio_run(tmp_path / "run")
    assert run.speakers == [] and len(read_recordings(small_recordings)) == 24


def test_a_run_of_other_speakers_is_not_gone_on_with(small_audio, trained_audio):
    config = TrainingConfig(**small_audio, steps=4, steps_per_epoch=2)
    training, held_out, speakers = read_data(config)
    begun = json.loads((trained_audio / "config.json").read_text())
    assert describe(config, training, held_out, speakers) == begun
    swapped = dataclasses.replace(training, speakers=training.speakers[::-1])
    assert swapped.speakers != training.speakers
    now = describe(config, swapped, held_out, speakers)
    assert now["found"].pop("digest") != begun["found"].pop("digest") and now == begun


def test_an_unknown_speaker_of_the_validation_leaves_no_folder(small_audio, small_recordings, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "go_anna_1.wav").write_bytes((small_recordings / "go_low_0.wav").read_bytes())
    config = TrainingConfig(**small_audio, validation=str(other), steps=2, steps_per_epoch=2)
    with pytest.raises(InputError, match="Received 'anna'"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_long_recording_is_measured_in_pieces_as_a_whole(trained_audio, monkeypatch):
    run = load_audio_run(trained_audio)
    randomise(run.model)
    for weight in run.model.get_layer("decoder").trainable_weights:
        weight.assign(3.0 * weight)
    rng = np.random.default_rng(0)
    waveforms = [rng.uniform(-1, 1, length).astype(np.float32) for length in (157, 160, 90, 91)]
    recordings = Recordings(list("abcd"), waveforms, 4000, ["low", "high", "low", "low"])
    sound = padded(waveforms[:2], 8)[0]
    whole, codes = measure(run, recordings), evaluation.encode(run, sound)
    pieces = []

    def spans(*arguments):
        for span in own(*arguments):
            pieces.append(span)
            yield span

    own = evaluation.spans
    monkeypatch.setattr(evaluation, "spans", spans)
    for most in (1, 80):
        monkeypatch.setattr(evaluation, "SAMPLES", most)
        np.testing.assert_array_equal(evaluation.encode(run, sound), codes)
        assert measure(run, recordings) == pytest.approx(whole, rel=1e-5)
    assert max(span.end - span.begin for span in pieces) == 10 and len({span.begin for span in pieces}) == 14
    # The test would see a piece that does not hear enough.
    monkeypatch.setattr("apps.vq_vae.models.audio_autoencoder.reach_of", lambda model: 0)
    assert measure(run, recordings)["bits_per_sample"] != pytest.approx(whole["bits_per_sample"], rel=1e-5)


def test_batches_are_bounded_by_their_samples():
    waveforms = [np.zeros(length, np.float32) for length in (9, 40, 40, 39, 400, 8)]
    recordings = Recordings([""] * 6, waveforms, 4000)

    def batches(*arguments, **options):
        return [rows.tolist() for rows, *_ in evaluation.batches_of(recordings, 8, *arguments, **options)]

    assert batches(2) == [[5], [0], [1, 2], [3], [4]]
    assert batches(8, most=80) == [[5], [0], [1, 2], [3], [4]]
    assert batches(8, exact=False) == [[5, 0, 1, 2, 3, 4]]
    assert batches(8, exact=False, most=80) == [[5, 0], [1, 2], [3], [4]]


@pytest.mark.parametrize("places, most, before, after", [(10, 3, 1, 1), (10, 1, 4, 1), (10, 99, 4, 1), (1, 1, 0, 0)])
def test_spans_cover_every_place_once(places, most, before, after):
    found = list(evaluation.spans(places, most, before, after))
    assert [place for span in found for place in range(span.begin, span.end)] == list(range(places))
    for span in found:
        assert span.first == max(span.begin - before, 0) and span.last == min(span.end + after, places)
        assert span.end - span.begin <= max(most, before + after)
        assert list(range(span.first, span.last))[span.kept] == list(range(span.begin, span.end))
