"""Where state lives: records (SQLite, PostgreSQL), blobs and events (files); opened by URL scheme.

records.open_records   runs, versions, documents    (schema, runs, versions, documents, database, migrate)
blobs.open_blobs       content-addressed bytes      (objects, chunking)
events.open_events     append-only log              (segments, writer, reader, archive, ids)
"""
