"""Search for good parameters with Optuna (lesson 11).

What is searched is what the published settings (Hidasi & Czapp 2023, arXiv 2307.14956)
vary, and somewhat beyond their range: loss, batch size, learning rate, momentum,
both dropouts, sample_alpha, and what belongs to the loss.  Optuna proposes settings
(tree-structured Parzen estimator, Bergstra et al. 2011) and stops a trial that after
some epoch is worse than the median of the others at that epoch.
"""

import zlib

from .errors import (
    DataError,
    GRU4RecError,
    ParameterError,
    check_choice,
    check_integer,
)
from .evaluation import METRICS, evaluate
from .gru4rec import GRU4Rec
from .settings import presets

CUTOFF = 20
MOST_NEGATIVES = 2048
# The first trials: never end below what is known to work well elsewhere.
STARTS = ("rsc15", "retailrocket")


def search(
    train, valid, trials=20, storage=None, fixed=None, seed=0, metric="recall",
    ties="conservative", report=None,
):  # fmt: skip
    """Try settings of GRU4Rec; the best by Recall@20 or MRR@20 on `valid`.

    Parameters
    ----------
    train, valid : Sessions.
    trials : how many settings to try, those already in `storage` included.
    storage : where trials are kept, e.g. "sqlite:///tune.db"; None for memory only.
        A search that was ended, or killed, goes on there, and ends in the same result.
    fixed : dict of parameters that are not searched, e.g. n_epochs or layers.
    seed : of the proposals; that of the models is in `fixed`, else 0.
    metric : "recall" or "mrr".
    ties : see `evaluate`.
    report : called as report(text) after each trial.

    Returns a dict: settings (all that differ from GRU4Rec's defaults or were
    searched), value, metric, trials, pruned, interrupted (Ctrl-C ends a search).

    Raises ParameterError for bad arguments or an unfit storage, GRU4RecError when
    Optuna is missing or no trial came to its end.
    """
    optuna = _optuna()
    check_integer("trials", trials, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_choice("metric", metric, METRICS)
    fixed = _with_implied(fixed or {})
    GRU4Rec(**fixed).validate()
    study = _open_study(optuna, storage)
    _check_task(study, storage, train, valid, fixed, metric, ties, seed)

    def objective(trial):
        settings = suggest(trial, train.n_items, fixed)
        trial.set_user_attr("settings", settings)
        values = []

        def after_epoch(model):
            scores = evaluate(model, valid, CUTOFF, ties, progress=False)
            values.append(getattr(scores, metric)[CUTOFF])
            trial.report(values[-1], len(values))
            if trial.should_prune():
                raise optuna.TrialPruned

        model = GRU4Rec(**settings)
        try:
            model.fit(train, callback=after_epoch, verbose=report is not None)
        except (ParameterError, DataError):
            raise
        except GRU4RecError as error:  # training diverged: a bad setting, no mistake
            raise optuna.TrialPruned(str(error)) from error
        if getattr(model, "interrupted", False):
            raise KeyboardInterrupt
        return values[-1]

    starts = _starts(fixed)
    interrupted = False
    try:
        while (done := len(_finished(study))) < trials:
            # A sampler for each trial, so that a search can be continued.
            study.sampler = optuna.samplers.TPESampler(
                seed=zlib.crc32(f"{seed} {done}".encode()), constant_liar=False
            )
            if done < len(starts):
                study.enqueue_trial(starts[done])
            study.optimize(objective, n_trials=1)
            if report:
                report(_trial_line(_finished(study)[-1], done + 1, trials, metric))
    except KeyboardInterrupt:
        interrupted = True
    finished = _finished(study)
    if not any(trial.state.name == "COMPLETE" for trial in finished):
        raise GRU4RecError(
            f"none of {len(finished)} trials came to its end, so there is no best one; "
            "expected more trials, or a lower learning_rate among the fixed settings"
        )
    return {
        "settings": study.best_trial.user_attrs["settings"],
        "value": study.best_value,
        "metric": f"{metric}@{CUTOFF}",
        "trials": len(finished),
        "pruned": sum(trial.state.name == "PRUNED" for trial in finished),
        "interrupted": interrupted,
    }


def suggest(trial, n_items, fixed) -> dict:
    """Settings of one trial: those that are fixed, and a proposal for the others."""
    settings = {"n_sample": min(MOST_NEGATIVES, n_items)} | fixed

    def choose(name, values):
        if name not in settings:
            settings[name] = trial.suggest_categorical(name, values)

    def step(name, low, high, by):
        if name not in settings:
            if isinstance(by, int):
                settings[name] = trial.suggest_int(name, low, high, step=by)
            else:
                value = trial.suggest_float(name, low, high, step=by)
                settings[name] = round(value, 3)  # 0.085, not 0.08499999999999999

    choose("loss", ["cross-entropy", "bpr-max"])
    step("batch_size", 32, 256, 16)
    step("learning_rate", 0.01, 0.25, 0.005)
    step("momentum", 0.0, 0.9, 0.05)
    step("dropout_p_embed", 0.0, 0.5, 0.05)
    step("dropout_p_hidden", 0.0, 0.7, 0.05)
    if settings["n_sample"]:
        step("sample_alpha", 0.0, 1.0, 0.1)
    if settings["loss"] == "cross-entropy":
        choose("logq", [0.0, 1.0])
    if settings["loss"] == "bpr-max":
        step("bpreg", 0.0, 2.0, 0.05)
        choose("elu_param", [0.0, 0.5, 1.0])
    return settings


def _with_implied(fixed) -> dict:
    """What fixed parameters decide about those that could not go with them."""
    fixed = dict(fixed)
    if fixed.get("logq"):
        fixed.setdefault("loss", "cross-entropy")
    if fixed.get("elu_param") or fixed.get("activation") == "tanh":
        fixed.setdefault("loss", "bpr-max")
    if fixed.get("optimizer") == "adam":
        fixed.setdefault("momentum", 0.0)
    return fixed


def _starts(fixed) -> list:
    starts = [presets[name] for name in STARTS]
    wanted = fixed.get("loss")
    return [s for s in starts if wanted is None or s["loss"] == wanted]


def _optuna():
    try:
        import optuna
    except ImportError:
        raise GRU4RecError(
            "tuning needs Optuna, which is not installed; expected it after "
            "pip install 'gru4rec-lite[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _open_study(optuna, storage):
    try:
        return optuna.create_study(
            study_name="gru4rec-lite", storage=storage, load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        )  # fmt: skip
    except Exception as error:  # each database has exceptions of its own
        lines = str(error).splitlines() or [""]
        raise ParameterError(
            f"storage={storage!r} is not allowed ({type(error).__name__}: {lines[0]}); "
            "expected the URL of a database, e.g. sqlite:///tune.db"
        ) from None


def _check_task(study, storage, train, valid, fixed, metric, ties, seed):
    """A storage holds one search; note what it is for, refuse another."""

    def fingerprint(sessions):
        return [sessions.n_clicks, zlib.crc32(sessions.items.tobytes())]

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fixed.items()}
    task = {
        "training clicks": fingerprint(train),
        "validation clicks": fingerprint(valid),
        "fixed parameters": plain,
        "metric": metric,
        "ties": ties,
        "seed": seed,
    }
    before = study.user_attrs.get("task")
    if before is None:
        study.set_user_attr("task", task)
        return
    other = [name for name in task if task[name] != before.get(name)]
    if other:
        raise ParameterError(
            f"storage={storage!r} is not allowed: it holds a search with other "
            f"{', '.join(other)}; expected a new one, or the same search"
        )


def _finished(study) -> list:
    return [t for t in study.trials if t.state.name in ("COMPLETE", "PRUNED")]


def _trial_line(trial, number, trials, metric) -> str:
    settings = trial.user_attrs["settings"]
    what = " ".join(f"{name}={settings[name]}" for name in trial.params)
    last = max(trial.intermediate_values, default=None)
    value = trial.intermediate_values.get(last, float("nan"))
    note = "" if trial.state.name == "COMPLETE" else f", stopped after epoch {last}"
    return f"trial {number}/{trials}: {metric}@{CUTOFF} {value:.4f}{note}; {what}"
