-- Runs that are not final, by stream: whether a schedule's run overlaps another one is asked for each run that it starts.
CREATE INDEX run_under_way ON run (tenant, source, stream, schedule) WHERE state IN ('queued', 'running');
