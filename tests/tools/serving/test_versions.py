"""Versions that come, follow one another, fail and go, while requests run."""

import concurrent.futures
import logging
import shutil
import threading

import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tests.tools.serving import saved_models
from tests.tools.serving.conftest import wait_for
from tools.serving import RestClient, ServingError
from tools.serving.tensors import to_proto

X = np.float32([1, 2, 5])


def states(client, name="affine"):
    return {row["version"]: row["state"] for row in client.status(name)}


def test_no_request_is_lost_while_a_version_follows_another(tmp_path, serve):
    saved_models.save_affine(tmp_path, version=1, offset=2.0)
    server, client = serve(tmp_path)
    allowed = {(2.5, 3.0, 4.5): 1, (102.5, 103.0, 104.5): 2}
    started, stop = threading.Event(), threading.Event()

    def ask(number):
        answers = []
        with RestClient(f"http://127.0.0.1:{server.rest_port}") as rest:
            either = client if number % 2 else rest
            while not stop.is_set():
                answers.append(tuple(either.predict("affine", {"x": X})["y"].tolist()))
                started.set()
        return answers

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        futures = [pool.submit(ask, number) for number in range(200)]
        started.wait(20)
        saved_models.save_affine(tmp_path, version=2, offset=102.0)
        wait_for(lambda: states(client) == {1: "END", 2: "AVAILABLE"}, 60)
        stop.set()
        answers = [future.result(60) for future in futures]
    versions = [[allowed[answer] for answer in sequence] for sequence in answers]
    # Whoever has seen the new version never sees the old one again.
    assert all(sequence == sorted(sequence) for sequence in versions)
    assert {version for sequence in versions for version in sequence} == {1, 2}


def test_a_request_under_way_finishes_on_the_version_it_began_with(tmp_path, serve):
    saved_models.save_kinds(tmp_path, version=1)
    _, client = serve(tmp_path)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.predict, "kinds", {"x": X}, signature_name="slow")
        saved_models.save_kinds(tmp_path, version=2)
        wait_for(lambda: states(client, "kinds") == {1: "END", 2: "AVAILABLE"})
        # The version ends after its last request: all that is left is the way of the answer to the client.
        np.testing.assert_array_equal(future.result(1)["y"], X)


def test_a_version_that_fails_to_load_leaves_the_old_one_and_is_tried_again_when_mended(tmp_path, serve):
    saved_models.save_affine(tmp_path, version=1)
    _, client = serve(tmp_path)
    broken = tmp_path / "affine" / "2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"\x00garbage")
    wait_for(lambda: states(client).get(2) == "END")
    assert client.predict("affine", {"x": X})["y"].tolist() == [2.5, 3.0, 4.5]
    assert states(client) == {1: "AVAILABLE", 2: "END"}
    whole = saved_models.save_affine(tmp_path / "aside", version=2, offset=3.0)
    shutil.copytree(whole, broken, dirs_exist_ok=True)
    wait_for(lambda: states(client) == {1: "END", 2: "AVAILABLE"})
    assert client.predict("affine", {"x": X})["y"].tolist() == [3.5, 4.0, 5.5]


def test_cut_variables_fail_with_the_code_of_the_runtime(tmp_path, serve):
    folder = saved_models.save_affine(tmp_path)
    data = next((folder / "variables").glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:3])
    server, client = serve(tmp_path)
    (row,) = client.status("affine")
    assert (row["state"], row["error_code"]) == ("END", "OUT_OF_RANGE")
    assert server.available() == {"affine": []}


def warm_up_record(model, x):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].CopyFrom(to_proto(x))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    ).SerializeToString()


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (warm_up_record("any", X), "OK"),
        (warm_up_record("any", np.int32([1])), "INVALID_ARGUMENT"),
        (b"\xff\xff", "INVALID_ARGUMENT"),
        (prediction_log_pb2.PredictionLog().SerializeToString() or b"", "UNIMPLEMENTED"),
    ],
)
def test_warm_up_requests_are_run_and_may_fail_the_load(tmp_path, serve, record, code):
    saved_models.save_affine(tmp_path, warm_up=[warm_up_record("any", X), record])
    _, client = serve(tmp_path)
    (row,) = client.status("affine")
    assert (row["state"], row["error_code"]) == ("AVAILABLE" if code == "OK" else "END", code)


def test_models_come_and_go_and_half_written_folders_are_passed_over(tmp_path, serve, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "affine").mkdir()
    server, client = serve(tmp_path)
    assert server.available() == {"affine": []}
    assert any("Did you forget to name your leaf directory as a number" in text for text in caplog.messages)
    assert sum("No versions of servable affine" in text for text in caplog.messages) == 1
    whole = saved_models.save_affine(tmp_path / ".aside", version=1)
    for name in ("tmp-2", ".3", "4.writing", "-5", "٦", "99999999999999999999"):
        shutil.copytree(whole, tmp_path / "affine" / name)
    (tmp_path / "affine" / "7").write_text("a file")
    shutil.copytree(whole, tmp_path / "affine" / "00000001")
    wait_for(lambda: server.available() == {"affine": [1]})
    assert states(client) == {1: "AVAILABLE"}
    shutil.rmtree(tmp_path / "affine")
    wait_for(lambda: server.available() == {"affine": []})
    with pytest.raises(ServingError, match="NOT_FOUND"):
        client.predict("affine", {"x": X})
    saved_models.save_affine(tmp_path, version=1, offset=7.0)
    wait_for(lambda: server.available() == {"affine": [1]})
    assert client.predict("affine", {"x": X})["y"][0] == 7.5


def test_a_folder_out_of_reach_for_a_while_leaves_the_models(tmp_path, serve):
    base = tmp_path / "models"
    saved_models.save_affine(base)
    server, client = serve(base)
    base.rename(tmp_path / "away")
    threading.Event().wait(0.3)
    assert server.available() == {"affine": [1]}
    assert client.predict("affine", {"x": X})["y"][0] == 2.5


def config(tmp_path, policy, name="affine"):
    path = tmp_path / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "{name}" base_path: "{tmp_path / "affine"}" '
        f'model_platform: "tensorflow" {policy} }} }}'
    )
    return path


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", [3]),
        ("model_version_policy { latest { num_versions: 2 } }", [2, 3]),
        ("model_version_policy { all {} }", [1, 2, 3]),
        ("model_version_policy { specific { versions: 1 versions: 3 versions: 9 } }", [1, 3]),
    ],
)
def test_policies_and_labels(tmp_path, serve, policy, expected):
    for version in (1, 2, 3):
        saved_models.save_affine(tmp_path, version=version, offset=float(version))
    labels = 'version_labels { key: "stable" value: 3 } version_labels { key: "old" value: 1 }'
    server, client = serve(config_file=config(tmp_path, f"{policy} {labels}", name="other name"))
    assert server.available() == {"other name": expected}
    with RestClient(f"http://127.0.0.1:{server.rest_port}") as rest:
        for either in (client, rest):
            assert either.predict("other name", {"x": X}, label="stable")["y"][0] == 3.5
            if 1 in expected:
                assert either.predict("other name", {"x": X}, label="old")["y"][0] == 1.5
            else:
                with pytest.raises(ServingError, match=r"Specific\(other name, 1\)"):
                    either.predict("other name", {"x": X}, label="old")
