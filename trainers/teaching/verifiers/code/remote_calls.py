"""Calling functions of another process with plain values; standard library only, its source also runs in sandboxes.

The tests of a row run in one process (`run_tests`), the answer in another (`serve_answer`), joined by a socket. What
crosses it is data: numbers, text, containers, and handles on everything else. The tests compare what they decoded, so
an answer can choose its values but neither their comparison nor what the tests see.
"""

import builtins
import collections
import importlib
import itertools
import json
import socket
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, cast

_MOST_ITEMS = 100_000
_FORWARDED = ("__len__", "__iter__", "__getitem__", "__setitem__", "__str__", "__repr__")


class AnswerError(Exception):
    """An exception of the answer that has no built-in name, or an answer that does not speak as it should."""


class Peer:
    """One end of the socket: calls the other end, and serves its calls while it waits.

    Args:
        channel: the connected socket.
        gives_attributes: True on the answer's side: its objects are open to the tests, whose own are only called.
    """

    def __init__(self, channel: socket.socket, gives_attributes: bool) -> None:
        self._reader = channel.makefile("rb")
        self._writer = channel.makefile("wb")
        self._gives_attributes = gives_attributes
        self._held: list[Any] = []

    def ask(self, *message: Any) -> Any:
        """Send a request and return what comes back for it; raise what it raised."""
        self.send(*message)
        while True:
            kind, *content = self.receive()
            if kind == "value":
                return content
            if kind == "raise":
                raise _exception(*content)
            self.serve(kind, content)

    def send(self, *message: Any) -> None:
        """Write one message; raise `TypeError` and the like before a byte of one that cannot be sent."""
        line = json.dumps(message).encode() + b"\n"
        self._writer.write(line)
        self._writer.flush()

    def receive(self) -> list[Any]:
        """Read one message; `EOFError` when the other end is gone."""
        line = self._reader.readline()
        if not line:
            raise EOFError("the other process has ended")
        message = json.loads(line)
        if not isinstance(message, list) or not message:
            raise AnswerError("no message")
        return message

    def serve(self, kind: str, content: list[Any]) -> None:
        """Answer one request of the other end."""
        try:
            target = self._held[content[0]]
            if kind == "call":
                arguments, named = self.decode(content[1]), self.decode(content[2])
                result = self.encode(target(*arguments, **named))
                self.send("value", result, [self.encode(argument) for argument in arguments])
            elif kind == "get" and self._gives_attributes:
                self.send("value", self.encode(getattr(target, content[1])))
            else:
                raise AnswerError(kind)
        except (EOFError, OSError):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it was, the other end shall raise it
            self.send("raise", type(error).__name__, [item for item in error.args if isinstance(item, (str, int))])

    def hold(self, value: Any) -> list[Any]:
        """Return a handle on an object that does not travel."""
        self._held.append(value)
        return ["handle", len(self._held) - 1]

    def encode(self, value: Any) -> Any:
        """Return a value as JSON can carry it: tagged, containers by their content, all else as a handle."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, Handle):
            return ["yours", object.__getattribute__(value, "_number")]
        for kind, tag, plain in _SCALARS:
            if isinstance(value, kind):
                return [tag, plain(value)]
        for module, name, plain in _LIBRARY_TYPES:
            if (type(value).__module__, type(value).__name__) in ((module, name), (f"_{module}", name)):
                return [name, plain(value)]
        if isinstance(value, dict):
            return ["dict", [[self.encode(key), self.encode(item)] for key, item in dict.items(value)]]
        for kind, tag in _CONTAINERS:
            if isinstance(value, kind):
                return [tag, [self.encode(item) for item in kind.__iter__(value)]]
        if isinstance(value, range):
            return ["range", [self.encode(item) for item in (value.start, value.stop, value.step)]]
        if isinstance(value, (Iterator, *_VIEWS)):
            items: list[Any] = list(itertools.islice(cast(Any, value), _MOST_ITEMS + 1))
            if len(items) > _MOST_ITEMS:
                raise AnswerError("an iterator without an end")
            return ["iterator" if isinstance(value, Iterator) else "list", [self.encode(item) for item in items]]
        if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.encode(value.tolist())
        return self.hold(value)

    def decode(self, carried: Any) -> Any:
        """Return what `encode` made of a value at the other end, as objects of built-in types and handles."""
        if carried is None or carried is True or carried is False:
            return carried
        tag, content = carried
        if tag == "dict":
            return {self.decode(key): self.decode(item) for key, item in content}
        if tag == "handle":
            return Handle(self, int(content))
        if tag == "yours":
            return self._held[content]
        read = _READ[tag]
        return read([self.decode(item) for item in content] if tag in _OF_ITEMS else content)


class Handle:
    """An object of the other process. Its attributes and calls go there; comparing it does not."""

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        peer = object.__getattribute__(self, "_peer")
        return peer.decode(peer.ask("get", object.__getattribute__(self, "_number"), name)[0])

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the answer's object over there."""
        peer = object.__getattribute__(self, "_peer")
        number = object.__getattribute__(self, "_number")
        result, changed = peer.ask("call", number, peer.encode(list(arguments)), peer.encode(named))
        for argument, after in zip(arguments, changed, strict=True):
            _update(argument, peer.decode(after))
        return peer.decode(result)

    def __eq__(self, other: object) -> bool:
        """Compare two objects of the answer as it says; one of them never equals a value of the tests."""
        if self is other:
            return True
        return isinstance(other, Handle) and self.__getattr__("__eq__")(other) is True

    __hash__ = object.__hash__


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: Handle, *arguments: Any) -> Any:
        return self.__getattr__(name)(*arguments)

    return method


for _name in _FORWARDED:
    setattr(Handle, _name, _forwarded(_name))


def _update(argument: Any, after: Any) -> None:
    """Bring a container that the answer was given to the content that it has there now."""
    if type(argument) is not type(after):
        return
    if isinstance(argument, list):
        argument[:] = after
    elif isinstance(argument, (dict, set)):
        argument.clear()
        argument.update(after)


def _exception(name: str, arguments: list[Any]) -> Exception:
    kind = getattr(builtins, name, None) if isinstance(name, str) else None
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError):
        return kind(*arguments)
    return AnswerError(name, *arguments)


# Hexadecimal, since decimal digits are read in quadratic time.
_SCALARS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (int, "int", lambda value: f"{int.__index__(value):x}"),
    (float, "float", lambda value: float.hex(value)),
    (complex, "complex", lambda value: [float.hex(value.real), float.hex(value.imag)]),
    (str, "str", lambda value: str.__str__(value)),
    (bytes, "bytes", lambda value: bytes.hex(value)),
)
_CONTAINERS: tuple[tuple[Any, str], ...] = (
    (list, "list"),
    (tuple, "tuple"),
    (set, "set"),
    (frozenset, "frozenset"),
    (collections.deque, "deque"),
)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_LIBRARY_TYPES: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("decimal", "Decimal", str),
    ("fractions", "Fraction", str),
    ("datetime", "datetime", lambda value: value.isoformat()),
    ("datetime", "date", lambda value: value.isoformat()),
)
_READ: dict[str, Callable[[Any], Any]] = {
    "int": lambda content: int(content, 16),
    "float": float.fromhex,
    "complex": lambda content: complex(float.fromhex(content[0]), float.fromhex(content[1])),
    "str": str,
    "bytes": bytes.fromhex,
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
    "range": lambda items: range(*items),
    "iterator": iter,
    "Decimal": lambda content: importlib.import_module("decimal").Decimal(content),
    "Fraction": lambda content: importlib.import_module("fractions").Fraction(content),
    "datetime": lambda content: importlib.import_module("datetime").datetime.fromisoformat(content),
    "date": lambda content: importlib.import_module("datetime").date.fromisoformat(content),
}
_OF_ITEMS = ("list", "tuple", "set", "frozenset", "deque", "range", "iterator")


def serve_answer(request: dict[str, Any], channel: socket.socket) -> None:
    """Run an answer's code, then serve what it defines until the tests are done."""
    peer = Peer(channel, gives_attributes=True)
    defined: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(request["code"], "<answer>", "exec"), defined)
    except BaseException as error:  # noqa: BLE001 - SystemExit is no success either
        peer.send("raise", type(error).__name__, [str(error)])
        return
    wanted = [name for name in request["names"] if name in defined]
    peer.send("value", peer.encode({name: defined[name] for name in wanted}))
    while True:
        kind, *content = peer.receive()
        peer.serve(kind, content)


def received_names(peer: Peer) -> dict[str, Any]:
    """Return what the answer defines of the names that it was asked for; raise what it raised instead."""
    kind, *content = peer.receive()
    if kind != "value":
        raise _exception(*content)
    found = peer.decode(content[0])
    if not isinstance(found, dict):
        raise AnswerError("no names")
    return found


def run_tests(request: dict[str, Any], channel: socket.socket) -> None:
    """Run a row's tests on what the answer defines; raise where one fails."""
    names: dict[str, Any] = {"__name__": "tests"}
    exec(compile(request["setup"], "<setup>", "exec"), names)
    found = received_names(Peer(channel, gives_attributes=False))
    # Nothing else: an answer that defines `abs` must not choose what `abs` means in its tests.
    names.update((name, found[name]) for name in request["names"] if name in found)
    exec(compile(request["tests"], "<tests>", "exec"), names)


def answer_call(request: dict[str, Any], channel: socket.socket) -> None:
    """Run a module's source and call a function of it; send its result as text, or what was raised, shortened.

    Without arguments the module is only run, which shows that it can be.
    """
    try:
        # Dataclasses look their module up by its name.
        module = sys.modules["tool"] = ModuleType("tool")
        exec(compile(request["source"], "<tool>", "exec"), vars(module))
        result = "" if request["arguments"] is None else vars(module)[request["name"]](**request["arguments"])
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
        kind = "result"
    except BaseException as error:  # noqa: BLE001 - SystemExit is no result either
        kind, text = "error", f"{type(error).__name__}: {error}"
    most = request["max_characters"]
    channel.sendall(json.dumps([kind, text[:most], max(0, len(text) - most)]).encode())
    channel.shutdown(socket.SHUT_RDWR)
