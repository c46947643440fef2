"""The command line: each command parses, calls `Project`, renders."""
