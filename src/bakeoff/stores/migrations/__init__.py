"""Steps of the records' schema, oldest first in `versions`; `stores.migrate` runs them.

To change the schema: change `stores/schema.py`, add a step here whose `down_revision` is the newest one,
and set `schema.HEAD` to its `revision`; the tests compare the two ways of making the tables.
"""
