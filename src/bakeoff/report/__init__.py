"""The report of a run: a plain model of what was found, and its HTML, Markdown and PNG forms."""
