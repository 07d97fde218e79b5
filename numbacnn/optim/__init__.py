"""Optimisers and learning-rate schedules under PyTorch's names."""

from __future__ import annotations

from . import schedule as lr_scheduler
from .adam import Adam, AdamW, NAdam
from .base import Optimizer
from .composed import Adadelta, Adagrad, RMSprop
from .schedule import CosineAnnealingLR, LinearLR, OneCycleLR, Schedule, StepLR, WarmUp
from .sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearLR",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "Schedule",
    "StepLR",
    "WarmUp",
    "lr_scheduler",
]
