"""The four passes of a job: ingest, annotate, compose, pack."""
