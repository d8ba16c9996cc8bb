"""Transfer from images: a frozen 2-D network teaches a 3-D one by correspondence, without labels.

Diba et al., "Temporal 3D ConvNets: New Architecture and Transfer Learning for Video Classification" (2017).

    frames --> teacher, frozen --> mean over frames --+
                                                      +--> concatenate --> 512 --> 128 --> match or no match
    clip   --> student --> mean over positions -------+

A clip and frames of the same moment match; a clip and frames of another video do not.
"""

from apps.action_recognition.transfer.pairs import PAIRS, pair_dataset
from apps.action_recognition.transfer.teacher import Teacher, load_teacher, teacher_features
from apps.action_recognition.transfer.training import (
    STUDENT,
    TransferConfig,
    TransferReport,
    config_of,
    pair_network,
    read_transfer_config,
    transfer,
)

__all__ = [
    "PAIRS",
    "STUDENT",
    "Teacher",
    "TransferConfig",
    "TransferReport",
    "config_of",
    "load_teacher",
    "pair_dataset",
    "pair_network",
    "read_transfer_config",
    "teacher_features",
    "transfer",
]
