"""Chains of steps over corpora larger than memory: block by block, on all cores, order kept.

A chain is cut after each step that compares rows with each other. `blocks` cuts the files, `worker` runs the steps
of one stage on one block (`parsing` reads it, `writing` writes it), `spill` keeps the keys of all rows on disk for
the comparisons, `pool` holds the processes, and `run` is the whole.
"""
