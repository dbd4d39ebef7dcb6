"""Everything kept on disk; the only package that imports pyarrow, duckdb and faiss.

    schema      names of files, their columns, how ids are made
    disk        files written whole or not at all; disk errors explained
    journal     many files change at once
    tables      records as rows and back
    library     open, create, one run at a time
    unfinished  what has been seen of a video indexed in instalments
    read        tables as records, episodes and people by name
    appearances who is on screen when in all episodes, in one table
    vectors     nearest-neighbour search: exact, or in cells for very many vectors
    nearest     the index of the embeddings
    decisions   people's decisions, in an append-only log
    write       an episode's files, in a staging folder
    erase       an episode without some of its tracks
    publish     episodes, people and identities become visible at once
    query       answers: scenes, similar tracks, screen time
    export      the timeline as JSON, CSV and WebVTT
    verify      integrity checks

Each imports only those above it. The lock is held from reading to publishing::

    with EpisodeWriter(library, episode, sha256) as writer:   # may take hours, nobody waits
        ...
        staged = writer.finish(manifest)
        with locked(library, wait_s) as current:
            ... who is who, given read_characters(current) ...
            publish(current, episodes=[staged], ...)
"""
