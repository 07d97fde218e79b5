"""Training: ``fit`` runs the loop and keeps it safe on disk, ``evaluate`` judges a network, ``predict`` gives its answers.

A run is resumed exactly. All that decides its future (weights, moments, schedule, generators, place in the epoch, sums of the epoch) is
one checkpoint, written in one step between two training steps; a run killed at any moment goes on from there to the same bits.
"""

from .evaluate import evaluate, predict
from .fit import fit
from .recipes import LARGEST, OPTIMIZERS, SCHEDULES, augmentation, folder_recipe, folder_size, recipe
from .results import Epoch, Evaluation, History
from .run import BEST, CURVE, LAST, LOG
from .signals import Interrupted

__all__ = [
    "BEST",
    "CURVE",
    "LARGEST",
    "LAST",
    "LOG",
    "OPTIMIZERS",
    "SCHEDULES",
    "Epoch",
    "Evaluation",
    "History",
    "Interrupted",
    "augmentation",
    "evaluate",
    "fit",
    "folder_recipe",
    "folder_size",
    "predict",
    "recipe",
]
