"""Video in, searchable people out: the path of a frame.

    decode ─▶ shots ─▶ sample ─▶ detect ─▶ link ─▶ embed ─▶ cluster ─▶ recognize ─▶ store ─▶ query
    PyAV or   cuts     which     YuNet     tracks  encoder  people     names,       Parquet  export
    decord             frames              in a    on the   nobody     calibrated,  + FAISS
                                           shot    best     has named  or unknown
                                                   faces

Where things are, from the command line down; a module knows only what is below it
(``lint-imports`` in ``make check`` sees to that), and stages do not know each other:

    __main__ commands   the command line: parse, call, print
    pipeline  enroll    a video, or stills, through all stages into a library
    naming  page        what people decide about who is who; everybody at a glance
    forget              somebody goes, and it is proved
    explain  explained  why a track is who it is, as records, as text and a picture
    standing            what a character's name rests on
    admit               an episode's tracks into the library, judged by who is known by then
    judging             everybody in the library judged anew; no name changes unasked
    crowd               everybody with their tracks, and what each name more gives
    roster              people and tracks of a library while decisions are made
    again  alike  book  a video indexed again; who may be one person; what is written of frames
    sheet               tracks' pictures and words on one PNG
    identify  models    who tracks are: names first, then people; the networks, ready to run
    reuse               what earlier episodes showed already, and who that is
    audit               how good people are, without a label
    decode shots sample detect link embed cluster recognize repeats stills      the stages
    store               everything kept on disk, and the questions it answers
    diff                what changed of the people
    thresholds          from which cosine on a face may have a character's name
    evidence            what tracks and stills show before anybody is named
    likeness            how likely a track shows a character
    affinity            which tracks may be of one person: by faces, and what a scene says
    tear                a track that shows two people in turn, in two
    onepass  cascade    YuNet's and MTCNN's outputs into faces
    scene  clothes      what clothes and places say; what is worn below a face
    request             what people ask for about who is who
    labels              what people are called, and what can be a name
    nets geometry crops pictures config progress parallel   networks; boxes; settings; bars
    records             what stages hand to each other, and the conventions
    errors              what can go wrong in the world

`pipeline` and `enroll` are the only ones that know the order. Everything streams: memory holds a
window of frames, never the video.
"""

__version__ = "0.1.0"
