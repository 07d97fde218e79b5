"""What a data set is to the loader: examples by their index, or one after the other."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

__all__ = ["Dataset"]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Examples by their index. A data set of one's own says ``__getitem__`` and ``__len__``; an example is anything that can be collated.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> Squares()[3]
    (3, 9)
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")
