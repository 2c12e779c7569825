"""What the next epoch needs, made while the present one trains."""

import atexit
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Cancelled(Exception):
    """Nobody needs it any more."""


class Until:
    """Texts, as long as they are needed: to go on with them raises :class:`Cancelled` then.

    Args:
        stop: Set when they are no longer needed.
        texts: The texts.
    """

    def __init__(self, stop: Event, texts: Iterable[str]):
        self._stop, self._texts = stop, texts

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            if self._stop.is_set():
                raise Cancelled
            yield text


class Ahead(Generic[Made]):
    """Something made in a thread of its own, to be taken later: one thing at a time.

    What takes long should be done by another process meanwhile, since threads of Python take turns.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._stop = Event()
        self._epoch = 0
        self._made: list[Made] = []

    def begin(self, epoch: int, make: Callable[[Event], Made]) -> None:
        """Begins to make what an epoch needs.

        Args:
            epoch: Number of the epoch.
            make: Makes it; may raise :class:`Cancelled` when the given event is set.
        """
        self.close()
        stop, made = self._stop, self._made = Event(), []
        self._epoch = epoch

        def run() -> None:
            with suppress(Exception):  # who then makes it himself sees what is wrong
                made.append(make(stop))

        # A daemon, lest a program that ends in an error wait for it.
        self._thread = Thread(target=run, name=f"epoch {epoch}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def take(self, epoch: int) -> Made | None:
        """What an epoch needs, as soon as it is made; None if that was not begun, or failed.

        What was begun for another epoch is given up.
        """
        if self._thread is not None and self._epoch == epoch:
            self._thread.join()
        made = self._made if self._epoch == epoch else []
        self.close()
        return made[0] if made else None

    def close(self) -> None:
        """Gives up what is in the making, and waits until that has ended, within a second or so."""
        atexit.unregister(self.close)
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread, self._made = None, []
