"""One layer does the work of its neighbours: an activation while the values are in the cache, a flattening without a copy.

A layer class says so itself, in ``_fusion``. One that :class:`Absorbs` has a method ``_fused``: its ``forward``, with options that do a
neighbour's work. One that is :class:`Absorbed` names the option that does its own. Only the class's own word counts: a subclass may do
something else, and is called as it is unless it speaks for itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import config
from ..recording import now
from .hooks import has_hooks

__all__ = ["Absorbed", "Absorbs", "run"]


class Absorbs(NamedTuple):
    """The options of a layer's ``_fused`` that do the work of its neighbours."""

    before: tuple[str, ...] = ()
    """For the layer before it: one of these."""
    behind: tuple[str, ...] = ()
    """For the layers behind it: in this order, each of them or not."""


class Absorbed(NamedTuple):
    """A layer whose work a neighbour can do."""

    option: str
    """The option of the neighbour's ``_fused``."""
    value: Callable[[Any, Any], Any]
    """What to give as that option, by the layer and the input of the fused layers; None where the layer has to run itself."""


class _Group(NamedTuple):
    """Layers that one call runs: the place of the layer that is called, the place behind all, and the options of the others."""

    host: int
    end: int
    options: tuple[tuple[int, Absorbed], ...]


def run(layers: Sequence[Any], x: Any) -> Any:
    """The layers one after the other, each on the output of the one before; fused where ``config.fuse``, to the same bits.

    A layer with hooks, or with a ``forward`` of its own, is called as it is.
    """
    groups = _groups(tuple([type(layer) if config.fuse and _unwatched(layer) else None for layer in layers]))
    done = 0
    while done < len(layers):
        group = groups[done]
        if group is not None and all(map(_unwatched, layers[done : group.end])):  # still, whatever hooks have done on the way
            options = {role.option: role.value(layers[i], x) for i, role in group.options}
            if None not in options.values():
                host = layers[group.host]
                if now.tape is None:
                    x = host._fused(x, **options)
                else:
                    with now.tape.within(host):
                        x = host._fused(x, **options)
                done = group.end
                continue
        x, done = layers[done](x), done + 1
    return x


@functools.lru_cache(maxsize=256)
def _groups(kinds: tuple[type | None, ...]) -> tuple[_Group | None, ...]:
    """The group that starts with each layer of these classes, if there is one; None is a layer that runs alone."""
    roles = [None if kind is None else kind.__dict__.get("_fusion") for kind in kinds]
    return tuple(_group([*roles, None], i) for i in range(len(roles)))


def _group(roles: list[Absorbs | Absorbed | None], start: int) -> _Group | None:
    """The group that starts at a place, if there is one; the last role is None, for the end."""
    first = roles[start]
    options = [(start, first)] if isinstance(first, Absorbed) else []
    place = start + len(options)
    host = roles[place]
    if not isinstance(host, Absorbs) or any(role.option not in host.before for _, role in options):
        return None
    end = place + 1
    for option in host.behind:
        guest = roles[end]
        if isinstance(guest, Absorbed) and guest.option == option:
            options.append((end, guest))
            end += 1
    return _Group(place, end, tuple(options)) if options else None


def _unwatched(layer: Any) -> bool:
    """Whether it is a module, and has no hooks and no ``forward`` of its own."""
    return hasattr(layer, "_forward_hooks") and not has_hooks(layer) and "forward" not in layer.__dict__
