"""What runs in Ray's actors: one supervisor per pass, each with a child process that does the work."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

from worldloom.pipeline.envelope import Ending, Envelope
from worldloom.pipeline.operation import Operation
from worldloom.pipeline.parcel import pack_parcel, unpack_parcel


class _Interruptible:
    _envelope: Envelope

    def interrupt(self) -> None:
        """From another thread: give the row at work up, and every later one."""
        self._envelope.interrupt()


class IngestSupervisor(_Interruptible):
    """Source items in, records of their clips out.

    Args:
        out: working folder.
        ingest: configuration of the pass, plain data.
        deadline_s: per video.
        memory_mb: of the child.
        recycle_after: calls after which the child is replaced.
    """

    def __init__(
        self, *, out: str, ingest: dict[str, Any], deadline_s: float, memory_mb: int, recycle_after: int
    ) -> None:
        self._shared = {"out": out, "ingest": ingest}
        entry = "worldloom.pipeline.passes.ingest_video:ingest_video"
        self._envelope = Envelope(entry, deadline_s=deadline_s, memory_mb=memory_mb, recycle_after=recycle_after)

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """One video."""
        ending = self._envelope.call({**self._shared, "item": row["item"]})
        payload = ending.result.get("payload", b"")
        return {"id": row["id"], **as_row(ending, payload), "facts": ending.result.get("facts", {})}, payload

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        """The video whose worker died, this process and not its child."""
        return {"id": row["id"], **_lost_row(error, attempts), "facts": {}}, b""


class AnnotateSupervisor(_Interruptible):
    """Clips in, answers of all due operations out, one call into the child per operation.

    The child keeps the clip and its frames between the calls; what one operation found travels to the next by way of
    this process, so that a crash in one takes nothing away from the others.

    Args:
        out: working folder.
        operations: all operations of the job, plain data, in order.
        deadline_s: overrides each operation's own.
        memory_mb: overrides each operation's own.
        recycle_after: calls after which the child is replaced.
        gpu: whether the operations run on one, where address space says nothing about memory.
    """

    def __init__(
        self,
        *,
        out: str,
        operations: list[dict[str, Any]],
        deadline_s: float | None,
        memory_mb: int | None,
        recycle_after: int,
        gpu: bool = False,
    ) -> None:
        self._out = out
        self._operations = [Operation.from_json(values) for values in operations]
        self._deadline_s, self._memory_mb = deadline_s, memory_mb
        longest = max(operation.deadline_s for operation in self._operations)
        largest = max(operation.memory_mb for operation in self._operations)
        self._envelope = Envelope(
            "worldloom.pipeline.passes.annotate_clip:annotate_clip",
            deadline_s=deadline_s or longest,
            memory_mb=memory_mb or largest,
            recycle_after=recycle_after,
            address_space=not gpu,
        )

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """One clip: its `key`, the place of its `record`, what is `due`, and the places of what is `known`."""
        results: list[dict[str, Any]] = []
        answers: dict[str, bytes] = {}
        for operation in self._operations:
            if operation.name not in row["due"]:
                continue
            ending = self._envelope.call(
                {
                    "out": self._out,
                    "key": row["key"],
                    "record": row["record"],
                    "operation": operation.as_json(),
                    "gives": {one.name: one.gives for one in self._operations if one.name in operation.after},
                    "known": {name: place for name, place in row["known"].items() if name in operation.after},
                    "fresh": {name: data for name, data in answers.items() if name in operation.after},
                },
                deadline_s=self._deadline_s or operation.deadline_s,
                memory_mb=self._memory_mb or operation.memory_mb,
            )
            result, payload = self._result(operation, ending)
            results.append(result)
            if payload:
                answers[operation.name] = payload
        return {"key": row["key"], "source": row["source"], "results": results}, pack_parcel(answers)

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        """The clip whose worker died: which of its operations did it is not known, so none has an answer."""
        told = _lost_row(error, attempts) | {"facts": {}}
        results = [{**told, "operation": name} for name in row["due"]]
        return {"key": row["key"], "source": row["source"], "results": results}, pack_parcel({})

    def _result(self, operation: Operation, ending: Ending) -> tuple[dict[str, Any], bytes]:
        result = ending.result
        payload: bytes = result.get("payload", b"")
        row = as_row(ending, payload) | {"operation": operation.name, "facts": result.get("facts", {})}
        if ending.status == "ok":
            row |= {"status": result["status"], "reason": result["reason"], "digest": result["digest"]}
        elif ending.status == "dropped":
            # The clip stays; it is this operation that cannot use it.
            row |= {"status": "failed"}
        return row, payload


class PackSupervisor(_Interruptible):
    """Planned shards in, written shards and their catalog rows out.

    Args:
        out: working folder.
        shared: what every shard needs to know, plain data.
        deadline_s: per shard.
        memory_mb: of the child.
        recycle_after: calls after which the child is replaced.
    """

    def __init__(
        self, *, out: str, shared: dict[str, Any], deadline_s: float, memory_mb: int, recycle_after: int
    ) -> None:
        self._shared = {**shared, "out": out}
        entry = "worldloom.pipeline.passes.pack_shard:pack_shard"
        self._envelope = Envelope(entry, deadline_s=deadline_s, memory_mb=memory_mb, recycle_after=recycle_after)

    def __call__(self, row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """One shard."""
        ending = self._envelope.call({**self._shared, **row})
        payload = ending.result.get("payload", b"")
        return {"name": row["name"], **as_row(ending, payload), "facts": ending.result.get("facts", {})}, payload

    @staticmethod
    def lost(row: dict[str, Any], error: str, attempts: int) -> tuple[dict[str, Any], bytes]:
        """The shard whose worker died."""
        return {"name": row["name"], **_lost_row(error, attempts), "facts": {}}, b""


def as_row(ending: Ending, payload: bytes) -> dict[str, Any]:
    """The columns of a ledger row that an ending fills, and `trace`: the evidence for the quarantine."""
    return {
        "status": ending.status,
        "reason": ending.reason,
        "error": ending.error,
        "trace": ending.evidence(),
        "digest": hashlib.sha256(payload).hexdigest() if payload else "",
        "bytes": ending.result.get("bytes", len(payload)),
        "seconds": round(ending.seconds, 4),
        "attempts": ending.attempts,
        "host": socket.gethostname(),
    }


def _lost_row(error: str, attempts: int) -> dict[str, Any]:
    return as_row(Ending("failed", "worker_died", error, attempts=attempts), b"")


def answers_of(parcel: bytes) -> dict[str, bytes]:
    """Answers of a row of `AnnotateSupervisor`, by operation."""
    return unpack_parcel(parcel)
