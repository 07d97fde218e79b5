"""Functions of one picture, a Pillow picture or a Tensor (..., C, H, W): what the transforms do once their numbers are drawn.

Names, arguments and values are torchvision's. Pillow does the work on Pillow pictures. Tensors are computed on the host by NumPy, and the
results lie on the Tensor's device; no gradient flows through.

>>> import numbacnn as nc
>>> from numbacnn.vision.transforms import functional as F
>>> F.resize(F.hflip(nc.ones(3, 8, 8)), 4).shape
(3, 4, 4)
"""

from .color import (
    adjust_brightness,
    adjust_contrast,
    adjust_gamma,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
    autocontrast,
    equalize,
    invert,
    posterize,
    rgb_to_grayscale,
    solarize,
    to_grayscale,
)
from .convert import convert_image_dtype, erase, normalize, pil_to_tensor, to_pil_image, to_tensor
from .picture import InterpolationMode, get_dimensions, get_image_num_channels, get_image_size
from .resample import gaussian_blur, resize, resized_crop
from .warp import affine, perspective, rotate
from .window import center_crop, crop, five_crop, hflip, pad, ten_crop, vflip

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]
