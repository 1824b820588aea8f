"""What is asked of an object store: one function per request, so that another process can be told its name.

They raise what `obstore` raises, and FileNotFoundError; `plain_errors` says it in words for the person at the terminal.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from worldloom.catalogs.errors import WorldloomError

_ROLES = "http://169.254."
"""Where machines in a cloud ask for keys of their own."""

_REFUSED = re.compile(r"status code: 40[13]\b")
_MAX_SAID = 300


def connect(bucket: str, prefix: str) -> Any:
    """A client of a bucket, by what the environment says."""
    from obstore.store import S3Store

    options: dict[str, Any] = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith("http://"):
        options["allow_http"] = True
    return S3Store(bucket, prefix=prefix or None, client_options=options)


@contextmanager
def plain_errors(place: str) -> Iterator[None]:
    """The client's errors as WorldloomError, which names the address; FileNotFoundError as it is."""
    from obstore.exceptions import BaseError

    try:
        yield
    except BaseError as error:
        raise WorldloomError(f"{place}: {explained(error)}") from error


def explained(error: Exception) -> str:
    """An error of the client in one sentence: what it said first, without its own insides, and what to look at."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    said = (str(error).strip().splitlines() or [type(error).__name__])[0][:_MAX_SAID].rstrip(" .")
    if _ROLES in said:
        return (
            f"no keys for the object store ({said}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for this machine "
            "has no role that gives some"
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _REFUSED.search(said):
        return f"the object store refuses ({said}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "not set"
    return (
        f"the object store cannot be used ({said}); check AWS_ENDPOINT_URL ({endpoint}), AWS_REGION and whether this "
        "machine reaches it"
    )


def get(client: Any, name: str) -> bytes:
    """Content of a file."""
    import obstore

    return bytes(obstore.get(client, name).bytes())


def get_range(client: Any, name: str, start: int, stop: int) -> bytes:
    """Bytes `start` to `stop` - 1 of a file, fewer where it ends before."""
    import obstore

    try:
        return bytes(obstore.get_range(client, name, start=start, end=stop))
    except FileNotFoundError:
        raise
    except obstore.exceptions.BaseError:
        if int(obstore.head(client, name)["size"]) <= start:  # nothing lies there, which is an error in S3
            return b""
        raise


def head(client: Any, name: str) -> dict[str, Any] | None:
    """`size` and `version` of a file; None where there is none."""
    import obstore

    try:
        head = obstore.head(client, name)
    except FileNotFoundError:
        return None
    return {"size": int(head["size"]), "version": str(head["e_tag"] or head["last_modified"])}


def list_below(client: Any, prefix: str | None) -> list[tuple[str, int]]:
    """Names and bytes of all files below a prefix."""
    import obstore

    return [
        (str(entry["path"]), int(entry["size"])) for batch in obstore.list(client, prefix=prefix) for entry in batch
    ]


def list_states(client: Any, prefix: str | None) -> list[tuple[str, int, str, str]]:
    """Names, bytes, versions and times of writing (ISO 8601, UTC) of all files below a prefix."""
    import obstore

    return [
        (
            str(entry["path"]),
            int(entry["size"]),
            str(entry["e_tag"] or entry["last_modified"]),
            entry["last_modified"].astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z"),
        )
        for batch in obstore.list(client, prefix=prefix)
        for entry in batch
    ]


def put(client: Any, name: str, data: bytes | Path) -> None:
    """Write a file, or replace it."""
    import obstore

    obstore.put(client, name, data)


def create(client: Any, name: str, data: bytes) -> bool:
    """Write a file that is not there yet; whether this writer did."""
    import obstore

    writer = uuid.uuid4().hex
    try:
        obstore.put(client, name, data, mode="create", attributes={"writer": writer}, use_multipart=False)
    except obstore.exceptions.AlreadyExistsError:
        # A request whose answer was lost is sent again, and then finds its own file there.
        return bool(obstore.get(client, name).attributes.get("writer") == writer)
    return True


def get_versioned(client: Any, name: str) -> tuple[bytes, str, float] | None:
    """Content, version and time of writing in seconds since 1970; None where there is no file."""
    import obstore

    try:
        found = obstore.get(client, name)
    except FileNotFoundError:
        return None
    return bytes(found.bytes()), str(found.meta["e_tag"]), found.meta["last_modified"].timestamp()


def replace_if(client: Any, name: str, data: bytes, version: str) -> bool:
    """Replace a file in the state `version`; whether it is replaced."""
    import obstore

    try:
        obstore.put(client, name, data, mode={"e_tag": version}, use_multipart=False)
    except (obstore.exceptions.PreconditionError, FileNotFoundError):
        found = get_versioned(client, name)  # of an answer that was lost, see `create`
        return found is not None and found[0] == data
    return True


def delete(client: Any, name: str) -> None:
    """Remove a file; nothing where there is none."""
    import obstore

    obstore.delete(client, name)


REQUESTS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (get, get_range, head, list_below, list_states, put, create, get_versioned, replace_if, delete)
}
