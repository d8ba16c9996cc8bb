"""From still digits to predicted frames, as a user calls it."""

import gzip
import json
import struct

import numpy as np
import pytest


@pytest.mark.parametrize("verb", ["make-moving-digits", "predict-video"])
def test_every_verb_explains_itself_with_an_example(kapps, verb):
    status, out, _ = kapps(verb, "--help")
    assert status == 0 and f"example:\n  kapps vq-vae {verb}" in out


@pytest.mark.parametrize("line", ["make-moving-digits a", "predict-video a b", "predict-video", "make-moving-digits"])
def test_wrong_use_is_status_2(kapps, line):
    assert kapps(*line.split())[0] == 2


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory):
    digits = np.random.default_rng(0).integers(1, 256, (20, 28, 28)).astype(np.uint8)
    path = tmp_path_factory.mktemp("digits") / "digits.idx3.gz"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, *digits.shape) + digits.tobytes()))
    return path


def test_make_moving_digits(kapps, digits_file, tmp_path):
    flags = ["--clips", 3, "--frames", 4, "--size", 32, "--digits", 1, "--actions", "--split", "test", "--json"]
    status, out, _ = kapps("make-moving-digits", digits_file, "--output", tmp_path / "new" / "clips.npz", *flags)
    report = json.loads(out)
    assert status == 0 and report["shape"] == [3, 4, 32, 32, 1]
    assert report["actions"] == ["stay", "left", "right", "up", "down"]
    with np.load(tmp_path / "new" / "clips.npz") as file:
        assert file["clips"].shape == (3, 4, 32, 32, 1) and file["actions"].shape == (3, 4)
    status, _, err = kapps("make-moving-digits", digits_file, "--output", tmp_path / "clips.npy")
    assert status == 1 and "--output to end in .npz" in err
    status, _, err = kapps("make-moving-digits", digits_file, "--output", tmp_path / "none.npz", "--clips", 0)
    assert (
        status == 1 and "Expected clips to be at least 1. Received 0." in err and not (tmp_path / "none.npz").exists()
    )


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "actions"])
def video_prior_run(request, trained_run, tmp_path_factory):
    """The run folder of a small prior of videos, and the file of the clips."""
    from apps.vq_vae.prior.training import PriorConfig, train
    from apps.vq_vae.videos.data import Clips, write_clips

    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 7, 8, 12, 3)).astype(np.uint8)
    actions = rng.integers(0, 3, (6, 7)).astype(np.int32)
    write_clips(folder / "clips.npz", Clips(frames, actions, ("stay", "left", "right")))
    write_clips(folder / "still.npz", Clips(frames))
    config = PriorConfig(
        autoencoder=str(trained_run),
        data=str(folder / "clips.npz"),
        classes=request.param,
        model="video_prior",
        overrides={"filters": 6, "layers": 1, "past": 3, "past_layers": 1, "hidden": 6},
        steps=2,
        steps_per_epoch=1,
        batch_size=4,
        validation_examples=6,
    )
    report = train(config, folder / "run")
    assert report["medium"] == "videos" and report["examples"] == 30 and report["held_out"]["examples"] == 6
    return folder / "run", folder, request.param


def test_predict_video(kapps, video_prior_run, tmp_path):
    run, folder, knows = video_prior_run
    flags = ["--frames", 4, "--gifs", 2, "--clips", 5]
    status, out, _ = kapps("predict-video", run, folder / "clips.npz", "--output", tmp_path / "given", *flags, "--json")
    report = json.loads(out)
    assert status == 0 and report == json.loads((tmp_path / "given" / "report.json").read_text())
    assert (report["clips"], report["context"], report["frames"]) == (5, 3, 4)
    assert report["actions"] == ("given" if knows else None)
    assert sorted(report["measures"]) == ["copy_of_the_last_frame", "prediction", "reconstruction"]
    assert all(len(found[name]) == 4 for found in report["measures"].values() for name in ("mse", "ssim"))
    assert sorted(path.name for path in (tmp_path / "given").iterdir()) == [
        "clip_0000.gif",
        "clip_0001.gif",
        "predictions.png",
        "report.json",
    ]
    with np.load(folder / "clips.npz") as file:
        clips = file["clips"][:5] / 255
    wanted = np.square(clips[:, 3:] - clips[:, 2:3]).mean(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(report["measures"]["copy_of_the_last_frame"]["mse"], wanted, rtol=1e-6)

    again = kapps("predict-video", run, folder / "clips.npz", "--output", tmp_path / "again", *flags, "--json")[1]
    assert json.loads(again)["measures"] == report["measures"]
    for actions in ("changed", "left"):
        flags_then = [*flags, "--actions", actions]
        status, out, err = kapps(
            "predict-video", run, folder / "clips.npz", "--output", tmp_path / actions, *flags_then
        )
        if knows:
            assert status == 0 and f"actions {actions}" in out and "mean" in out
        else:
            assert status == 1 and f"Expected no actions: the prior in {run} knows none. Received '{actions}'" in err


def test_what_cannot_be_predicted(kapps, video_prior_run, prior_run, tmp_path):
    run, folder, knows = video_prior_run

    def failing(*arguments) -> str:
        status, _, err = kapps("predict-video", *arguments, "--output", tmp_path / "out")
        assert status == 1 and not (tmp_path / "out").exists() and "Traceback" not in err
        return err

    assert "at least 8 frames in" in failing(run, folder / "clips.npz", "--frames", 5)
    assert "Expected frames to be at least 1. Received 0." in failing(run, folder / "clips.npz", "--frames", 0)
    assert "Expected a prior of videos." in failing(prior_run, folder / "clips.npz")
    assert "no such file or folder" in failing(run, folder / "absent.npz", "--frames", 2)
    status, _, err = kapps("sample", run, "--output", tmp_path / "samples.png")
    assert status == 1 and "Expected a prior of images" in err and "of videos" in err
    if knows:
        assert "an array `actions` for a prior that knows" in failing(run, folder / "still.npz", "--frames", 2)
        flags = ("--frames", 2, "--actions", "jump")
        assert "given, changed, stay, left, right. Received 'jump'" in failing(run, folder / "clips.npz", *flags)


def test_another_autoencoder_is_refused(kapps, video_prior_run, small_file, small_overrides, tmp_path):
    from apps.vq_vae.images.training import TrainingConfig, train

    if video_prior_run[2]:
        pytest.skip("The same for a prior with actions.")
    other = TrainingConfig(
        data=str(small_file),
        model="vq_vae_tiny",
        overrides=small_overrides,
        steps=1,
        steps_per_epoch=1,
        validation_images=16,
        seed=5,
    )
    train(other, tmp_path / "other")
    run, folder, _ = video_prior_run
    flags = ("--output", tmp_path / "out", "--autoencoder", tmp_path / "other")
    status, _, err = kapps("predict-video", run, folder / "clips.npz", *flags)
    assert status == 1 and "with another code book" in err
