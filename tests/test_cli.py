"""The command line: what scripts outside rely on, as they see it.

Where the process itself matters (exit codes, one line on standard error, signals) it
is a real one; elsewhere commands run in this process, which spares importing PyTorch.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from gru4rec_lite import BASELINES, GRU4Rec, ParameterError, Sessions, cli, evaluate
from gru4rec_lite.datasets import DATASETS

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("train", "evaluate", "recommend", "baseline", "prepare", "simulate", "tune")
SMALL = ("--set", "layers=16", "--set", "n_sample=16", "--device", "cpu")
FAST = (*SMALL, "--set", "n_epochs=2")
LONG = (*SMALL, "--set", "n_epochs=1000000")  # to be interrupted
HEADER = "SessionId\tItemId\tTime\n"


def walks(n_sessions, seed, shortest=2):
    """Clicks that walk up a ring of 30 items, now and then with a jump."""
    rng = np.random.default_rng(seed)
    rows = []
    for session in range(n_sessions):
        item = int(rng.integers(30))
        for click in range(int(rng.integers(shortest, 7))):
            rows.append((session, 500 + item, 1_400_000_000 + 1000 * session + click))
            item = (item + (1 if rng.random() < 0.8 else int(rng.integers(30)))) % 30
    return pd.DataFrame(rows, columns=["SessionId", "ItemId", "Time"])


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A directory with train.tsv, test.tsv, and a model trained on the first."""
    path = tmp_path_factory.mktemp("logs")
    walks(300, 0).to_csv(path / "train.tsv", sep="\t", index=False)
    walks(90, 1).to_csv(path / "test.tsv", sep="\t", index=False)
    model = GRU4Rec(layers=[16], n_sample=16, n_epochs=3, device="cpu")
    model.fit(Sessions.read(path / "train.tsv"), verbose=False).save(path / "model")
    return path


def start(*args, cwd, code=None, **options):
    """A process of its own, in another directory than the package's."""
    program = ["-c", code] if code else ["-m", "gru4rec_lite"]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",  # bits depend on the number of threads
    }
    return subprocess.Popen(
        # A job in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        args=[sys.executable, *program, *map(str, args)], cwd=cwd, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def run(*args, cwd, **options):
    process = start(*args, cwd=cwd, **options)
    process.out, process.err = process.communicate(timeout=300)
    return process


def call(*args):
    """The command in this process."""
    return CliRunner().invoke(cli.main, [str(arg) for arg in args])


def last_json(text):
    return json.loads(text.splitlines()[-1])


def check_refused(code, out, err, *said):
    assert code == 2, err
    assert out == ""
    assert len(err.splitlines()) == 1 and err.endswith("\n"), err
    for part in said:
        assert part in err, err


def refused(*args, said):
    result = call(*args)
    check_refused(result.exit_code, result.stdout, result.stderr, *said)


# ---- bad input, each in a process of its own -------------------------------------

TEXTS = {
    "no_column.tsv": "SessionId\tProduct\tTime\n1\t2\t3\n",
    "empty.tsv": "",
    "header_only.tsv": HEADER,
    "bad_time.tsv": HEADER + "1\t2\t3\n1\t3\tlate\n",
    "strangers.tsv": HEADER + "1\t7\t3\n1\t8\t4\n",
    "one_click.tsv": HEADER + "1\t500\t3\n2\t501\t4\n",
    "one_item.tsv": HEADER + "1\t500\t3\n1\t500\t4\n",
}


@pytest.fixture(scope="module")
def bad(logs):
    """Files and directories that something is wrong with, beside the good ones."""
    for name, text in TEXTS.items():
        (logs / name).write_text(text)
    (logs / "not_a_model").mkdir()
    (logs / "not_a_model" / "notes.txt").write_text("mine")
    for name in ("truncated", "garbled"):
        (logs / name).mkdir()
        for file in (logs / "model").iterdir():
            (logs / name / file.name).write_bytes(file.read_bytes())
    weights = next((logs / "truncated").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    (logs / "garbled" / "model.json").write_text('{"format": 1, "weights')
    return logs


@pytest.mark.parametrize(
    "command, said",
    [
        ("train no_column.tsv", ["no_column.tsv, line 1", "'ItemId'", "'Product'"]),
        ("train empty.tsv", ["empty.tsv", "empty"]),
        ("train header_only.tsv", ["header_only.tsv", "no lines after the header"]),
        ("train bad_time.tsv", ["bad_time.tsv, line 3", "'Time'", "'late'"]),
        ("train nowhere.tsv", ["nowhere.tsv", "no such file"]),
        ("train train.tsv --test strangers.tsv", ["strangers.tsv", "'ItemId'", "7, 8"]),
        ("train train.tsv --preset rsc51", ["--preset", "'rsc51'", "'rsc15'"]),
        ("train train.tsv --set epochs=3", ["epochs=3", "n_epochs?", "layers, loss"]),
        ("evaluate model test.tsv -k 0", ["'-k'", "0", "x>=1"]),
        ("evaluate truncated test.tsv", ["truncated", ".safetensors", "checksum"]),
        ("evaluate not_a_model test.tsv", ["not_a_model", "model.json"]),
        ("recommend model 999", ["model", "'999'", "500, 501"]),
    ],
)  # fmt: skip
def test_bad_input(bad, command, said):
    result = run(*command.split(), cwd=bad)
    check_refused(result.returncode, result.out, result.err, *said)


@pytest.mark.parametrize(
    "command, said",
    [
        ("", ["Missing command"]),
        ("polish", ["'polish'", "train", "evaluate", "tune"]),
        ("--polish", ["--polish"]),
        ("train", ["gru4rec-lite train:", "TRAIN.tsv"]),
        ("train train.tsv extra", ["extra"]),
        ("train train.tsv --set", ["--set"]),
        ("train train.tsv --set n_epochs", ["n_epochs", "NAME=VALUE"]),
        ("train train.tsv --set n_epochs=2.5", ["n_epochs=2.5", "an integer"]),
        ("train train.tsv --set n_epochs=0", ["n_epochs=0", "at least 1"]),
        ("train train.tsv --set layers=100,100", ["layers=100,100", "100/100"]),
        ("train train.tsv --set layers=", ["layers=[]", "[100]"]),
        ("train train.tsv --set learning_rate=fast", ["learning_rate=fast", "number"]),
        ("train train.tsv --set learning_rate=nan", ["learning_rate=nan"]),
        ("train train.tsv --set embedding=wide", ["embedding=wide", "layersize"]),
        ("train train.tsv --set loss=hinge", ["loss='hinge'", "'bpr-max'"]),
        ("train train.tsv --set constrained_embedding=2", ["True or False"]),
        ("train train.tsv --set layers=100000000", ["memory", "smaller layers"]),
        ("train train.tsv --set layers=100000000000", ["memory", "smaller layers"]),
        ("train train.tsv --device abacus", ["device='abacus'", "'cuda'"]),
        ("train train.tsv --ties lucky", ["--ties", "'lucky'", "'median'"]),
        ("train train.tsv --seed -1", ["--seed", "-1"]),
        ("train train.tsv --resume", ["--resume", "--save"]),
        ("train train.tsv --checkpoint", ["--checkpoint", "--save"]),
        ("train train.tsv --save not_a_model", ["not_a_model", "notes.txt"]),
        ("train train.tsv --save train.tsv", ["--save train.tsv", "it is a file"]),
        ("train train.tsv --save train.tsv/in", ["--save train.tsv/in", "written"]),
        ("train train.tsv --save model --resume", ["model", "--checkpoint has"]),
        ("train train.tsv --save truncated --resume", ["truncated", "checksum"]),
        ("train one_click.tsv", ["one_click.tsv", "two clicks"]),
        ("train one_item.tsv", ["one_item.tsv", "1 different item"]),
        ("train train.tsv --item Product", ["train.tsv, line 1", "'Product'"]),
        ("train train.tsv --item Time", ["'Time'", "three different columns"]),
        ("train .", ["a directory; expected a file"]),
        ("evaluate model strangers.tsv", ["strangers.tsv", "7, 8", "500"]),
        ("evaluate model nowhere.tsv", ["nowhere.tsv"]),
        ("evaluate model one_click.tsv", ["one_click.tsv", "no click is left"]),
        ("evaluate garbled test.tsv", ["garbled", "not a whole model"]),
        ("evaluate nowhere test.tsv", ["nowhere", "does not exist"]),
        ("evaluate train.tsv test.tsv", ["train.tsv", "not a model directory"]),
        ("recommend model", ["ITEM"]),
        ("recommend model 500 -k 0", ["'-k'", "x>=1"]),
        ("recommend model 500 -k five", ["'-k'", "'five'"]),
        ("baseline svd train.tsv --test test.tsv", ["'svd'", "'item-knn'"]),
        ("baseline pop train.tsv", ["--test"]),
        ("baseline pop train.tsv --test strangers.tsv", ["strangers.tsv", "7, 8"]),
        ("baseline pop train.tsv --test test.tsv --set n=1", ["n=1", "POP", "none"]),
        (
            "baseline item-knn train.tsv --test test.tsv --set n_neighbors=0",
            ["n_neighbors=0", "at least 1"],
        ),
        ("baseline pop no_column.tsv --test test.tsv", ["no_column.tsv, line 1"]),
        ("prepare imagenet raw out", ["'imagenet'", "'diginetica'"]),
        ("prepare rsc15 nowhere out", ["nowhere", "yoochoose-clicks.dat"]),
        ("prepare rsc15 . out", ["yoochoose-clicks.dat", "rsc15"]),
        ("prepare rsc15 . train.tsv", ["OUT_DIR train.tsv", "it is a file"]),
        ("simulate train.tsv", ["train.tsv", "cannot be written"]),
        ("simulate out --sessions 0", ["--sessions", "x>=1"]),
        ("tune train.tsv test.tsv --trials 0", ["--trials", "x>=1"]),
        ("tune train.tsv test.tsv --storage mine", ["storage='mine'", "sqlite:///"]),
        ("tune train.tsv test.tsv --set depth=3", ["depth=3", "no parameter"]),
        ("tune train.tsv strangers.tsv", ["strangers.tsv", "7, 8"]),
        ("tune one_item.tsv test.tsv", ["one_item.tsv", "1 different item"]),
    ],
)  # fmt: skip
def test_more_bad_input(bad, monkeypatch, command, said):
    monkeypatch.chdir(bad)
    before = {path: path.stat().st_mtime_ns for path in sorted(bad.rglob("*"))}
    refused(*command.split(), said=said)
    # nothing written, nothing left behind
    assert before == {path: path.stat().st_mtime_ns for path in sorted(bad.rglob("*"))}


@pytest.mark.parametrize("name", ["model", "new/deeper/model"])
def test_a_failed_training_leaves_no_directory(bad, tmp_path, name):
    refused(
        "train", bad / "bad_time.tsv", "--save", tmp_path / name, said=["bad_time.tsv"]
    )
    assert list(tmp_path.iterdir()) == []


def test_diverging_training_says_what_to_change(logs, tmp_path):
    result = call(
        "train", logs / "train.tsv", *FAST, "--set", "optimizer=sgd", "--set",
        "learning_rate=1e30", "--save", tmp_path / "model",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "lower learning_rate=1e+30" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_optuna_missing(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused(
        "tune", logs / "train.tsv", logs / "test.tsv",
        said=["Optuna", "pip install 'gru4rec-lite[tune]'"],
    )  # fmt: skip


# ---- help ------------------------------------------------------------------------


def test_help_of_every_command_shows_an_example():
    result = call("--help")
    assert result.exit_code == 0 and result.stderr == ""
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\w.*\.$", result.stdout, re.M), name
        usage = call(name, "--help")
        assert usage.exit_code == 0
        assert re.search(rf"^  gru4rec-lite {name} \w", usage.stdout, re.M), name
        assert max(map(len, usage.stdout.splitlines())) <= 88
    assert set(COMMANDS) == set(cli.main.commands)


def test_names_in_the_help_are_those_of_the_library():
    assert cli.BASELINE_NAMES == tuple(BASELINES)
    assert cli.DATASET_NAMES == tuple(DATASETS)


# ---- a model's way through the commands ------------------------------------------


def test_saved_in_one_process_and_evaluated_in_another(logs, tmp_path):
    trained = run(
        "train", logs / "train.tsv", "--test", logs / "test.tsv", *FAST, "--seed", 7,
        "--save", "model", "-k", 5, "-k", 20, "--ties", "median", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.err
    first = last_json(trained.out)
    assert len(trained.out.splitlines()) == 1
    assert "epoch 2/2" in trained.err  # progress

    again = run(
        "evaluate", "model", logs / "test.tsv", "-k", 5, "-k", 20, "--ties", "median",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert again.returncode == 0, again.err
    second = last_json(again.out)
    for figure in ("recall", "mrr", "n_predictions", "recall_interval", "ties"):
        assert first[figure] == second[figure]
    assert set(first["recall"]) == set(first["mrr"]) == {"5", "20"}
    assert 0 < first["recall"]["5"] < first["recall"]["20"] <= 1

    clicks = walks(300, 0)
    pairs = len(clicks) - clicks.SessionId.nunique()
    assert first["train"] == {"clicks": len(clicks), "sessions": 300, "items": 30}
    assert first["epochs"] == 2 and first["settings"]["seed"] == 7
    assert first["settings"]["layers"] == [16] and first["saved"] == "model"
    rate = first["events_per_second"] * first["train_seconds"]
    assert rate == pytest.approx(2 * pairs)

    # the library gives the same figures, and the same model
    report = evaluate(
        GRU4Rec.load(tmp_path / "model"), Sessions.read(logs / "test.tsv"), (5, 20),
        "median",
    )  # fmt: skip
    assert report.n_predictions == first["n_predictions"]
    assert {str(k): v for k, v in report.recall.items()} == pytest.approx(
        first["recall"], abs=1e-3
    )

    shown = run("recommend", "model", 503, "504", "-k", 3, cwd=tmp_path)
    assert shown.returncode == 0 and shown.err == ""
    table = [line.split() for line in shown.out.splitlines()]
    assert table[0] == ["rank", "item", "score"]
    assert [row[0] for row in table[1:]] == ["1", "2", "3"]
    ranked = last_json(
        run("recommend", "model", 503, 504, "-k", 3, "--json", cwd=tmp_path).out
    )
    assert ranked["session"] == ["503", "504"]
    rows = ranked["recommendations"]
    assert [str(row["item"]) for row in rows] == [row[1] for row in table[1:]]
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert rows[0]["item"] == 505  # up the ring


def test_tables_for_people(logs, tmp_path):
    result = call(
        "train", logs / "train.tsv", "--test", logs / "test.tsv", *FAST, "--save",
        tmp_path / "m",
    )  # fmt: skip
    assert result.exit_code == 0
    clicks = walks(300, 0)
    assert f"{len(clicks):,} clicks in 300 sessions on 30 items" in result.stdout
    assert "2 epochs in " in result.stdout and f"saved in {tmp_path}" in result.stdout
    assert re.search(r"^Recall@20 +0\.\d{4} +0\.\d{4} +0\.\d{4}$", result.stdout, re.M)
    again = call("evaluate", tmp_path / "m", logs / "test.tsv", "-k", 3)
    assert "Recall@3" in again.stdout and "ties conservative" in again.stdout
    assert again.stdout.startswith("GRU4Rec: ") and again.stderr == ""


def test_one_seed_one_result(logs):
    def train(*more):
        args = ("train", logs / "train.tsv", "--test", logs / "test.tsv", *FAST)
        return last_json(call(*args, "--json", *more).stdout)

    first, again, other = train("--seed", 1), train("--seed", 1), train("--seed", 2)
    assert first["loss"] == again["loss"] and first["mrr"] == again["mrr"]
    assert first["loss"] != other["loss"]
    assert train("--set", "seed=1")["loss"] == first["loss"]


def test_a_preset_and_what_goes_before_it(logs):
    result = call(
        "train", logs / "train.tsv", "--preset", "retailrocket", *FAST, "--json"
    )
    settings = last_json(result.stdout)["settings"]
    published = cli.presets["retailrocket"]
    assert settings["layers"] == [16] and settings["n_epochs"] == 2
    for name in set(published) - {"layers", "n_epochs", "n_sample"}:
        assert settings[name] == published[name]
    assert "recall" not in last_json(result.stdout)  # without --test


def test_settings_are_typed_as_the_defaults_are():
    pairs = (
        "layers=100/50", "feedforward=", "n_epochs=3", "learning_rate=1e-2",
        "constrained_embedding=false", "embedding=layersize", "loss=bpr-max",
        "dropout_p_embed=0",
    )  # fmt: skip
    settings = cli.parse_settings(GRU4Rec, pairs)
    assert settings == {
        "layers": [100, 50], "feedforward": [], "n_epochs": 3, "learning_rate": 0.01,
        "constrained_embedding": False, "embedding": "layersize", "loss": "bpr-max",
        "dropout_p_embed": 0.0,
    }  # fmt: skip
    GRU4Rec(**(settings | {"feedforward": [8]})).validate()
    assert cli.parse_settings(GRU4Rec, ["embedding=64"]) == {"embedding": 64}
    for name in GRU4Rec().parameters():  # every parameter can be set
        with pytest.raises(ParameterError, match="NAME=VALUE"):
            cli.parse_settings(GRU4Rec, [name])


def test_other_columns_units_and_packing(logs, tmp_path):
    """The same clicks written in another way give the same model."""
    for name in ("train", "test"):
        clicks = pd.read_csv(logs / f"{name}.tsv", sep="\t")
        clicks["Time"] *= 1000
        clicks.columns = ["visit", "sku", "at"]
        clicks["extra"] = "x"
        clicks.sample(frac=1, random_state=0).to_csv(
            tmp_path / f"{name}.csv.gz", index=False
        )
    columns = ("--session", "visit", "--item", "sku", "--time", "at")
    args = (*FAST, "--json")
    plain = call("train", logs / "train.tsv", "--test", logs / "test.tsv", *args)
    other = call(
        "train", tmp_path / "train.csv.gz", "--test", tmp_path / "test.csv.gz", *args,
        *columns, "--time-unit", "ms",
    )  # fmt: skip
    assert other.exit_code == 0, other.stderr
    assert last_json(plain.stdout)["mrr"] == last_json(other.stdout)["mrr"]
    # without the unit, a warning of one line
    warned = call(
        "baseline", "pop", tmp_path / "train.csv.gz", "--test",
        tmp_path / "test.csv.gz", *columns, "--json",
    )  # fmt: skip
    assert warned.exit_code == 0
    lines = warned.stderr.splitlines()
    assert lines and all(line.startswith("gru4rec-lite: warning: ") for line in lines)


def test_nothing_is_filtered_silently(tmp_path):
    train = walks(60, 0, shortest=1)
    single = int((train.groupby("SessionId").size() == 1).sum())
    assert single > 5
    train.loc[len(train)] = (59, 12345, train.Time.max() + 1)  # an item clicked once
    train.to_csv(tmp_path / "train.tsv", sep="\t", index=False)
    test = pd.concat([walks(20, 1), pd.DataFrame(
        {"SessionId": [0, 99, 99], "ItemId": [1, 500, 2], "Time": [2e9, 2e9, 2e9]}
    )])  # fmt: skip
    test.to_csv(tmp_path / "test.tsv", sep="\t", index=False)
    args = ("--test", tmp_path / "test.tsv")
    result = call("train", tmp_path / "train.tsv", *args, *FAST, "--json")
    report = last_json(result.stdout)
    assert report["train"]["clicks"] == len(train)
    assert report["train"]["sessions"] == 60
    assert report["train"]["items"] == train.ItemId.nunique()
    assert report["removed"] == {
        "unknown items": 2, "clicks on unknown items": 2,
        "sessions shorter than 2": 1, "clicks in sessions shorter than 2": 1,
    }  # fmt: skip
    shown = call("train", tmp_path / "train.tsv", *args, *FAST).stdout
    assert f"({single} of a single click" in shown
    assert "2 clicks on unknown items" in shown


# ---- the other commands ----------------------------------------------------------


@pytest.mark.parametrize("name", cli.BASELINE_NAMES)
def test_baselines(logs, name):
    args = ("baseline", name, logs / "train.tsv", "--test", logs / "test.tsv")
    result = call(*args, "-k", 3, "-k", 20, "--ties", "standard", "--json")
    assert result.exit_code == 0, result.stderr
    report = last_json(result.stdout)
    recommender = BASELINES[name]().fit(Sessions.read(logs / "train.tsv"))
    wanted = evaluate(
        recommender, Sessions.read(logs / "test.tsv"), (3, 20), "standard"
    )
    assert report["recall"] == {str(k): v for k, v in wanted.recall.items()}
    assert report["mrr"] == {str(k): v for k, v in wanted.mrr.items()}
    assert report["n_predictions"] == wanted.n_predictions
    assert report["ties"] == "standard" and report["baseline"] == name
    shown = call(*args, "--seed", 3)
    assert shown.exit_code == 0 and "Recall@20" in shown.stdout


def test_a_baselines_parameter(logs):
    args = ("baseline", "item-knn", logs / "train.tsv", "--test", logs / "test.tsv")
    one = last_json(call(*args, "--set", "n_neighbors=1", "--json").stdout)
    all_ = last_json(call(*args, "--json").stdout)
    assert one["recall"]["20"] < all_["recall"]["20"]


def test_simulate(tmp_path):
    for name in ("a", "b"):
        result = call("simulate", tmp_path / name, "--sessions", 300, "--seed", 5)
        assert result.exit_code == 0 and "300 sessions" in result.stdout
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["catalogue.csv", "clicks.tsv.gz"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()
    result = call("simulate", tmp_path / "c", "--sessions", 300, "--seed", 6, "--json")
    assert last_json(result.stdout)["files"][0].endswith("clicks.tsv.gz")
    clicks = "clicks.tsv.gz"
    a, c = (gzip.decompress((tmp_path / d / clicks).read_bytes()) for d in "ac")
    assert a != c
    assert Sessions.read(tmp_path / "a" / clicks).n_sessions == 300


def test_prepare(tmp_path):
    raw = walks(400, 0)
    raw["Time"] = pd.to_datetime(1_400_000_000 + raw.SessionId * 1000, unit="s")
    raw["Time"] = raw["Time"].dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    raw["Category"] = 0
    raw[["SessionId", "Time", "ItemId", "Category"]].to_csv(
        tmp_path / "yoochoose-clicks.dat", index=False, header=False
    )
    shown = call("prepare", "rsc15", tmp_path, tmp_path / "out")
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"^test\.tsv +\d+ +\d+ +\d+$", shown.stdout, re.M)
    result = call("prepare", "rsc15", tmp_path, tmp_path / "out", "--json")
    files = last_json(result.stdout)["files"]
    for name, counts in files.items():
        written = Sessions.read(tmp_path / "out" / name)
        assert (counts["clicks"], counts["sessions"], counts["items"]) == (
            written.n_clicks, written.n_sessions, written.n_items,
        )  # fmt: skip
    result = call(
        "baseline", "markov", tmp_path / "out" / "train_full.tsv", "--test",
        tmp_path / "out" / "test.tsv", "--json",
    )  # fmt: skip
    assert last_json(result.stdout)["recall"]["20"] > 0.5


def test_tuned_settings_go_into_train_as_they_are_printed(logs, tmp_path):
    args = (
        "tune", logs / "train.tsv", logs / "test.tsv", "--trials", 2, "--storage",
        f"sqlite:///{tmp_path}/t.db", *FAST, "--metric", "mrr",
    )  # fmt: skip
    shown = call(*args)
    assert shown.exit_code == 0, shown.stderr
    assert len(re.findall(r"^trial \d/2: mrr@20 0\.\d+", shown.stderr, re.M)) == 2
    best = last_json(call(*args, "--json").stdout)  # from the storage
    assert shown.stdout.splitlines()[-1] == best["options"]
    assert best["settings"]["layers"] == [16]
    result = call(
        "train", logs / "train.tsv", "--test", logs / "test.tsv", "--device", "cpu",
        *best["options"].split(), "--json",
    )  # fmt: skip
    assert last_json(result.stdout)["mrr"]["20"] == best["value"]


# ---- signals ---------------------------------------------------------------------


def wait_for_epoch(process, epoch):
    """Read standard error until an epoch of training has begun."""
    text = ""
    while not any(int(n) >= epoch for n in re.findall(r"epoch (\d+)/", text)):
        piece = os.read(process.stderr.fileno(), 65536).decode(errors="replace")
        assert piece, f"ended before epoch {epoch}: {text}"
        text += piece


def interrupt(*args, cwd, epoch=3, sign=signal.SIGINT):
    process = start(*args, cwd=cwd)
    wait_for_epoch(process, epoch)
    process.send_signal(sign)
    process.out, process.err = process.communicate(timeout=300)
    return process


def files_of(model):
    """A model directory as it should be: two files and no more."""
    names = sorted(path.name for path in model.iterdir())
    assert len(names) == 2 and names[0] == "model.json", names
    assert re.fullmatch(r"weights-[0-9a-f]+\.safetensors", names[1])
    return json.loads((model / "model.json").read_text()), (
        model / names[1]
    ).read_bytes()


def test_ctrl_c_while_training_saves_what_was_learnt(logs, tmp_path):
    result = interrupt("train", logs / "train.tsv", *LONG, "--save", "m", cwd=tmp_path)
    assert result.returncode == 130 and result.out == ""
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert re.search(
        r"^gru4rec-lite: interrupted in epoch \d+ of 1000000; .* is saved in m$", last
    )
    assert result.err.count("interrupted") == 1
    files_of(tmp_path / "m")
    report = last_json(
        call("evaluate", tmp_path / "m", logs / "test.tsv", "--json").stdout
    )
    assert report["recall"]["20"] > 0.8


def test_ctrl_c_without_save(logs, tmp_path):
    result = interrupt("train", logs / "train.tsv", *LONG, cwd=tmp_path)
    assert result.returncode == 130
    assert "nothing was saved" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_to_the_same_model(logs, tmp_path, sign):
    args = ("train", logs / "train.tsv", *SMALL, "--checkpoint", "--save", "stopped")
    result = interrupt(
        *args, "--set", "n_epochs=1000000", cwd=tmp_path, epoch=4, sign=sign
    )
    if sign == signal.SIGINT:
        assert result.returncode == 130
        assert "--resume goes on" in result.err.splitlines()[-1]
    else:
        assert result.returncode == -sign
    stopped = json.loads((tmp_path / "stopped" / "model.json").read_text())
    done = len(stopped["history"])
    assert done >= 1
    to_the_end = ("--set", f"n_epochs={done + 2}", "--json")
    resumed = run(*args, "--resume", *to_the_end, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.err
    assert last_json(resumed.out)["epochs"] == done + 2
    # where there is no checkpoint yet, --resume begins one
    fresh = ("train", logs / "train.tsv", *SMALL, "--resume", "--save", "whole")
    whole = run(*fresh, *to_the_end, cwd=tmp_path)
    assert whole.returncode == 0, whole.err
    (one, weights), (other, same) = map(
        files_of, (tmp_path / "stopped", tmp_path / "whole")
    )
    assert weights == same and one["sha256"] == other["sha256"]
    assert last_json(resumed.out)["loss"] == last_json(whole.out)["loss"]

    # with other settings, or other clicks, there is nothing to go on from
    refused(
        *args[:-1], tmp_path / "whole", "--resume", "--set", "momentum=0.5",
        said=["momentum=0.5", "0.0", "whole"],
    )  # fmt: skip
    lines = (logs / "train.tsv").read_text() + "300\t777\t1500000000\n"
    (tmp_path / "more.tsv").write_text(lines)
    refused(
        "train", tmp_path / "more.tsv", *args[2:-1], tmp_path / "whole", "--resume",
        *to_the_end, said=["whole", "other items"],
    )  # fmt: skip


def test_ctrl_c_while_saving_leaves_a_whole_model(logs, tmp_path):
    """Ctrl-C twice while each file is written: it is put off until all is saved."""
    code = f"""
import os, signal
from gru4rec_lite import cli, storage
write = storage._write
def interrupted(path, data):
    os.kill(os.getpid(), signal.SIGINT)
    write(path, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGINT)
    write(path, data)
storage._write = interrupted
cli.main(["train", {str(logs / "train.tsv")!r}, *{FAST!r}, "--save", "m"])
"""
    result = run(cwd=tmp_path, code=code)
    assert result.returncode == 130 and "Traceback" not in result.err
    assert result.err.splitlines()[-1] == "gru4rec-lite: interrupted"
    files_of(tmp_path / "m")
    assert call("evaluate", tmp_path / "m", logs / "test.tsv").exit_code == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_ctrl_c_elsewhere_is_one_line(logs, tmp_path):
    os.mkfifo(tmp_path / "slow.tsv")
    process = start("evaluate", logs / "model", "slow.tsv", cwd=tmp_path)
    with open(tmp_path / "slow.tsv", "w"):  # waits until the process reads from it
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert err == "gru4rec-lite: interrupted\n"


def test_a_reader_that_goes_away_is_no_error(logs, tmp_path):
    process = start("recommend", logs / "model", 500, "-k", 30, cwd=tmp_path)
    process.stdout.close()  # as head does
    err = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert err == ""


# ---- real clicks -----------------------------------------------------------------


@pytest.mark.slow
def test_real_clicks(rsc15, tmp_path):
    """One epoch of the published settings; all ten are for benchmarks/."""
    train, test = rsc15 / "train_full.tsv", rsc15 / "test.tsv"
    result = call(
        "train", train, "--test", test, "--preset", "rsc15", "--set", "n_epochs=1",
        "--save", tmp_path / "m", "--json",
    )  # fmt: skip
    report = last_json(result.stdout)
    assert report["n_predictions"] == 10_152
    assert report["train"] == {"clicks": 70_278, "sessions": 17_794, "items": 2_933}
    assert report["recall"]["20"] > 0.5
    again = last_json(call("evaluate", tmp_path / "m", test, "--json").stdout)
    assert again["recall"] == report["recall"] and again["mrr"] == report["mrr"]
    for name, recall in [("pop", 0.0894), ("s-pop", 0.3813)]:
        result = call(
            "baseline", name, train, "--test", test, "--ties", "standard", "--json"
        )
        measured = last_json(result.stdout)["recall"]["20"]
        assert measured == pytest.approx(recall, abs=0.002)
