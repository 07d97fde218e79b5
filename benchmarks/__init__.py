"""Benchmarks beside a peer: ``python -m benchmarks.conv``, and so on for each file that has a ``main``.

``conv``, ``lenet``, ``train`` and ``bandwidth`` time the two sides in turn (see ``alternate``), ``startup`` and ``memory`` look at whole
processes, ``recipes`` and ``folders`` at what networks learn, ``peak`` at what the processor can do. With ``--out benchmarks/results``
each writes its rows as JSON and its table as Markdown; ``readme`` puts the tables into ``benchmarks/README.md`` and one summary into the
README. The peer is ``torch==2.13.0``; with the extra ``bench`` there is a third, onnxruntime, for inference.
"""
