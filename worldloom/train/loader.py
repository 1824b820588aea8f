"""Batches in their order, decoded ahead by worker processes; the order does not depend on how many there are."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from worldloom.catalogs.errors import WorldloomError
from worldloom.train.batches import Batch, BatchReader, ReadFailure
from worldloom.train.order import Order, Position, advanced

PREFETCH = 2
"""Batches each worker has ready (ours)."""


class WorkerDied(WorldloomError):
    """A worker process ended by itself; the run continues from its last checkpoint."""


class Loader:
    """The batches of a run from a position on.

    Args:
        order: of all batches.
        reader: of one.
        position: what was consumed before.
        count: how many batches are wanted at most.
        workers: processes; 0: decode in this one.
        pin: for copies to a GPU.

    Attributes:
        position: after the batches handed out so far; saved with a checkpoint, it resumes exactly.
    """

    def __init__(
        self, order: Order, reader: BatchReader, position: Position, count: int, workers: int, pin: bool = False
    ) -> None:
        self.position = position
        self._plans = itertools.islice(order.from_position(position), count)
        self._reader, self._workers, self._pin = reader, workers, pin

    def __iter__(self) -> Iterator[Batch]:
        """Batches one by one.

        Raises:
            WorkerDied: a worker process ended by itself.
            WorldloomError: the data cannot be read.
        """
        found: Iterator[Any] = (self._reader[plan] for plan in self._plans)
        if self._workers:
            found = _ahead(self._reader, self._plans, self._workers)
        for batch in found:
            if isinstance(batch, ReadFailure):
                raise WorldloomError(f"the training data cannot be read: {batch.message}")
            self.position = advanced(self.position, batch.plan)
            yield batch.pin() if self._pin else batch


def _ahead(reader: BatchReader, plans: Iterator[Any], workers: int) -> Iterator[Any]:
    """Batches from worker processes, in the order of their plans."""
    # A fork after torch has started its threads may deadlock; the fork server is started before any.
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worldloom.train.loader", "worldloom.catalogs.video"])
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if in_main else None
    source = iter(
        DataLoader(
            reader,  # type: ignore[arg-type]
            sampler=plans,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=context,
            prefetch_factor=PREFETCH,
            worker_init_fn=_start_worker,
        )
    )
    if in_main:
        # torch's handler raises wherever the main thread is, also between two updates of the optimizer; a dead
        # worker is noticed just as well when the next batch is asked for.
        signal.signal(signal.SIGCHLD, before)
    try:
        while True:
            try:
                batch = next(source)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise WorkerDied(_what_happened(error)) from None
            except (OSError, EOFError) as error:  # it died while it handed over a batch
                raise WorkerDied(_what_happened(error)) from None
            yield batch
    finally:
        shut_down = getattr(source, "_shutdown_workers", None)
        if shut_down is not None:
            shut_down()


def _what_happened(error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"a worker process that decodes video ended by itself ({reason}). It may have run out of"
        " memory or of /dev/shm: set batch.workers lower (0 decodes in the training process), or make the batch"
        " smaller. The same command resumes from the last checkpoint"
    )


def _start_worker(number: int) -> None:
    """One thread each; the training process alone decides what an interrupt means."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_trainer, name="trainer-watch", daemon=True).start()


def _end_with_the_trainer() -> None:
    """Leave when the training process is gone, also by kill -9.

    torch watches the parent process, which here is the fork server, and that waits for its last worker: each would
    keep the other alive for ever.
    """
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        multiprocessing.connection.wait([trainer.sentinel])
        os._exit(1)
