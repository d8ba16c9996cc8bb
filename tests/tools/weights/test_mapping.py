"""Rules rename and transpose; an assignment is whole, or changes nothing and lists everything."""

import keras
import numpy as np
import pytest

from tools.weights import (
    MismatchError,
    Rule,
    assign,
    rename,
    torch_convolution,
    torch_dense,
    torch_normalization,
    variables,
)

RULES = (
    *torch_convolution(r"features\.(?P<index>\d+)\.conv", "conv{index+1}", rank=2, bias=True),
    *torch_normalization(r"features\.(?P<index>\d+)\.norm", "norm{index+1}"),
    *torch_dense("fc", "classifier"),
)


@pytest.fixture
def model() -> keras.Model:
    inputs = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(3, (2, 4), name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="norm1", epsilon=1e-5)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="classifier")(x), name="small")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "features.0.conv.weight": (3, 2, 2, 4),
        "features.0.conv.bias": (3,),
        "features.0.norm.weight": (3,),
        "features.0.norm.bias": (3,),
        "features.0.norm.running_mean": (3,),
        "features.0.norm.running_var": (3,),
        "fc.weight": (4, 24),
        "fc.bias": (4,),
    }
    made = {name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**made, "features.0.norm.num_batches_tracked": np.array(5)}


def test_assigns_in_the_layout_of_the_model(model, arrays):
    assert assign(model, arrays, RULES) == ("features.0.norm.num_batches_tracked",)
    kernel = model.get_layer("conv1").kernel.numpy()
    for (row, column, channel, output), value in np.ndenumerate(kernel):
        assert value == arrays["features.0.conv.weight"][output, channel, row, column]
    np.testing.assert_array_equal(model.get_layer("classifier").kernel, arrays["fc.weight"].T)
    fields = ("weight", "bias", "running_mean", "running_var")
    for value, field in zip(model.get_layer("norm1").get_weights(), fields, strict=True):
        np.testing.assert_array_equal(value, arrays[f"features.0.norm.{field}"])


def test_computes_what_torch_computes(model, arrays):
    torch = pytest.importorskip("torch", reason="the extra kapps[torch] is not installed")
    assign(model, arrays, RULES)
    twin = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (2, 4)), torch.nn.BatchNorm2d(3)).eval()
    state = {name.replace("features.0.conv", "0").replace("features.0.norm", "1"): a for name, a in arrays.items()}
    twin.load_state_dict({name: torch.tensor(a) for name, a in state.items() if not name.startswith("fc")})
    inputs = np.random.default_rng(1).random((1, 5, 5, 2)).astype(np.float32)
    expected = twin(torch.from_numpy(inputs.transpose(0, 3, 1, 2))).detach().numpy().transpose(0, 2, 3, 1)
    features = keras.Model(model.inputs, model.get_layer("norm1").output)
    np.testing.assert_allclose(features(inputs), expected, rtol=1e-4, atol=1e-5)


def test_lists_everything_and_changes_nothing(model, arrays):
    before = model.get_weights()
    del arrays["features.0.conv.bias"]
    arrays["fc.weight"] = arrays["fc.weight"].T
    arrays["features.0.norm.weight"] = np.array([1, np.nan, 2], np.float32)
    arrays["features.0.norm.bias"] = np.ones(3, np.int64)
    arrays["features.1.conv.bias"] = np.ones(3, np.float32)
    arrays["optimizer"] = np.ones(2, np.float32)
    with pytest.raises(MismatchError) as caught:
        assign(model, arrays, RULES)
    error = caught.value
    assert error.missing == ("conv1/bias",)
    assert set(error.leftover) == {"features.1.conv.bias", "optimizer"}
    assert error.shapes == ("fc.weight (24, 4), in the model's order (4, 24), for classifier/kernel (24, 4)",)
    assert len(error.refused) == 2
    lines = str(error).split("\n")
    assert "1 shapes differ, 1 weights have no array, 2 arrays have no weight, 2 arrays are refused" in lines[0]
    assert len(lines) == 7
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_two_arrays_for_one_weight(model, arrays):
    rules = (*RULES, Rule(r"ema\.fc\.bias", "classifier/bias"))
    with pytest.raises(MismatchError) as caught:
        assign(model, {**arrays, "ema.fc.bias": arrays["fc.bias"]}, rules)
    assert caught.value.refused == ("ema.fc.bias: classifier/bias has fc.bias already",)


def test_a_target_may_name_the_position_in_the_layer(model):
    values = [weight + 1 for weight in model.get_weights()]
    layers = {}
    named = {}
    for path, value in zip(variables(model), values, strict=True):
        layer = path.split("/")[0]
        layers[layer] = layers.get(layer, -1) + 1
        named[f"{layer}/{layers[layer]}"] = value
    assert "norm1/3" in named
    assign(model, named, (Rule("(?P<name>.+)", "{name}"),))
    for new, value in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(new, value)


def test_kept_weights_need_no_array_and_take_none(model, arrays):
    before = model.get_layer("classifier").get_weights()
    ignored = assign(model, arrays, RULES, keep=r"classifier/\w+")
    assert {"fc.weight", "fc.bias"} <= set(ignored)
    for old, new in zip(before, model.get_layer("classifier").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    without = {name: array for name, array in arrays.items() if not name.startswith("fc")}
    assign(model, without, RULES, keep=r"classifier/\w+")


def test_half_precision_arrays_are_taken(model, arrays):
    halves = {name: array.astype(np.float16) if array.ndim else array for name, array in arrays.items()}
    assign(model, halves, RULES)
    np.testing.assert_array_equal(model.get_layer("classifier").bias, arrays["fc.bias"].astype(np.float16))


def test_the_first_rule_that_matches_the_whole_name_is_taken():
    rules = (Rule("a", "first"), Rule("a.*", "second"), Rule(".*", "third"))
    renamed = rename({name: np.zeros(1) for name in ("a", "ab", "ba")}, rules)
    assert [(name, target) for name, target, _ in renamed.arrays] == [("a", "first"), ("ab", "second"), ("ba", "third")]
