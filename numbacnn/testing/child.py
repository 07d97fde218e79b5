"""Implementations in a child process: one that dies in a call, or never comes back, is a finding and not the end.

The child imports the framework once and then forks for each life, so that the next life begins in milliseconds. Where a system can't
fork, a death costs an import. It serves calls on its standard streams, and a life ends with the process that asks, in a call too.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .. import children
from ..errors import message
from .cases import laid, lies
from .trial import Crashed, LawBroken, as_arrays, name_of

__all__ = ["Child", "isolated"]

PATIENCE, HURRY, IMPORT = 60.0, 5.0, 300.0
"""Seconds after which a call hangs, compiling included, a call of a child in which one did, and an import."""

RESUME = b"numbacnn: the next life may begin"
"""What is sent where a life has ended, for it may have read a part of a question: all before this is thrown away."""


def isolated(framework: str, patience: float = PATIENCE, **options: Any) -> list[Any]:
    """``adapters.implementations(framework)``, in a child process.

    Raises:
        ImportError: the framework is not installed.

    >>> [each.name for each in isolated("reference")]
    ['reference']
    """
    child = Child(framework, options, patience)
    try:
        found = child.ask("about")
    except (ImportError, ValueError):
        raise
    except Exception as error:
        expected = f"a framework {framework} that starts"
        raise RuntimeError(message("implementations", expected, f"{type(error).__name__}: {error}")) from error
    names = numbered([about["plain"].pop("name") for about in found])
    return [Remote(child, place, name, **about) for place, (name, about) in enumerate(zip(names, found))]


def numbered(names: Iterable[str]) -> list[str]:
    """The names, with a number behind those that are there before.

    >>> numbered(["mine", "yours", "mine", "mine"])
    ['mine', 'yours', 'mine-2', 'mine-3']
    """
    found: list[str] = []
    for name in names:
        further = (f"{name}-{number}" for number in itertools.count(2))
        found.append(next(each for each in itertools.chain([name], further) if each not in found))
    return found


class Remote:
    """An implementation that lives in a child: its callables send their arguments there."""

    def __init__(self, child: Child, place: int, name: str, plain: dict[str, Any], callables: list[str]) -> None:
        vars(self).update(plain, name=name)
        for name in callables:
            setattr(self, name, _Call(child, place, name))


class _Call:
    def __init__(self, child: Child, place: int, name: str) -> None:
        self.where = child, place, name

    def __call__(self, *args: Any, **options: Any) -> Any:
        child, place, name = self.where
        result, written = child.ask(place, name, args, options)
        for i, array in written.items():  # as if it had been called here
            args[i][...] = array
        return result


class Pickler(pickle.Pickler):
    """Arrays arrive as they lie in memory: pickle itself would bring most of them into plain order."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is not np.ndarray or obj.dtype.hasobject:
            return NotImplemented
        return laid, lies(obj)


def pickled(message: Any) -> memoryview:
    memory = io.BytesIO()
    Pickler(memory, 5).dump(message)
    return memory.getbuffer()


def send(message: Any, stream: Any) -> None:
    """Send all of a message, or nothing where it can't be pickled."""
    stream.write(pickled(message))
    stream.flush()


class Child:
    """A process that serves calls; it starts when it is first asked, and again after it died."""

    def __init__(self, framework: str, options: dict[str, Any], patience: float) -> None:
        self.environment = {"OMP_WAIT_POLICY": "passive"} | os.environ  # threads that spin between calls would keep the law from running
        self.command = children.command(__name__, "serve", framework, json.dumps(options))
        self.patience = patience
        self.process: subprocess.Popen[bytes] | None = None
        self.complaints = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open as long as the child
        weakref.finalize(self, self.complaints.close)

    def ask(self, *question: Any) -> Any:
        """The answer; what the call raised is raised here, and a death is ``Crashed``."""
        if self.process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.complaints}
            self.process = subprocess.Popen(self.command, start_new_session=True, env=self.environment, **pipes)  # type: ignore[call-overload]
            weakref.finalize(self, children.end, self.process)  # when nobody asks any more, or at exit
            self._answer(self.process, IMPORT)
        return self._answer(self.process, self.patience, *question)

    def _answer(self, process: subprocess.Popen[bytes], patience: float, *question: Any) -> Any:
        self.complaints.seek(0)
        self.complaints.truncate()  # of a death its own are told; the child writes on from here
        try:
            with children.limit(process, patience) as late:
                if question:
                    with contextlib.suppress(OSError):  # it is dead: then there is no answer
                        send(question, process.stdin)
                kind, answer = pickle.load(process.stdout)  # type: ignore[arg-type]
                if kind == "died":  # of this question, or of one before that it had answered
                    self._resume(process)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            self.stop()
            if late.is_set():
                self.patience = min(patience, HURRY)
                raise Crashed(f"no answer within {patience:g} s") from error
            raise Crashed(children.death(process.wait(), self.complaints)) from error
        except BaseException:  # Ctrl-C: the answer is still to come, and must not be taken for the next one
            self.stop()
            raise
        if kind == "died":
            raise Crashed(children.death(answer, self.complaints))
        if kind == "raised":
            raise answer
        return answer

    @staticmethod
    def _resume(process: Any) -> None:
        """Begin the next life with the next question."""
        process.stdin.write(RESUME)
        process.stdin.flush()
        pickle.load(process.stdout)

    def stop(self) -> None:
        """End the process and what it forked."""
        process, self.process = self.process, None
        if process is not None:
            children.end(process)


# -- in the child ----------------------------------------------------------------------------------------------------------
def serve() -> None:
    """Answer calls until the questions end."""
    framework, options, parent = sys.argv[1], json.loads(sys.argv[2]), os.getppid()
    if framework.endswith(".py"):
        sys.path.append(str(Path(framework).absolute().parent))  # its own modules, behind all others
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints is no answer
    from .adapters import implementations

    try:
        found, failed = implementations(framework, **options), None
    except Exception as error:
        found, failed = [], error
    send(("imported", None), answers)
    writing = mmap.mmap(-1, 1)  # a life sets it while it answers
    while True:
        life = os.fork() if hasattr(os, "fork") and not failed else 0
        if life == 0:
            live(found, failed, questions, answers, writing)
            os._exit(0)
        ended, status = 0, 0
        while not ended:
            if os.getppid() != parent:  # nobody asks any more: a call may never come back
                os.killpg(0, signal.SIGKILL)
            time.sleep(0.02)
            ended, status = os.waitpid(life, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return
        if writing[0]:  # what is sent behind a part of an answer would be taken for the rest: this process ends in the same way
            os.kill(os.getpid(), -code) if code < 0 else os._exit(code)
        send(("died", code), answers)
        if not _skip(questions.fileno()):
            return
        send(("ready", None), answers)


def _skip(questions: int) -> bool:
    """Read up to ``RESUME``, behind which nothing is sent before the answer; whether it came."""
    last = b""
    while not last.endswith(RESUME):
        read = os.read(questions, 1 << 16)
        if not read:
            return False
        last = (last + read)[-len(RESUME) :]
    return True


def live(implementations: list[Any], failed: Exception | None, questions: Any, answers: Any, writing: Any) -> None:
    """One life: answer until the questions end, or a call ends the process."""
    while True:
        try:
            question = pickle.load(questions)
        except EOFError:
            return
        try:
            answer = pickled(("is", _answer(implementations, failed, *question)))
        except Exception as error:
            answer = pickled(("raised", _portable(error)))
        writing[0] = 1
        answers.write(answer)
        answers.flush()
        writing[0] = 0


def _answer(implementations: list[Any], failed: Exception | None, place: Any, *call: Any) -> Any:
    if failed:
        raise failed
    if place == "about":
        return [_about(each) for each in implementations]
    name, args, options = call
    before = {i: a.tobytes() for i, a in enumerate(args) if isinstance(a, np.ndarray)}
    result = getattr(implementations[place], name)(*args, **options)
    result = None if result is None else as_arrays(result)  # here: a framework's own types are not known on the other side
    return result, {i: args[i] for i, old in before.items() if args[i].tobytes() != old}


def _about(implementation: Any) -> dict[str, Any]:
    public = {name: getattr(implementation, name) for name in dir(implementation) if not name.startswith("_")}
    plain: dict[str, Any] = {name: value for name, value in public.items() if isinstance(value, (bool, int, float, tuple, dict))}
    plain |= {name: str(value) for name, value in public.items() if isinstance(value, str)}  # of no class of the framework's
    return {"plain": plain | {"name": name_of(implementation)}, "callables": [name for name, value in public.items() if callable(value)]}


def _portable(error: Exception) -> Exception:
    """An error that can be sent: a framework's own classes are not known on the other side."""
    try:
        if type(error) is LawBroken or type(error).__module__ == "builtins":
            pickle.loads(pickle.dumps(error))
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
