"""Video in, searchable people out: the path of a frame.

    decode ─▶ shots ─▶ sample ─▶ detect ─▶ link ─▶ embed ─▶ cluster ─▶ recognize ─▶ store ─▶ query
    PyAV or   cuts     which     YuNet     tracks  encoder  people     names,       Parquet  export
    decord             frames              in a    on the   nobody     calibrated,  + FAISS
                                           shot    best     has named  or unknown
                                                   faces

The modules, from the command line down. A module imports only modules further down (enforced by
``lint-imports`` in ``make check``), and the stages do not import each other:

    __main__ commands   the command line: parse, call, print
    pipeline  enroll    a video, or a folder of stills, through all stages into a library
    naming  page        what users decide about who is who; the page on which they do
    forget              a person removed from the library, and a check of what is left
    explain  explained  why a track is who it is: as records; as text and a picture
    standing            how well a character's threshold holds on trials with known answers
    admit               an episode's tracks into the library, judged by who is known by then
    instalments         a video indexed within a time budget, and the rest of it in later runs
    undoing             a decision taken back
    looking             the faces of the frames worth looking at, found by several workers
    judging             everybody in a library re-judged; names change only if accepted
    crowd               everybody with their tracks, and the screen time that each more name covers
    roster              a library's people and tracks while decisions are carried out
    prototypes          the faces that people are known by, once decisions are carried out
    again  alike  book  tracks of a video indexed again; who may be one person; records of frames
    sheet               pictures of tracks, with captions, on one PNG
    identify  models    who an episode's tracks are: names, then unnamed people; the networks loaded
    reuse               what earlier episodes already showed, and who that was
    audit               how good an episode's people are, estimated without labels
    decode shots sample detect link embed cluster recognize repeats stills      the stages
    store               everything kept on disk, and queries on it
    diff                what a judgement changed: new people, changed names
    thresholds          the least cosine similarity at which a character's name is given
    evidence            what tracks and stills show before anybody is named
    likeness            log-odds that a track shows a character, by its face
    affinity            log-odds that two tracks show one person, by face and scene
    onepass  cascade    faces from YuNet's outputs; from MTCNN's
    tear                a track that shows two people in turn, split in two
    scene  clothes      log-odds from clothes and places; the colours worn below a face
    request             the decisions that users ask for, and the file they come in
    labels              what people are called, and what can be a name
    nets geometry crops pictures    networks; arithmetic on boxes; cut-outs; search by frame hash
    config  progress  parallel      settings; progress and timing; worker threads
    records             what the stages hand to each other, and the conventions
    errors              what can go wrong that is not a bug

The order of the stages is known to `pipeline`, `instalments` and `enroll` alone. Everything
streams: memory holds a window of frames, never the whole video.
"""

__version__ = "0.1.0"
