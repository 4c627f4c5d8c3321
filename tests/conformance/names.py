# SPDX-License-Identifier: MIT
"""asyncio's public names, and those of its neighbours that asyncio programs use; for
docs/asyncio_names.md. A member is listed once, under the first class that has it."""

import asyncio
import asyncio.subprocess
import concurrent.futures
import contextlib
import contextvars
import inspect
import selectors

PYTHONS_OWN = ("builtins", "typing", "enum", "abc")
MODULES = {
    "asyncio": (asyncio, asyncio.__all__),
    "asyncio.subprocess": (asyncio.subprocess, ("DEVNULL", "PIPE", "Process", "STDOUT")),
    "concurrent.futures": (concurrent.futures, concurrent.futures.__all__),
    "contextlib": (contextlib, ("AbstractAsyncContextManager", "AsyncContextDecorator",
                                "AsyncExitStack", "aclosing", "asynccontextmanager",
                                "nullcontext")),
    "contextvars": (contextvars, contextvars.__all__),
    "selectors": (selectors, ("BaseSelector", "DefaultSelector", "EVENT_READ", "EVENT_WRITE",
                              "EpollSelector", "PollSelector", "SelectSelector", "SelectorKey")),
}


# What only instances have.
ATTRIBUTES = ("asyncio.IncompleteReadError.expected", "asyncio.IncompleteReadError.partial",
              "asyncio.LimitOverrunError.consumed", "asyncio.subprocess.Process.pid",
              "asyncio.subprocess.Process.stderr", "asyncio.subprocess.Process.stdin",
              "asyncio.subprocess.Process.stdout", "asyncio.AbstractEventLoop.slow_callback_duration")


def members(cls, listed):
    """Its public members that no other class of the list has already."""
    above = [base for base in cls.__mro__ if base is not cls and base in listed]
    return {name for base in cls.__mro__ if base.__module__ not in PYTHONS_OWN
            for name in vars(base)
            if not name.startswith("_") and not any(hasattr(other, name) for other in above)}


def lines():
    found = set(ATTRIBUTES)
    for prefix, (module, names) in MODULES.items():
        things = {name: getattr(module, name) for name in names}
        listed = {thing for thing in things.values() if inspect.isclass(thing)}
        for name, thing in things.items():
            found.add(f"{prefix}.{name}")
            if inspect.isclass(thing):
                found.update(f"{prefix}.{name}.{member}" for member in members(thing, listed))
    return sorted(found)
