"""The shop: what its clicks look like, and whether the oracle tells the truth.

The oracle is compared with two things that share no code with it: on a tiny shop with
the sum over all paths of the hidden state, written as plain loops, and on the real one
with the clicks that the generator drew.
"""

import gzip
import itertools
import zlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from gru4rec_lite import (
    POP,
    SPOP,
    DataError,
    GRU4Rec,
    ItemKNN,
    Markov,
    ParameterError,
    Sessions,
    compare,
    evaluate,
    load_shop,
    presets,
)
from gru4rec_lite import shop as module
from gru4rec_lite.shop import Behaviour, Oracle, ShopModel


@pytest.fixture(scope="module")
def shop():
    return load_shop()


@pytest.fixture(scope="module")
def kinds(shop):
    """Type, department and brand of each click of the raw log, and what follows."""
    frame = shop.raw.to_frame()
    item = shop.catalogue.set_index("item").loc[frame["ItemId"]].reset_index()
    frame = frame.join(item[["type", "department", "brand"]])
    following = frame.groupby("SessionId").shift(-1).add_prefix("next ")
    return frame.join(following)


def all_scores(recommender, sessions):
    """Scores after every click, (E, I)."""
    result = np.full((sessions.n_clicks, len(recommender.item_ids)), np.nan)
    wanted = np.ones(sessions.n_clicks, bool)
    for positions, scores in recommender.score_after(sessions, wanted):
        assert scores.dtype == torch.float64
        assert np.isnan(result[positions, 0]).all()
        result[positions] = scores.numpy()
    return result


def sessions_of(item_ids, lists, start=module.START):
    """Sessions of item IDs over a given vocabulary."""
    items = [list(item_ids).index(item) for clicks in lists for item in clicks]
    offsets = np.cumsum([0] + [len(clicks) for clicks in lists])
    return Sessions(
        items, start + np.arange(len(items)), offsets, range(len(lists)), item_ids
    )


# ---- the catalogue and the files -----------------------------------------------


def test_catalogue(shop):
    catalogue = shop.catalogue
    columns = ["item", "name", "department", "type", "brand", "price"]
    assert list(catalogue.columns) == columns
    assert len(catalogue) >= 1500 and catalogue["item"].is_unique
    assert catalogue["type"].nunique() >= 60
    assert catalogue["department"].nunique() >= 8
    assert (catalogue["price"] > 0).all() and catalogue["name"].is_unique
    assert catalogue.groupby("type")["department"].nunique().max() == 1
    for row in catalogue.itertuples():
        assert row.item.startswith(f"{row.type}-{row.brand}-")
    assert {"camera-lumo-x2", "memory-card-arc-64"} <= set(shop.train.item_ids)
    assert {"camera-bag", "phone", "phone-case", "drone"} <= set(catalogue["type"])


def test_every_type_belongs_to_a_mission():
    named = [types.split() for _, types in module.MISSIONS.values()]
    assert set(sum(named, [])) == set(ShopModel().types)


def test_committed_files_are_what_the_generator_writes(tmp_path):
    assert module.simulate_to(tmp_path) == [
        tmp_path / module.CLICKS,
        tmp_path / module.CATALOGUE,
    ]
    for name in (module.CLICKS, module.CATALOGUE):
        made = (tmp_path / name).read_bytes()
        shipped = (module.DATA / name).read_bytes()
        if name.endswith(".gz"):
            assert gzip.decompress(made) == gzip.decompress(shipped)
            if not usual_deflate():
                continue
        assert made == shipped
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [module.CLICKS, module.CATALOGUE]
    ), "no temporary file is left"
    assert sum(path.stat().st_size for path in module.DATA.iterdir()) < 4_000_000


PROBE = 0x908F81A1


def usual_deflate():
    """Whether gzip packs here as zlib does: zlib-ng and others pack differently."""
    text = " ".join(str(n * n % 10_007) for n in range(20_000)).encode()
    return zlib.crc32(zlib.compress(text, 9)) == PROBE


def test_seed_and_size():
    log, catalogue = module.simulate(300, seed=5)
    pd.testing.assert_frame_equal(log, module.simulate(300, seed=5)[0])
    other, same_catalogue = module.simulate(300, seed=6)
    assert not log["ItemId"].head(300).equals(other["ItemId"].head(300))
    pd.testing.assert_frame_equal(catalogue, same_catalogue)
    assert log["SessionId"].nunique() == 300
    assert module.simulate(1)[0]["SessionId"].nunique() == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sessions": 0}, "sessions=0 is not allowed; expected an integer from 1"),
        ({"sessions": 2.5}, "sessions=2.5"),
        ({"sessions": 10**9}, "sessions=1000000000"),
        ({"seed": -1}, "seed=-1 is not allowed; expected an integer of at least 0"),
        ({"seed": "x"}, "seed='x'"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ParameterError, match=message):
        module.simulate_to(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be written"):
        module.simulate_to(tmp_path / "file", sessions=10)
    (tmp_path / "out" / module.CATALOGUE / "in the way").mkdir(parents=True)
    with pytest.raises(DataError, match="out: cannot be written"):
        module.simulate_to(tmp_path / "out", sessions=10)
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {module.CLICKS, module.CATALOGUE}, "no temporary file is left"


def test_shop_without_its_files(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DATA", tmp_path)
    drawn = load_shop()
    assert np.array_equal(drawn.raw.items, shop.raw.items)
    assert np.array_equal(drawn.raw.item_ids, shop.raw.item_ids)
    np.testing.assert_allclose(drawn.raw.times, shop.raw.times, atol=1e-6, rtol=0)
    pd.testing.assert_frame_equal(drawn.catalogue, shop.catalogue, check_dtype=False)


# ---- what the clicks look like -------------------------------------------------


def test_sizes_and_split(shop):
    assert repr(shop).startswith("Shop(Sessions(") and len(repr(shop)) < 200
    raw, train, test = shop.raw, shop.train, shop.test
    line = module.START + 86400 * (module.DAYS - 2)
    assert raw.n_sessions == 60_000
    assert raw.times.min() >= module.START
    assert raw.times[raw.offsets[:-1]].max() < module.START + 86400 * module.DAYS
    assert 0.15 < np.mean(raw.lengths == 1) < 0.3
    assert train.times.max() < line <= test.times.min()
    assert train.n_items >= 1500 and train.support.min() >= 5
    assert test.n_clicks - test.n_sessions >= 10_000
    assert np.array_equal(test.item_ids, train.item_ids)
    for part in (train, test):
        assert part.lengths.min() >= 2
        assert 4 < part.lengths.mean() < 5
    assert test.removed["unknown items"] >= 1  # lesson 01 shows them

    inner, valid = shop.train_part, shop.valid
    assert inner.times.max() < line - 2 * 86400 <= valid.times.min()
    assert valid.times.max() < line
    assert np.array_equal(valid.item_ids, inner.item_ids)
    assert valid.n_clicks - valid.n_sessions >= 8_000


def test_popularity_is_long_tailed(shop):
    support = np.sort(shop.train.support)[::-1]
    share = np.cumsum(support) / support.sum()
    assert share[len(support) // 10] > 0.4
    assert share[len(support) // 2] > 0.8
    assert support[0] < 0.03 * support.sum(), "but no item is everything"


def test_hours_and_days(shop):
    start = shop.raw.times[shop.raw.offsets[:-1]] - module.START
    hour = np.bincount((start % 86400 // 3600).astype(int), minlength=24)
    expected = np.array(module.HOURS) / np.sum(module.HOURS) * len(start)
    assert np.abs(hour - expected).max() < 5 * np.sqrt(expected.max())
    assert hour[20] > 10 * hour[3]
    per_day = np.bincount((start // 86400).astype(int), minlength=30)
    weekend = np.arange(30) % 7 < 2  # the month begins on a Saturday
    assert per_day[weekend].min() > per_day[~weekend].max()
    assert pd.Timestamp(module.START, unit="s").day_name() == "Saturday"


def test_pauses_are_log_normal(shop):
    pauses = np.diff(shop.raw.times)
    same = np.ones(len(pauses), bool)
    same[shop.raw.offsets[1:-1] - 1] = False
    pauses = pauses[same]
    assert pauses.min() >= 1 and pauses.max() <= module.LONGEST_PAUSE + 1e-3
    logs = np.log(pauses[(pauses > 1) & (pauses < module.LONGEST_PAUSE)] - 1)
    normal = (logs - logs.mean()) / logs.std()
    assert abs(np.mean(normal**3)) < 0.05 and abs(np.mean(normal**4) - 3) < 0.1
    assert 30 < np.median(pauses) < 60


def test_items_appear_and_vanish(shop):
    in_stock = ShopModel().in_stock  # (days, catalogue)
    appear, vanish = ~in_stock[0], ~in_stock[-1]
    assert 10 <= appear.sum() <= 50 and 10 <= vanish.sum() <= 50
    position = {item: i for i, item in enumerate(shop.catalogue["item"])}
    item = np.array([position[item] for item in shop.raw.item_ids])[shop.raw.items]
    start = np.repeat(shop.raw.times[shop.raw.offsets[:-1]], shop.raw.lengths)
    day = ((start - module.START) // 86400).astype(int)
    assert in_stock[day, item].all()
    clicked = np.isin(np.arange(len(position)), item)
    assert (clicked & appear).sum() >= 10 and (clicked & vanish).sum() >= 10


def test_reclicks_and_brand_loyalty(kinds):
    again = kinds.duplicated(["SessionId", "ItemId"])
    later = kinds.groupby("SessionId").cumcount() > 0
    assert 0.08 < again[later].mean() < 0.25
    # An item of the same department but another type: its brand is the one before far
    # more often than if brands were drawn by their share of the department.
    pairs = kinds[
        (kinds["department"] == kinds["next department"])
        & (kinds["type"] != kinds["next type"])
    ]
    loyal = (pairs["brand"] == pairs["next brand"]).mean()
    shares = pairs.groupby("department")["next brand"].value_counts(normalize=True)
    by_chance = (shares**2).groupby("department").sum().mean()
    assert loyal > 1.8 * by_chance


def test_direction(kinds):
    """A case follows a phone at least ten times as often as a phone a case."""
    pairs = Counter(zip(kinds["type"], kinds["next type"], strict=True))
    assert pairs["phone", "phone-case"] >= 10 * pairs["phone-case", "phone"] > 0
    after = kinds.groupby("type")["next type"].value_counts(normalize=True)
    assert after["phone", "phone-case"] >= 10 * after["phone-case", "phone"]


def test_context(kinds):
    """What follows a memory card depends on what came before it."""
    before = kinds.groupby("SessionId")["type"].shift(1)
    card = kinds[(kinds["type"] == "memory-card") & kinds["next type"].notna()]
    after = card.groupby(before)["next type"].value_counts(normalize=True)
    counts = card.groupby(before).size()
    likeliest = {
        "camera": "camera-bag",
        "drone": "drone-battery",
        "screen-protector": "car-mount",  # a phone kit
        "phone": "car-mount",
    }
    for first, expected in likeliest.items():
        assert counts[first] >= 50
        others = after[first].drop("memory-card")  # staying is the same for all
        assert others.idxmax() == expected
        for other in set(likeliest) - {first}:
            if likeliest[other] != expected:
                assert after[first][expected] > 5 * after[other].get(expected, 0)


# ---- the oracle ----------------------------------------------------------------

TINY = dict(
    departments={
        "d1": ("a b", "p q", "camera:9 bag:9 card:9:x,y,z"),
        "d2": ("a b", "r s", "drone:9 prop:9"),
    },
    missions={"film": (3, "camera card bag"), "fly": (2, "drone card prop")},
    behaviour=Behaviour(
        switch=0.2, elsewhere=2.0, refresh=0.3, other_type=0.2, stray=0.15, loyalty=4.0
    ),
)


@pytest.fixture
def tiny():
    model = ShopModel(**TINY)
    items = list(model.catalogue["item"])
    model.in_stock[5:, items.index("bag-p-b")] = False
    model.in_stock[:7, items.index("card-q-z")] = False
    return model


def brute_force(model, clicks, day, vocabulary):
    """p(next item | clicks) by the sum over all paths of the hidden state.

    Written from the description of the model, item by item, without its tables of
    types: only popularity, bestseller weights and stock are taken from the model.
    """
    b = model.behaviour
    items = list(model.catalogue["item"])
    kind = dict(zip(items, model.catalogue["type"], strict=True))
    brand = dict(zip(items, model.catalogue["brand"], strict=True))
    popularity = dict(zip(items, model.popularity, strict=True))
    best = dict(zip(items, model.bestseller, strict=True))
    stock = [i for i, there in zip(items, model.in_stock[day], strict=True) if there]

    prior = {}
    for name, (weight, types) in model_missions(model).items():
        first = [i for i in items if kind[i] == types[0]]
        for i in first:
            share = popularity[i] / sum(popularity[other] for other in first)
            key = name, brand[i]
            prior[key] = prior.get(key, 0) + weight / 5 * share
    assert sum(prior.values()) == pytest.approx(1)

    def type_weight(types, last, following):
        if following not in types:
            return 0.0
        if last is None:
            return b.entry ** types.index(following)
        if last not in types:
            return 1.0
        distance = types.index(following) - types.index(last)
        if distance == 0:
            return b.stay
        return b.forward ** (distance - 1) if distance > 0 else b.back

    def mission_probability(z, last, item):
        name, preferred = z
        types = model_missions(model)[name][1]
        weights = [type_weight(types, last, other) for other in types]
        by_type = type_weight(types, last, kind[item]) / sum(weights)

        def appeal(i):
            return popularity[i] * (1 + b.loyalty * (brand[i] == preferred))

        shelf = [i for i in stock if kind[i] == kind[item]]
        return by_type * appeal(item) / sum(appeal(i) for i in shelf)

    def click_probability(z, so_far, item):
        last = kind[so_far[-1]] if so_far else None
        weights = {}
        for i in so_far:
            weights[i] = 1.0 if kind[i] == last else b.other_type
        if so_far:
            weights[so_far[-1]] = b.refresh
        total = sum(weights.values()) + b.elsewhere
        back = weights.get(item, 0) / total
        if item not in stock:
            return back
        stray = best[item] / sum(best[i] for i in stock)
        mission = mission_probability(z, last, item)
        return back + b.elsewhere / total * (b.stray * stray + (1 - b.stray) * mission)

    joint = dict.fromkeys(vocabulary, 0.0)
    for path in itertools.product(prior, repeat=len(clicks) + 1):
        p = prior[path[0]]
        for z, following in itertools.pairwise(path):
            p *= (1 - b.switch) * (z == following) + b.switch * prior[following]
        for n, item in enumerate(clicks):
            p *= click_probability(path[n], clicks[:n], item)
        for item in vocabulary:
            joint[item] += p * click_probability(path[-1], clicks, item)
    total = sum(joint.values())
    return np.array([joint[item] / total for item in vocabulary])


def model_missions(model):
    return {
        name: (weight, types.split())
        for name, (weight, types) in TINY["missions"].items()
    }


@pytest.mark.parametrize("day", [2, 6, 29])
def test_oracle_is_the_sum_over_all_hidden_paths(tiny, day):
    """Several days, out-of-mission clicks, repeats, a vocabulary that lacks an item."""
    vocabulary = sorted(set(tiny.catalogue["item"]) - {"camera-p-b"})
    lists = [
        ["camera-p-a"],
        ["card-p-x", "drone-r-a", "card-p-x"],
        ["camera-q-a", "camera-q-a", "prop-s-b", "bag-q-b"],
        ["bag-p-a", "camera-p-a", "card-q-y", "bag-p-a"],
    ]
    sessions = sessions_of(vocabulary, lists, module.START + 86400 * day + 5)
    oracle = Oracle(tiny).fit(sessions)
    scores = all_scores(oracle, sessions)
    end = 0
    for clicks in lists:
        for n in range(1, len(clicks) + 1):
            expected = brute_force(tiny, clicks[:n], day, vocabulary)
            np.testing.assert_allclose(scores[end], expected, rtol=1e-9)
            end += 1


def test_oracle_agrees_with_the_generator(tiny):
    """Frequencies of what is drawn next after the same first click."""
    log = tiny.simulate(200_000, seed=3)
    sessions = Sessions.from_frame(log)
    oracle = Oracle(tiny).fit(sessions)
    first = sessions.offsets[:-1][sessions.lengths > 1]
    day = (sessions.times[first] - module.START) // 86400
    clicked = list(sessions.item_ids).index("card-p-x")
    chosen = first[(sessions.items[first] == clicked) & (day >= 7)]
    counts = np.bincount(sessions.items[chosen + 1], minlength=sessions.n_items)
    start = module.START + 86400 * 20
    one = sessions_of(sessions.item_ids, [["card-p-x"]], start)
    expected = all_scores(oracle, one)[0] * len(chosen)
    assert len(chosen) > 5_000
    chi_square = np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9))
    assert chi_square < len(counts) + 4 * np.sqrt(2 * len(counts))


def test_oracle_probabilities_sum_to_one(shop):
    wanted = np.zeros(shop.test.n_clicks, bool)
    wanted[::7] = True
    seen = 0
    for positions, scores in shop.oracle.score_after(shop.test, wanted):
        assert wanted[positions].all() and (scores >= 0).all()
        torch.testing.assert_close(scores.sum(1), torch.ones(len(positions)).double())
        seen += len(positions)
    assert seen == wanted.sum()


def test_oracle_looks_at_nothing_later_and_minds_no_chunks(shop, monkeypatch):
    few = shop.test.offsets[40]
    some = Sessions(
        shop.test.items[:few],
        shop.test.times[:few],
        shop.test.offsets[:41],
        shop.test.session_ids[:40],
        shop.test.item_ids,
    )
    scores = all_scores(shop.oracle, some)
    monkeypatch.setattr("gru4rec_lite.recommender.MAX_SCORES", 3 * some.n_items)
    np.testing.assert_allclose(all_scores(shop.oracle, some), scores, rtol=1e-12)
    longest = int(np.argmax(some.lengths))
    start, end = some.offsets[longest], some.offsets[longest + 1]
    for stop in range(start + 1, end + 1):
        prefix = Sessions(
            some.items[start:stop], some.times[start:stop], [0, stop - start], [0],
            some.item_ids,
        )  # fmt: skip
        np.testing.assert_allclose(
            shop.oracle.score(prefix)[0].numpy(), scores[stop - 1], rtol=1e-12
        )


def test_oracle_as_a_recommender(shop):
    top = shop.oracle.recommend(["camera-lumo-x2", "memory-card-arc-64"], k=5)
    assert top["item"][0].startswith("camera-bag-lumo-")
    top = shop.oracle.recommend(["drone-aerix-air", "memory-card-arc-64"], k=5)
    assert top["item"][0].startswith("drone-battery-aerix-")
    assert shop.oracle.fit(shop.train) is shop.oracle
    with pytest.raises(DataError, match="1 items are not in the catalogue .'kettle'."):
        Oracle().fit(sessions_of(["kettle"], [["kettle"]]))
    with pytest.raises(DataError, match="align"):
        list(shop.oracle.score_after(shop.raw, np.ones(shop.raw.n_clicks, bool)))


def test_item_that_is_out_of_stock_still_tells_something(shop):
    """Sessions typed in by hand need not be possible ones."""
    model = ShopModel()
    vanished = model.catalogue[~model.in_stock[-1] & np.isin(
        model.catalogue["item"], shop.train.item_ids
    )]  # fmt: skip
    for item in vanished["item"]:
        scores = shop.oracle.recommend([item, item], k=shop.train.n_items)["score"]
        assert np.isfinite(scores).all() and scores.sum() == pytest.approx(1)
    kind = vanished.iloc[0]["type"]
    belief = shop.oracle.belief([vanished.iloc[0]["item"]])
    wanted = [name for name, (_, t) in module.MISSIONS.items() if kind in t.split()]
    assert belief[wanted].iloc[0].sum() > 0.7


def test_belief(shop):
    belief = shop.oracle.belief(["memory-card-arc-64", "drone-battery-aerix-air"])
    assert list(belief.columns) == list(module.MISSIONS)
    np.testing.assert_allclose(belief.sum(axis=1), 1)
    assert belief["drone"].iloc[0] < 0.5 < 0.9 < belief["drone"].iloc[1]
    with pytest.raises(DataError, match="kettle"):
        shop.oracle.belief(["kettle"])


# ---- against the recommenders --------------------------------------------------


@pytest.fixture(scope="module")
def rivals(shop):
    return [model.fit(shop.train) for model in (POP(), SPOP(), ItemKNN(), Markov())]


@pytest.fixture(scope="module")
def truth(shop):
    """Scores of the oracle after every test click that has a next one, and that one."""
    wanted = np.ones(shop.test.n_clicks, bool)
    wanted[shop.test.offsets[1:] - 1] = False
    parts = list(shop.oracle.score_after(shop.test, wanted))
    positions = np.concatenate([p for p, _ in parts])
    scores = np.concatenate([s.numpy() for _, s in parts])
    return positions, scores, shop.test.items[positions + 1]


def test_oracle_is_calibrated(truth):
    """Of the items given 10 % one in ten is clicked, and so on from 1e-5 to 0.5."""
    _, scores, target = truth
    hit = np.zeros(scores.shape, bool)
    hit[np.arange(len(target)), target] = True
    edges = np.array([0, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 1])
    which = np.digitize(scores.ravel(), edges) - 1
    predicted = np.bincount(which, scores.ravel(), len(edges) - 1)
    observed = np.bincount(which, hit.ravel(), len(edges) - 1)
    variance = np.bincount(which, (scores * (1 - scores)).ravel(), len(edges) - 1)
    assert (np.bincount(which, minlength=len(edges) - 1) > 0).all()
    assert (np.abs(observed - predicted) < 4 * np.sqrt(variance) + 1).all()


def test_log_likelihood_is_the_highest(shop, rivals, truth):
    """Scores of the others are made probabilities as kindly as can be.

    Each is mixed with popularity, the share and the temperature chosen on the very
    clicks that are to be predicted.
    """
    positions, scores, target = truth
    row = np.arange(len(target))
    oracle = np.log(scores[row, target])
    support = (shop.train.support + 0.5) / (shop.train.support + 0.5).sum()
    wanted = np.zeros(shop.test.n_clicks, bool)
    wanted[positions] = True
    for rival in rivals:
        best = -np.inf
        for power in (0.5, 1.0):
            given = np.empty(len(target))
            place = np.empty(shop.test.n_clicks, int)
            place[positions] = row
            for chunk, values in rival.score_after(shop.test, wanted):
                values = values.double().clamp(min=0) ** power
                total = values.sum(1).clamp(min=1e-300)
                at = torch.from_numpy(target[place[chunk]].astype(np.int64))
                at_target = values.gather(1, at[:, None])[:, 0]
                given[place[chunk]] = (at_target / total).numpy()
            for share in (0.02, 0.1, 0.3, 0.6):
                mixed = (1 - share) * given + share * support[target]
                best = max(best, np.log(mixed).mean())
        assert oracle.mean() > best + 0.3, type(rival).__name__


def test_order_of_the_recommenders(shop, rivals):
    reports = [evaluate(model, shop.test, progress=False) for model in rivals]
    reports.append(evaluate(shop.oracle, shop.test, progress=False))
    for worse, better in itertools.pairwise(reports):
        gap = compare(better, worse)
        assert gap.low > 0.015, f"{better.name} - {worse.name}: {gap}"


@pytest.mark.slow
def test_gru4rec_stands_between_markov_and_oracle(shop, rivals):
    model = GRU4Rec(**presets["shop"] | {"n_epochs": 3}).fit(shop.train)
    markov, gru, oracle = (
        evaluate(m, shop.test, progress=False) for m in (rivals[-1], model, shop.oracle)
    )
    assert compare(gru, markov).low > 0.03
    assert compare(oracle, gru).low > 0.01
    assert gru.recall[20] >= 0.9 * oracle.recall[20]
