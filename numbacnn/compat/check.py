"""Which names of ``torch`` and ``torchvision`` files use, and which of them are missing here; nothing is executed."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import nn, optim
from ..errors import message
from ..tensor import Tensor
from .adapt import adapt
from .modules import Missing, find, hint, prefixes
from .table import DIFFERENT, METHODS, MODULES

__all__ = ["Report", "check"]

ROOTS = ("torch", "torchvision")


def everywhere() -> set[str]:
    """What the tensors, modules and optimisers of a script have."""
    return {name for kind in (Tensor, nn.Module, optim.Optimizer) for name in dir(kind) if not name.startswith("_")}


@dataclass
class Report:
    """What files use: names and the places ``file:line`` where they stand.

    Args:
        used: every name of torch and torchvision.
        missing: those that are not here, with what is nearest or why they are left out.
        different: those that mean something else here, with what.
        unread: files that aren't Python, with the reason.
    """

    used: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [line for title, found in (("Missing", self.missing), ("Different", self.different)) for line in self._listed(title, found)]
        lines += [f"{file} is passed over: {reason}." for file, reason in self.unread.items()]
        count = len(self.used)
        return "\n".join([*lines, f"{count - len(self.missing)} of {count} names of torch and torchvision are here."])

    def _listed(self, title: str, found: dict[str, str]) -> list[str]:
        lines = [f"  {name}{_places(self.used[name])}{': ' if text else ''}{text}" for name, text in sorted(found.items())]
        return [f"{title}:", *lines, ""] if lines else []


def _places(places: list[str]) -> str:
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f" ({places[0]}{more})"


def check(paths: Iterable[str | Path]) -> Report:
    """Look through Python files, and those below folders.

    Methods of tensors and modules are judged by their names alone: one that PyTorch's have, ours lack, and no file here defines.

    Raises:
        FileNotFoundError: a path does not exist, or there is no Python file at all.
    """
    adapt()  # so that signatures are as scripts find them
    report, trees = Report(), {}
    for file in _files(paths):
        try:
            if file.suffix == ".ipynb":
                raise ValueError("a notebook is read when it is saved as a script")
            trees[file] = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError) as error:
            report.unread[str(file)] = str(error)
    own = {name for tree in trees.values() for name in _defined(tree)}
    uses = {file: Uses(tree, own) for file, tree in trees.items()}
    modules = {file.parent.name if file.stem == "__init__" else file.stem: each for file, each in uses.items()}
    for file, each in uses.items():
        for full, line, keywords in each.look(trees[file], modules):
            _judge(report, full, keywords, f"{file}:{line}")
    return report


def _files(paths: Iterable[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(message("check", "a file or a folder", repr(str(path))))
        found += sorted(filter(_is_own, path.rglob("*.py"))) if path.is_dir() else [path]
    if not found:
        raise FileNotFoundError(message("check", "a Python file", "none"))
    return found


def _is_own(file: Path) -> bool:
    """Whether a file lies in no virtual environment or hidden folder."""
    return not any(part.startswith(".") or part == "site-packages" for part in file.parts[:-1] if part not in (".", ".."))


def _defined(tree: ast.AST) -> Iterator[str]:
    """What the code itself gives objects: functions, methods and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _bound(scope: ast.AST) -> Iterator[str]:
    """What the parameters, variables, functions and classes of a scope are called, whatever these names mean outside it."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (*DEFINITIONS, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        if not isinstance(node, (*COMPREHENSIONS, *DEFINITIONS, ast.Lambda)):
            yield from _bound(node)


def _judge(report: Report, full: str, keywords: list[str], place: str) -> None:
    report.used.setdefault(full, []).append(place)
    if full.startswith("."):
        near = next(iter(difflib.get_close_matches(full[1:], everywhere(), 1, 0.75)), None)
        report.missing[full] = f"a method that tensors and modules here lack{f'; the nearest is .{near}' if near else ''}"
        return
    try:
        found = find(full)
    except Missing:
        report.missing[full] = hint(full)
        return
    for keyword in keywords:
        if not takes(found, keyword):
            name = f"{full}({keyword}=)"
            report.used.setdefault(name, []).append(place)
            report.missing[name] = "an argument that is not taken"
    for prefix in prefixes(full):
        if prefix in DIFFERENT:
            report.different[full] = DIFFERENT[prefix]


def _is_of(names: set[str], node: ast.expr) -> bool:
    """Whether a dotted name begins with one of these: ``np.linalg.svd`` with ``np``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in names


def takes(function: Any, keyword: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return keyword in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


class Uses(ast.NodeVisitor):
    """The dotted names of torch and torchvision in one file, with their lines and the keywords that they are called with."""

    def __init__(self, tree: ast.AST, own: set[str]) -> None:
        self.names: dict[str, str] = {}
        self.others: set[str] = set()  # what other modules give: their functions are no methods of tensors
        self.own = own
        self.stars: list[str] = []  # the modules of which all is imported
        self.found: list[tuple[str, int, list[str]]] = []
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in imports:
            self._bind(node)

    def look(self, tree: ast.AST, modules: dict[str, Uses]) -> list[tuple[str, int, list[str]]]:
        """What is found, where ``from models import *`` gives the names of a module that is looked through too."""
        hidden = {*_bound(tree)} | self.others
        self.names = {name: full for name, full in self._given(modules, set()).items() if name not in hidden} | self.names
        if self.names:
            self.visit(tree)
        return self.found

    def _given(self, modules: dict[str, Uses], seen: set[str]) -> dict[str, str]:
        """What ``import *`` brings, and what it has brought there."""
        found: dict[str, str] = {}
        for star in self.stars:  # in order: of two that give a name the later counts
            if star in modules and star not in seen:
                seen.add(star)
                found |= modules[star]._given(modules, seen) | modules[star].names
        return found

    def _bind(self, node: ast.Import | ast.ImportFrom) -> None:
        for name in node.names:
            if isinstance(node, ast.Import):
                if name.name.partition(".")[0] not in ROOTS:
                    self.others.add(name.asname or name.name.partition(".")[0])
                else:
                    self.names[name.asname or name.name.partition(".")[0]] = name.name if name.asname else name.name.partition(".")[0]
                    self._use(name.name, node.lineno)
            elif node.level or not node.module or node.module.partition(".")[0] not in ROOTS:
                self.others.add(name.asname or name.name)
                self.stars += [(node.module or "").rpartition(".")[2]] * (name.name == "*")
            else:
                self._use(node.module, node.lineno)
                if name.name != "*":
                    self.names[name.asname or name.name] = f"{node.module}.{name.name}"
                    self._use(f"{node.module}.{name.name}", node.lineno)
                elif node.module in MODULES:
                    self.names |= {each: f"{node.module}.{each}" for each in find(node.module).__all__}

    def _use(self, full: str, line: int, keywords: Iterable[str] = ()) -> None:
        self.found.append((full, line, list(keywords)))

    def _full(self, node: ast.AST) -> str | None:
        """The dotted name of an expression, if it is one of torch's."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            before = self._full(node.value)
            return before and f"{before}.{node.attr}"
        return None

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        full = self._full(node.value)
        if full and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.names[node.targets[0].id] = full  # F = nn.functional

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within((), ast.iter_child_nodes(node))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.decorator_list, node.args, node.returns):
            if part is not None:
                self.visit(part)
        self._within(_bound(node), node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self._within(_bound(node), [node.body])

    def visit_ListComp(self, node: ast.AST) -> None:
        self._within(_bound(node), ast.iter_child_nodes(node))

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def _within(self, names: Iterable[str], parts: Iterable[ast.AST]) -> None:
        """Look through a scope in which some names mean something else."""
        outer, inner = self.names, {*names}
        self.names = {name: full for name, full in outer.items() if name not in inner}
        for part in parts:
            self.visit(part)
        self.names = outer

    def visit_Call(self, node: ast.Call) -> None:
        full = self._full(node.func)
        if full:
            self._use(full, node.lineno, [keyword.arg for keyword in node.keywords if keyword.arg])
        elif isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in METHODS - self.own and not _is_of(self.others, node.func):
                self._use(f".{name}", node.lineno)
            self.visit(node.func.value)
        else:
            self.visit(node.func)
        for part in (*node.args, *node.keywords):
            self.visit(part)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        full = self._full(node)
        if full and node.attr not in self.own:  # what a file gives torch itself
            self._use(full, node.lineno)
        else:
            self.generic_visit(node)
