-- Columns of a job in the order of jobs_decode. Texts are cut here: a row that is larger than any
-- CHECK allows must not keep the page it stands on from being read.
-- define: head id, tenant_id, left(kind, 64), left(target, 1024),
-- define: args left(args, 65536),
-- define: tail left(principal, 256), left(result, 1024), left(phase, 256), done_bytes, total_bytes,
-- more: error_code, left(error_reason, 128), left(error_message, 4000), left(state, 32),
-- more: left(replay, 32), priority, attempt, max_attempts, is_cancel_requested, is_observe,
-- more: external_ttl_s, epoch, fence, revision, create_time, start_time, end_time,
-- more: CASE WHEN state = 'pending' AND is_delayed THEN run_at END, deadline, left(dependency, 128)

-- A claim raises these counters; a row where they cannot rise is left lying, not the whole claim.
-- define: can_rise j.attempt < 1000000 AND j.fence < 4000000000000000000
-- more: AND j.revision < 4000000000000000000

-- Is this the database whose fences the epoch covers? A promoted or restored one is on another
-- timeline; nothing is claimed there before the epoch has risen.
-- define: is_known (SELECT s.timeline FROM state_epoch s)
-- more: = ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int

-- name: jobs_insert
INSERT INTO jobs (tenant_id, id, kind, target, args, principal, trace, priority, replay,
                  max_attempts, deadline, external_ttl_s, state, pending_parents, run_at, is_delayed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
        coalesce($15, clock_timestamp()), $15 IS NOT NULL);

-- name: jobs_ring
INSERT INTO outbox (tenant_id, job_id, kind, priority, due_at)
SELECT tenant_id, id, kind, priority, run_at FROM jobs
 WHERE id = $1::uuid AND state = 'pending' AND external_ttl_s = 0;

-- name: jobs_key_insert
INSERT INTO job_keys (tenant_id, kind, idem_key, job_id) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: jobs_key_get
SELECT job_id FROM job_keys WHERE kind = $1 AND idem_key = $2;

-- name: jobs_parents_lock
SELECT id, state FROM jobs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR SHARE;

-- name: jobs_parents_archived
SELECT id, state FROM jobs_archive WHERE id = ANY ($1::uuid[]);

-- name: jobs_deps_insert
INSERT INTO job_deps (tenant_id, parent_id, child_id)
SELECT $1::uuid, parent, $2::uuid FROM unnest($3::uuid[]) parent;

-- name: jobs_get
SELECT {head} {args} {tail} FROM all_jobs WHERE id = $1::uuid;

-- name: jobs_lock
SELECT {head} {args} {tail} FROM jobs WHERE id = $1::uuid FOR UPDATE;

-- name: jobs_list
SELECT {head} '', {tail} FROM all_jobs
 WHERE ($1::text IS NULL OR kind = $1::text)
   AND ($2::text IS NULL OR target = $2::text)
   AND ($3::text[] IS NULL OR state = ANY ($3::text[]))
   AND (NOT $4::boolean OR NOT is_discarded)
   AND ($5::uuid IS NULL OR id < $5::uuid)
 ORDER BY tenant_id DESC, id DESC LIMIT $6::int;

-- name: jobs_discard
WITH live AS (
    UPDATE jobs SET is_discarded = true, revision = revision + 1
     WHERE id = $1::uuid AND state IN ('failed', 'outcome_unknown') RETURNING 1
), old AS (
    UPDATE jobs_archive SET is_discarded = true, revision = revision + 1
     WHERE id = $1::uuid AND state IN ('failed', 'outcome_unknown') RETURNING 1
)
SELECT (SELECT count(*) FROM live) + (SELECT count(*) FROM old);

-- name: jobs_request_insert
INSERT INTO requests (tenant_id, method, request_id, request_hash)
VALUES ($1, $2, $3, $4::bytea) ON CONFLICT DO NOTHING;

-- name: jobs_request_get
SELECT request_hash IN ($3::bytea, ''::bytea), response FROM requests
 WHERE method = $1 AND request_id = $2;

-- name: jobs_request_save
UPDATE requests SET response = $3::bytea WHERE method = $1 AND request_id = $2;

-- name: jobs_finish
UPDATE jobs SET fence = fence + 1, state = 'succeeded', worker = NULL,
       end_time = clock_timestamp(), error_code = 0, error_reason = '', error_message = '',
       revision = revision + 1
 WHERE id = $1::uuid AND epoch = $2::bigint AND fence = $3::bigint AND state = 'running';

-- name: jobs_finish_many
WITH done AS (
    UPDATE jobs j SET fence = j.fence + 1, state = 'succeeded', worker = NULL,
           end_time = clock_timestamp(), error_code = 0, error_reason = '', error_message = '',
           revision = j.revision + 1
      FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) u (id, epoch, fence)
     WHERE j.id = u.id AND j.epoch = u.epoch AND j.fence = u.fence AND j.state = 'running'
    RETURNING j.id
)
SELECT id FROM done;

-- name: jobs_result
UPDATE jobs SET result = $2 WHERE id = $1::uuid;

-- name: jobs_fence_check
SELECT 1 FROM jobs
 WHERE id = $1::uuid AND epoch = $2::bigint AND fence = $3::bigint AND state = 'running' FOR SHARE;

-- name: jobs_end
UPDATE jobs SET fence = fence + 1, state = $4, worker = NULL, end_time = clock_timestamp(),
       error_code = $5, error_reason = $6, error_message = $7, result = coalesce($8, result),
       is_delayed = false, revision = revision + 1
 WHERE id = $1::uuid AND epoch = $2::bigint AND fence = $3::bigint;

-- name: jobs_back
UPDATE jobs SET fence = fence + 1, state = 'pending', worker = NULL,
       run_at = coalesce($4, clock_timestamp()), is_delayed = $4 IS NOT NULL,
       attempt = attempt - $5::int, is_observe = $6,
       error_code = $7, error_reason = $8, error_message = $9, dependency = $10,
       revision = revision + 1
 WHERE id = $1::uuid AND epoch = $2::bigint AND fence = $3::bigint AND state = 'running'
   AND NOT is_cancel_requested;

-- name: jobs_children_release
WITH locked AS (
    SELECT c.id FROM job_deps d JOIN jobs c ON c.tenant_id = d.tenant_id AND c.id = d.child_id
     WHERE d.parent_id = ANY ($1::uuid[]) AND c.state = 'waiting' ORDER BY c.id FOR UPDATE OF c
), counted AS (
    SELECT d.child_id, count(*)::int AS n FROM job_deps d
     WHERE d.parent_id = ANY ($1::uuid[]) AND d.child_id IN (SELECT id FROM locked)
     GROUP BY d.child_id
), released AS (
    UPDATE jobs c SET pending_parents = c.pending_parents - n, revision = c.revision + 1,
           state = CASE WHEN c.pending_parents = n THEN 'pending' ELSE c.state END
      FROM counted WHERE c.id = counted.child_id AND c.state = 'waiting'
    RETURNING c.tenant_id, c.id, c.kind, c.priority, c.run_at, c.state, c.external_ttl_s
)
INSERT INTO outbox (tenant_id, job_id, kind, priority, due_at)
SELECT tenant_id, id, kind, priority, run_at FROM released
 WHERE state = 'pending' AND external_ttl_s = 0;

-- name: jobs_children_waiting
SELECT c.id FROM job_deps d JOIN jobs c ON c.tenant_id = d.tenant_id AND c.id = d.child_id
 WHERE d.parent_id = $1::uuid AND c.state = 'waiting' ORDER BY c.id FOR UPDATE OF c;

-- name: jobs_cancel_flag
UPDATE jobs SET is_cancel_requested = true, revision = revision + 1 WHERE id = $1::uuid;

-- name: jobs_unarchive
WITH moved AS (DELETE FROM jobs_archive WHERE id = $1::uuid RETURNING *)
INSERT INTO jobs SELECT * FROM moved;

-- name: jobs_retry
UPDATE jobs SET state = 'pending', fence = fence + 1, attempt = 0, run_at = clock_timestamp(),
       is_delayed = false, is_cancel_requested = false, is_discarded = false, end_time = NULL,
       start_time = NULL, deadline = NULL, dependency = '', phase = '', done_bytes = 0,
       total_bytes = 0, is_observe = is_observe OR replay <> 'safe', revision = revision + 1
 WHERE id = $1::uuid AND state IN ('failed', 'cancelled', 'outcome_unknown');

-- name: jobs_progress
UPDATE jobs SET phase = coalesce($4, phase), done_bytes = $5, total_bytes = $6,
       revision = revision + 1
 WHERE id = $1::uuid AND epoch = $2::bigint AND fence = $3::bigint AND state = 'running';

-- name: jobs_external_claim
UPDATE jobs SET state = 'running', attempt = attempt + 1, fence = fence + 1, beat = beat + 1,
       epoch = (SELECT s.epoch FROM state_epoch s), start_time = clock_timestamp(),
       is_delayed = false, revision = revision + 1
 WHERE id = $1::uuid AND state = 'pending' AND external_ttl_s > 0 AND NOT is_cancel_requested;

-- name: jobs_external_beat
UPDATE jobs SET beat = beat + 1, phase = coalesce($4, phase), done_bytes = $5, total_bytes = $6,
       revision = revision + 1
 WHERE id = $1::uuid AND external_ttl_s > 0 AND state = 'running'
   AND ($3::bigint = 0 OR (epoch = $2::bigint AND fence = $3::bigint));

-- name: jobs_load
SELECT {head} {args} {tail} FROM jobs
 WHERE id = ANY ($1::uuid[]) AND worker = $2::uuid AND state = 'running';

-- name: jobs_changed
SELECT {head} '', {tail} FROM all_jobs
 WHERE id = ANY ($1::uuid[])
   AND revision <> (SELECT u.revision FROM unnest($1::uuid[], $2::bigint[]) u (uid, revision)
                     WHERE u.uid = all_jobs.id LIMIT 1);

-- name: jobs_relay_take
DELETE FROM outbox
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM outbox WHERE due_at <= now()
                          ORDER BY due_at LIMIT 500 FOR UPDATE SKIP LOCKED))
RETURNING tenant_id, job_id, left(kind, 64), priority, due_at;

-- name: jobs_pending_page
SELECT tenant_id, id, left(kind, 64), priority, run_at FROM jobs
 WHERE state = 'pending' AND run_at <= clock_timestamp() AND external_ttl_s = 0
   AND NOT is_cancel_requested AND (tenant_id, id) > ($1::uuid, $2::uuid)
 ORDER BY tenant_id, id LIMIT 500;

-- name: jobs_claim
UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, fence = j.fence + 1,
       epoch = (SELECT s.epoch FROM state_epoch s), worker = $3::uuid, is_delayed = false,
       start_time = coalesce(j.start_time, clock_timestamp()), revision = j.revision + 1
  FROM unnest($1::uuid[], $2::uuid[], $4::text[]) u (tenant_id, id, kind)
 WHERE j.tenant_id = u.tenant_id AND j.id = u.id AND j.kind = u.kind AND j.state = 'pending'
   AND NOT j.is_cancel_requested AND j.run_at <= clock_timestamp() AND j.external_ttl_s = 0
   AND {can_rise} AND {is_known}
RETURNING j.tenant_id, j.id, j.kind, j.epoch, j.fence;

-- name: jobs_claim_sweep
WITH picked AS (
    SELECT tenant_id, id FROM jobs j
     WHERE state = 'pending' AND run_at <= clock_timestamp() AND kind = $1
       AND NOT is_cancel_requested AND external_ttl_s = 0
       AND tenant_id <> ALL ($4::uuid[]) AND {can_rise} AND {is_known}
     ORDER BY priority, run_at LIMIT $2::int FOR UPDATE SKIP LOCKED
)
UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, fence = j.fence + 1,
       epoch = (SELECT s.epoch FROM state_epoch s), worker = $3::uuid, is_delayed = false,
       start_time = coalesce(j.start_time, clock_timestamp()), revision = j.revision + 1
  FROM picked
 WHERE j.tenant_id = picked.tenant_id AND j.id = picked.id AND j.state = 'pending'
RETURNING j.tenant_id, j.id, j.kind, j.epoch, j.fence;

-- name: jobs_flags
SELECT j.id, j.is_cancel_requested
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) u (tenant_id, id, fence)
  JOIN jobs j ON j.tenant_id = u.tenant_id AND j.id = u.id AND j.fence = u.fence
 WHERE j.state = 'running';

-- name: jobs_worker_insert
INSERT INTO workers (id, host, name, boot_id, pid_namespace, pid, start_ticks)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: jobs_worker_beat
UPDATE workers SET beat = beat + 1 WHERE id = $1::uuid AND NOT is_dead
RETURNING beat, (SELECT epoch FROM state_epoch), {is_known};

-- name: jobs_worker_dead
UPDATE workers SET is_dead = true
 WHERE id = $1::uuid AND NOT is_dead AND ($2::bigint < 0 OR beat = $2::bigint);

-- name: jobs_worker_list
SELECT id, host, name, boot_id, pid_namespace, pid, start_ticks, beat FROM workers
 WHERE NOT is_dead;

-- In random order, here and below: rows that cannot be moved must not hide those behind them.
-- name: jobs_orphans
SELECT tenant_id, id, epoch, fence FROM jobs j
 WHERE state = 'running' AND external_ttl_s = 0
   AND (epoch <> (SELECT s.epoch FROM state_epoch s)
        OR NOT EXISTS (SELECT FROM workers w WHERE w.id = j.worker AND NOT w.is_dead))
 ORDER BY random() LIMIT 200;

-- name: jobs_mine
SELECT tenant_id, id, epoch, fence FROM jobs
 WHERE state = 'running' AND worker = $1::uuid AND external_ttl_s = 0;

-- name: jobs_overdue
SELECT tenant_id, id, epoch, fence FROM jobs
 WHERE state IN ('waiting', 'pending') AND deadline < clock_timestamp()
 ORDER BY random() LIMIT 200;

-- name: jobs_externals
SELECT tenant_id, id, epoch, fence, beat, external_ttl_s FROM jobs
 WHERE state = 'running' AND external_ttl_s > 0 LIMIT 1000;

-- name: jobs_queue_age
SELECT count(*), coalesce((extract(epoch FROM clock_timestamp() - min(run_at)) * 1000000)::bigint, 0)
  FROM jobs WHERE state = 'pending' AND run_at <= clock_timestamp() AND external_ttl_s = 0;

-- name: jobs_archive_move
SELECT archive_jobs(make_interval(secs => $1::int), 500);

-- name: jobs_archive_drop
SELECT drop_archived_jobs(make_interval(days => $1::int), 500);

-- name: jobs_requests_drop
DELETE FROM requests WHERE create_time < clock_timestamp() - interval '24 hours';

-- name: jobs_workers_drop
DELETE FROM workers w WHERE is_dead AND create_time < clock_timestamp() - interval '1 day'
   AND NOT EXISTS (SELECT FROM jobs j WHERE j.worker = w.id);

-- name: jobs_epoch_insert
INSERT INTO state_epoch (epoch, counter, system_id, timeline) VALUES (1, 0, $1, $2)
ON CONFLICT DO NOTHING;

-- name: jobs_epoch_lock
SELECT epoch, counter, system_id, timeline FROM state_epoch FOR UPDATE;

-- name: jobs_epoch_facts
SELECT (SELECT system_identifier FROM pg_control_system()),
       ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int;

-- name: jobs_epoch_set
UPDATE state_epoch SET epoch = $1, counter = $2, system_id = $3, timeline = $4;
