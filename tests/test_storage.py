"""Saving and loading: whole or not at all, never any code, and resumed bit for bit."""

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from reference import random_lists, sessions_from
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from gru4rec_lite import (
    DataError,
    GRU4Rec,
    GRU4RecError,
    ModelFileError,
    ParameterError,
    Sessions,
    evaluate,
)

ROOT = Path(__file__).resolve().parents[1]
LISTS = random_lists(n_sessions=30, n_items=12, seed=4, longest=6)
SESSIONS = sessions_from(LISTS)
TEXT_SESSIONS = sessions_from(LISTS, item_ids=sorted(f"item ü{n}" for n in range(12)))
SMALL = {
    "layers": [5], "batch_size": 4, "n_epochs": 2, "n_sample": 6, "device": "cpu",
}  # fmt: skip


def fitted(sessions=SESSIONS, **parameters):
    return GRU4Rec(**{**SMALL, **parameters}).fit(sessions, verbose=False)


@pytest.fixture(scope="module")
def model():
    return fitted()


def same(a, b):
    """Whether two models are equal in every bit of weights, and in their history."""
    weights = [model.network.state_dict() for model in (a, b)]
    histories = [model.history.drop(columns="seconds") for model in (a, b)]
    return (
        weights[0].keys() == weights[1].keys()
        and all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
        and histories[0].equals(histories[1])
        and a.item_ids.tolist() == b.item_ids.tolist()
        and a.item_ids.dtype == b.item_ids.dtype
    )


def files(directory):
    return {path.name for path in Path(directory).iterdir()}


def only_a_model(directory):
    """Whether a directory holds model.json, the weights that it names, nothing else."""
    description = json.loads((directory / "model.json").read_text())
    return files(directory) == {"model.json", description["weights"]}


# ---- there and back


@pytest.mark.parametrize("sessions", [SESSIONS, TEXT_SESSIONS], ids=["int", "text"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"constrained_embedding": False},
        {"constrained_embedding": False, "embedding": "layersize"},
        {"layers": (6, 5), "feedforward": (4,), "cell": "lstm"},
        {"precision": "float64"},
        {"precision": "bfloat16"},
        {"seed": np.int64(3), "learning_rate": np.float32(0.1)},
    ],
    ids=str,
)
def test_round_trip(tmp_path, sessions, parameters):
    model = fitted(sessions, **parameters)
    model.save(tmp_path / "a" / "b")
    assert only_a_model(tmp_path / "a" / "b")
    loaded = GRU4Rec.load(tmp_path / "a" / "b", device="cpu")
    assert same(model, loaded)
    assert loaded.history.equals(model.history)
    for name, value in model.parameters().items():
        value = list(value) if isinstance(value, tuple) else value
        assert loaded.parameters()[name] == value
    assert torch.equal(loaded.score(sessions), model.score(sessions))
    clicks = sessions.item_ids[[0, 3]].tolist()
    assert loaded.recommend(clicks).equals(model.recommend(clicks))
    loaded.save(tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "a" / "b")
    loaded.fit(sessions, warm_start=True, verbose=False)  # and it can be trained on
    assert not same(model, loaded)


IN_ANOTHER_PROCESS = """
import json, sys
from gru4rec_lite import GRU4Rec, Sessions, evaluate

model = GRU4Rec.load(sys.argv[1], device="cpu")
sessions = Sessions.read(sys.argv[2])
report = evaluate(model, sessions, cutoffs=(1, 5, 20))
ranking = model.recommend(sessions.item_ids[[0, 3]].tolist())
print(json.dumps([
    report.recall, report.mrr, ranking["item"].tolist(),
    [float(score).hex() for score in ranking["score"]],
]))
"""


def test_same_figures_in_another_process(tmp_path):
    model = fitted(TEXT_SESSIONS)
    model.save(tmp_path / "model")
    TEXT_SESSIONS.write(tmp_path / "sessions.tsv")
    output = run(IN_ANOTHER_PROCESS, tmp_path / "model", tmp_path / "sessions.tsv")
    recall, mrr, items, scores = json.loads(output.stdout)
    report = evaluate(model, TEXT_SESSIONS, cutoffs=(1, 5, 20))
    assert recall == {str(k): value for k, value in report.recall.items()}
    assert mrr == {str(k): value for k, value in report.mrr.items()}
    ranking = model.recommend(TEXT_SESSIONS.item_ids[[0, 3]].tolist())
    assert items == ranking["item"].tolist()
    assert scores == [float(score).hex() for score in ranking["score"]]


def run(script, *arguments, check=True):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT, check=check, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )  # fmt: skip


# ---- what must not be overwritten


def test_refuses_a_directory_with_other_files(tmp_path, model):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(ModelFileError, match="thesis.tex"):
        model.save(tmp_path)
    assert files(tmp_path) == {"thesis.tex"}
    calls = []
    with pytest.raises(ModelFileError, match="thesis.tex"):
        GRU4Rec(**SMALL).fit(
            SESSIONS, checkpoint=tmp_path, callback=calls.append, verbose=False
        )
    assert calls == []  # told before training, not after


def test_refuses_a_file(tmp_path, model):
    (tmp_path / "model").write_text("something")
    with pytest.raises(ModelFileError, match="cannot be written"):
        model.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="cannot be written"):
        model.save(tmp_path / "model" / "below")
    assert (tmp_path / "model").read_text() == "something"


def test_replaces_a_model_and_leaves_other_files_alone(tmp_path, model):
    model.save(tmp_path)
    (tmp_path / "notes.txt").write_text("trained on Monday")
    other = fitted(seed=1)
    other.save(tmp_path)
    assert same(GRU4Rec.load(tmp_path, device="cpu"), other)
    (tmp_path / "notes.txt").unlink()
    assert only_a_model(tmp_path)


# ---- killed while saving


class Killed(BaseException):
    """Stands for SIGKILL at a chosen moment: no code of the package survives it."""


class KillAt:
    """Kills before or after the n-th thing that is done to the disk."""

    def __init__(self, n):
        self.n, self.count = n, 0

    def __enter__(self):
        names = ("fsync", "replace", "unlink")
        self.patches = [patch.object(os, k, self.wrap(getattr(os, k))) for k in names]
        for one in self.patches:
            one.__enter__()
        return self

    def __exit__(self, *error):
        for one in self.patches:
            one.__exit__(*error)
        return error[0] is Killed

    def wrap(self, function):
        def wrapped(*arguments, **options):
            if self.count == self.n:
                if function.__name__ == "fsync":  # only half of it reached the disk
                    os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                raise Killed
            function(*arguments, **options)
            if self.count + 1 == self.n:
                raise Killed
            self.count += 2

        return wrapped

    @property
    def never(self):
        return self.count <= self.n - 2


def test_killed_at_any_moment_of_a_save(tmp_path, model):
    other = fitted(seed=1)
    for n in range(100):
        directory = tmp_path / str(n)
        model.save(directory)
        with KillAt(n) as kill:
            other.save(directory)
        loaded = GRU4Rec.load(directory, device="cpu")
        assert same(loaded, model) or same(loaded, other)
        other.save(directory)
        assert only_a_model(directory)
        assert same(GRU4Rec.load(directory, device="cpu"), other)
        if kill.never:
            break
    assert 9 <= n < 99


def test_killed_at_any_moment_of_the_first_save(tmp_path, model):
    for n in range(100):
        directory = tmp_path / str(n)
        with KillAt(n) as kill:
            model.save(directory)
        if (directory / "model.json").exists():
            assert same(GRU4Rec.load(directory, device="cpu"), model)
        else:
            with pytest.raises(ModelFileError, match="not a model directory"):
                GRU4Rec.load(directory)
        model.save(directory)
        assert only_a_model(directory)
        if kill.never:
            break
    assert 7 <= n < 99


def test_files_are_written_under_another_name(tmp_path, model):
    """And get their own by renaming, so that half of one is never seen under it."""
    written, watching = [], True

    def hook(event, arguments):
        if watching and event == "open" and str(arguments[0]).startswith(str(tmp_path)):
            flags = arguments[2] or 0
            if flags & (os.O_WRONLY | os.O_RDWR):
                written.append(Path(arguments[0]).name)

    sys.addaudithook(hook)  # which nobody can remove, but it can be made deaf
    model.save(tmp_path)
    watching = False
    assert len(written) == 2
    assert not set(written) & files(tmp_path)


# ---- checkpoints

DROPOUT = {"dropout_p_embed": 0.2, "dropout_p_hidden": 0.3}
RESUMABLE = [
    {"momentum": 0.4, **DROPOUT},
    {"optimizer": "adam", "learning_rate": 0.01, **DROPOUT},
    {"optimizer": "rmsprop", "momentum": 0.2, "constrained_embedding": False},
    {"optimizer": "sgd", "momentum": 0.2, "session_order": "shuffle", "n_sample": 0},
    {"cell": "lstm", "layers": [4, 5], "feedforward": [4], **DROPOUT},
    {"constrained_embedding": False, "embedding": 4, "precision": "float64"},
]


class Stop(Exception):
    """Stops training after some epochs, as a kill between epochs would."""

    @classmethod
    def after(cls, n_epochs):
        calls = []

        def callback(model):
            calls.append(model)
            if len(calls) == n_epochs:
                raise cls

        return callback


@pytest.mark.parametrize("parameters", RESUMABLE, ids=str)
def test_resumed_equals_undisturbed(tmp_path, parameters):
    undisturbed = fitted(**parameters, n_epochs=5)
    for n_epochs in (1, 2):
        with pytest.raises(Stop):
            GRU4Rec(**{**SMALL, **parameters, "n_epochs": 5}).fit(
                SESSIONS, checkpoint=tmp_path, resume=True, verbose=False,
                callback=Stop.after(n_epochs),
            )  # fmt: skip
        torch.rand(7)
    resumed = GRU4Rec(**{**SMALL, **parameters, "n_epochs": 5}).fit(
        SESSIONS, checkpoint=tmp_path, resume=True, verbose=False
    )
    assert resumed.history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert same(resumed, undisturbed)
    assert only_a_model(tmp_path)
    assert same(GRU4Rec.load(tmp_path, device="cpu"), undisturbed)


def test_resume_for_more_epochs(tmp_path):
    fit = {"sessions": SESSIONS, "checkpoint": tmp_path, "verbose": False}
    GRU4Rec(**{**SMALL, "n_epochs": 2}).fit(**fit)
    longer = GRU4Rec(**{**SMALL, "n_epochs": 4}).fit(**fit, resume=True)
    assert same(longer, fitted(n_epochs=4))
    nothing_left = GRU4Rec(**{**SMALL, "n_epochs": 4}).fit(**fit, resume=True)
    assert same(nothing_left, longer)
    anew = GRU4Rec(**{**SMALL, "n_epochs": 1}).fit(**fit)
    assert same(anew, fitted(n_epochs=1))


def test_resume_a_warm_start(tmp_path, model):
    """The epochs of the first fit are not taken for those of the second."""
    new = sessions_from(LISTS[::-1], item_ids=np.arange(12) * 10 + 150)
    undisturbed = deepcopy(model).fit(new, warm_start=True, verbose=False)
    first, second = deepcopy(model), deepcopy(model)
    fit = {"sessions": new, "warm_start": True, "checkpoint": tmp_path}
    fit |= {"resume": True, "verbose": False}
    with pytest.raises(Stop):
        first.fit(**fit, callback=Stop.after(1))
    assert same(second.fit(**fit), undisturbed)
    assert second.history["epoch"].tolist() == [1, 2, 1, 2]


def test_killed_at_any_moment_of_a_checkpoint(tmp_path):
    undisturbed = fitted(momentum=0.3)
    for n in range(100):
        directory = tmp_path / str(n)
        with KillAt(n) as kill:
            GRU4Rec(**SMALL, momentum=0.3).fit(
                SESSIONS, checkpoint=directory, resume=True, verbose=False
            )
        resumed = GRU4Rec(**SMALL, momentum=0.3).fit(
            SESSIONS, checkpoint=directory, resume=True, verbose=False
        )
        assert same(resumed, undisturbed)
        assert only_a_model(directory)
        if kill.never:
            break
    assert 17 <= n < 99


def test_what_cannot_be_resumed(tmp_path, model):
    fit = {"resume": True, "verbose": False}
    with pytest.raises(ParameterError, match="resume=True.*checkpoint"):
        GRU4Rec(**SMALL).fit(SESSIONS, **fit)
    fit["checkpoint"] = tmp_path / "begun"
    GRU4Rec(**SMALL).fit(SESSIONS, **fit)
    for name, value in {
        "layers": [6], "seed": 1, "learning_rate": 0.3, "loss": "bpr", "n_sample": 7,
        "optimizer": "sgd",
    }.items():  # fmt: skip
        with pytest.raises(ParameterError, match=f"{name}="):
            GRU4Rec(**{**SMALL, name: value}).fit(SESSIONS, **fit)
    with pytest.raises(DataError, match="other items"):
        GRU4Rec(**SMALL).fit(TEXT_SESSIONS, **fit)
    model.save(tmp_path / "finished")
    fit["checkpoint"] = tmp_path / "finished"
    with pytest.raises(ModelFileError):
        GRU4Rec(**{**SMALL, "n_epochs": 3}).fit(SESSIONS, **fit)
    assert same(GRU4Rec.load(tmp_path / "finished", device="cpu"), model)


TRAIN_AND_DIE = """
import json, os, random, signal, sys, threading, time
from gru4rec_lite import GRU4Rec, Sessions

log, directory, parameters, seed = sys.argv[1:]
sessions = Sessions.read(log)
rng = random.Random(int(seed))
# Some epochs, then death within the time of the next two, training or saving.
n_epochs = rng.randint(0, 5)
ends = []

def die_soon(model=None):
    ends.extend([time.perf_counter()] * (model is not None))
    if len(ends) == n_epochs and int(seed) >= 0:
        epoch = ends[-1] - ends[-2] if n_epochs > 1 else 0.02  # seconds
        kill = threading.Timer(
            rng.random() * 2 * epoch, os.kill, (os.getpid(), signal.SIGKILL)
        )
        kill.daemon = True
        kill.start()

die_soon()
GRU4Rec(**json.loads(parameters)).fit(
    sessions, checkpoint=directory, resume=True, callback=die_soon, verbose=False
)
"""


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    """SIGKILL at random moments; resumed each time, the same model comes out."""
    TEXT_SESSIONS.write(tmp_path / "log.tsv")
    parameters = json.dumps({**SMALL, **DROPOUT, "momentum": 0.3, "n_epochs": 120})

    def life(directory, seed):
        return run(
            TRAIN_AND_DIE,
            tmp_path / "log.tsv",
            directory,
            parameters,
            seed,
            check=False,
        )

    undisturbed = life(tmp_path / "undisturbed", -1)
    assert undisturbed.returncode == 0, undisturbed.stderr
    for seed in range(10):
        killed = life(tmp_path / "killed", seed)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = life(tmp_path / "killed", -1)
    assert last.returncode == 0, last.stderr
    assert only_a_model(tmp_path / "killed")
    a, b = (GRU4Rec.load(tmp_path / k, device="cpu") for k in ("undisturbed", "killed"))
    assert len(a.history) == 120
    assert same(a, b)
    tensors = [
        tensors_from_bytes(next((tmp_path / k).glob("weights-*")).read_bytes())
        for k in ("undisturbed", "killed")
    ]  # optimiser included
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


# ---- files that are not models


@pytest.fixture(scope="module")
def saved(tmp_path_factory, model):
    """The bytes of a saved model: model.json and the weights."""
    directory = tmp_path_factory.mktemp("saved")
    model.save(directory)
    text = (directory / "model.json").read_bytes()
    return text, (directory / json.loads(text)["weights"]).read_bytes()


def write(directory, text, weights, fit_checksum=False):
    """A model directory from bytes; with a checksum that fits the weights, if asked."""
    directory.mkdir(exist_ok=True)
    name = "weights-0.safetensors"
    if fit_checksum:
        description = json.loads(text)
        description |= {"weights": name, "sha256": hashlib.sha256(weights).hexdigest()}
        text = json.dumps(description).encode()
    else:
        name = json.loads(text)["weights"] if text[:1] == b"{" else name
    (directory / "model.json").write_bytes(text)
    (directory / name).write_bytes(weights)
    return directory


class Payload:
    """Unpickled, it makes a file: what an attacker's model would do first."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("kind", ["pickle", "torch.save"])
def test_never_runs_code(tmp_path, saved, kind):
    text, _ = saved
    proof = tmp_path / "code-was-run"
    if kind == "pickle":
        weights = pickle.dumps(Payload(str(proof)))
    else:
        torch.save(Payload(str(proof)), tmp_path / "weights.pt")
        weights = (tmp_path / "weights.pt").read_bytes()
    directory = write(tmp_path / "model", text, weights, fit_checksum=True)
    with pytest.raises(ModelFileError):
        GRU4Rec.load(directory)
    (directory / "model.json").write_bytes(weights)
    with pytest.raises(ModelFileError):
        GRU4Rec.load(directory)
    assert not proof.exists()
    pickle.loads(pickle.dumps(Payload(str(proof)))).close()
    assert proof.exists()  # the payload itself works


def test_no_model_there(tmp_path, model):
    with pytest.raises(ModelFileError, match="does not exist"):
        GRU4Rec.load(tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match="not a model directory"):
        GRU4Rec.load(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(ModelFileError, match="not a model directory"):
        GRU4Rec.load(tmp_path / "file")
    (tmp_path / "model.json").mkdir()
    with pytest.raises(ModelFileError, match="not a model directory"):
        GRU4Rec.load(tmp_path)


def test_weights_missing_or_truncated(tmp_path, saved):
    text, weights = saved
    for n in (0, 1, 8, 100, len(weights) - 1):
        directory = write(tmp_path / str(n), text, weights[:n])
        with pytest.raises(ModelFileError, match="damaged"):
            GRU4Rec.load(directory)
        directory = write(tmp_path / str(n), text, weights[:n], fit_checksum=True)
        with pytest.raises(ModelFileError, match="not a whole model"):
            GRU4Rec.load(directory)
    (directory / "weights-0.safetensors").unlink()
    with pytest.raises(ModelFileError, match="not a whole model"):
        GRU4Rec.load(directory)


def test_weights_of_another_model(tmp_path, saved, model):
    text, weights = saved
    tensors = tensors_from_bytes(weights)
    others = [
        {},
        {name: tensor.half() for name, tensor in tensors.items()},
        {name: tensor.int() for name, tensor in tensors.items()},
        {name: tensor[:-1].contiguous() for name, tensor in tensors.items()},
        {f"x.{name}": tensor for name, tensor in tensors.items()},
        dict(list(tensors.items())[1:]),
        {**tensors, "network.more": torch.zeros(2)},
    ]
    for n, other in enumerate(others):
        data = tensors_to_bytes(other)
        directory = write(tmp_path / str(n), text, data, fit_checksum=True)
        with pytest.raises(ModelFileError, match="not a whole model"):
            GRU4Rec.load(directory)


def test_weights_file_is_looked_for_in_the_directory_only(tmp_path, saved):
    """A name with a path in it leads nowhere else."""
    text, weights = saved
    description = json.loads(text)
    (tmp_path / "elsewhere").write_bytes(weights)
    description["weights"] = str(tmp_path / "elsewhere")
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "model.json").write_text(json.dumps(description))
    with pytest.raises(ModelFileError):
        GRU4Rec.load(directory)


def test_missing_fields_and_wrong_format(tmp_path, saved):
    text, weights = saved
    for name in json.loads(text):
        description = json.loads(text)
        del description[name]
        directory = write(tmp_path / name, text, weights)
        (directory / "model.json").write_text(json.dumps(description))
        if name != "model":
            with pytest.raises(ModelFileError):
                GRU4Rec.load(directory)
    for version in (0, 2, "1", None, [1]):
        description = {**json.loads(text), "format": version}
        (directory / "model.json").write_text(json.dumps(description))
        with pytest.raises(ModelFileError, match="not a model of this version"):
            GRU4Rec.load(directory)


def test_huge_sizes_take_no_memory(tmp_path, saved):
    text, weights = saved
    for name in ("layers", "feedforward"):
        for size in (10**5, 10**9, 10**30):
            description = json.loads(text)
            description["parameters"][name] = [size]
            directory = write(
                tmp_path / f"{name}{size}", json.dumps(description).encode(), weights
            )
            with pytest.raises(ModelFileError, match="not a whole model"):
                GRU4Rec.load(directory)


JUNK = [
    None, True, False, -1, 0, 1, 3, 2.5, 1e308, float("nan"), float("inf"), 10**9,
    2**63, 10**40, "", "x", "\0", "../x", "/", "é" * 300, [], [[]], {}, [1, "a"],
    [None], {"a": 1}, [0.5] * 3, "adam", "gru", "lstm",
]  # fmt: skip


def mutate_bytes(data, rng):
    data = bytearray(data)
    kind = rng.integers(5)
    start, stop = np.sort(rng.integers(0, len(data) + 1, 2))
    if kind == 0:
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        del data[start : min(stop, start + 20)]
    elif kind == 3:
        data[start:start] = rng.bytes(rng.integers(1, 20))
    else:
        data[start:start] = data[start:stop]
    return bytes(data)


def mutate_json(description, rng):
    """Replace or remove a value somewhere in it, or a few."""
    description = deepcopy(description)
    for _ in range(rng.integers(1, 4)):
        place = description
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = keys[rng.integers(len(keys))]
            if isinstance(place[key], dict | list) and rng.random() < 0.7:
                place = place[key]
                continue
            if rng.random() < 0.2:
                del place[key]
            else:
                place[key] = deepcopy(JUNK[rng.integers(len(JUNK))])
            break
    return description


def test_two_thousand_malformed_models(tmp_path, saved):
    """Whatever the files hold: a ModelFileError, or a model that works."""
    text, weights = saved
    rng = np.random.default_rng(0)
    refused = 0
    for n in range(2000):
        kind = n % 4
        directory = tmp_path / str(n)
        if kind == 0:
            write(directory, text, weights)
            (directory / "model.json").write_bytes(mutate_bytes(text, rng))
        elif kind == 1:
            write(directory, text, mutate_bytes(weights, rng))
        elif kind == 2:
            write(directory, text, mutate_bytes(weights, rng), fit_checksum=True)
        else:
            description = mutate_json(json.loads(text), rng)
            write(directory, text, weights)
            (directory / "model.json").write_text(json.dumps(description))
        try:
            loaded = GRU4Rec.load(directory, device="cpu")
        except ModelFileError as error:
            refused += 1
            assert str(directory) in str(error) and "\n" not in str(error)
            continue
        assert kind != 1 or same(loaded, GRU4Rec.load(write(directory, *saved)))
        first = loaded.item_ids[0]
        assert len(loaded.recommend([first, loaded.item_ids[-1]], k=3)) == 3
        loaded.session().click(first).recommend()
        assert loaded.history.shape[1] == 5 and repr(loaded)
        loaded.n_epochs = 1
        try:
            loaded.fit(SESSIONS, warm_start=True, verbose=False)
        except GRU4RecError:
            pass
    assert refused > 1200


def test_sessions_module_is_not_needed_to_load(tmp_path, saved):
    """A model can be used where its training data are not."""
    directory = write(tmp_path / "model", *saved)
    loaded = GRU4Rec.load(directory, device="cpu")
    again = Sessions([0, 1], [0, 1], [0, 2], [0], loaded.item_ids)
    assert loaded.score(again).shape == (1, 12)
