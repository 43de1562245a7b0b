-- Tenants that are removed with all below them: marked first, so that nothing new begins; emptied in small transactions;
-- then the tenant itself goes, and its name is remembered for what was still under way.

ALTER TABLE tenant ADD COLUMN ending_at timestamptz;      -- null: nobody removes it

CREATE TABLE ended_tenant (
    name text PRIMARY KEY,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    swept_at timestamptz                                  -- looked through again, when no transaction of before was left
);
ALTER TABLE ended_tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE ended_tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON ended_tenant TO headwater_owner USING (true) WITH CHECK (true);
CREATE POLICY worker_all ON ended_tenant TO headwater_worker USING (true) WITH CHECK (true);

-- A name that is taken again is remembered no more. Waits for a look through its rows that is under way.
CREATE FUNCTION tenant_begins() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    DELETE FROM ended_tenant WHERE name = NEW.name;
    RETURN NULL;
END $$;
CREATE TRIGGER tenant_begins AFTER INSERT ON tenant FOR EACH ROW EXECUTE FUNCTION tenant_begins();

-- Mark a tenant as ending: it has no keys and endpoints any more. False when there is none. What the audit says
-- of the tenant itself belongs to nobody from now on, since it outlives it; the rest of its audit goes with it.
CREATE FUNCTION end_tenant(of_tenant text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    found_settings jsonb;
BEGIN
    IF current_setting('headwater.admin', true) IS DISTINCT FROM 'on' THEN
        RAISE insufficient_privilege USING MESSAGE = 'only who administers everything ends a tenant';
    END IF;
    UPDATE tenant SET ending_at = clock_timestamp() WHERE name = of_tenant AND ending_at IS NULL
        RETURNING settings INTO found_settings;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT 1 FROM tenant WHERE name = of_tenant);
    END IF;
    UPDATE audit SET tenant = NULL WHERE tenant = of_tenant AND kind = 'tenant';
    INSERT INTO audit (tenant, actor, verb, kind, name, digest_before)
    VALUES (NULL, coalesce(current_setting('headwater.actor', true), ''), 'delete', 'tenant', of_tenant,
            encode(sha256(convert_to(found_settings::text, 'UTF8')), 'hex'));
    PERFORM set_config('headwater.actor', '', true);      -- what goes with it is told by that
    DELETE FROM api_key WHERE tenant = of_tenant;
    DELETE FROM endpoint WHERE tenant = of_tenant;
    PERFORM pg_notify('headwater_config', of_tenant);
    RETURN true;
END $$;

-- The tables, or partitions, that may hold rows of a tenant, with their size in blocks: schedules first, so that nothing
-- is fired any more, then runs, so that services see that they are gone. Where an index finds rows of the tenant, tables without any are left out.
CREATE FUNCTION tables_of_tenant(of_tenant text) RETURNS TABLE (name text, block_count bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    has_index boolean;
    has_rows boolean;
BEGIN
    FOR name, block_count, has_index IN
        SELECT c.relname, pg_relation_size(c.oid) / current_setting('block_size')::bigint,
               EXISTS (SELECT 1 FROM pg_index i
                        WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indpred IS NULL AND i.indisvalid)
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
         WHERE c.relnamespace = 'headwater'::regnamespace AND c.relkind = 'r'
         ORDER BY c.relname <> 'schedule', c.relname !~ '^run_([0-9]{8}|default)$', c.relname
    LOOP
        has_rows := block_count > 0;
        IF has_rows AND has_index THEN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM headwater.%I WHERE tenant = $1)', name) INTO has_rows USING of_tenant;
        END IF;
        IF has_rows THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- Whether a tenant ends, or has ended and its name is nobody's: it stays so until the transaction ends.
CREATE FUNCTION hold_ended_tenant(of_tenant text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    PERFORM 1 FROM tenant WHERE name = of_tenant AND ending_at IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        PERFORM 1 FROM ended_tenant WHERE name = of_tenant FOR SHARE;
    END IF;
    RETURN FOUND;
END $$;

-- Remove the rows that a tenant which ends, or has ended, has in some blocks of a table; how many went. Nothing, where the
-- table or the ended tenant is gone or its name is another tenant's by now.
CREATE FUNCTION forget_tenant_rows(of_tenant text, from_table text, first_block bigint, block_count bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    IF NOT hold_ended_tenant(of_tenant) OR NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant'
                    WHERE c.relnamespace = 'headwater'::regnamespace AND c.relkind = 'r' AND c.relname = from_table) THEN
        RETURN 0;
    END IF;
    EXECUTE format('DELETE FROM headwater.%I WHERE ctid >= $2 AND ctid < $3 AND tenant = $1', from_table)
      USING of_tenant, format('(%s,0)', first_block)::tid, format('(%s,0)', first_block + block_count)::tid;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END $$;

-- The emptied tenant itself goes, and what came to it meanwhile with it; false when it does not end.
CREATE FUNCTION finish_tenant(of_tenant text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
BEGIN
    DELETE FROM tenant WHERE name = of_tenant AND ending_at IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO ended_tenant (name) VALUES (of_tenant);
    PERFORM pg_notify('headwater_config', of_tenant);
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION tenant_begins(), end_tenant(text), tables_of_tenant(text), hold_ended_tenant(text),
    forget_tenant_rows(text, text, bigint, bigint), finish_tenant(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_tenant(text) TO headwater_api;
GRANT EXECUTE ON FUNCTION tables_of_tenant(text), hold_ended_tenant(text), forget_tenant_rows(text, text, bigint, bigint),
    finish_tenant(text) TO headwater_worker;
GRANT SELECT, UPDATE, DELETE ON ended_tenant TO headwater_worker;
