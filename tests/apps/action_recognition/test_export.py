"""The published action recognition model: its graph preprocesses as training does, and refuses bad requests."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.action_recognition.data import PRESETS, ClipSpec, preprocess, raw_clip, read_clip
from apps.action_recognition.export import export, preprocess_frames, preprocess_jpeg
from tools.errors import InputError
from tools.saved_model import gate, graph

SPEC = ClipSpec(frames=3, size=(24, 32), frame_rate=15.0, preset="torchvision")
CLASSES = ("left", "right", "up", "down")


def tiny_model(activation="softmax", pool="global_pool", policy=None, frames=SPEC.frames):
    clip = keras.Input((frames, *SPEC.size, 3), name="clip", dtype="float32")
    x = keras.layers.Conv3D(8, 3, strides=2, padding="same", activation="relu", dtype=policy)(clip)
    x = keras.layers.GlobalAveragePooling3D(name=pool, dtype=policy)(x)
    x = keras.layers.Dense(len(CLASSES), name="classifier", dtype=policy)(x)
    return keras.Model(clip, keras.layers.Activation(activation, dtype="float32")(x), name="tiny")


def random_frames(height, width, count=1, frames=SPEC.frames):
    return np.random.default_rng(height).integers(0, 256, (count, frames, height, width, 3), dtype=np.uint8)


def encode(frames):
    return tf.io.encode_jpeg(frames, quality=95).numpy()


def decode(data):
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = tiny_model()
    return model, export(model, SPEC, CLASSES, base=tmp_path_factory.mktemp("models"), name="tiny")


def ask(path, *requests):
    """The answers of the process that loads as TensorFlow Serving does, each an array or the status.

    A request is a pair of the signature's name and its one input.
    """
    ports = graph.signatures(graph.read(path))
    runs = []
    for signature, value in requests:
        ((key, port),) = ports[signature][0].items()
        runs.append(gate.Run("request", signature, {key: gate.raw_tensor(value, port.dtype)}, None))
    return [next(iter(one.values())) if isinstance(one, dict) else one for one in gate.ask(path, runs)]


def check_refused(answer, message):
    assert not isinstance(answer, np.ndarray), "Expected a refusal. Received an answer."
    assert answer.code == gate.INVALID_ARGUMENT
    assert message in answer.message


class TestPreprocessingInTheGraph:
    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize("size", [(24, 24), (20, 31)])
    def test_equals_that_of_training(self, preset, size):
        spec = ClipSpec(2, size, None, preset)
        for height, width in [(60, 80), (81, 33), (24, 24), (48, 48), (1, 1), (7, 200)]:
            frames = random_frames(height, width, frames=2)
            # Whole levels are equal; normalisation may round differently in the last bit.
            received = preprocess_frames(tf.constant(frames), spec)[0]
            np.testing.assert_allclose(received, preprocess(frames[0], spec), rtol=1e-6, atol=2e-5)

    def test_is_the_bilinear_interpolation_within_a_level(self):
        spec = ClipSpec(1, (128, 171), None, "mmaction2_c3d")
        mean = np.array(spec.rules.mean)
        crop = preprocess_frames(tf.constant(random_frames(240, 320, frames=1)), spec)[0, 0] + mean
        whole = tf.image.resize(random_frames(240, 320, frames=1)[0], spec.rules.resized(240, 320, spec.size))[0]
        top, left = (round((side - part) / 2) for side, part in zip(whole.shape[:2], spec.size, strict=True))
        exact = whole[top : top + spec.size[0], left : left + spec.size[1]].numpy()
        # Half a level of rounding, and weights off by up to 1/512 along each of the two axes.
        assert np.max(np.abs(crop - exact)) <= 0.5 + 2 * 255 / 512
        assert abs(np.mean(crop - exact)) < 0.01

    def test_jpeg_frames_of_different_sizes(self):
        frames = [random_frames(height, width)[0, 0] for height, width in [(40, 60), (61, 33), (128, 128)]]
        encoded = [encode(frame) for frame in frames]
        wanted = [preprocess_frames(decode(data)[None, None], ClipSpec(1, SPEC.size))[0, 0] for data in encoded]
        np.testing.assert_array_equal(preprocess_jpeg(tf.constant([encoded]), SPEC)[0], wanted)


class TestSignatures:
    def test_names_shapes_labels_and_card(self, published):
        _, result = published
        ports = result.report["signatures"]
        shape = [None, *SPEC.shape]
        assert {name: value["inputs"] for name, value in ports.items()} == {
            "serving_default": {"clip": {"dtype": "float32", "shape": shape}},
            "features": {"clip": {"dtype": "float32", "shape": shape}},
            "uint8": {"frames": {"dtype": "uint8", "shape": [None, 3, None, None, 3]}},
            "encoded_frames": {"frames": {"dtype": "string", "shape": [None, 3]}},
        }
        outputs = {name: value["outputs"] for name, value in ports.items()}
        assert outputs.pop("features") == {"features": {"dtype": "float32", "shape": [None, 8]}}
        assert set(map(json.dumps, outputs.values())) == {
            json.dumps({"probabilities": {"dtype": "float32", "shape": [None, 4]}})
        }
        assert (result.path / "assets.extra" / "labels.txt").read_text().split() == list(CLASSES)
        card = json.loads((result.path / "assets.extra" / "model.json").read_text())
        assert ClipSpec.from_dict(card["input"]) == SPEC
        assert card["preprocessing"]["mean"] == list(SPEC.rules.mean)
        assert card["parity"]["largest"] <= 1e-5

    def test_raw_frames_answer_as_keras_on_the_preprocessed_clip(self, published):
        model, result = published
        frames = random_frames(50, 70, count=2)
        expected = model(np.stack([preprocess(one, SPEC) for one in frames]))
        np.testing.assert_allclose(ask(result.path, ("uint8", frames))[0], expected, rtol=1e-5)

    @pytest.mark.real_data
    def test_frames_of_a_video_answer_as_its_clip(self, published, real_data):
        model, result = published
        path = real_data / "videos" / "clips" / "kinetics_arm_wrestling.mp4"
        (received,) = ask(result.path, ("uint8", raw_clip(path, SPEC)[None]))
        np.testing.assert_allclose(received, model(read_clip(path, SPEC)[None]), rtol=1e-5)

    def test_jpeg_frames_answer_as_their_pixels(self, published):
        _, result = published
        encoded = np.array([[encode(frame) for frame in random_frames(40, 52)[0]]], dtype=object)
        pixels = np.stack([decode(data) for data in encoded[0]])[None]
        received = ask(result.path, ("encoded_frames", encoded), ("uint8", pixels))
        np.testing.assert_allclose(*received, rtol=1e-6)

    def test_grey_jpeg_is_taken_as_three_equal_channels(self, published):
        _, result = published
        encoded = np.array([[encode(frame[..., :1]) for frame in random_frames(40, 52)[0]]], dtype=object)
        pixels = np.stack([decode(data) for data in encoded[0]])[None]
        assert np.all(pixels[..., :1] == pixels)
        received = ask(result.path, ("encoded_frames", encoded), ("uint8", pixels))
        np.testing.assert_allclose(*received, rtol=1e-6)

    def test_features_are_the_output_of_the_pooling(self, published):
        model, result = published
        clip = np.random.default_rng(3).normal(size=(2, *SPEC.shape)).astype(np.float32)
        expected = keras.Model(model.input, model.get_layer("global_pool").output)(clip)
        np.testing.assert_allclose(ask(result.path, ("features", clip))[0], expected, rtol=1e-5, atol=1e-6)

    def test_a_model_of_any_length_is_published_for_the_length_of_the_spec(self, tmp_path):
        result = export(tiny_model(frames=None), SPEC, CLASSES, base=tmp_path, name="any")
        assert result.report["signatures"]["serving_default"]["inputs"]["clip"]["shape"] == [None, *SPEC.shape]

    def test_half_precision(self, tmp_path):
        result = export(tiny_model(policy="mixed_float16"), SPEC, CLASSES, base=tmp_path, name="half")
        kinds = {port["dtype"] for value in result.report["signatures"].values() for port in value["outputs"].values()}
        assert kinds == {"float32"}

    def test_a_registered_model(self, tmp_path):
        from apps.action_recognition import models

        spec = ClipSpec(8, (16, 16))
        model = models.create("r2plus1d_tiny", input_shape=spec.shape, classes=4)
        result = export(model, spec, CLASSES, base=tmp_path, name="r2plus1d_tiny")
        assert result.report["source"] == models.info("r2plus1d_tiny").source
        assert result.report["parity"]["largest"] <= 1e-5

    def test_a_model_of_flow_is_published_without_the_signatures_of_frames(self, tmp_path):
        from apps.action_recognition import models

        spec = ClipSpec(8, (32, 32), preset="deepmind_i3d")
        model = models.create("i3d_flow", input_shape=(8, 32, 32, 2), classes=4, width_multiplier=0.125)
        result = export(model, spec, CLASSES, base=tmp_path, name="flow")
        ports = result.report["signatures"]
        shape = [None, 8, 32, 32, 2]
        assert {name: value["inputs"] for name, value in ports.items()} == {
            name: {"clip": {"dtype": "float32", "shape": shape}} for name in ("serving_default", "features")
        }
        assert result.report["preprocessing"].startswith("none: clips of 2 channels")
        assert result.report["parity"]["largest"] <= 1e-5


class TestBadRequests:
    def test_another_number_of_frames_states_the_right_one(self, published):
        raw, clip, encoded = ask(
            published[1].path,
            ("uint8", random_frames(24, 32, frames=4)),
            ("serving_default", np.zeros((1, 4, *SPEC.size, 3), np.float32)),
            ("encoded_frames", np.full((1, 2), b"", object)),
        )
        check_refused(raw, "expected shape [?,3,?,?,3]")
        check_refused(clip, "expected shape [?,3,24,32,3]")
        check_refused(encoded, "expected shape [?,3]")

    def test_frames_without_pixels_and_not_a_number(self, published):
        empty, not_a_number = ask(
            published[1].path,
            ("uint8", np.zeros((1, 3, 0, 20, 3), np.uint8)),
            ("features", np.full((1, *SPEC.shape), np.nan, np.float32)),
        )
        check_refused(empty, "at least one pixel")
        check_refused(not_a_number, "finite values in 'clip'")

    def test_one_broken_jpeg(self, published):
        frames = [encode(frame) for frame in random_frames(40, 52)[0]]
        whole = frames[1]
        broken = [b"", b"no picture", whole[: len(whole) // 2], whole[:10], tf.io.encode_png(decode(whole)).numpy()]
        requests = [("encoded_frames", np.array([[frames[0], one, frames[2]]], dtype=object)) for one in broken]
        for answer in ask(published[1].path, *requests):
            check_refused(answer, "JPEG")

    def test_cmyk(self, published):
        image = pytest.importorskip("PIL.Image")
        stream = io.BytesIO()
        image.new("CMYK", (40, 30), (10, 20, 30, 40)).save(stream, "JPEG")
        frames = np.array([[stream.getvalue()] * 3], dtype=object)
        check_refused(*ask(published[1].path, ("encoded_frames", frames)), "Expected JPEG in colour or grey")

    def test_a_jpeg_that_claims_to_be_enormous(self, published):
        data = bytearray(encode(random_frames(40, 52)[0, 0]))
        header = data.index(b"\xff\xc0")
        data[header + 5 : header + 9] = b"\x80\x00\x80\x00"
        frames = np.array([[bytes(data)] * 3], dtype=object)
        check_refused(*ask(published[1].path, ("encoded_frames", frames)), "Expected a JPEG of at most")


class TestRefusals:
    @pytest.mark.parametrize(
        ("model", "changes", "message"),
        [
            ({"activation": "linear"}, {}, "ends in probabilities"),
            ({"pool": "pool"}, {}, "layer 'global_pool'"),
            ({}, {"classes": CLASSES[:3]}, "Expected 4 classes"),
            ({}, {"spec": ClipSpec(4, SPEC.size)}, r"Expected a model of clips \(4, 24, 32, 3\)"),
        ],
    )
    def test_parts_that_do_not_fit(self, tmp_path, model, changes, message):
        arguments = {"spec": SPEC, "classes": CLASSES, **changes}
        keras.utils.set_random_seed(0)
        with pytest.raises(InputError, match=message):
            export(tiny_model(**model), base=tmp_path, name="tiny", **arguments)
        assert not list(tmp_path.iterdir())
