"""The sample configuration of savedmodels/ is one that TensorFlow Serving reads."""

import pathlib

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

SAMPLE = pathlib.Path(__file__).parents[3] / "savedmodels" / "models.config.example"


def test_the_sample_configuration_parses():
    config = text_format.Parse(SAMPLE.read_text(), model_server_config_pb2.ModelServerConfig())
    models = config.model_config_list.config
    assert [model.name for model in models] == ["motion", "r2plus1d_18"]
    assert all(pathlib.PurePosixPath(model.base_path).is_absolute() for model in models)
    assert all(model.model_platform == "tensorflow" for model in models)
    labels = models[1].version_labels
    assert set(labels.values()) <= set(models[1].model_version_policy.specific.versions)
