"""Clips from arrays and videos, refused where they are none."""

import cv2
import numpy as np
import pytest
from PIL import Image

from apps.vq_vae.images.data import read_images
from apps.vq_vae.videos.data import (
    CLIP_FRAMES,
    Clips,
    read_clips,
    read_video,
    write_clips,
)
from tools.errors import InputError


def random_clips(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def write_video(path, frames: np.ndarray) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def test_clips_come_back_with_their_actions(tmp_path):
    clips = Clips(random_clips(3, 4, 8, 6, 1), np.array([[0, 1, 2, 1]] * 3, np.int32), ("stay", "left", "right"))
    write_clips(tmp_path / "clips.npz", clips)
    found = read_clips(tmp_path / "clips.npz")
    np.testing.assert_array_equal(found.frames, clips.frames)
    np.testing.assert_array_equal(found.actions, clips.actions)
    assert found.action_names == clips.action_names and found.actions.dtype == np.int32


def test_clips_without_channels_or_names(tmp_path):
    frames = random_clips(2, 3, 5, 6)
    np.save(tmp_path / "clips.npy", frames)
    np.savez(tmp_path / "clips.npz", clips=frames.astype(np.int64), actions=np.array([[0, 3, 1], [0, 0, 2]]))
    for name in ("clips.npy", "clips.npz"):
        np.testing.assert_array_equal(read_clips(tmp_path / name).frames, frames[..., None])
    assert read_clips(tmp_path / "clips.npz").action_names == ("0", "1", "2", "3")


def test_frames_of_clips_are_images(tmp_path):
    frames = random_clips(2, 3, 5, 6, 3)
    write_clips(tmp_path / "clips.npz", Clips(frames))
    np.testing.assert_array_equal(read_images(tmp_path / "clips.npz"), frames.reshape(6, 5, 6, 3))


def test_videos_of_a_folder_are_cut(tmp_path):
    # A grey that changes from frame to frame, so that their order is seen after compression.
    levels = np.arange(2 * CLIP_FRAMES + 3) * 6
    frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 48, 3)).astype(np.uint8)
    (tmp_path / "deep").mkdir()
    write_video(tmp_path / "a.avi", frames)
    write_video(tmp_path / "deep" / "b.avi", frames[:CLIP_FRAMES])
    clips = read_clips(tmp_path)
    assert clips.frames.shape == (3, CLIP_FRAMES, 32, 48, 3) and clips.actions is None
    wanted = np.concatenate([levels[: 2 * CLIP_FRAMES], levels[:CLIP_FRAMES]])
    np.testing.assert_allclose(clips.frames.mean(axis=(2, 3, 4)).reshape(-1), wanted, atol=3)
    assert read_clips(tmp_path, grey=True).frames.shape[-1] == 1
    np.testing.assert_array_equal(read_images(tmp_path), clips.frames.reshape(-1, 32, 48, 3))


def test_videos_are_red_first_also_in_a_gif(tmp_path):
    from apps.vq_vae.videos.report import write_gif

    frames = np.zeros((3, 16, 24, 3), np.uint8)
    frames[..., 0] = np.array([100, 150, 200])[:, None, None]
    write_video(tmp_path / "red.avi", frames)
    write_gif(frames, tmp_path / "red.gif")
    for name in ("red.avi", "red.gif"):
        np.testing.assert_allclose(read_video(tmp_path / name), frames, atol=6)


@pytest.mark.real_data
def test_real_videos(real_data, tmp_path):
    source = real_data / "videos" / "clips" / "v_CricketShot_g04_c01_rgb.gif"
    (tmp_path / source.name).symlink_to(source)
    clips = read_clips(tmp_path)
    assert clips.frames.shape == (4, CLIP_FRAMES, 224, 224, 3)
    # Neighbouring frames are alike, and the first pixels of the clip are those that another decoder finds.
    with Image.open(source) as gif:
        first = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(clips.frames[0, 0] - first).mean() < 2
    steps = np.abs(np.diff(clips.frames[0].astype(int), axis=0)).mean()
    assert 0 < steps < np.abs(clips.frames[0, 0].astype(int) - clips.frames[0, 0, ::-1]).mean()


def test_clips_that_are_none(tmp_path):
    frames = random_clips(2, 3, 5, 6)
    arrays = {
        "floats": {"clips": frames / 255},
        "images": {"images": frames[0]},
        "flat": {"clips": frames[0]},
        "empty": {"clips": frames[:0]},
        "bright": {"clips": frames.astype(int) + 1000},
        "short": {"clips": frames, "actions": np.zeros((2, 2), int)},
        "shares": {"clips": frames, "actions": np.zeros((2, 3))},
        "below": {"clips": frames, "actions": np.full((2, 3), -1)},
        "above": {"clips": frames, "actions": np.full((2, 3), 2), "action_names": np.array(["a", "b"])},
    }
    for name, content in arrays.items():
        np.savez(tmp_path / f"{name}.npz", **content)
    (tmp_path / "none").mkdir()
    (tmp_path / "zero.npy").write_bytes(b"")
    (tmp_path / "clips.txt").write_text("clips")
    messages = {
        "floats.npz": r"integer pixels of 0 to 255 in .*floats\.npz\. Received float64",
        "images.npz": r"an array `clips` in .*images\.npz\. Received images",
        "flat.npz": r"clips \(clips, frames, height, width, channels\) in .*flat\.npz\. Received \(3, 5, 6\)",
        "empty.npz": r"at least one clip of a frame in .*empty\.npz\. Received shape \(0, 3, 5, 6, 1\)",
        "bright.npz": r"pixels of 0 to 255 in .*bright\.npz",
        "short.npz": r"integers `actions` of shape \(2, 3\) in .*short\.npz, one a frame\. Received int64 \(2, 2\)",
        "shares.npz": r"integers `actions` .* Received float64",
        "below.npz": r"`actions` of 0 to 0 in .*below\.npz\. Received -1",
        "above.npz": r"`actions` of 0 to 1 in .*above\.npz\. Received 2",
        "none": r"videos \(.*\) in .*none\. Received a folder without any",
        "zero.npy": r"an \.npy file of numbers\. Received .*zero\.npy",
        "clips.txt": r"\.npz or \.npy file of clips, or a folder of videos\. Received .*clips\.txt",
        "absent.npz": r"Expected clips\. Received .*absent\.npz: no such file or folder",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=message) as caught:
            read_clips(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_videos_that_do_not_fit(tmp_path):
    frames = random_clips(CLIP_FRAMES, 32, 48, 3)
    write_video(tmp_path / "a.avi", frames)
    write_video(tmp_path / "b.avi", frames[:, :, :32])
    with pytest.raises(InputError, match=r"one size, 48x32 as .*a\.avi\. Received .*b\.avi of 32x32"):
        read_clips(tmp_path)
    write_video(tmp_path / "b.avi", frames[:5])
    with pytest.raises(InputError, match=r"at least 16 frames\. Received .*b\.avi of 5"):
        read_clips(tmp_path)
    (tmp_path / "b.avi").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"Expected .*b\.avi to be a video"):
        read_clips(tmp_path)
