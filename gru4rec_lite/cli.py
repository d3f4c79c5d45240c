"""The command line: gru4rec-lite, or python -m gru4rec_lite (lesson 11).

Each command is a thin shell around a few calls of the library.  Results go to standard
output: a small table for people, or with --json one JSON object as the last line.
Progress and messages go to standard error.  Bad input ends with exit code 2 and one
line that says where it is, what is wrong and what was expected; Ctrl-C with 130.

PyTorch takes seconds to import, so every command imports what it needs by itself.
"""

import difflib
import inspect
import json
import re
import signal
import sys
import tempfile
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from .errors import GRU4RecError, ModelFileError, ParameterError
from .settings import presets

# Known by name here, so that --help need not import what they stand for.
BASELINE_NAMES = ("pop", "s-pop", "item-knn", "bpr-mf", "markov")
DATASET_NAMES = (
    "rsc15", "yoochoose", "diginetica", "retailrocket", "rees46", "coveo",
)  # fmt: skip
INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


class Interrupted(Exception):
    """Ctrl-C, on its way to one line and exit code 130."""


class CommandLine(click.Group):
    """A group of commands in which every error is one line on standard error."""

    def main(self, args=None, **options):
        options |= {"prog_name": "gru4rec-lite", "standalone_mode": False}
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            sys.exit(self._exit_code(args, options))

    def _exit_code(self, args, options):
        try:
            return super().main(args, **options)  # None, or that of Exit
        except (Interrupted, click.Abort) as error:
            say(f"gru4rec-lite: {str(error) or 'interrupted'}")
            return INTERRUPTED
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "gru4rec-lite"
            message = f"{error.format_message()} See {command} --help"
            say(f"{command}: {_one_line(message)}")
        except GRU4RecError as error:
            say(f"gru4rec-lite: {_one_line(error)}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            say(f"gru4rec-lite: {where}{error.strerror or _one_line(error)}")
        except (MemoryError, RuntimeError) as error:
            full = re.search("memory|Storage size", str(error))  # as PyTorch puts it
            if isinstance(error, RuntimeError) and not full:
                raise
            reason = _one_line(error)[:200] or "the machine has no more"
            say(
                f"gru4rec-lite: not enough memory ({reason}); "
                "expected smaller layers, batch_size or n_sample, or a larger machine"
            )
        return 2

    def invoke(self, context):
        try:
            return super().invoke(context)
        except KeyboardInterrupt:  # before click prints a line of its own
            raise Interrupted from None

    def resolve_command(self, context, args):
        if self.get_command(context, args[0]) is None and args[0][:1] != "-":
            context.fail(
                f"No such command {args[0]!r}; expected one of: "
                f"{', '.join(self.list_commands(context))}."
            )
        return super().resolve_command(context, args)


def say(text):
    """Tell people something, on standard error."""
    click.echo(text, err=True)


def _one_line(text) -> str:
    return " ".join(line.strip() for line in str(text).splitlines()).strip()


def _show_warning(message, *_, **__):
    say(f"gru4rec-lite: warning: {_one_line(message)}")


def _print_json(result):
    click.echo(json.dumps(result))


# ---- options that several commands share -----------------------------------------


def _options(*options):
    def add(command):
        for option in reversed(options):
            command = option(command)
        return command

    return add


click_log = _options(
    click.option(
        "--session", metavar="COLUMN", default="SessionId", show_default=True,
        help="Column of session IDs.",
    ),
    click.option(
        "--item", metavar="COLUMN", default="ItemId", show_default=True,
        help="Column of item IDs.",
    ),
    click.option(
        "--time", metavar="COLUMN", default="Time", show_default=True,
        help="Column of times: numbers, or ISO 8601.",
    ),
    click.option(
        "--time-unit", type=click.Choice(["s", "ms"]), default="s", show_default=True,
        help="Unit of times that are numbers.",
    ),
)  # fmt: skip
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON instead of a table."
)
ranking = _options(
    click.option(
        "-k", "cutoffs", type=click.IntRange(min=1), multiple=True, default=(20,),
        metavar="K", show_default=False,
        help="Cutoff of Recall@k and MRR@k; may be repeated.  [default: 20]",
    ),
    click.option(
        "--ties", type=click.Choice(["conservative", "standard", "median"]),
        default="conservative", show_default=True,
        help="Where the next item stands among items of the same score: behind them, "
        "before them, or in their middle.",
    ),
)  # fmt: skip
device_option = click.option(
    "--device", default="auto", metavar="NAME", show_default=True,
    help="auto, cpu, cuda or mps.",
)  # fmt: skip
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), metavar="N",
    help="Of all random numbers.  [default: 0]",
)  # fmt: skip


def set_option(help):
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help=help
    )


def parse_settings(recommender, pairs) -> dict:
    """NAME=VALUE texts as arguments of a class, typed as its defaults are."""
    parameters = inspect.signature(recommender).parameters
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ParameterError(
                f"--set {pair}: no '=' in it; expected NAME=VALUE, e.g. n_epochs=5"
            )
        if name not in parameters:
            close = difflib.get_close_matches(name, parameters, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            allowed = ", ".join(parameters) or "none, it has no parameters"
            raise ParameterError(
                f"--set {pair}: {recommender.__name__} has no parameter "
                f"{name!r}{hint}; expected one of: {allowed}"
            )
        settings[name] = _parse_value(pair, name, text, parameters[name].default)
    return settings


def _parse_value(pair, name, text, default):
    truths = {"true": True, "1": True, "false": False, "0": False}
    try:
        if isinstance(default, bool):
            expected = "True or False"
            return truths[text.lower()]
        if isinstance(default, list | tuple):
            expected = "layer sizes joined by '/', e.g. 100/100"
            return [int(size) for size in text.split("/") if text]
        if isinstance(default, int):
            expected = "an integer"
            if name == "embedding":
                expected = "an integer or layersize"
                if text == "layersize":
                    return text
            return int(text)
        if isinstance(default, float):
            expected = "a number"
            return float(text)
        return text
    except (KeyError, ValueError):
        raise ParameterError(
            f"--set {pair}: {text!r} is not allowed; expected {expected}"
        ) from None


@contextmanager
def about(path):
    """Name the file in an error of the library that does not know of it."""
    try:
        yield
    except GRU4RecError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None


def check_writable(option, directory):
    """Fail now rather than after an hour of work; leaves nothing behind."""
    directory = Path(directory)
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"?")
    except OSError as error:
        reason = "it is a file" if directory.is_file() else error.strerror
        raise ModelFileError(
            f"{option} {directory}: cannot be written ({reason}); "
            "expected a directory that you may write to"
        ) from None
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()


def _counts(sessions) -> dict:
    return {
        "clicks": sessions.n_clicks,
        "sessions": sessions.n_sessions,
        "items": sessions.n_items,
    }


def _describe(sessions) -> str:
    single = int((sessions.lengths == 1).sum())
    note = f" ({single:,} of a single click, which teaches nothing)" if single else ""
    return (
        f"{sessions.n_clicks:,} clicks in {sessions.n_sessions:,} sessions{note} "
        f"on {sessions.n_items:,} items"
    )


# ---- commands --------------------------------------------------------------------


@click.group(
    cls=CommandLine,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
def main():
    """Session-based recommendation with GRU4Rec: from a click log to a model.

    A click log is a TSV or CSV file, plain or gzip, with a line for each click and
    the columns SessionId, ItemId and Time (or others, named by options).

    \b
    gru4rec-lite simulate shop
    gru4rec-lite train shop/clicks.tsv.gz --preset shop --save model
    gru4rec-lite recommend model camera-lumo-x2 memory-card-arc-64 -k 5
    """


@main.command()
@click.argument("log", metavar="TRAIN.tsv")
@click.option("--test", metavar="TEST.tsv", help="Evaluate on this click log.")
@click.option(
    "--preset", type=click.Choice(list(presets)), metavar="NAME",
    help=f"Published settings: {', '.join(presets)}.",
)  # fmt: skip
@set_option("A parameter of GRU4Rec; goes before the preset's.")
@click.option("--save", metavar="DIR", help="Save the model to this directory.")
@click.option("--checkpoint", is_flag=True, help="Save to DIR after each epoch.")
@click.option(
    "--resume", is_flag=True, help="Go on from the last checkpoint in DIR, if any."
)
@seed_option
@device_option
@ranking
@click_log
@as_json
def train(
    log, test, preset, settings, save, checkpoint, resume, seed, device, cutoffs, ties,
    as_json, **columns,
):  # fmt: skip
    """Train GRU4Rec on a click log.

    Ctrl-C ends training early; with --save, what was learnt so far is saved.  With
    --checkpoint a run can be killed at any moment and continued with --resume, and
    ends in the same model.

    \b
    gru4rec-lite train train.tsv --test test.tsv --preset rsc15 --save model
    gru4rec-lite train train.tsv --set layers=100/100 --set n_epochs=5 --json
    """
    if (checkpoint or resume) and not save:
        option = "--resume" if resume else "--checkpoint"
        raise click.UsageError(f"{option} needs --save DIR, the directory to use.")
    from .evaluation import evaluate
    from .gru4rec import GRU4Rec
    from .precision import pick_device
    from .sessions import Sessions

    # Everything that can be wrong is looked at before the first epoch.
    settings = presets.get(preset, {}) | parse_settings(GRU4Rec, settings)
    if seed is not None:
        settings["seed"] = seed
    if device != "auto":
        settings["device"] = device
    model = GRU4Rec(**settings)
    model.validate()
    pick_device(model.device)
    if save:
        _check_target(save, resume)
    sessions = Sessions.read(log, **columns)
    with about(log):
        model.validate_sessions(sessions)
    if test:
        test = Sessions.read(test, **columns).align(sessions.item_ids)

    done = []  # epochs of this run; others may come from the checkpoint
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training was interrupted")
        model.fit(
            sessions, checkpoint=save if checkpoint or resume else None,
            resume=resume, callback=done.append,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    if getattr(model, "interrupted", False):
        _end_early(model, save, checkpoint or resume, bool(done))
    if save and not (checkpoint or resume):  # the last checkpoint is the model
        with uninterrupted():
            model.save(save)

    history = model.history
    earlier = history[: len(history) - len(done)]
    seconds += float(earlier["seconds"].sum())
    rate = int(history["events"].sum()) / seconds
    report = evaluate(model, test, cutoffs, ties) if test else None
    if as_json:
        _print_json(
            {
                "train": _counts(sessions),
                "epochs": len(history),
                "loss": float(history["loss"].iloc[-1]),
                "train_seconds": seconds,
                "events_per_second": rate,
                "settings": model.parameters(),
                "saved": save,
                **(report.as_dict() if report else {}),
            }
        )
        return
    click.echo(f"{log}: {_describe(sessions)}")
    click.echo(f"{len(history)} epochs in {seconds:.1f} s, {rate:,.0f} events/s")
    if save:
        click.echo(f"saved in {save}")
    if report:
        click.echo(str(report))


@main.command()
@click.argument("model", metavar="DIR")
@click.argument("log", metavar="TEST.tsv")
@ranking
@device_option
@click_log
@as_json
def evaluate(model, log, cutoffs, ties, device, as_json, **columns):
    """Evaluate a saved model on a click log.

    Every click but the last of every session is a prediction, and all items are
    ranked.  Clicks on items that the model does not know are removed and counted.

    \b
    gru4rec-lite evaluate model test.tsv -k 5 -k 20
    """
    from .evaluation import evaluate
    from .gru4rec import GRU4Rec
    from .sessions import Sessions

    loaded = GRU4Rec.load(model, device=device)
    sessions = Sessions.read(log, **columns).align(loaded.item_ids)
    report = evaluate(loaded, sessions, cutoffs, ties)
    if as_json:
        _print_json(report.as_dict())
    else:
        click.echo(str(report))


@main.command()
@click.argument("model", metavar="DIR")
@click.argument("items", metavar="ITEM...", nargs=-1, required=True)
@click.option(
    "-k", type=click.IntRange(min=1), default=20, metavar="K", show_default=True,
    help="How many items to recommend.",
)  # fmt: skip
@device_option
@as_json
def recommend(model, items, k, device, as_json):
    """Rank what comes next in a session.

    The ITEMs are what was clicked so far, in time order.

    \b
    gru4rec-lite recommend model camera-lumo-x2 memory-card-arc-64 -k 5
    """
    from .gru4rec import GRU4Rec

    loaded = GRU4Rec.load(model, device=device)
    with about(model):
        table = loaded.recommend(list(items), k)
    table.insert(0, "rank", range(1, len(table) + 1))
    if as_json:
        _print_json({"session": items, "recommendations": table.to_dict("records")})
    else:
        click.echo(table.to_string(index=False, float_format="%.4f"))


@main.command()
@click.argument("name", metavar="NAME", type=click.Choice(BASELINE_NAMES))
@click.argument("log", metavar="TRAIN.tsv")
@click.option("--test", metavar="TEST.tsv", required=True, help="Click log to test on.")
@set_option("A parameter of the baseline, e.g. n_neighbors=50 of item-knn.")
@seed_option
@ranking
@click_log
@as_json
def baseline(name, log, test, settings, seed, cutoffs, ties, as_json, **columns):
    """Fit and evaluate a rival of GRU4Rec.

    NAME is pop, s-pop, item-knn, bpr-mf or markov.

    \b
    gru4rec-lite baseline item-knn train.tsv --test test.tsv --ties standard
    """
    from .baselines import BASELINES
    from .evaluation import evaluate
    from .sessions import Sessions

    settings = parse_settings(BASELINES[name], settings)
    if seed is not None and "seed" in inspect.signature(BASELINES[name]).parameters:
        settings["seed"] = seed
    sessions = Sessions.read(log, **columns)
    test = Sessions.read(test, **columns).align(sessions.item_ids)
    started = time.perf_counter()
    with about(log):
        recommender = BASELINES[name](**settings).fit(sessions)
    seconds = time.perf_counter() - started
    report = evaluate(recommender, test, cutoffs, ties)
    if as_json:
        counts = {"train": _counts(sessions), "train_seconds": seconds}
        _print_json({"baseline": name, **counts, **report.as_dict()})
    else:
        click.echo(f"{log}: {_describe(sessions)}; fitted in {seconds:.1f} s")
        click.echo(str(report))


@main.command()
@click.argument("name", metavar="NAME", type=click.Choice(DATASET_NAMES))
@click.argument("raw")
@click.argument("out_dir")
@as_json
def prepare(name, raw, out_dir, as_json):
    """Prepare a public dataset for training.

    NAME is rsc15, yoochoose, diginetica, retailrocket, rees46 or coveo.  RAW is the
    directory with its raw files, or one such file; they may be packed (.gz, .zip).
    Writes train_full.tsv and test.tsv, and for choosing parameters train_tr.tsv and
    train_valid.tsv.

    \b
    gru4rec-lite prepare retailrocket downloads/retailrocket retailrocket
    """
    from .datasets import prepare

    check_writable("OUT_DIR", out_dir)
    counts = prepare(name, raw, out_dir)
    if as_json:
        _print_json({"dataset": name, "files": counts})
        return
    click.echo(f"{'':16}{'clicks':>12}{'sessions':>12}{'items':>12}")
    for file, count in counts.items():
        numbers = [count[what] for what in ("clicks", "sessions", "items")]
        click.echo(f"{file:16}" + "".join(f"{number:12,}" for number in numbers))
    for file, count in counts.items():
        removed = (f"{n:,} {why}" for why, n in count["removed"].items())
        click.echo(f"removed for {file}: {', '.join(removed) or 'nothing'}")


@main.command()
@click.argument("out_dir")
@click.option(
    "--sessions", type=click.IntRange(min=1), metavar="N",
    help="How many sessions to draw.  [default: 60000]",
)  # fmt: skip
@seed_option
@as_json
def simulate(out_dir, sessions, seed, as_json):
    """Simulate a month of the course's shop.

    Writes clicks.tsv.gz, a click log to train on, and catalogue.csv.

    \b
    gru4rec-lite simulate shop --sessions 10000 --seed 1
    """
    from . import shop

    sessions = shop.SESSIONS if sessions is None else sessions
    seed = shop.SEED if seed is None else seed
    files = [str(path) for path in shop.simulate_to(out_dir, sessions, seed)]
    if as_json:
        _print_json({"files": files, "sessions": sessions, "seed": seed})
    else:
        click.echo(f"{sessions:,} sessions, seed {seed}: {', '.join(files)}")


@main.command()
@click.argument("log", metavar="TRAIN.tsv")
@click.argument("valid", metavar="VALID.tsv")
@click.option(
    "--trials", type=click.IntRange(min=1), default=20, metavar="N", show_default=True,
    help="Settings to try, those already in the storage included.",
)  # fmt: skip
@click.option(
    "--storage", metavar="URL",
    help="Keep the trials, e.g. in sqlite:///tune.db, and go on from those in it.",
)  # fmt: skip
@click.option(
    "--metric", type=click.Choice(["recall", "mrr"]), default="recall",
    show_default=True, help="Of the first 20, to be made as large as possible.",
)  # fmt: skip
@set_option("A parameter of GRU4Rec that shall not be searched.")
@seed_option
@device_option
@click_log
@as_json
def tune(
    log, valid, trials, storage, metric, settings, seed, device, as_json, **columns
):
    """Search for good parameters.

    Each trial trains on one click log and is judged on the other, which must not be
    the one to test on in the end.  Hopeless trials are stopped early.  Ctrl-C ends
    the search, and the best settings so far are printed; with --storage it can be
    continued.  Needs Optuna.

    \b
    gru4rec-lite tune train_tr.tsv train_valid.tsv --trials 50 \\
        --set n_epochs=5 --storage sqlite:///tune.db
    """
    from .gru4rec import GRU4Rec
    from .sessions import Sessions
    from .tuning import search

    settings = parse_settings(GRU4Rec, settings) | {"device": device}
    train = Sessions.read(log, **columns)
    with about(log):
        GRU4Rec().validate_sessions(train)
    valid = Sessions.read(valid, **columns).align(train.item_ids)
    result = search(
        train, valid, trials, storage, settings, seed or 0, metric, report=say
    )
    chosen = {k: v for k, v in result["settings"].items() if k != "device"}
    options = " ".join(f"--set {k}={_as_option(v)}" for k, v in chosen.items())
    if as_json:
        _print_json({**result, "settings": chosen, "options": options})
    else:
        click.echo(
            f"{result['metric']} {result['value']:.4f}, the best of "
            f"{result['trials']} trials ({result['pruned']} stopped early):"
        )
        click.echo(options)
    if result["interrupted"]:
        raise Interrupted(f"interrupted after {result['trials']} of {trials} trials")


def _as_option(value) -> str:
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# ---- ending early, saving --------------------------------------------------------


def _check_target(directory, resume):
    """Refuse a --save DIR that could not be used in the end."""
    from . import storage

    path = Path(directory)
    if storage.exists(path):
        if resume:
            _, tensors = storage.load(path)
            if not any(name.startswith("optimizer.") for name in tensors):
                raise ModelFileError(
                    f"--resume: {directory} holds a finished model without the state "
                    "of its training; expected what --checkpoint has written"
                )
    elif path.is_dir():
        others = [p.name for p in path.iterdir() if not storage.is_model_file(p)]
        if others:
            raise ModelFileError(
                f"--save {directory}: the directory holds other files ({others[0]}); "
                "expected an empty or new one, or a model to replace"
            )
    check_writable("--save", directory)


def _end_early(model, save, checkpoint, resumable):
    """After Ctrl-C in training: save what there is, say so, and leave."""
    finished = f"interrupted in epoch {len(model.history) + 1} of {model.n_epochs}"
    if not save:
        raise Interrupted(f"{finished}; nothing was saved, for want of --save")
    if not checkpoint:
        with suppress(KeyboardInterrupt), uninterrupted():
            model.save(save)
        raise Interrupted(f"{finished}; what was learnt so far is saved in {save}")
    if resumable:
        raise Interrupted(f"{finished}; --resume goes on from the checkpoint in {save}")
    raise Interrupted(f"{finished}, before the first checkpoint; nothing was saved")


@contextmanager
def uninterrupted():
    """Put off Ctrl-C until a model is saved."""
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
