"""Benchmarks beside a peer: ``python -m benchmarks.conv``, and so on for each file that has a ``main``.

``conv``, ``lenet``, ``train``, ``serve`` and ``bandwidth`` time the sides in turn (see ``alternate``), ``scaling`` looks at tasks,
``startup`` and ``memory`` at whole processes, ``recipes`` and ``folders`` at what networks learn, ``peak`` at what the processor can do.
With ``--out benchmarks/results`` each writes its rows as JSON and its table as Markdown; ``readme`` puts the tables into
``benchmarks/README.md`` and one summary into the README. ``gpu`` is of another kind: all that a CUDA device shows, in one command. The
peer is ``torch==2.13.0``; with the extra ``bench`` there are two more, onnxruntime for inference and JAX for whole steps.
"""
