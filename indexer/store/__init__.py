"""Everything kept on disk; the only package that imports pyarrow, duckdb and faiss.

    schema      names of files, their columns, how ids are made
    disk        files whole or not at all; what a failing disk means
    journal     many files change at once
    tables      records as rows and back
    library     open, create, one run at a time
    read        records off the disk, episodes and people found by name
    appearances who is on screen when in all episodes, in one table
    vectors     the nearest of many vectors: exact, or of very many in cells
    nearest     the index of the embeddings
    decisions   who is who by people's word, in a log that is only added to
    write       an episode in the making, where nobody sees it
    publish     episodes, people, identities visible at once
    query       answers: scenes, similar tracks, screen time
    export      the timeline as JSON, CSV and WebVTT
    verify      is it whole

Each imports only those above it. Whoever publishes holds the lock from
reading to publishing::

    with EpisodeWriter(library, episode, sha256) as writer:   # may take hours, nobody waits
        ...
        staged = writer.finish(manifest)
        with locked(library, wait_s) as current:
            ... who is who, given read_characters(current) ...
            publish(current, episodes=[staged], ...)
"""
