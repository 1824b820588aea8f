"""An S3-compatible server on loopback, for tests of everything that may lie in an object store."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket; the environment says how to reach it, for child processes too."""
    import logging

    from moto.server import ThreadedMotoServer

    bucket = f"bucket-{uuid.uuid4().hex[:8]}"  # all servers of a process share what is in them

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        for name, value in {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT"), timeout=10).close()
        yield f"s3://{bucket}"
    finally:
        server.stop()
