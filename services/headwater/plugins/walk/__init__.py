"""The walk core: pure, shared by fetcher and preview. `walk.Walk` is the door; `family.Family` are streams that are
asked for the records of others.
"""
