"""Albedo of surfaces: functions from a `Sheet` to a picture, never periodic, with detail at every scale."""
