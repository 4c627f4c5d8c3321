# SPDX-License-Identifier: MIT
"""What becomes of a permit, a notification or an item when the tasks that wait for it are
cancelled, others come, and the object changes, all in one turn or two, in all orders.
handovers_test.cpp runs the same lines on aster.

A line is `<object> <actions>: <trace>`. The tasks A, B and C wait for the object (A and B
for a barrier of three) when the actions happen, one after the other, between two turns of
the loop. The objects:
    L  a lock that is held                  r  released
    S  a semaphore(0)                       r, R  released
    E  an event                             s  set      x  cleared
    C  a condition                          i  notify(1) by a task, I  notify_all by a task
                                            h  a task locks, notifies 2, unlocks two turns later
    G  an empty queue, its getters          p, P  put_nowait  g  get_nowait
    P  a full queue(1), its putters         g, G  get_nowait  p  put_nowait
    B  a barrier                            d, e  another task waits
                                            x  abort    z  reset
Everywhere:
    a, b  that task is cancelled    n  the task N comes, does the same
    |     one turn passes           s, S  a queue is shut down, the second immediately
Tasks give a lock back a turn later. After a `~` those that still wait are cancelled, and
then comes what is left: how many permits, which items.
"""

import asyncio
import itertools

from scenario import Scenario, name_of

ALPHABETS = {
    "L": ["rabcn|"],
    "S": ["rRabn|"],
    "E": ["sxabn|"],
    "C": ["iIhab|"],
    "G": ["pPgan|", "pgsSa|"],
    "P": ["gGpan|", "gpsSa|"],
    "B": ["dexza|"],
}


class Handover:
    def __init__(self, s, kind):
        self.s = s
        self.kind = kind
        self.tasks = {}
        self.object = {
            "L": asyncio.Lock,
            "S": lambda: asyncio.Semaphore(0),
            "E": asyncio.Event,
            "C": asyncio.Condition,
            "G": asyncio.Queue,
            "P": lambda: asyncio.Queue(1),
            "B": lambda: asyncio.Barrier(3),
        }[kind]()

    def run(self, actions):
        if self.kind == "L":
            self.start("H", self.object.acquire())
        elif self.kind == "P":
            self.object.put_nowait("0")
        self.s.turns(2)
        for name in "AB" if self.kind == "B" else "ABC":
            self.come(name)
        self.s.turns(3)
        for letter in actions:
            self.act(letter)
        self.s.turns(12)
        self.s.mark_turns = False
        self.s.note("~")
        for task in self.tasks.values():
            task.cancel()
        self.s.turns(4)
        self.start("rest", self.rest())
        self.s.turns(4)
        return self.s.trace

    def start(self, name, coroutine):
        self.tasks[name] = self.s.loop.create_task(coroutine)

    def come(self, name):
        self.start(name, self.guarded(name, getattr(self, "use_" + self.kind)(name)))

    async def guarded(self, name, coroutine):
        try:
            await coroutine
        except BaseException as error:
            self.s.note(f"{name}:{name_of(error)}")

    async def use_L(self, name):
        async with self.object:
            self.s.note(name)
            await asyncio.sleep(0)

    async def use_S(self, name):
        await self.object.acquire()
        self.s.note(name)

    async def use_E(self, name):
        await self.object.wait()
        self.s.note(name)

    async def use_C(self, name):
        async with self.object:
            try:
                await self.object.wait()
            finally:
                self.s.note(name + ("" if self.object.locked() else ":unlocked"))

    async def use_G(self, name):
        item = await self.object.get()
        self.s.note(name + item)

    async def use_P(self, name):
        await self.object.put(name)
        self.s.note(name)

    async def use_B(self, name):
        number = await self.object.wait()
        self.s.note(f"{name}{number}")

    async def notify(self, name, count, turns):
        async with self.object:
            self.s.note(name)
            if count is None:
                self.object.notify_all()
            else:
                self.object.notify(count)
            for _ in range(turns):
                await asyncio.sleep(0)

    def now(self, letter):
        try:
            if letter in "gG":
                self.s.note("got" + self.object.get_nowait())
            else:
                self.object.put_nowait(letter)
        except Exception as error:
            self.s.note(f"{letter}:{name_of(error)}")

    def act(self, letter):
        if letter == "|":
            self.s.turns(1)
        elif letter in "abc":
            self.tasks[letter.upper()].cancel()
        elif letter == "n":
            self.come("N")
        elif self.kind in "LS":
            if self.kind == "S" or self.object.locked():
                self.object.release()
        elif self.kind == "E":
            self.object.set() if letter == "s" else self.object.clear()
        elif self.kind == "C":
            count, turns = {"i": (1, 0), "I": (None, 0), "h": (2, 2)}[letter]
            self.start(letter, self.notify(letter, count, turns))
        elif letter in "sS":
            self.object.shutdown(letter == "S")
        elif self.kind in "GP":
            self.now(letter)
        elif letter in "de":
            self.come(letter.upper())
        else:
            change = self.object.abort if letter == "x" else self.object.reset
            self.start(letter, change())

    async def rest(self):
        if self.kind == "L":
            self.s.note("locked" if self.object.locked() else "free")
        elif self.kind == "S":
            count = 0
            while not self.object.locked():
                await self.object.acquire()
                count += 1
            self.s.note(str(count))
        elif self.kind == "E":
            self.s.note("set" if self.object.is_set() else "unset")
        elif self.kind == "C":
            self.s.note("locked" if self.object.locked() else "free")
        elif self.kind in "GP":
            while not self.object.empty():
                self.s.note(self.object.get_nowait())
            self.s.note("empty")
        else:
            self.s.note("broken" if self.object.broken else str(self.object.n_waiting))


def lines():
    for kind, alphabets in ALPHABETS.items():
        done = set()
        for alphabet, length in itertools.product(alphabets, (1, 2, 3, 4)):
            for letters in itertools.permutations(alphabet, length):
                actions = "".join(letters)
                if length == 4 and "|" not in actions or actions in done:
                    continue
                if actions[0] == "|" or actions[-1] == "|":
                    continue
                done.add(actions)
                s = Scenario()
                trace = Handover(s, kind).run(actions)
                s.close()
                yield f"{kind} {actions}: {trace}"
