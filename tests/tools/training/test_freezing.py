"""`freeze` and `set_momentum`: what stays as it is in training, how fast statistics move, and what is refused."""

import keras
import numpy as np
import pytest

from keras_layers import InflatedInception
from tools.errors import InputError
from tools.training import freeze, set_momentum


def make_model():
    """A way to the output through "first" and "module", and a second one beside it through "beside"."""
    clip = keras.Input((4, 8, 8, 3), name="clip")
    x = keras.layers.Conv3D(4, 3, padding="same", name="first")(clip)
    x = keras.layers.BatchNormalization(name="first_normalization")(x)
    x = InflatedInception([2, 2, 2, 2, 2, 2], name="module")(x)
    beside = keras.layers.Conv3D(8, 1, name="beside")(clip)
    x = keras.layers.Add(name="add")([x, beside])
    x = keras.layers.BatchNormalization(name="last_normalization")(x)
    x = keras.layers.GlobalAveragePooling3D(name="global_pool")(x)
    return keras.Model(clip, keras.layers.Dense(2, activation="softmax", name="classifier")(x), name="small")


def trained(model):
    """The paths of the variables that a step of training changes; what changes the most is the learning rate's."""
    generator = np.random.default_rng(0)
    clips, labels = generator.normal(1.0, 2.0, (8, 4, 8, 8, 3)).astype("float32"), np.arange(8) % 2
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    before = {variable.path: variable.numpy() for variable in model.variables}
    model.fit(clips, labels, batch_size=8, verbose=0)
    return {variable.path for variable in model.variables if np.any(variable.numpy() != before[variable.path])}


def test_what_leads_to_the_layer_is_kept_and_the_rest_is_trained():
    model = make_model()
    freeze(model, "module")
    changed = trained(model)
    assert {path.split("/")[0] for path in changed} == {"beside", "last_normalization", "classifier"}
    assert "last_normalization/moving_mean" in changed


def test_frozen_normalizations_use_their_moving_statistics_in_training():
    model = make_model()
    freeze(model, "module")
    features = keras.Model(model.input, model.get_layer("module").output)
    clips = np.random.default_rng(1).normal(3.0, 2.0, (2, 4, 8, 8, 3)).astype("float32")
    np.testing.assert_array_equal(features(clips, training=True), features(clips, training=False))


def test_a_saved_model_stays_frozen(tmp_path):
    model = make_model()
    freeze(model, "module")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [variable.path for variable in again.trainable_variables] == [
        variable.path for variable in model.trainable_variables
    ]
    assert {path.split("/")[0] for path in trained(again)} == {"beside", "last_normalization", "classifier"}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("modul", r"layer of 'small', such as module.*Received 'modul'"),
        ("classifier", "'classifier': nothing would be trained"),
    ],
)
def test_no_such_layer_and_nothing_to_train(layer, message):
    with pytest.raises(InputError, match=message):
        freeze(make_model(), layer)


def test_the_momentum_reaches_the_normalizations_inside_layers_and_the_file(tmp_path):
    model = make_model()
    set_momentum(model, 0.5)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        found = [layer for layer in one._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
        assert len(found) == 8 and {layer.momentum for layer in found} == {0.5}


def test_a_momentum_out_of_range_or_without_use_is_refused():
    with pytest.raises(InputError, match=r"normalization_momentum.*1\.0"):
        set_momentum(make_model(), 1.0)
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(InputError, match="'plain'"):
        set_momentum(plain, 0.9)
