-- Sessions of the web UI that somebody ended before their time. One row a key at most, with a hundred sessions at most: where
-- more are ended within the hours that one lasts, all of the key's that have begun until then are over.
CREATE TABLE ended_session (
    key_id text PRIMARY KEY REFERENCES api_key (id) ON DELETE CASCADE,
    digests bytea[] NOT NULL,
    began_until timestamptz NOT NULL,
    forget_at timestamptz NOT NULL
);

-- `ends_at`: when it would have ended by itself, after which it need not be known any more.
CREATE FUNCTION end_session(of_key text, of_session bytea, ended_at timestamptz, ends_at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
    INSERT INTO ended_session AS e (key_id, digests, began_until, forget_at)
    SELECT id, ARRAY[of_session], '-infinity', ends_at FROM api_key WHERE id = of_key
    ON CONFLICT (key_id) DO UPDATE SET
        digests = CASE
            WHEN e.forget_at <= ended_at THEN ARRAY[of_session]
            WHEN of_session = ANY(e.digests) THEN e.digests
            WHEN cardinality(e.digests) >= 100 THEN '{}'
            ELSE e.digests || of_session
        END,
        began_until = CASE
            WHEN e.forget_at > ended_at AND cardinality(e.digests) >= 100 AND of_session <> ALL(e.digests) THEN greatest(e.began_until, ended_at)
            ELSE e.began_until
        END,
        forget_at = greatest(e.forget_at, ends_at)
$$;

CREATE FUNCTION session_has_ended(of_key text, of_session bytea, began_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = headwater, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM ended_session e
                    WHERE e.key_id = of_key AND (of_session = ANY(e.digests) OR began_at <= e.began_until))
$$;

REVOKE ALL ON FUNCTION end_session(text, bytea, timestamptz, timestamptz), session_has_ended(text, bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_session(text, bytea, timestamptz, timestamptz), session_has_ended(text, bytea, timestamptz)
    TO headwater_api;
