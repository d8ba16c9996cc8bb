"""Features of videos: the model's own, of any list, resumed, as a file, and by command."""

import functools
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from apps.action_recognition import features
from apps.action_recognition.data import load_videos, read_views
from apps.action_recognition.data.any_videos import load_any
from apps.action_recognition.features import extract, feature_model, load_network
from apps.action_recognition.published_weights import PUBLISHED
from apps.action_recognition.runs import load_run
from tools.errors import InputError

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / "reference" / "i3d_kinetics400_reference.npz"
PUBLISHED_NAME = "i3d_kinetics400"


@pytest.fixture
def kapps(kapps):
    """Runs `features`; returns exit status, standard output and standard error."""
    return functools.partial(kapps, "features")


@pytest.fixture(scope="module")
def run(trained_run):
    return load_run(trained_run)


def own_output(run, layer, path, clips, crops):
    output = run.model.get_layer(layer).output
    return keras.Model(run.model.input, output)(read_views(path, run.spec, clips, crops)).numpy()


def test_features_are_the_output_of_the_layer(run, motion_videos):
    videos = load_videos(motion_videos).subset([0, 5, 11])
    views = extract(run.model, videos, run.spec, clips=2, crops=2, average=False, batch=3)
    assert views.features.shape == (3, 4, 8) and views.features.dtype == np.float32
    assert views.labels.tolist() == [0, 1, 2] and views.classes == ("left", "right", "up")
    for path, row in zip(views.paths, views.features, strict=True):
        np.testing.assert_allclose(row, own_output(run, "global_pool", path, 2, 2), atol=1e-5)
    mean = extract(run.model, videos, run.spec, clips=2, crops=2)
    np.testing.assert_allclose(mean.features, views.features.mean(axis=1), atol=1e-6)


def test_maps_are_averaged_over_time_and_space(run, motion_videos):
    videos = load_videos(motion_videos).subset([3])
    found = extract(run.model, videos, run.spec, layer="conv4_block1_activation", clips=1)
    expected = own_output(run, "conv4_block1_activation", videos.paths[0], 1, 1).mean(axis=(0, 1, 2, 3))
    np.testing.assert_allclose(found.features, expected[None], atol=1e-6)
    with pytest.raises(InputError, match=r"conv5_block1_add.*Received 'conv9'"):
        feature_model(run.model, "conv9")


def test_a_video_that_breaks_is_named_and_left_out(run, motion_videos, monkeypatch, capsys):
    videos = load_videos(motion_videos).subset([0, 1, 2])

    def breaks(path, *arguments):
        if path == videos.paths[1]:
            raise InputError(f"Expected a video. Received {path}: broken.")
        return read_views(path, *arguments)

    monkeypatch.setattr(features, "read_views", breaks)
    found = extract(run.model, videos, run.spec, clips=1)
    assert found.paths == (videos.paths[0], videos.paths[2]) and len(found.features) == 2
    assert found.skipped[0][0] == videos.paths[1] and "broken" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"can be read.*broken"):
        extract(run.model, videos.subset([1]), run.spec, clips=1)


def test_an_interrupted_extraction_goes_on_where_it_ended(run, motion_videos, tmp_path, monkeypatch, capsys):
    videos = load_videos(motion_videos).subset([0, 4, 8])
    whole = extract(run.model, videos, run.spec, clips=1)
    unfinished = tmp_path / ".f.unfinished.npz"

    def interrupted(path, *arguments):
        if path == videos.paths[2]:
            raise KeyboardInterrupt
        return read_views(path, *arguments)

    monkeypatch.setattr(features, "read_views", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(run.model, videos, run.spec, clips=1, unfinished=unfinished)
    with pytest.raises(InputError, match="without --resume"):
        extract(run.model, videos, run.spec, clips=2, unfinished=unfinished, resume=True)
    read = []
    monkeypatch.setattr(features, "read_views", lambda path, *rest: read.append(path) or read_views(path, *rest))
    again = extract(run.model, videos, run.spec, clips=1, unfinished=unfinished, resume=True)
    assert read == [videos.paths[2]] and "going on after 2 videos" in capsys.readouterr().err
    np.testing.assert_array_equal(again.features, whole.features)
    assert not unfinished.exists()


def test_lists_with_and_without_labels(motion_videos, tmp_path):
    paths = [str(motion_videos / name / "000.mp4") for name in ("left", "up")]
    (tmp_path / "plain.csv").write_text("path\n" + "\n".join(paths))
    (tmp_path / "plain.txt").write_text("\n".join(paths))
    (tmp_path / "labelled.csv").write_text(f"path,label\n{paths[0]},left\n")
    (tmp_path / "split.txt").write_text("left/000.mp4 1\nup/000.mp4 2\n")
    (tmp_path / "flat").mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, tmp_path / "flat" / f"{number}.mp4")
    for plain in ("plain.csv", "plain.txt", "flat"):
        videos = load_any(tmp_path / plain)
        assert len(videos) == 2 and videos.labels == (-1, -1) and videos.classes == ()
    assert load_any(paths[0]).paths == (paths[0],)
    assert load_any(tmp_path / "labelled.csv").classes == ("left",)
    split = load_any(tmp_path / "split.txt", root=motion_videos)
    assert split.paths == tuple(paths) and split.classes == ("left", "up")
    assert load_any(motion_videos).classes == ("left", "right", "up")
    with pytest.raises(InputError, match="nowhere"):
        load_any(tmp_path / "nowhere")


def test_the_command_writes_a_file_that_loads_without_pickle(kapps, trained_run, motion_videos, tmp_path):
    shutil.copytree(motion_videos, tmp_path / "clips")
    (tmp_path / "clips" / "up" / "bad.mp4").write_bytes(b"no video")
    output = tmp_path / "f.npz"
    status, out, err = kapps(trained_run, tmp_path / "clips", "--output", output, "--clips", 1, "--json")
    document = json.loads(out)
    assert status == 0 and document["shape"] == [12, 8] and "bad.mp4" in err
    with np.load(output, allow_pickle=False) as file:
        assert file["features"].shape == (12, 8) and file["features"].dtype == np.float32
        assert file["classes"].tolist() == ["left", "right", "up"] and file["labels"].tolist() == sorted([0, 1, 2] * 4)
        assert len(file["paths"]) == 12 and file["skipped"].tolist() == [str(tmp_path / "clips" / "up" / "bad.mp4")]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "status", "culprit"),
    [
        (("{run}", "--output", "{tmp}/f.npz"), 2, "VIDEOS"),
        (("--model", "i3d", "{videos}", "--output", "{tmp}/f.npz"), 2, "--weights"),
        (("{run}", "{videos}", "--output", "{tmp}/f.npz", "--preset", "two_stream"), 2, "--preset"),
        (("{run}", "{videos}", "--output", "{tmp}/f.npy"), 1, "f.npy"),
        (("{run}", "{videos}", "--output", "{tmp}/none/f.npz"), 1, "none/f.npz"),
        (("{run}", "{videos}", "--output", "{tmp}/f.npz", "--layer", "conv9"), 1, "conv9"),
        (("{run}", "{videos}", "--output", "{tmp}/f.npz", "--clips", "0"), 1, "clips"),
        (("{run}", "nowhere", "--output", "{tmp}/f.npz"), 1, "nowhere"),
        (("--model", "i3d", "--weights", "none.h5", "{videos}", "--output", "{tmp}/f.npz"), 1, "none.h5"),
        (("--model", "i3d_flow", "--weights", "{run}", "{videos}", "--output", "{tmp}/f.npz"), 1, "i3d_flow"),
    ],
)
def test_wrong_use_is_named(kapps, trained_run, motion_videos, tmp_path, arguments, status, culprit):
    places = {"run": trained_run, "videos": motion_videos / "up" / "000.mp4", "tmp": tmp_path}
    received, out, err = kapps(*(argument.format(**places) for argument in arguments))
    last = err.strip().splitlines()[-1]
    assert received == status and out == "" and culprit in last and "unexpected" not in last


def test_a_checkpoint_of_any_classes_gives_its_features(run, trained_run, motion_videos):
    overrides = {"input_shape": (8, 16, 16, 3), "widths": (4, 4, 8, 8)}
    network, spec = load_network("r2plus1d_tiny", trained_run / "best.keras", overrides, frame_rate=15.0)
    assert spec == run.spec
    videos = load_videos(motion_videos).subset([7])
    np.testing.assert_allclose(
        extract(network, videos, spec, clips=1).features, extract(run.model, videos, run.spec, clips=1).features
    )


@pytest.mark.real_data
@pytest.mark.slow
def test_i3d_has_the_published_features(real_data):
    from apps.action_recognition.data import decode

    if not PUBLISHED[PUBLISHED_NAME].path.is_file():
        pytest.skip(f"kapps action-recognition weights get {PUBLISHED_NAME} has not been run")
    network, _ = load_network("i3d", PUBLISHED_NAME, {"input_shape": (16, 224, 224, 3)}, frame_rate=None)
    path = real_data / "videos" / "clips" / "v_CricketShot_g04_c01_rgb.gif"
    frames = decode.decode(path, lambda line: np.arange(16), lambda frame: frame)
    clip = (frames.astype(np.float32) / 127.5 - 1)[None]
    with np.load(REFERENCE) as reference:
        for layer in ("Mixed_4f", "Mixed_5c"):
            expected = reference[f"mean16_{layer}"]
            received = feature_model(network, layer)(clip).numpy()[0]
            np.testing.assert_allclose(received, expected, atol=1e-3 * np.abs(expected).max())
