"""Which models and versions a server serves: a folder of models, or TensorFlow Serving's models.config."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Mapping

from tools.errors import InputError

_log = logging.getLogger(__name__)

# Versions are int64 in the protocol.
_LARGEST_VERSION = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: the name requests use.
        base_path: the folder that holds the version folders.
        latest: how many of the newest versions are served; 0 means all.
        specific: if not empty, exactly these versions are served instead.
        labels: version numbers by label.
    """

    name: str
    base_path: pathlib.Path
    latest: int = 1
    specific: frozenset[int] = frozenset()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def versions(self) -> dict[int, pathlib.Path]:
        """The folders of the versions to serve, as they stand in the file system now.

        Raises:
            OSError: if the base path cannot be listed.
        """
        found = version_folders(self.base_path)
        if self.specific:
            return {version: folder for version, folder in found.items() if version in self.specific}
        newest = sorted(found, reverse=True)
        return {version: found[version] for version in (newest[: self.latest] if self.latest else newest)}


def version_folders(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The folders under `base_path` whose names are version numbers, by number; other names are passed over."""
    found: dict[int, pathlib.Path] = {}
    for folder in sorted(base_path.iterdir()):
        name = folder.name
        if not (name.isascii() and name.isdigit()) or int(name) > _LARGEST_VERSION or not folder.is_dir():
            continue
        if int(name) in found:
            _log.warning(
                "Duplicate version directories detected. Version %d will be loaded from %s, %s will be ignored.",
                int(name),
                folder,
                found[int(name)],
            )
        found[int(name)] = folder
    return found


def folder_source(base_path: str | os.PathLike) -> Callable[[], list[ModelConfig]]:
    """A function that lists the models of a folder: every folder in it, hidden ones aside, is one, by its name.

    Raises:
        InputError: if the folder does not exist, or is a model or a version itself.
    """
    base = pathlib.Path(base_path)
    if not base.is_dir():
        raise InputError(f"Expected a folder of models. Received {str(base)!r}, which is not a folder.")
    if (base / "saved_model.pb").is_file():
        raise InputError(
            f"Expected a folder of models. Received {str(base)!r}, which is one SavedModel: move it to "
            "MODELS/NAME/1 and give MODELS."
        )
    versions = [folder for folder in version_folders(base).values() if (folder / "saved_model.pb").is_file()]
    if versions:
        raise InputError(
            f"Expected a folder of models. Received {str(base)!r}, which is one model with versions in it: give the "
            f"folder above it, {str(base.resolve().parent)!r}."
        )
    resolved = base.resolve()

    def source() -> list[ModelConfig]:
        return [
            ModelConfig(folder.name, folder)
            for folder in sorted(resolved.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
        ]

    return source


def file_source(path: str | os.PathLike) -> Callable[[], list[ModelConfig]]:
    """A function that lists the models of a models.config, which is read once; see `read_config`."""
    models = read_config(path)
    return lambda: models


def read_config(path: str | os.PathLike) -> list[ModelConfig]:
    """Reads a ModelServerConfig in protobuf's text format.

    Raises:
        InputError: if the file cannot be read, or TensorFlow Serving would refuse what it says.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected a readable server configuration. Received {str(path)!r}: {error}") from error
    server = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(text, server)
    except text_format.ParseError as error:
        raise InputError(
            f"Expected a ModelServerConfig in protobuf's text format. Received {str(path)!r}: {error}"
        ) from error
    if server.WhichOneof("config") != "model_config_list" or not server.model_config_list.config:
        raise InputError(f"Expected a model_config_list with at least one model. Received {str(path)!r} without one.")
    models = [_read_model(model, path) for model in server.model_config_list.config]
    for model in models:
        if sum(other.name == model.name for other in models) > 1:
            raise InputError(f"{path}: Illegal to list model {model.name} multiple times in config list")
    return models


def _read_model(model: object, path: str | os.PathLike) -> ModelConfig:
    if not model.name:
        raise InputError(f"Expected every model to have a name. Received {str(path)!r} with a model without one.")
    if not pathlib.PurePosixPath(model.base_path).is_absolute():
        raise InputError(
            f"{path}: Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )
    if model.model_platform != "tensorflow":
        raise InputError(
            f'{path}: Expected model {model.name} to have model_platform: "tensorflow". '
            f"Received {model.model_platform!r}."
        )
    policy = model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    specific = frozenset(policy.specific.versions)
    if kind == "specific" and not specific:
        raise InputError(f"{path}: Expected model {model.name} to list its specific versions. Received none.")
    return ModelConfig(
        name=model.name,
        base_path=pathlib.Path(model.base_path),
        latest=0 if kind == "all" else max(policy.latest.num_versions, 1),
        specific=specific,
        labels=dict(model.version_labels),
    )
