-- The views of `bakeoff sql`, each behind its name. What they read stands in the schema `source`: tables of the records
-- and of the event log as `bakeoff.stores.tables` and `EventLog.scan` give them, and documents by collection.

-- view: experiments
SELECT experiment_id::VARCHAR AS experiment_id, name, lifecycle, epoch_ms(created_ms) AS created, location
FROM source."experiments"

-- view: runs
SELECT r.run_id, r.experiment_id::VARCHAR AS experiment_id, e.name AS experiment, r.name, r.status, r.lifecycle,
  epoch_ms(r.start_ms) AS started, epoch_ms(r.end_ms) AS ended, (r.end_ms - r.start_ms) / 1000.0 AS seconds, r.parent_id
FROM source."runs" r JOIN source."experiments" e USING (experiment_id)

-- view: metrics
SELECT run_id, key, CASE WHEN is_nan THEN 'nan'::DOUBLE ELSE value END AS value, step, epoch_ms(time_ms) AS logged_at
FROM source."metrics"

-- view: metric_history
SELECT DISTINCT run_id, key, value, step, epoch_ms(time_ms) AS logged_at, model_id, dataset, digest
FROM source."metric_history"

-- view: params
SELECT * FROM source."params"

-- view: tags
SELECT * FROM source."tags"

-- view: inputs
SELECT run_id, name, version, context FROM source."inputs"

-- view: artifacts
SELECT * FROM source."artifacts"

-- view: models
SELECT v.name, v.number AS version, v.run_id, epoch_ms(v.created_ms) AS created, v.stage, v.description, v.content,
  (SELECT list(a.alias ORDER BY a.alias) FROM source."aliases" a
    WHERE a.kind = v.kind AND a.name = v.name AND a.number = v.number) AS aliases,
  (SELECT map(list(t.key ORDER BY t.key), list(t.value ORDER BY t.key)) FROM source."version_tags" t
    WHERE t.kind = v.kind AND t.name = v.name AND t.number = v.number) AS tags,
  v.lineage
FROM source."versions" v WHERE v.kind = 'model'

-- view: datasets
SELECT name, number AS version, run_id, epoch_ms(created_ms) AS created, content, lineage
FROM source."versions" WHERE kind = 'dataset'

-- view: predictions
SELECT * EXCLUDE (seq, time_ms, role, shadow_of) RENAME ("row" AS inputs), coalesce(role, 'live') AS role,
  epoch_ms(time_ms) AS logged_at
FROM source."predictions" WHERE role IS DISTINCT FROM 'shadow'

-- view: failures
SELECT * EXCLUDE (seq, time_ms, role), coalesce(role, 'live') AS role, epoch_ms(time_ms) AS logged_at
FROM source."failures" WHERE role IS DISTINCT FROM 'shadow'

-- view: feedback
SELECT * EXCLUDE (seq, time_ms), epoch_ms(time_ms) AS logged_at FROM source."feedback"

-- view: signals
SELECT endpoint, release_id, s->>'$.name' AS name, (s->>'$.value')::DOUBLE AS value,
  (s->>'$.limit')::DOUBLE AS most, (s->>'$.alert')::BOOLEAN AS alert, (s->>'$.rows')::BIGINT AS rows,
  epoch_ms((s->>'$.since_ms')::BIGINT) AS since, epoch_ms((s->>'$.until_ms')::BIGINT) AS until, (s->'$.detail')::VARCHAR AS detail
FROM (
  SELECT body->>'$.endpoint' AS endpoint, body->>'$.release_id' AS release_id,
    unnest(from_json(body->'$.signals', '["JSON"]')) AS s
  FROM source."documents:signals")

-- view: traces
SELECT body->>'$.trace_id' AS trace_id, body->>'$.experiment_id' AS experiment_id,
  body->>'$.metadata."mlflow.sourceRun"' AS run_id, body->>'$.tags."mlflow.traceName"' AS name,
  body->>'$.state' AS status, epoch_ms((body->>'$.start_ms')::BIGINT) AS started,
  ((body->>'$.end_ms')::BIGINT - (body->>'$.start_ms')::BIGINT) / 1000.0 AS seconds,
  body->>'$.request_preview' AS request, body->>'$.response_preview' AS response,
  ((body->>'$.metadata."mlflow.trace.tokenUsage"')::JSON->>'$.input_tokens')::BIGINT AS input_tokens,
  ((body->>'$.metadata."mlflow.trace.tokenUsage"')::JSON->>'$.output_tokens')::BIGINT AS output_tokens,
  ((body->>'$.metadata."mlflow.trace.tokenUsage"')::JSON->>'$.total_tokens')::BIGINT AS total_tokens,
  ((body->>'$.metadata."mlflow.trace.cost"')::JSON->>'$.total_cost')::DOUBLE AS cost_usd,
  body->>'$.metadata."mlflow.trace.session"' AS session, body->>'$.metadata."mlflow.trace.user"' AS user_id,
  (body->>'$.spans')::BIGINT AS spans, (body->'$.tags')::VARCHAR AS tags, (body->'$.metadata')::VARCHAR AS metadata
FROM source."documents:traces" WHERE body->>'$.trace_id' IS NOT NULL -- links may come before their trace

-- view: spans
SELECT body->>'$.trace_id' AS trace_id, body->>'$.span.span_id' AS span_id,
  body->>'$.span.parent_span_id' AS parent_id, body->>'$.span.name' AS name, body->>'$.span.status.code' AS status,
  make_timestamp((body->>'$.span.start_time_unix_nano')::BIGINT // 1000) AS started,
  ((body->>'$.span.end_time_unix_nano')::BIGINT - (body->>'$.span.start_time_unix_nano')::BIGINT) / 1e9 AS seconds,
  map_from_entries(list_transform(
    from_json(body->'$.span.attributes', '[{"key":"VARCHAR","value":"JSON"}]'),
    lambda x: struct_pack(k := x.key, v := coalesce(
      x.value->>'$.string_value', x.value->>'$.int_value', x.value->>'$.double_value', x.value->>'$.bool_value',
      x.value::VARCHAR)))) AS attributes
FROM source."documents:trace_spans"

-- view: assessments
SELECT trace_id, a->>'$.assessment_name' AS name,
  CASE WHEN (a->'$.issue') IS NOT NULL THEN 'issue' WHEN (a->'$.feedback') IS NULL THEN 'expectation' ELSE 'feedback' END AS kind,
  coalesce(a->'$.feedback.value', a->'$.expectation.value')::VARCHAR AS value, a->>'$.source.source_type' AS source,
  (a->>'$.valid')::BOOLEAN AS valid, a->>'$.rationale' AS rationale
FROM (
  SELECT body->>'$.trace_id' AS trace_id, unnest(from_json(body->'$.assessments', '["JSON"]')) AS a
  FROM source."documents:traces")
