"""Benchmarks beside a peer: ``python -m benchmarks.conv``, ``.lenet``, ``.startup``, ``.recipes``. Needs ``torch==2.13.0`` for the peer."""
