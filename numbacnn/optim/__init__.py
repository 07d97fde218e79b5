"""Optimisers and learning-rate schedules under PyTorch's names."""

from __future__ import annotations

from . import schedule as lr_scheduler
from .adam import Adam, AdamW
from .base import Optimizer
from .schedule import CosineAnnealingLR, LinearLR, OneCycleLR, Schedule, StepLR, WarmUp
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearLR",
    "OneCycleLR",
    "Optimizer",
    "Schedule",
    "StepLR",
    "WarmUp",
    "lr_scheduler",
]
