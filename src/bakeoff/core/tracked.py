"""Collections of documents that tracking writes for what is of no run alone; other parts read them, too."""

__all__ = ["EVALUATION_RECORDS", "FILES", "SPANS", "TRACES"]

TRACES = "traces"
SPANS = "trace_spans"
"""The spans of traces: the key is the trace's id, a slash, and the span's."""
EVALUATION_RECORDS = "evaluation_records"
"""Rows of evaluation datasets: the key is the dataset's id, a slash, and the row's."""
FILES = "artifact_files"
"""Documents of files that are of no run: the path, and the blob."""
