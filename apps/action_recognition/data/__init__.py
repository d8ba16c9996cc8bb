"""From video files to batches of clips: lists of videos, decoding, sampling, augmentation, `tf.data`."""

from apps.action_recognition.data import motion_clips
from apps.action_recognition.data.augmentation import Augmentation, preprocess
from apps.action_recognition.data.clips import random_clip, raw_clip, read_clip, read_views
from apps.action_recognition.data.pipeline import clip_dataset, view_dataset
from apps.action_recognition.data.presets import PRESETS, Preset
from apps.action_recognition.data.sources import VideoList, load_videos, split_videos
from apps.action_recognition.data.spec import ClipSpec, video_shape
from apps.action_recognition.data.windows import iter_windows

__all__ = [
    "Augmentation",
    "ClipSpec",
    "PRESETS",
    "Preset",
    "VideoList",
    "clip_dataset",
    "iter_windows",
    "load_videos",
    "motion_clips",
    "preprocess",
    "random_clip",
    "raw_clip",
    "read_clip",
    "read_views",
    "split_videos",
    "video_shape",
    "view_dataset",
]
