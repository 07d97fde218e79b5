"""What each module of ``torch`` and ``torchvision`` is made of, and what is left out for good."""

from __future__ import annotations

__all__ = ["ABSENT", "DIFFERENT", "IGNORED", "LEFT_OUT", "METHODS", "MODULES", "OF_MODULES", "RENAMED"]

_NN = ("numbacnn.compat.layers", "numbacnn.nn", "numbacnn.compat.modules:absent_layers")
_DATASETS = ("cifar", "folder", "mnist", "stl10", "svhn", "vision")

MODULES: dict[str, tuple[str, ...]] = {
    "torch": ("numbacnn.compat.tensors", "numbacnn.compat.arguments:functions", "numbacnn.compat.devices", "numbacnn"),
    "torch.accelerator": ("numbacnn.compat.devices:accelerator",),
    "torch.amp": ("numbacnn.compat.devices:amp",),
    "torch.autograd": ("numbacnn.compat.tensors:autograd", "numbacnn.testing.gradients"),
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
    "torch.jit.annotations": ("typing",),
    "torch.hub": ("numbacnn.compat.vision:hub",),
    "torch.mps": ("numbacnn.compat.devices:mps",),
    "torch.multiprocessing": ("numbacnn.compat.devices:multiprocessing", "multiprocessing"),
    "torch.nn": _NN,
    "torch.nn.functional": ("numbacnn.compat.layers:functional", "numbacnn.nn.functional"),
    "torch.nn.init": ("numbacnn.compat.layers:init", "numbacnn.nn.init"),
    "torch.nn.modules.batchnorm": (*_NN, "numbacnn.nn.norm"),
    "torch.nn.modules.utils": ("numbacnn.compat.layers:sizes",),
    "torch.nn.utils": ("numbacnn.nn.utils",),
    "torch.nn.utils.rnn": ("numbacnn.compat.modules:absent_sequences",),
    "torch.onnx": (),
    "torch.optim": ("numbacnn.optim", "numbacnn.compat.modules:absent_optimizers"),
    "torch.optim.lr_scheduler": ("numbacnn.optim.lr_scheduler",),
    "torch.optim.optimizer": ("numbacnn.compat.tensors:optimizer", "numbacnn.optim"),
    "torch.random": ("numbacnn.random",),
    "torch.serialization": ("numbacnn.compat.tensors:serialization", "numbacnn.ptfile"),
    "torch.utils": (),
    "torch.utils.checkpoint": ("numbacnn.compat.devices:checkpoints",),
    "torch.utils.data": ("numbacnn.compat.tensors:data",),
    "torch.utils.data.distributed": ("numbacnn.compat.devices:distributed_data",),
    "torch.utils.hooks": ("numbacnn.recording",),
    "torch.utils.model_zoo": ("numbacnn.compat.vision:hub",),
    "torch.utils.tensorboard": ("numbacnn.compat.board",),
    "torch.version": ("numbacnn.compat.devices:version",),
    "torch.xpu": ("numbacnn.compat.devices:xpu",),
    "torchvision": ("numbacnn.compat.vision",),
    "torchvision.datasets": ("numbacnn.vision.datasets",),
    **{f"torchvision.datasets.{name}": (f"numbacnn.vision.datasets.{name}",) for name in _DATASETS},
    "torchvision.io": ("numbacnn.compat.vision:io",),
    "torchvision.models": ("numbacnn.compat.vision:networks",),
    "torchvision.transforms": ("numbacnn.vision.transforms",),
    "torchvision.transforms.functional": ("numbacnn.vision.transforms.functional",),
    "torchvision.transforms.v2": ("numbacnn.compat.vision:v2", "numbacnn.vision.transforms"),
    "torchvision.transforms.v2.functional": ("numbacnn.vision.transforms.functional",),
    "torchvision.utils": ("numbacnn.vision.utils",),
}
"""Where the names of each module are looked up, the first place first: a module, or an object in one."""

_FILES = {
    "torch.autograd": "function variable",
    "torch.cuda": "random",
    "torch.nn": "modules parallel parameter",
    "torch.nn.modules": "activation container conv dropout linear loss module padding pooling upsampling",
    "torch.nn.utils": "clip_grad",
    "torch.optim": "adadelta adagrad adam adamw nadam rmsprop sgd",
    "torch.utils.data": "dataloader dataset sampler",
    "torch.utils.tensorboard": "writer",
    "torchvision.models": "resnet vgg",
    "torchvision.transforms": "transforms",
}
for _outer, _names in _FILES.items():  # each offers all of the module that it is a file of
    MODULES |= {f"{_outer}.{name}": MODULES[_outer] for name in _names.split()}

RENAMED = {
    "torch.autograd.function.InplaceFunction": "torch.autograd.Function",
    "torch.ger": "torch.outer",
    "torch.nn.NLLLoss2d": "torch.nn.NLLLoss",
    "torch.nn.modules.conv._ConvNd": "torch.nn.Conv2d",
    "torch.nn.utils.clip_grad_norm": "torch.nn.utils.clip_grad_norm_",
    "torch.optim.lr_scheduler._LRScheduler": "torch.optim.lr_scheduler.LRScheduler",
    "torchvision.datasets.folder.default_loader": "torchvision.datasets.folder.pil_loader",
    "torchvision.transforms.RandomSizedCrop": "torchvision.transforms.RandomResizedCrop",
    "torchvision.transforms.Scale": "torchvision.transforms.Resize",
}
"""Names of old, and what they are called now."""

_LIKE = "empty empty_like full full_like ones ones_like rand rand_like randint_like randn randn_like zeros zeros_like".split()  # noqa: SIM905
IGNORED = {
    **{f"torch.{name}": "layout memory_format pin_memory" for name in (*_LIKE, "tensor")},
    "torch.autograd.grad": "only_inputs",
    "torch.load": "encoding mmap pickle_module",
    "torch.nn.utils.clip_grad_norm_": "foreach",
    "torch.nn.utils.clip_grad_value_": "foreach",
    "torch.save": "pickle_module pickle_protocol _use_new_zipfile_serialization",
}
"""Arguments of functions that change nothing here."""

ABSENT = {
    "torch.nn": """
        AdaptiveAvgPool1d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool3d BatchNorm3d Bilinear
        ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Embedding EmbeddingBag Fold
        GRU GRUCell GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d LSTM LSTMCell LayerNorm LocalResponseNorm MaxPool1d MaxPool3d
        MaxUnpool1d MaxUnpool2d MaxUnpool3d MultiheadAttention PixelShuffle PixelUnshuffle RNN RNNBase RNNCell ReflectionPad1d
        ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SyncBatchNorm Transformer TransformerDecoder
        TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d
        ZeroPad1d ZeroPad2d ZeroPad3d
    """,
    "torch.nn.utils.rnn": "PackedSequence",
    "torch.optim": "ASGD Adamax LBFGS Rprop SparseAdam",
}
"""Classes that are not here, but that much code names without making one: ``isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))``."""

_FLOATS = "the library computes in float32 and float64"
LEFT_OUT: dict[str, str] = {
    "torch.autograd.profiler": "numbacnn.profile shows where the time of a step goes",
    "torch.complex64": _FLOATS,
    "torch.distributed": "the library runs on one device, in one process",
    "torch.jit": "left out for good: numbacnn.compile makes a step one call, numbacnn.save keeps weights",
    "torch.Tensor.bfloat16": _FLOATS,
    "torch.nn.Module.bfloat16": _FLOATS,
    "torch.nn.Module.half": _FLOATS,
    "torch.nn.parallel.DistributedDataParallel": "the library runs on one device, in one process",
    "torch.nn.quantized": "left out for good",
    "torch.onnx": "left out: numbacnn.save writes weights that PyTorch reads, and PyTorch writes ONNX",
    "torch.profiler": "numbacnn.profile shows where the time of a step goes",
    "torch.sparse": "left out for good: tensors are dense",
    "torch.utils.cpp_extension": "numbacnn.launch runs a kernel of your own",
    "torchvision.models": "of torchvision's networks there are the ResNets and the VGGs",
    "torchvision.ops": "left out for good: networks that find boxes are not what the library is for",
}
"""Why a name, or all below it, is not here: what else to do."""

DIFFERENT = {
    "torch.jit.ScriptModule": "no module is one",
    **dict.fromkeys(("torch.bfloat16", "torch.float16", "torch.half"), "autocast takes it and computes in float32; tensors can't be of it"),
    "torch.amp": "float32 is computed in float32; half precision is not used",
    "torch.autocast": "float32 is computed in float32; half precision is not used",
    "torch.compile": "numbacnn.compile: a step or a module is recorded and replayed with the same bits",
    "torch.cuda.amp": "float32 is computed in float32; half precision is not used",
    "torch.load": "nothing that a file names is run, whatever weights_only says: whole modules are not read",
    "torch.manual_seed": "other random numbers than PyTorch's come from the same seed",
    "torch.nn.DataParallel": "there is one device; keys begin with module. all the same",
    "torch.nn.init.kaiming_normal": "now kaiming_normal_",
    "torch.nn.Module.register_backward_hook": "it is register_full_backward_hook",
    "torch.save": "tensors, arrays, numbers, strings and paths in lists, tuples, dicts, sets and Namespaces; whole modules are refused",
    "torch.utils.checkpoint": "nothing is thrown away and computed again",
    "torch.utils.data.DataLoader": "workers are threads unless multiprocessing_context= is given; the order is not PyTorch's",
}
"""Names, or all below them, that mean something else here, and what."""

OF_MODULES = frozenset(
    """
    get_extra_state register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_state_dict_post_hook register_state_dict_pre_hook set_extra_state set_submodule share_memory to_empty
    """.split()  # noqa: SIM905
)
"""Methods of PyTorch's modules that are not here."""

METHODS = OF_MODULES | frozenset(
    """
    absolute_ acos_ acosh_ addbmm addbmm_ addmv_ addr addr_ adjoint angle apply_ as_strided as_strided_ asin_ asinh_ atan2_ atan_ atanh_
    baddbmm_ bfloat16 bitwise_and_ bitwise_not_ bitwise_or_ bitwise_xor_ cholesky cholesky_inverse cholesky_solve copysign copysign_
    cosh_ cross cummax cummin cumprod_ cumsum_ deg2rad deg2rad_ det diag_embed diagflat divide_ dsplit eq_ erfc erfc_ erfinv erfinv_
    exp2_ fix_ fliplr flipud float_power float_power_ fmax fmin ge_ greater_ greater_equal_ gt_ hardshrink histc hsplit hypot hypot_
    index_put index_put_ index_reduce index_reduce_ inverse is_nonzero is_pinned is_shared is_signed isneginf isposinf isreal istft kron
    le_ less_ less_equal_ lgamma lgamma_ log10_ log2_ log_normal_ logaddexp logaddexp2 logcumsumexp logdet logical_xor_ logit logit_ lt_
    lu matrix_exp matrix_power msort multiply_ nan_to_num_ nanmean nanmedian nanquantile nansum ne_ negative_ not_equal_ pinverse
    positive prelu put_ rad2deg rad2deg_ register_post_accumulate_grad_hook renorm renorm_ resize_as retains_grad scatter_reduce
    scatter_reduce_ set_ sgn sgn_ share_memory_ signbit sinc sinc_ sinh_ slogdet solve split_with_sizes stft storage storage_offset
    storage_type stride subtract_ sum_to_size svd t_ tan_ to_dense to_sparse transpose_ true_divide_ unfold unique_consecutive
    untyped_storage vdot volatile vsplit xlogy xlogy_
    """.split()  # noqa: SIM905
)
"""Methods of PyTorch's tensors and modules that are not here, and that no string, list, dictionary or queue has."""
