"""Checkpoints of R(2+1)D networks: the whole of one fits, anything else is refused by name and changes nothing."""

import numpy as np
import pytest

from apps.action_recognition import checkpoints, models
from tools.errors import InputError
from tools.weights import MismatchError

TINY = {"input_shape": (8, 32, 32, 3), "classes": 5}
FIELDS = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture(scope="module")
def tiny():
    return models.create("r2plus1d_tiny", **TINY)


def torchvision_checkpoint(model) -> dict[str, np.ndarray]:
    """The model's weights under torchvision's names and layouts, written down layer by layer."""
    arrays = {}

    def convolution(name, layer):
        arrays[f"{name}.weight"] = np.transpose(layer.kernel.numpy(), (4, 3, 0, 1, 2))

    def normalization(name, layer):
        arrays.update({f"{name}.{field}": array for field, array in zip(FIELDS, layer.get_weights(), strict=True)})
        arrays[f"{name}.num_batches_tracked"] = np.array(7)

    def factorised(names, layer):
        convolution(names[0], layer.spatial)
        normalization(names[1], layer.normalization)
        convolution(names[2], layer.temporal)

    factorised(("stem.0", "stem.1", "stem.3"), model.get_layer("conv1"))
    normalization("stem.4", model.get_layer("conv1_normalization"))
    for stage in (1, 2, 3, 4):
        own, name = f"conv{stage + 1}_block1", f"layer{stage}.0"
        for number in (1, 2):
            layer = f"{name}.conv{number}"
            factorised((f"{layer}.0.0", f"{layer}.0.1", f"{layer}.0.3"), model.get_layer(f"{own}_conv{number}"))
            normalization(f"{layer}.1", model.get_layer(f"{own}_conv{number}_normalization"))
        if stage > 1:
            convolution(f"{name}.downsample.0", model.get_layer(f"{own}_shortcut"))
            normalization(f"{name}.downsample.1", model.get_layer(f"{own}_shortcut_normalization"))
    kernel, bias = model.get_layer("classifier").get_weights()
    return {**arrays, "fc.weight": kernel.T, "fc.bias": bias}


@pytest.fixture(scope="module")
def checkpoint(tiny):
    rng = np.random.default_rng(0)
    arrays = torchvision_checkpoint(tiny)
    return {
        name: array if name.endswith("tracked") else rng.standard_normal(array.shape).astype(np.float32)
        for name, array in arrays.items()
    }


def assert_refused(model, arrays, match=None) -> MismatchError:
    before = model.get_weights()
    with pytest.raises(MismatchError, match=match) as caught:
        checkpoints.assign(model, arrays)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return caught.value


def test_assigns_every_array(tiny, checkpoint):
    model = models.create("r2plus1d_tiny", **TINY)
    checkpoints.assign(model, checkpoint)
    for name, array in torchvision_checkpoint(model).items():
        np.testing.assert_array_equal(array, checkpoint[name])


def test_lists_what_is_left_over_missing_and_of_another_shape(tiny, checkpoint):
    arrays = dict(checkpoint)
    del arrays["layer2.0.conv1.0.3.weight"], arrays["fc.bias"]
    arrays["layer1.9.conv1.1.weight"] = np.zeros(16, np.float32)
    arrays["head.extra"] = np.zeros(3, np.float32)
    arrays["stem.1.bias"] = np.zeros(4, np.float32)
    arrays["stem.0.weight"] = np.zeros(4, np.float32)
    error = assert_refused(tiny, arrays, "an altered or incomplete checkpoint of that model")
    assert error.missing == ("conv3_block1_conv1/temporal/kernel", "classifier/bias")
    assert set(error.leftover) == {"layer1.9.conv1.1.weight", "head.extra"}
    assert len(error.shapes) == 2
    text = str(error)
    for name in (*error.missing, *error.leftover, "stem.1.bias (4,)", "(1, 7, 7, 3, 11)"):
        assert name in text
    assert "2 shapes differ, 2 weights have no array, 2 arrays have no weight, 0 arrays are refused" in text


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("fc.bias", np.nan, "not finite"), ("fc.bias", np.inf, "not finite"), ("fc.bias", 1e300, "not finite")],
)
def test_refuses_numbers_that_are_not_finite(tiny, checkpoint, name, value, reason):
    array = checkpoint[name].astype(np.float64)
    array[2] = value
    error = assert_refused(tiny, {**checkpoint, name: array}, "1 arrays are refused")
    assert error.refused == (f"{name}: 1 of 5 numbers are {reason} in float32",)


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, bool])
def test_refuses_other_types(tiny, checkpoint, dtype):
    assert_refused(tiny, {**checkpoint, "fc.bias": np.ones(5, dtype)}, "expected floating-point numbers, received")


def test_first_line_tells_the_other_channel_rule(tiny, checkpoint):
    vmz = models.create("r2plus1d_tiny", channel_rule="vmz", **TINY)
    error = assert_refused(vmz, checkpoint)
    first = str(error).split("\n")[0]
    assert "channel rule vmz" in first.split("Received")[0]
    assert "channel rule torchvision" in first.split("Received")[1]
    # Kernel, four statistics and kernel of the second convolution in the three blocks that widen.
    assert "18 shapes differ" in first


def test_first_line_tells_another_depth_and_classes(checkpoint):
    deeper = models.create("r2plus1d_tiny", depth=18, **{**TINY, "classes": 6})
    first = str(assert_refused(deeper, checkpoint)).split("\n")[0]
    assert "depth 18, channel rule torchvision, 6 classes" in first.split("Received")[0]
    assert "depth 10, channel rule torchvision, 5 classes" in first.split("Received")[1]


def test_first_line_tells_a_foreign_network(tiny):
    assert_refused(tiny, {"features.0.weight": np.zeros((3, 3), np.float32)}, "Received arrays of no network")


def test_unknown_source(tiny, checkpoint):
    with pytest.raises(InputError, match=r"`source` to be one of torchvision, .*keras. Received 'caffe'"):
        checkpoints.assign(tiny, checkpoint, source="caffe")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".keras", ".weights.h5", ".pt"])
def test_weights_argument_takes_a_path(tmp_path, tiny, checkpoint, suffix):
    path = tmp_path / f"checkpoint{suffix}"
    source = models.create("r2plus1d_tiny", **TINY)
    checkpoints.assign(source, checkpoint)
    if suffix == ".npz":
        np.savez(path, **checkpoint)
    elif suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(array) for name, array in checkpoint.items()}, path)
    elif suffix == ".keras":
        source.save(path)
    elif suffix == ".weights.h5":
        source.save_weights(path)
    else:
        torch = pytest.importorskip("torch", reason="the extra kapps[torch] is not installed")
        state = {f"module.{name}": torch.from_numpy(np.array(array)) for name, array in checkpoint.items()}
        torch.save({"state_dict": state, "epoch": 3}, path)
    model = models.create("r2plus1d_tiny", weights=path, **TINY)
    for new, expected in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(new, expected)


def test_other_classes_keep_their_own_classifier(tmp_path, checkpoint):
    np.savez(tmp_path / "checkpoint.npz", **checkpoint)
    model = models.create("r2plus1d_tiny", **{**TINY, "classes": 9})
    before = model.get_layer("classifier").get_weights()
    checkpoints.load(model, tmp_path / "checkpoint.npz", classifier=False)
    for old, new in zip(before, model.get_layer("classifier").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.get_layer("conv1_normalization").gamma, checkpoint["stem.4.weight"])

    headless = models.create("r2plus1d_tiny", include_top=False, weights=tmp_path / "checkpoint.npz", **TINY)
    np.testing.assert_array_equal(headless.get_layer("conv1_normalization").gamma, checkpoint["stem.4.weight"])


def test_an_error_of_a_file_names_it(tmp_path, checkpoint):
    np.savez(tmp_path / "other.npz", **checkpoint)
    with pytest.raises(MismatchError, match=r"other\.npz: Expected the weights of model 'r2plus1d_tiny'"):
        models.create("r2plus1d_tiny", weights=tmp_path / "other.npz", depth=18, **TINY)
