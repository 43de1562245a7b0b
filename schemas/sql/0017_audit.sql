-- Who changed what: a row of the commit that made the change, by whatever way it came (API, manifest, command). What
-- headwater does by itself has no actor and is not told here. Values stay where they are: fields are named, and a digest
-- tells one state of a thing from another.

CREATE TABLE audit (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant text,                                          -- null: what belongs to no tenant, such as an admin key
    actor text NOT NULL,
    verb text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    changed text[] NOT NULL DEFAULT '{}',                 -- dotted names, where it was there before and is there now
    digest_before text,                                   -- SHA-256 of the definition; null: it was not there
    digest_after text                                     -- null: it is not there any more
);
CREATE INDEX audit_of_tenant ON audit (tenant, at DESC, id DESC);
CREATE INDEX audit_of_thing ON audit (tenant, kind, name, at DESC, id DESC);

-- What people change of a row (null: it is not there). The digests of keys never leave their table; of a secret a change of the sealed bytes shows.
CREATE FUNCTION audit_document(kind text, r jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = headwater, pg_temp AS $$
    SELECT CASE CASE WHEN r IS NOT NULL THEN kind END
        WHEN 'stream' THEN (SELECT v.definition -> 'stream' FROM stream_version v WHERE v.id = (r ->> 'version_id')::uuid)
        WHEN 'schedule' THEN (r -> 'definition')
            || jsonb_build_object('state', r -> 'state', 'note', r -> 'state_reason', 'paused_until', r -> 'paused_until')
        WHEN 'endpoint' THEN (r -> 'definition') || jsonb_build_object('enabled', r -> 'enabled')
        WHEN 'notification' THEN (r -> 'definition') || jsonb_build_object('enabled', r -> 'enabled')
        WHEN 'tenant' THEN r -> 'settings'
        WHEN 'key' THEN r - 'digest'
        WHEN 'secret' THEN jsonb_build_object('value', md5(r ->> 'sealed'))
        WHEN 'cursor' THEN jsonb_build_object('value', r -> 'value', 'record_id', r -> 'record_id')
        WHEN 'failures' THEN jsonb_build_object('consecutive_failures', r -> 'consecutive_failures')
        WHEN 'backfill' THEN jsonb_build_object('from', r -> 'from_at', 'to', r -> 'to_at', 'state', r -> 'state')
        WHEN 'dead_letter' THEN jsonb_build_object('state', r -> 'state')
        ELSE r -> 'definition'  -- null where there is no row
    END
$$;

-- The names of what differs: members, and members of members.
CREATE FUNCTION audit_changed(was jsonb, is_now jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(path ORDER BY path), '{}') FROM (
        SELECT CASE WHEN jsonb_typeof(was -> m) = 'object' AND jsonb_typeof(is_now -> m) = 'object' THEN m || '.' || n
                    ELSE m END AS path
          FROM jsonb_object_keys(was || is_now) AS m
          LEFT JOIN LATERAL jsonb_object_keys(
               CASE WHEN jsonb_typeof(was -> m) = 'object' AND jsonb_typeof(is_now -> m) = 'object'
                    THEN (was -> m) || (is_now -> m) ELSE '{}' END) AS n ON true
         WHERE was -> m IS DISTINCT FROM is_now -> m
           AND (n IS NULL OR was -> m -> n IS DISTINCT FROM is_now -> m -> n)
    ) AS differing
$$;

CREATE FUNCTION audit_verb(kind text, was jsonb, is_now jsonb, changed text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN kind = 'failures' THEN 'reset_failures'
        WHEN kind = 'cursor' AND is_now IS NULL THEN 'reset'
        WHEN kind = 'cursor' THEN 'set'
        WHEN was IS NULL THEN 'create'
        WHEN is_now IS NULL THEN 'delete'
        WHEN kind = 'key' AND 'revoked_at' = ANY(changed) THEN 'revoke'
        WHEN kind = 'backfill' THEN 'cancel'
        WHEN kind = 'dead_letter' THEN CASE is_now ->> 'state' WHEN 'replayed' THEN 'replay' ELSE 'discard' END
        WHEN kind = 'schedule' AND changed <@ '{state,note,paused_until,enabled}' THEN CASE
            WHEN is_now ->> 'state' = 'paused' THEN 'pause'
            WHEN is_now ->> 'state' = 'disabled' THEN 'disable'
            WHEN was ->> 'state' = 'paused' THEN 'resume'
            WHEN was ->> 'state' = 'disabled' THEN 'enable'
            WHEN was ->> 'state' = 'failed' THEN 'reset_failures'
            ELSE 'change' END
        WHEN changed = '{enabled}' THEN CASE (is_now ->> 'enabled')::boolean WHEN true THEN 'enable' ELSE 'disable' END
        ELSE 'change'
    END
$$;

CREATE FUNCTION audit_name(kind text, r jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN kind = 'stream' THEN (r ->> 'source') || '.' || (r ->> 'name')
        WHEN kind = 'cursor' THEN (r ->> 'source') || '.' || (r ->> 'stream')
        WHEN kind = 'failures' THEN r ->> 'schedule'
        WHEN kind IN ('key', 'backfill', 'dead_letter') THEN r ->> 'id'
        ELSE r ->> 'name'
    END
$$;

CREATE FUNCTION audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    kind text := TG_ARGV[0];
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    was jsonb := audit_document(kind, old_row);
    is_now jsonb := audit_document(kind, new_row);
    names text[] := CASE WHEN TG_OP = 'UPDATE' THEN audit_changed(was, is_now) ELSE '{}' END;
    known jsonb := coalesce(new_row, old_row);
BEGIN
    IF TG_OP = 'UPDATE' AND was IS NOT DISTINCT FROM is_now THEN
        RETURN NULL;
    END IF;
    INSERT INTO audit (tenant, actor, verb, kind, name, changed, digest_before, digest_after)
    VALUES (CASE kind WHEN 'tenant' THEN known ->> 'name' ELSE known ->> 'tenant' END,
            current_setting('headwater.actor', true), audit_verb(kind, was, is_now, names),
            CASE kind WHEN 'failures' THEN 'schedule' ELSE kind END, audit_name(kind, known), names,
            encode(sha256(convert_to(was::text, 'UTF8')), 'hex'), encode(sha256(convert_to(is_now::text, 'UTF8')), 'hex'));
    RETURN NULL;
END $$;

-- Services set no actor: their writes stop at the condition, and those that touch other columns do not even ask it.
DO $$
DECLARE
    watched text[];
BEGIN
    FOREACH watched SLICE 1 IN ARRAY ARRAY[
        ['tenant', 'tenant', 'INSERT OR DELETE OR UPDATE OF settings'],
        ['api_key', 'key', 'INSERT OR DELETE OR UPDATE'],
        ['secret', 'secret', 'INSERT OR DELETE OR UPDATE'],
        ['source', 'source', 'INSERT OR DELETE OR UPDATE OF definition'],
        ['stream', 'stream', 'INSERT OR DELETE OR UPDATE OF version_id'],
        ['stream_cursor', 'cursor', 'INSERT OR DELETE OR UPDATE'],
        ['destination', 'destination', 'INSERT OR DELETE OR UPDATE OF definition'],
        ['schedule', 'schedule', 'INSERT OR DELETE OR UPDATE OF definition, state, state_reason, paused_until'],
        ['schedule_record', 'failures', 'UPDATE OF consecutive_failures'],
        ['calendar', 'calendar', 'INSERT OR DELETE OR UPDATE OF definition'],
        ['endpoint', 'endpoint', 'INSERT OR DELETE OR UPDATE OF definition, enabled'],
        ['notification_rule', 'notification', 'INSERT OR DELETE OR UPDATE OF definition, enabled'],
        ['backfill', 'backfill', 'INSERT OR DELETE OR UPDATE OF state'],
        ['dead_letter', 'dead_letter', 'UPDATE OF state']
    ] LOOP
        EXECUTE format(
            'CREATE TRIGGER audited AFTER %s ON %I FOR EACH ROW WHEN (current_setting(''headwater.actor'', true) <> '''') '
            'EXECUTE FUNCTION audit_change(%L)', watched[3], watched[1], watched[2]);
    END LOOP;
END $$;

ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON audit TO headwater_worker USING (true) WITH CHECK (true);
CREATE POLICY api_tenant ON audit TO headwater_api USING (tenant = current_setting('headwater.tenant', true));
CREATE POLICY api_admin ON audit TO headwater_api
    USING (tenant IS NULL AND current_setting('headwater.admin', true) = 'on');

-- Nobody writes it but the change itself; what is old goes.
REVOKE ALL ON FUNCTION audit_change(), audit_document(text, jsonb) FROM PUBLIC;
GRANT SELECT ON audit TO headwater_api;
GRANT SELECT, DELETE ON audit TO headwater_worker;
