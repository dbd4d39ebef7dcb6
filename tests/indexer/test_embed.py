from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from indexer import embed
from indexer.config import EmbedSettings, Settings
from indexer.errors import WeightsError
from indexer.models import Models, load_models, still_faces
from indexer.nets import encoder, weights, yardstick
from indexer.nets import head as heads
from indexer.nets.head import Head, HeadFacts
from indexer.nets.runtime import Device
from indexer.nets.weights import DEFAULT_ENCODER
from indexer.records import Detections, Float32, Trace, Tracklet, Yardstick
from tests import faces

DATA = Path(__file__).parent / "data"
CPU: Device = "cpu"


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(Settings(embed=EmbedSettings(mirrored=False)))


@pytest.mark.parametrize(
    ("name", "side", "reference", "off"),
    # Weights of the first are rounded to 16 bits.
    [("sface", 112, "sface_reference.json", 6e-4), ("dlib", 150, "dlib_reference.json", 2e-6)],
)
def test_an_encoder_says_what_its_makers_program_says(
    name: str, side: int, reference: str, off: float
) -> None:
    chip = cv2.resize(faces.collins()[40:240, 120:320], (side, side), interpolation=cv2.INTER_AREA)
    expected = np.array(json.loads((DATA / reference).read_text())["descriptor"])
    found = encoder.encode(encoder.load(name, CPU), chip[None].astype(np.uint8))
    np.testing.assert_allclose(found[0], expected, atol=off)


def of(models: Models, image: np.ndarray) -> Float32:
    chips = still_faces(models, image, Settings()).chips
    return encoder.encode(models.encoder, chips[:1])[0]


def test_one_person_is_alike_and_two_are_not(models: Models) -> None:
    half = [
        cv2.resize(i, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
        for i in (faces.collins(), faces.hopper())
    ]
    collins, hopper = of(models, faces.collins()), of(models, faces.hopper())
    assert of(models, half[0]) @ collins > 0.9
    assert of(models, half[1]) @ hopper > 0.9
    assert collins @ hopper < 0.3


def test_a_still_that_is_all_face_is_padded_first(models: Models) -> None:
    whole = still_faces(models, faces.collins(), Settings())
    x0, y0, x1, y1 = whole.detections.boxes[0].astype(int)
    tight = still_faces(models, faces.collins()[y0:y1, x0:x1], Settings())
    assert len(tight.detections) >= 1
    moved = tight.detections.landmarks[0] + [x0, y0]
    assert np.abs(moved - whole.detections.landmarks[0]).max() < 0.06 * (x1 - x0)
    vectors = encoder.encode(models.encoder, np.concatenate([whole.chips[:1], tight.chips[:1]]))
    assert vectors[0] @ vectors[1] > 0.8


@settings(max_examples=25)
@given(st.floats(-30, 30), st.floats(0.25, 4.0))
def test_alignment_undoes_turning_and_scaling(angle: float, scale: float) -> None:
    facts = weights.read_facts(DEFAULT_ENCODER)
    template = np.array(facts.template, np.float32)
    side = facts.input_size
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale)
    size = int(side * scale) + side
    turn[:, 2] = turn[:, 2] + (size - side) / 2
    chip = cv2.GaussianBlur(faces.collins()[40 : 40 + side, 150 : 150 + side], (0, 0), 4)
    image = cv2.warpAffine(chip, turn, (size, size), flags=cv2.INTER_LINEAR).astype(np.uint8)
    marks = (template @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    back = embed.align(image, marks[None], facts)[0]
    inside = np.abs(back[20:-20, 20:-20].astype(float) - chip[20:-20, 20:-20])
    assert inside.mean() < 4


def test_faces_outside_the_picture_are_black_and_none_are_none(models: Models) -> None:
    facts = models.encoder.facts
    marks = np.array(facts.template, np.float32)[None]
    far = embed.align(faces.collins(), marks * 6 + 5000, facts)
    assert far.shape == (1, 112, 112, 3)
    assert far.max() == 0
    none = embed.align(faces.collins(), np.zeros((0, 5, 2), np.float32), facts)
    assert encoder.encode(models.encoder, none).shape == (0, 128)
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), marks[:0])
    assert embed.quality(nothing, none, models.encoder.facts).shape == (0,)


def test_large_sharp_frontal_faces_are_the_better_ones(models: Models) -> None:
    image = faces.collins()
    found = still_faces(models, image, Settings())
    blurred = still_faces(models, cv2.GaussianBlur(image, (0, 0), 4).astype(np.uint8), Settings())
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.uint8)
    narrow = still_faces(models, small, Settings())
    assert 0 < blurred.quality[0] < found.quality[0] <= 1
    assert narrow.quality[0] < found.quality[0]
    marks = found.detections.landmarks[:1].copy()
    assert embed.frontality(marks)[0] > 0.7
    marks[:, 2, 0] += 0.6 * (marks[:, 1, 0] - marks[:, 0, 0])  # the nose far to one side
    assert embed.frontality(marks)[0] < 0.5


def test_the_mean_leans_to_the_better_faces() -> None:
    rows = np.eye(2, dtype=np.float32)
    mean = embed.mean(rows, np.array([0.9, 0.1], np.float32))
    assert np.linalg.norm(mean) == pytest.approx(1)
    assert mean[0] == pytest.approx(9 * mean[1], rel=1e-4)


def facts_of(network: str, dimension: int) -> weights.EncoderFacts:
    default = weights.read_facts(DEFAULT_ENCODER)
    return weights.EncoderFacts(
        network,
        dimension,
        160,
        default.mean,
        default.std,
        default.template,
        default.calibration,
        "",
    )


def test_a_face_and_its_mirror_image_are_one_if_both_are_looked_at() -> None:
    usual = encoder.load("", CPU)
    both = encoder.load("", CPU, mirrored=True)
    chip = np.random.default_rng(0).integers(0, 255, (1, 112, 112, 3), dtype=np.uint8)
    mirror = chip[:, :, ::-1]
    expected = encoder.encode(usual, chip) + encoder.encode(usual, mirror)
    expected /= np.linalg.norm(expected)
    for seen in (chip, mirror):
        assert np.allclose(encoder.encode(both, seen), expected, atol=1e-6)
    assert both.facts.encoder_id != usual.facts.encoder_id
    assert len(encoder.encode(both, chip[:0])) == 0


def test_an_encoder_makes_less_of_a_blurred_face_and_its_track_leans_on_the_others() -> None:
    usual, both = encoder.load("", CPU), encoder.load("", CPU, mirrored=True)
    image = cv2.resize(faces.collins()[40:240, 120:320], (112, 112), interpolation=cv2.INTER_AREA)
    chips = np.stack([image, cv2.GaussianBlur(image, (0, 0), 6)]).astype(np.uint8)
    clear, blurred = encoder.look(usual, chips).lengths
    assert blurred < 0.9 * clear
    mirrored = encoder.look(usual, np.ascontiguousarray(chips[:, :, ::-1])).lengths
    expected = (encoder.look(usual, chips).lengths + mirrored) / 2
    np.testing.assert_allclose(encoder.look(both, chips).lengths, expected, rtol=1e-5)
    none = encoder.look(usual, chips[:0])
    assert (none.vectors.shape, none.lengths.shape) == ((0, 128), (0,))
    trace = Trace(
        shot=0,
        frames=np.arange(2),
        times=np.arange(2) / 25,
        boxes=np.tile(np.array([0, 0, 60, 60], np.float32), (2, 1)),
        landmarks=np.zeros((2, 5, 2), np.float32),
        scores=np.ones(2, np.float32),
        detected=np.ones(2, bool),
    )
    equal, worn = np.full(2, 0.5, np.float32), np.zeros((2, 3), np.uint8)
    tracklet = Tracklet(trace, chips, np.arange(2), equal, worn)
    [whole] = embed.embed(usual, tracklet)
    assert whole.weights[0] > 1.2 * whole.weights[1]
    cosines = whole.embeddings @ embed.track(whole, 1, 1.0).embedding
    assert cosines[0] > cosines[1]


@pytest.mark.parametrize(
    ("network", "dimension"), [("inception_resnet_v1", 512), ("resnet18", 64), ("resnet29", 32)]
)
def test_any_network_loads_from_the_same_kind_of_file(
    tmp_path: Path, network: str, dimension: int
) -> None:
    torch.manual_seed(0)
    module = encoder.build(network, dimension).eval()
    path = tmp_path / "some.safetensors"
    facts = weights.save(path, module.state_dict(), facts_of(network, dimension))
    loaded = encoder.load(str(path), CPU)
    assert loaded.facts == facts == weights.read_facts(path)
    chips = np.random.default_rng(0).integers(0, 255, (2, 160, 160, 3), dtype=np.uint8)
    x = (torch.from_numpy(chips).float() - torch.tensor(facts.mean)) / torch.tensor(facts.std)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(module(x.permute(0, 3, 1, 2)), dim=1)
    found = encoder.encode(loaded, chips)
    assert found.shape == (2, dimension)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_id_changes_with_the_weights_and_not_with_the_calibration(tmp_path: Path) -> None:
    module = encoder.build("resnet18", 8)
    ids = set()
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        tensors = {k: torch.rand_like(v.float()) for k, v in module.state_dict().items()}
        ids.add(
            weights.save(tmp_path / "w.safetensors", tensors, facts_of("resnet18", 8)).encoder_id
        )
    assert len(ids) == 2


def test_libraries_that_exist_keep_their_encoder() -> None:
    known = {
        "": "7f22bbe52b5578392375305af5275958ea6e503dc32ba0211d271824a39a4196",
        "sface": "4b849b0b5e166d51d067d8d501e5d28e17f3795e2de698049a1762787d8cf65e",
        "dlib": "09e2a6f5c8c5c8ec667717834a4be50adeaa12d969174e0a29e0f29fe0291652",
    }
    for name, encoder_id in known.items():
        assert weights.check(weights.resolve(name)).encoder_id == encoder_id


TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64"]
TYPES += ["float16", "bfloat16", "float32", "float64"]
SHAPES = st.lists(st.integers(0, 3), max_size=3)


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.sampled_from(TYPES), SHAPES)))
def test_the_digest_is_of_names_types_shapes_and_bytes(
    kinds: dict[str, tuple[str, list[int]]],
) -> None:
    kinds.pop("__metadata__", None)
    tensors = {k: torch.ones(shape).to(getattr(torch, t)) for k, (t, shape) in kinds.items()}
    slow = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        slow.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        slow.update(bytes(tensor.reshape(-1).view(torch.uint8).tolist()))
    assert weights.digest(save(tensors)) == slow.hexdigest()


@pytest.mark.parametrize("name", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_what_is_kept_lies_beside_the_downloads_of_torch(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(one, raising=False)
    if name:
        monkeypatch.setenv(name, "~/elsewhere")
    assert weights.cache_folder().parent == Path(torch.hub.get_dir()).parent


def test_bad_weights_files_are_refused(tmp_path: Path) -> None:
    missing, text = tmp_path / "none.safetensors", tmp_path / "text.safetensors"
    text.write_text("not weights")
    bare = tmp_path / "bare.safetensors"
    save_file({"x": torch.zeros(3)}, bare)
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(DEFAULT_ENCODER.read_bytes())
    content[-100] ^= 0xFF
    damaged.write_bytes(content)
    other = tmp_path / "other.safetensors"
    weights.save(other, {"x": torch.zeros(3)}, facts_of("resnet18", 8))
    for path, says in [
        (missing, "no such weights file"),
        (text, "is not a safetensors file"),
        (bare, "does not say how to use its encoder"),
        (damaged, "is damaged"),
        (other, "does not fit its network"),
    ]:
        with pytest.raises(WeightsError, match=says) as refusal:
            encoder.load(str(path), CPU)
        assert str(path) in str(refusal.value)


def test_weights_that_cannot_be_downloaded_are_explained(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be fetched") as refusal:
        weights.fetch_vggface2(tmp_path / "v.safetensors", "http://127.0.0.1:9/v.pt")
    assert refusal.value.remedy.endswith(f"save it as {tmp_path / 'v.pt'}")
    assert list(tmp_path.iterdir()) == []


def test_weights_saved_by_hand_where_the_error_says_are_taken_and_kept(tmp_path: Path) -> None:
    path, by_hand = tmp_path / "v.safetensors", tmp_path / "v.pt"
    by_hand.write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="is not a state dict") as refusal:
        weights.fetch_vggface2(path, "http://127.0.0.1:9/v.pt")
    assert str(by_hand) in str(refusal.value)
    assert by_hand.exists()
    torch.save(encoder.build("inception_resnet_v1", 512).state_dict(), by_hand)
    weights.fetch_vggface2(path, "http://127.0.0.1:9/v.pt")
    assert encoder.load(str(path), CPU).facts.network == "inception_resnet_v1"
    assert by_hand.exists()


def test_downloaded_weights_become_a_weights_file(tmp_path: Path) -> None:
    module = encoder.build("inception_resnet_v1", 512)
    served = tmp_path / "served"
    served.mkdir()
    torch.save({**module.state_dict(), "logits.weight": torch.zeros(3, 512)}, served / "v.pt")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v.pt"
        path = weights.fetch_vggface2(tmp_path / "cache" / "v.safetensors", url)
        server.shutdown()
    assert encoder.load(str(path), CPU).facts.dimension == 512
    assert weights.fetch_vggface2(path, "http://127.0.0.1:9/gone") == path


def test_a_yardstick_is_for_the_vectors_it_was_measured_on() -> None:
    default, before = encoder.load("", CPU), encoder.load("sface", CPU)
    for one in (default, before):
        assert len(one.yardstick.names) == 8
        assert one.yardstick.cohort.shape[1] == one.facts.dimension
    assert default.yardstick.names != before.yardstick.names
    other = encoder.load("dlib", CPU)
    assert other.yardstick.names == ()
    assert other.yardstick.calibration == other.facts.calibration


def test_a_yardstick_is_kept_and_a_damaged_one_refused(tmp_path: Path) -> None:
    facts = encoder.load("", CPU).facts
    path = tmp_path / "stick.safetensors"
    cohort = np.eye(facts.dimension, dtype=np.float32)[:5]
    stick = Yardstick(
        facts.calibration,
        cohort,
        pairs=(1.0,) * 8,
        helped=(0.25,) * 8,
        names=(0.5,) * 8,
        belief=(2.0, 1.0),
    )
    yardstick.save(path, stick, facts.encoder_id)
    again = yardstick.load(facts, path)
    for name in yardstick.COEFFICIENTS:
        assert getattr(again, name) == getattr(stick, name)
    assert np.array_equal(again.cohort, cohort)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(WeightsError, match="is not a yardstick"):
        yardstick.load(facts, path)
    with pytest.raises(ValueError, match="pairs: expected 8 coefficients, or none, got 1"):
        Yardstick(facts.calibration, cohort, (1.0,))
    with pytest.raises(ValueError, match="cohort: expected somebody"):
        Yardstick(facts.calibration, cohort[:0], names=(1.0,) * 8)


@pytest.mark.parametrize("often", [False, True])
def test_a_head_comes_after_the_encoder(tmp_path: Path, *, often: bool) -> None:
    """Whether faces are encoded once or mirrored, too."""
    default = encoder.load("", CPU, mirrored=often)
    size = default.facts.dimension
    known = HeadFacts(
        heads.SCHEMA, default.facts.encoder_id, size, "none", default.facts.calibration, ""
    )
    turned = Head(-np.eye(size, dtype=np.float32), np.zeros(size, np.float32), known)
    heads.save(tmp_path / "head.safetensors", turned)
    head = str(tmp_path / "head.safetensors")
    over = encoder.load("", CPU, mirrored=often, head=head)
    chips = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)
    found, plain = encoder.encode(over, chips), encoder.encode(default, chips)
    np.testing.assert_allclose(found, -plain, atol=1e-5)
    assert over.facts.encoder_id != default.facts.encoder_id


def test_what_is_outside_the_picture_does_not_count_as_sharp(models: Models) -> None:
    image = faces.collins()
    whole = still_faces(models, image, Settings())
    x0, _, x1, _ = whole.detections.boxes[0].astype(int)
    cut = image.copy()
    cut[:, : (x0 + x1) // 2 - 10] = 0
    chips = embed.align(cut, whole.detections.landmarks, models.encoder.facts)
    assert embed.quality(whole.detections, chips, models.encoder.facts)[0] < 0.5 * whole.quality[0]
