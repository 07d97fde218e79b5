"""Imported before a torchvision whose build does not fit the installed PyTorch: declares its operators, which are not needed.

``TORCHVISION`` names the folder that it lies in.
"""

import os
import sys

import torch

sys.path.append(os.environ["TORCHVISION"])
library = torch.library.Library("torchvision", "DEF")
for name in "nms qnms roi_align ps_roi_align roi_pool ps_roi_pool qroi_align deform_conv2d".split():
    library.define(f"{name}(Tensor x) -> Tensor")
    library.define(f"_{name}_backward(Tensor x) -> Tensor")
