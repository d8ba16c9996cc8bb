"""Every format is read as it was written; what is damaged, foreign or dangerous is refused by the file's name."""

import pickle

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tools.errors import InputError
from tools.weights import read

ARRAYS = {
    "layer.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "layer.bias": np.array([1.5, -2.0], np.float64),
    "steps": np.array(3, np.int64),
}


def write_torch(path, content):
    torch = pytest.importorskip("torch", reason="the extra kapps[torch] is not installed")
    torch.save(content(torch), path)


def torch_state(torch):
    return {name: torch.from_numpy(array.copy()) for name, array in ARRAYS.items()}


def assert_equal(arrays, expected=ARRAYS):
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_numpy_and_safetensors(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    save_file(ARRAYS, tmp_path / "a.safetensors")
    assert_equal(read(tmp_path / "a.npz"))
    assert_equal(read(str(tmp_path / "a.safetensors")))


def test_bfloat16_becomes_float32(tmp_path):
    save_file({"a": np.array([1.5, -3], ml_dtypes.bfloat16)}, tmp_path / "a.safetensors")
    assert_equal(read(tmp_path / "a.safetensors"), {"a": np.array([1.5, -3], np.float32)})


def test_tensorflow_checkpoints_by_prefix_and_by_index(tmp_path):
    checkpoint = tf.train.Checkpoint(a=tf.Variable([1.0, 2.0]), b=tf.Variable([[3]]))
    prefix = checkpoint.write(str(tmp_path / "model.ckpt"))
    for path in (prefix, f"{prefix}.index"):
        arrays = {name.split("/")[0]: array for name, array in read(path).items() if "VARIABLE_VALUE" in name}
        assert_equal(arrays, {"a": np.array([1, 2], np.float32), "b": np.array([[3]], np.int32)})


def test_keras_files_name_arrays_by_layer_and_position(tmp_path):
    inner_inputs = keras.Input((3,))
    inner = keras.Model(inner_inputs, keras.layers.Dense(2, name="last")(inner_inputs), name="inner")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="first"), inner])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    values = model.get_weights()
    names = ("first/0", "first/1", "inner/last/0", "inner/last/1")
    for name in ("model.keras", "model.weights.h5"):
        assert_equal(read(tmp_path / name), dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_torch_state_dicts(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    write_torch(path, torch_state)
    assert_equal(read(path))
    write_torch(path, lambda torch: {"epoch": 4, "state_dict": torch_state(torch)})
    assert_equal(read(path))
    write_torch(path, lambda torch: {f"module.{name}": tensor for name, tensor in torch_state(torch).items()})
    assert_equal(read(path))
    write_torch(path, lambda torch: {"a": torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True)})
    assert_equal(read(path), {"a": np.array([1.5], np.float32)})


def test_torch_files_without_state_dict(tmp_path):
    write_torch(tmp_path / "a.pt", lambda torch: {"epoch": 4, "lr": 0.1})
    with pytest.raises(InputError, match=r"a\.pt to hold a state dict.*Received a dictionary of epoch, lr"):
        read(tmp_path / "a.pt")
    write_torch(tmp_path / "b.pt", lambda torch: torch.ones(3))
    with pytest.raises(InputError, match="Received Tensor"):
        read(tmp_path / "b.pt")


def test_without_torch_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.pt").write_bytes(b"anything")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"kapps\[torch\]"):
        read(tmp_path / "a.pt")


class Trap:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".ckpt", ".safetensors", ".keras", ".weights.h5", ".index"])
def test_runs_no_code_of_a_file(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(pickle.dumps({"a": Trap(tmp_path / "sprung")}))
    with pytest.raises(InputError, match=f"a{suffix}".replace(".index", "")):
        read(tmp_path / f"a{suffix}")
    assert not (tmp_path / "sprung").exists()


def test_runs_no_code_inside_archives(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([Trap(tmp_path / "sprung")], object))
    write_torch(tmp_path / "a.pt", lambda torch: {"a": Trap(tmp_path / "sprung")})
    for name in ("a.npz", "a.pt"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["npz", "safetensors", "keras", "weights.h5", "pt", "index"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.97])
def test_truncated_files(tmp_path, kind, kept):
    path = tmp_path / f"model.{kind}"
    damaged = path
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(30)])
    if kind == "npz":
        np.savez(path, **ARRAYS)
    elif kind == "safetensors":
        save_file(ARRAYS, path)
    elif kind == "keras":
        model.save(path)
    elif kind == "weights.h5":
        model.save_weights(path)
    elif kind == "pt":
        write_torch(path, torch_state)
    else:
        tf.train.Checkpoint(a=tf.Variable(np.random.default_rng(0).random(1000))).write(str(tmp_path / "model"))
        damaged = tmp_path / "model.data-00000-of-00001"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=str(tmp_path / "model")) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_foreign_files_and_folders(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"ending in \.safetensors.*a\.txt"):
        read(tmp_path / "a.txt")
    with pytest.raises(InputError, match="ending in"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"missing\.npz, which does not exist"):
        read(tmp_path / "missing.npz")
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(InputError, match="Received a single array"):
        read(tmp_path / "array.npz")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(InputError, match="without any"):
        read(tmp_path / "empty.npz")
