"""What each module of ``torch`` and ``torchvision`` is made of, and what is left out for good."""

from __future__ import annotations

__all__ = ["DIFFERENT", "LEFT_OUT", "MODULES", "RENAMED"]

_NN = ("numbacnn.compat.layers", "numbacnn.nn")
_F = ("numbacnn.compat.layers:functional", "numbacnn.nn.functional")
_DATA = ("numbacnn.compat.tensors:data",)
_DATASETS = ("cifar", "folder", "mnist", "stl10", "svhn", "vision")

MODULES: dict[str, tuple[str, ...]] = {
    "torch": ("numbacnn.compat.tensors", "numbacnn.compat.devices", "numbacnn"),
    "torch.accelerator": ("numbacnn.compat.devices:accelerator",),
    "torch.amp": ("numbacnn.compat.devices:amp",),
    "torch.autograd": ("numbacnn.compat.tensors:autograd", "numbacnn.testing.gradients"),
    "torch.autograd.function": ("numbacnn.compat.tensors:autograd",),
    "torch.autograd.variable": ("numbacnn.compat.tensors:autograd",),
    "torch.backends": (),
    "torch.backends.cuda": (),
    "torch.backends.cuda.matmul": ("numbacnn.compat.devices:matmul",),
    "torch.backends.cudnn": ("numbacnn.compat.devices:cudnn",),
    "torch.backends.mps": ("numbacnn.compat.devices:mps",),
    "torch.cuda": ("numbacnn.compat.devices:cuda", "numbacnn.cuda"),
    "torch.cuda.amp": ("numbacnn.compat.devices:amp",),
    "torch.distributed": ("numbacnn.compat.devices:distributed",),
    "torch.functional": ("numbacnn",),
    "torch.jit": ("numbacnn.compat.devices:jit",),
    "torch.hub": ("numbacnn.compat.vision:hub",),
    "torch.mps": ("numbacnn.compat.devices:mps",),
    "torch.multiprocessing": ("multiprocessing",),
    "torch.nn": _NN,
    "torch.nn.functional": _F,
    "torch.nn.init": ("numbacnn.compat.layers:init", "numbacnn.nn.init"),
    "torch.nn.modules": _NN,
    **{
        f"torch.nn.modules.{name}": _NN
        for name in "activation container conv dropout linear loss module padding pooling upsampling".split()  # noqa: SIM905
    },
    "torch.nn.modules.batchnorm": (*_NN, "numbacnn.nn.norm"),
    "torch.nn.modules.utils": ("numbacnn.compat.layers:sizes",),
    "torch.nn.parallel": _NN,
    "torch.nn.parameter": _NN,
    "torch.nn.utils": ("numbacnn.nn.utils",),
    "torch.nn.utils.clip_grad": ("numbacnn.nn.utils",),
    "torch.onnx": (),
    "torch.optim": ("numbacnn.optim",),
    "torch.optim.lr_scheduler": ("numbacnn.optim.lr_scheduler",),
    "torch.optim.optimizer": ("numbacnn.optim",),
    "torch.random": ("numbacnn.random",),
    "torch.serialization": ("numbacnn.ptfile",),
    "torch.utils": (),
    "torch.utils.data": _DATA,
    "torch.utils.data.dataloader": _DATA,
    "torch.utils.data.dataset": _DATA,
    "torch.utils.data.sampler": _DATA,
    "torch.utils.model_zoo": ("numbacnn.compat.vision:hub",),
    "torch.utils.tensorboard": ("numbacnn.compat.board",),
    "torch.utils.tensorboard.writer": ("numbacnn.compat.board",),
    "torch.version": ("numbacnn.compat.devices:version",),
    "torchvision": ("numbacnn.compat.vision",),
    "torchvision.datasets": ("numbacnn.vision.datasets",),
    **{f"torchvision.datasets.{name}": (f"numbacnn.vision.datasets.{name}",) for name in _DATASETS},
    "torchvision.models": ("numbacnn.compat.vision:networks",),
    "torchvision.models.resnet": ("numbacnn.compat.vision:networks",),
    "torchvision.models.vgg": ("numbacnn.compat.vision:networks",),
    "torchvision.transforms": ("numbacnn.vision.transforms",),
    "torchvision.transforms.functional": ("numbacnn.vision.transforms.functional",),
    "torchvision.transforms.transforms": ("numbacnn.vision.transforms",),
    "torchvision.utils": ("numbacnn.vision.utils",),
}
"""Where the names of each module are looked up, the first place first: a module, or an object in one."""

RENAMED = {
    "torch.nn.utils.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
    "torch.optim.lr_scheduler._LRScheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torchvision.datasets.folder.default_loader": "torchvision.datasets.folder.pil_loader",
    "torchvision.transforms.RandomSizedCrop": "torchvision.transforms.RandomResizedCrop",
    "torchvision.transforms.Scale": "torchvision.transforms.Resize",
}
"""Names of old, and what they are called now."""

_FLOATS = "float32 and float64 are what the library computes in"
LEFT_OUT: dict[str, str] = {
    "torch.bfloat16": _FLOATS,
    "torch.complex64": _FLOATS,
    "torch.distributed": "one process and one device are what the library runs on",
    "torch.float16": _FLOATS,
    "torch.half": _FLOATS,
    "torch.jit": "left out for good: numbacnn.compile makes a step one call, numbacnn.save keeps weights",
    "torch.nn.Module.bfloat16": _FLOATS,
    "torch.nn.Module.half": _FLOATS,
    "torch.nn.parallel.DistributedDataParallel": "one process and one device are what the library runs on",
    "torch.nn.quantized": "left out for good",
    "torch.onnx": "left out: numbacnn.save writes weights that PyTorch reads, and PyTorch writes ONNX",
    "torch.profiler": "numbacnn.profile shows where the time of a step goes",
    "torch.sparse": "left out for good: tensors are dense",
    "torch.utils.cpp_extension": "numbacnn.launch runs a kernel of your own",
    "torchvision.models": "of torchvision's networks there are resnet18, resnet34 and the VGGs",
    "torchvision.ops": "left out for good: networks that find boxes are not what the library is for",
}
"""Why a name, or all below it, is not here: what else to do."""

DIFFERENT = {
    "torch.amp": "float32 is computed in float32; half precision is not used",
    "torch.autocast": "float32 is computed in float32; half precision is not used",
    "torch.compile": "numbacnn.compile: a step or a module is recorded and replayed with the same bits",
    "torch.cuda.amp": "float32 is computed in float32; half precision is not used",
    "torch.load": "nothing that a file names is run, whatever weights_only says: whole modules are not read",
    "torch.manual_seed": "other random numbers than PyTorch's come from the same seed",
    "torch.nn.DataParallel": "there is one device; keys begin with module. all the same",
    "torch.nn.init.kaiming_normal": "now kaiming_normal_",
    "torch.save": "tensors, numbers, strings and dtypes in lists, tuples, dicts and sets; whole modules and arrays are refused",
    "torch.utils.data.DataLoader": "workers are threads unless multiprocessing_context= is given; the order is not PyTorch's",
}
"""Names, or all below them, that mean something else here, and what."""
