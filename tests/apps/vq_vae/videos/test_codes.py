"""The codes of clips, cut into windows."""

import types

import numpy as np
import pytest

from apps.vq_vae.images.runs import load_run
from apps.vq_vae.videos.codes import encode_clips, known_actions, make_codes, windows
from apps.vq_vae.videos.data import Clips, write_clips
from tools.errors import InputError


def random_clips(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("past", [1, 2, 7])
def test_windows_hold_the_frames_before(past):
    codes = np.random.default_rng(0).integers(0, 9, (3, 5, 2, 4)).astype(np.int32)
    actions = np.arange(15).reshape(3, 5).astype(np.int32) % 4
    found = windows(codes, past, 9, actions, {"action": "abcd"})
    examples = [(clip, frame) for clip in range(3) for frame in range(1, 5)]
    assert len(found) == len(examples) and found.groups.tolist() == [clip for clip, _ in examples]
    for number, (clip, frame) in enumerate(examples):
        np.testing.assert_array_equal(found.codes[number], codes[clip, frame])
        assert found.conditions["action"][number] == actions[clip, frame]
        for back in range(1, past + 1):
            wanted = codes[clip, frame - back] if frame >= back else np.full((2, 4), 9)
            np.testing.assert_array_equal(found.conditions["past"][number, past - back], wanted)


def test_actions_are_known_by_name():
    clips = Clips(random_clips(1, 3, 2, 2, 1), np.array([[0, 2, 2]], np.int32), ("left", "unused", "right"))
    numbers, names = known_actions(clips, "clips.npz", ["right", "left"])
    assert numbers.tolist() == [[1, 0, 0]] and names == ("right", "left")
    with pytest.raises(InputError, match=r"actions of the training: left\. Received 'right' in clips\.npz"):
        known_actions(clips, "clips.npz", ["left"])
    with pytest.raises(InputError, match=r"an array `actions` .* Received clips\.npz"):
        known_actions(Clips(clips.frames), "clips.npz")


def test_codes_of_clips(tmp_path, trained_run):
    run = load_run(trained_run)
    clips = Clips(random_clips(2, 4, 8, 12, 3), np.array([[0, 1, 1, 0]] * 2, np.int32), ("stay", "go"))
    write_clips(tmp_path / "clips.npz", clips)
    config = types.SimpleNamespace(classes=True, model="video_prior", overrides={"past": 2})
    found = make_codes(run, config, str(tmp_path / "clips.npz"))
    codes = encode_clips(run, clips.frames)
    assert codes.shape == (2, 4, 2, 3) and found.names == {"action": ("stay", "go")}
    np.testing.assert_array_equal(found.codes, codes[:, 1:].reshape(6, 2, 3))
    assert found.conditions["past"].shape == (6, 2, 2, 3) and found.conditions["past"].max() == 16
    plain = types.SimpleNamespace(classes=False, model="video_prior", overrides={})
    bare = make_codes(run, plain, str(tmp_path / "clips.npz"))
    assert sorted(bare.conditions) == ["past"] and bare.conditions["past"].shape[1] == 6

    for name, frames, message in [
        ("one", clips.frames[:, :1], r"at least 2 frames in .*one\.npz\. Received 1"),
        ("small", clips.frames[:, :, :4], r"frames of shape \(8, 12, 3\), .* Received \(4, 12, 3\) in .*small\.npz"),
        ("still", clips.frames, r"an array `actions` for a prior that knows actions\. Received .*still\.npz"),
    ]:
        write_clips(tmp_path / f"{name}.npz", Clips(frames))
        with pytest.raises(InputError, match=message):
            make_codes(run, config, str(tmp_path / f"{name}.npz"))
    with pytest.raises(InputError, match=r"no file of labels .* Received labels\.idx1"):
        make_codes(run, config, str(tmp_path / "clips.npz"), "labels.idx1")
    with pytest.raises(InputError, match=r"`past`.* Received 0"):
        wrong = types.SimpleNamespace(classes=False, model="video_prior", overrides={"past": 0})
        make_codes(run, wrong, str(tmp_path / "clips.npz"))
