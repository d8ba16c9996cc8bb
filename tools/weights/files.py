"""Readers of checkpoint files. None of them runs code of the file: no unrestricted pickle, no custom object."""

from __future__ import annotations

import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tools.errors import InputError

# Where training scripts put the state dict inside a larger dictionary.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net")
# What PyTorch's data-parallel wrapper puts in front of every name.
PARALLEL_PREFIX = "module."


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads every array of a checkpoint by its name.

    Args:
        path: a file of one of `FORMATS`, told by its suffix:
            .safetensors, .npz;
            .index, or the prefix before it: a TensorFlow checkpoint;
            .keras, .weights.h5: Keras files, whose arrays are named "<layer>/.../<position in the layer>";
            .pt, .pth, .ckpt: PyTorch, with the extra `kapps[torch]`; the state dict may lie in a larger dictionary,
            and a leading "module." of every name is dropped.

    Returns:
        Arrays in the layout of the file; bfloat16 becomes float32, every other type stays.

    Raises:
        InputError: if the file is missing, of another format, damaged, or holds more than arrays.
    """
    path = pathlib.Path(path)
    suffix, location = _format(path)
    kind, reader = FORMATS[suffix]
    try:
        arrays = reader(location)
    except InputError:
        raise
    except Exception as error:
        # Whatever a parser stumbles over, and with whichever of its exceptions: the file is at fault.
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"Expected {path} to be a complete {kind}. Received a file that cannot be read: {reason}"
        ) from error
    if not arrays:
        raise InputError(f"Expected {path} to hold arrays. Received a {kind} without any.")
    return {name: _widened(array) for name, array in arrays.items()}


def _format(path: pathlib.Path) -> tuple[str, pathlib.Path]:
    """The suffix that names the format, and the path as its reader wants it."""
    index = path.with_name(f"{path.name}.index")
    if path.suffix == ".index" or (not path.exists() and index.is_file()):
        index = path if path.suffix == ".index" else index
        if not index.is_file():
            raise InputError(f"Expected a checkpoint file. Received {path}, which does not exist.")
        return ".index", index.with_suffix("")
    if not path.exists():
        raise InputError(f"Expected a checkpoint file. Received {path}, which does not exist.")
    suffix = next((known for known in FORMATS if path.name.endswith(known)), None)
    if suffix is None or not path.is_file():
        raise InputError(f"Expected a checkpoint file ending in {', '.join(FORMATS)}. Received {path}.")
    return suffix, path


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    content = np.load(path, allow_pickle=False)
    if not isinstance(content, np.lib.npyio.NpzFile):
        raise InputError(f"Expected {path} to be an archive of NumPy arrays (.npz). Received a single array.")
    with content as archive:
        return {name: archive[name] for name in archive.files}


def _read_tensorflow(prefix: pathlib.Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    types = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name, dtype in types.items() if dtype != tf.string}


def _read_keras_archive(path: pathlib.Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return _read_keras_weights(io.BytesIO(archive.read("model.weights.h5")))


def _read_keras_weights(file: pathlib.Path | io.BytesIO) -> dict[str, np.ndarray]:
    import h5py

    arrays: dict[str, np.ndarray] = {}
    with h5py.File(file, "r") as root:
        if "layers" in root:
            _collect_keras_layers(root["layers"], "", arrays)
    return arrays


def _collect_keras_layers(group: Any, prefix: str, arrays: dict[str, np.ndarray]) -> None:
    """Gathers "<layer>/<sublayer>/<position>": the file's own groups are named by class and order, not by layer."""
    if "vars" in group:
        variables = group["vars"]
        if "name" not in variables.attrs:
            raise InputError("Expected a Keras file that holds the names of layers. Received one of an older Keras.")
        prefix = f"{prefix}{variables.attrs['name']}/"
        for position in variables:
            arrays[f"{prefix}{position}"] = _keras_array(variables[position])
    for name in group:
        if name != "vars":
            _collect_keras_layers(group[name], prefix, arrays)


def _keras_array(dataset: Any) -> np.ndarray:
    import ml_dtypes

    array = dataset[()]
    # HDF5 has no bfloat16: Keras writes its bits as integers.
    return array.view(ml_dtypes.bfloat16) if dataset.attrs.get("dtype") == "bfloat16" else array


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"Expected PyTorch to be installed to read {path}. Received none: install kapps[torch], or save the "
            "weights as .safetensors."
        ) from error
    import pickle

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"Expected {path} to be a complete PyTorch file of tensors alone (torch.save(model.state_dict(), ...)). "
            "Received one that is damaged, or holds other objects, which are not loaded because they can run code."
        ) from error
    tensors = _state_dict(content, path)
    arrays = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        arrays[name] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if all(name.startswith(PARALLEL_PREFIX) for name in arrays):
        arrays = {name.removeprefix(PARALLEL_PREFIX): array for name, array in arrays.items()}
    return arrays


def _state_dict(content: Any, path: pathlib.Path) -> Mapping[str, Any]:
    import torch

    def is_state_dict(candidate: Any) -> bool:
        return isinstance(candidate, Mapping) and all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in candidate.items()
        )

    if is_state_dict(content):
        return content
    if isinstance(content, Mapping):
        for key in STATE_DICT_KEYS:
            if key in content and is_state_dict(content[key]):
                return content[key]
        held = f"a dictionary of {', '.join(map(str, content))}"
    else:
        held = type(content).__name__
    raise InputError(
        f"Expected {path} to hold a state dict, alone or under {', '.join(STATE_DICT_KEYS)}. Received {held}."
    )


# Suffix -> what the file is called in messages, and its reader.
FORMATS: dict[str, tuple[str, Callable[[pathlib.Path], dict[str, np.ndarray]]]] = {
    ".safetensors": ("safetensors file", _read_safetensors),
    ".npz": ("archive of NumPy arrays", _read_npz),
    ".index": ("TensorFlow checkpoint", _read_tensorflow),
    ".keras": ("Keras model file", _read_keras_archive),
    ".weights.h5": ("Keras weights file", _read_keras_weights),
    ".pt": ("PyTorch file", _read_torch),
    ".pth": ("PyTorch file", _read_torch),
    ".ckpt": ("PyTorch file", _read_torch),
}
