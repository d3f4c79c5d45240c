"""The simulated shop of the course: its catalogue, its clicks, and the exact truth.

Every visitor has a mission ("camera", "camp", ...) and a preferred brand, and shows
neither.  That pair is the hidden state z of the session; everything else about the
next click is decided by what can be seen.  Before every click but the first, with
probability `switch`, z is drawn anew.  Then one of three things happens:

    re-click  the visitor goes back to an item of this session: the more likely, the
              more items of the last click's type there are to compare
    stray     a bestseller catches the eye, whatever the mission
    mission   a product type is drawn from row (mission, type of the last click) of a
              table, then an item of that type in stock: popular ones more often,
              those of the preferred brand much more often

When a session ends has nothing to do with z.  So the probability of the next item,
given the clicks so far, can be computed exactly: the forward algorithm for hidden
Markov models (Rabiner 1989, section III) keeps the probability of every z, and
`Oracle` sums over them.  No recommender can be better, except by luck.

`ShopModel` holds the tables and draws clicks from them, `Oracle` computes
probabilities from the same tables, `load_shop` reads the clicks that ship in `data/`.
"""

import gzip
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtri

from .errors import DataError, check_integer
from .recommender import Recommender, chunks
from .sessions import Sessions, item_indices

SESSIONS = 60_000
SEED = 0
DATA = Path(__file__).resolve().parents[1] / "data"
CLICKS, CATALOGUE = "clicks.tsv.gz", "catalogue.csv"

# Department: models, brands (the strongest first), type:price or type:price:models.
# fmt: off
DEPARTMENTS = {
    "phones": ("s1 s2 s3 max", "nuvo kalo tavi orbo zenta",
        "phone:449 phone-case:24 screen-protector:14 car-mount:27 smartwatch:219 "
        "watch-band:29"),
    "power and storage": ("one two pro max", "arc volta pikko dynex kern",
        "memory-card:29:32,64,128,256 power-bank:39:5k,10k,20k,30k "
        "charger:25:20w,30w,65w,100w usb-cable:12:1m,2m,3m,5m "
        "external-drive:89:500g,1t,2t,4t"),
    "photo": ("x1 x2 x3 x5", "lumo optra fenn hikari solis",
        "camera:799 lens:459 lens-filter:39 camera-bag:69 tripod:89 "
        "camera-battery:45 action-camera:299 chest-mount:32"),
    "drones": ("mini air pro max", "aerix skylo windra falko nimbo",
        "drone:649 drone-battery:75 propeller-set:19 drone-case:59 landing-pad:25"),
    "computers": ("11 13 15 17", "tekno pinea kvanto rubix solan",
        "laptop:999 laptop-sleeve:29 mouse:35 keyboard:69 docking-station:149 "
        "monitor:259"),
    "audio": ("a10 a20 a30 a50", "sonara bello tonik vibra muzo",
        "headphones:149 earbuds:99 speaker:189 turntable:279 audio-cable:15 "
        "microphone:119"),
    "gaming": ("core plus elite ultra", "zyno playa krato pixo ninto",
        "console:449 game:59 controller:65 gaming-headset:89 charging-dock:29"),
    "running": ("r1 r2 r3 r4", "velo fleet dasho marat pacer",
        "running-shoes:129 running-socks:15 running-watch:249 heart-rate-strap:59 "
        "running-vest:79"),
    "camping": ("solo duo trek base", "nordo fjell kampo tarno luma",
        "tent:289 sleeping-bag:149 sleeping-mat:79 camp-stove:59 cookset:45 "
        "lantern:35 camp-chair:49"),
    "mountain": ("low mid high alp", "gipfel trako rocca montea senda",
        "hiking-boots:179 hiking-socks:19 trekking-poles:69 gaiters:39 "
        "hiking-gps:299 climbing-shoes:119 harness:79 rope:149 carabiner:15"),
    "cycling": ("c100 c200 c300 c500", "radlo ciklo spoko pedala brevo",
        "bike:1199 bike-helmet:79 bike-light:39 bike-lock:49 bike-pump:25 "
        "bike-computer:149"),
    "water": ("s m l xl", "akva nordis polavi brisa kayo",
        "kayak:599 paddle:89 life-vest:69 wetsuit:159"),
    "winter": ("s m l xl", "frosta glace nevara sneva pista",
        "skis:449 ski-boots:299 ski-goggles:89 ski-gloves:49"),
    "travel": ("day city tour world", "migra nomado passo viato ruta",
        "backpack:99 water-bottle:19 headlamp:39 rain-jacket:129 dry-bag:29 "
        "first-aid-kit:25 sunglasses:59"),
}

# Mission: how frequent, and its types in the order in which they are usually looked
# at.  Memory cards, chargers, backpacks and so on stand in several missions: they say
# little about what comes next, the clicks before them do.
MISSIONS = {
    "phone": (11, "phone phone-case power-bank screen-protector memory-card "
                  "car-mount charger earbuds usb-cable"),
    "camera": (10, "camera memory-card camera-bag tripod lens charger lens-filter "
                   "backpack camera-battery"),
    "drone": (8, "drone memory-card drone-battery backpack propeller-set power-bank "
                 "drone-case landing-pad"),
    "film": (6, "action-camera memory-card chest-mount power-bank microphone tripod "
                "dry-bag external-drive"),
    "office": (9, "laptop usb-cable laptop-sleeve external-drive mouse "
                  "docking-station backpack keyboard monitor"),
    "music": (8, "headphones audio-cable earbuds speaker usb-cable turntable charger"),
    "game": (9, "console external-drive game controller usb-cable gaming-headset "
                "charger charging-dock"),
    "run": (8, "running-shoes water-bottle running-socks earbuds running-watch "
               "headlamp heart-rate-strap rain-jacket running-vest"),
    "watch": (5, "smartwatch charger watch-band earbuds heart-rate-strap usb-cable"),
    "camp": (8, "tent headlamp sleeping-bag sleeping-mat water-bottle camp-stove "
                "power-bank cookset lantern rain-jacket camp-chair"),
    "hike": (8, "hiking-boots backpack hiking-socks water-bottle trekking-poles "
                "rain-jacket gaiters first-aid-kit hiking-gps"),
    "climb": (4, "climbing-shoes backpack harness headlamp rope first-aid-kit "
                 "carabiner"),
    "cycle": (8, "bike water-bottle bike-helmet rain-jacket bike-light backpack "
                 "bike-lock headlamp bike-pump bike-computer"),
    "paddle": (4, "kayak dry-bag paddle water-bottle life-vest sunglasses wetsuit "
                  "action-camera"),
    "ski": (5, "skis backpack ski-boots sunglasses ski-goggles rain-jacket "
               "ski-gloves"),
}
# fmt: on

START = 1_761_955_200  # Saturday, 1 November 2025, 00:00 UTC
DAYS = 30
TEST_DAYS = 2
# How busy the shop is, by hour of the day and by day of the week from Saturday on.
HOURS = (9, 5, 3, 2, 2, 3, 7, 13, 20, 26, 30, 32, 34, 33, 32, 32, 33, 36, 42, 50, 56,
         52, 38, 20)  # fmt: skip
WEEKDAYS = (1.30, 1.35, 1.00, 0.97, 0.96, 1.00, 1.05)
MODELS = (0.5, 1.0, 0.3, 0.15)  # how well the first, second, ... model of a brand sells
BRAND_SKEW = 0.9  # the brand of rank r sells as 1 / r ** BRAND_SKEW
NOISE = 0.2  # standard deviation of log popularity beyond model and brand
LONGEST = 50  # clicks in a session
LONGEST_PAUSE = 30 * 60  # seconds; after a longer one it would be a new session


@dataclass(frozen=True)
class Behaviour:
    """The numbers of the click model; see the top of this module."""

    switch: float = 0.03  # probability of a new hidden state before a click
    elsewhere: float = 8.0  # weight of no re-click, an item of the last type having 1
    refresh: float = 0.25  # re-click: weight of the last item itself
    other_type: float = 0.05  # re-click: weight of items of another type
    stray: float = 0.05  # probability of a bestseller, if there is no re-click
    entry: float = 0.55  # first type: each is so much less likely than the one before
    stay: float = 0.6  # weight of staying with a type, the next one having 1
    forward: float = 0.4  # weight of skipping a type, to the power of types skipped
    back: float = 0.02  # weight of each earlier type
    loyalty: float = 40.0  # an item of the preferred brand counts so much more
    bestseller: float = 0.8  # stray: weight 1 / rank ** bestseller


def _draw(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """One column per row of weights (n, m), with probability ∝ weight: (n,)."""
    bounds = np.cumsum(weights, axis=1)  # (n, m)
    at = rng.random(len(bounds)) * bounds[:, -1]  # (n,)
    return (at[:, None] >= bounds[:, :-1]).sum(axis=1)


def _draw_alike(rng: np.random.Generator, weights, n: int) -> np.ndarray:
    """As `_draw`, all n from the same weights (m,)."""
    bounds = np.cumsum(weights)
    return np.searchsorted(bounds[:-1], rng.random(n) * bounds[-1], side="right")


class ShopModel:
    """The shop's tables, and a generator of click logs.

    departments, missions, behaviour : as DEPARTMENTS, MISSIONS and Behaviour above;
        other values make another shop (the tests use a tiny one)

    In the shapes below I is items, T types, R brands, M missions, Z hidden states.
    """

    def __init__(
        self,
        departments: dict = DEPARTMENTS,
        missions: dict = MISSIONS,
        behaviour: Behaviour | None = None,
    ):
        self.behaviour = behaviour or Behaviour()
        self.mission_names = list(missions)
        # The shop is always the same, whatever clicks are drawn: hence its own seed.
        rng = np.random.Generator(np.random.PCG64(20251101))
        self._make_items(departments, rng)
        self._make_missions(missions)
        self._make_stock(rng)

    def _make_items(self, departments: dict, rng) -> None:
        rows, popularity = [], []
        for department, (models, brands, types) in departments.items():
            for kind, price, *own in (text.split(":") for text in types.split()):
                for rank, brand in enumerate(brands.split(), start=1):
                    dearer = 0.9 + 0.3 * rng.random()
                    names = own[0].split(",") if own else models.split()
                    for k, model in enumerate(names):
                        cost = round(float(price) * dearer * (0.8 + 0.2 * k)) - 0.01
                        name = f"{brand.title()} {model.upper()} {kind}"
                        rows.append(
                            (f"{kind}-{brand}-{model}", name.replace("-", " "),
                             department, kind, brand, cost)
                        )  # fmt: skip
                        noise = np.exp(NOISE * ndtri(rng.random()))
                        popularity.append(rank**-BRAND_SKEW * MODELS[k] * noise)
        columns = ["item", "name", "department", "type", "brand", "price"]
        self.catalogue = pd.DataFrame(rows, columns=columns)
        self.popularity = np.array(popularity)  # (I,) within its type
        self.item_type, self.types = pd.factorize(self.catalogue["type"])  # (I,), (T,)
        self.item_brand, self.brands = pd.factorize(self.catalogue["brand"])
        same = np.arange(len(self.brands))[:, None] == self.item_brand  # (R, I)
        self.appeal = self.popularity * (1 + self.behaviour.loyalty * same)  # (R, I)
        # The items of each type, -1 where it has fewer than others.
        shelves = [np.flatnonzero(self.item_type == t) for t in range(len(self.types))]
        self.shelf = np.full((len(shelves), max(map(len, shelves))), -1)  # (T, K)
        for t, found in enumerate(shelves):
            self.shelf[t, : len(found)] = found

    def _make_missions(self, missions: dict) -> None:
        b, n_types = self.behaviour, len(self.types)
        index = {kind: t for t, kind in enumerate(self.types)}
        frequency = np.array([weight for weight, _ in missions.values()], float)
        frequency /= frequency.sum()
        # The table of types, row n_types for the first click: rows are probabilities.
        self.next_type = np.zeros((len(missions), n_types + 1, n_types))
        states = []
        for m, (_, names) in enumerate(missions.values()):
            chain = np.array([index[name] for name in names.split()])  # (C,)
            place = np.arange(len(chain))
            ahead = place - place[:, None]  # (C, C)
            weight = np.where(ahead > 0, b.forward ** (np.abs(ahead) - 1.0), b.back)
            weight[place, place] = b.stay
            table = self.next_type[m]
            table[:, chain] = 1.0  # from outside the mission back to anywhere in it
            table[np.ix_(chain, chain)] = weight
            table[n_types, chain] = b.entry**place
            table /= table.sum(axis=1, keepdims=True)
            # Which brands are preferred: as they sell in the mission's first type.
            sales = np.where(self.item_type == chain[0], self.popularity, 0)
            sales = np.bincount(self.item_brand, sales)
            states += [
                (m, brand, frequency[m] * sales[brand] / sales.sum())
                for brand in np.flatnonzero(sales)
            ]
        mission, brand, prior = zip(*states, strict=True)
        self.mission, self.brand = np.array(mission), np.array(brand)  # (Z,) each
        self.prior = np.array(prior)  # (Z,)
        self.entry = frequency @ self.next_type[:, n_types]  # (T,)

    def _make_stock(self, rng) -> None:
        in_type = np.bincount(self.item_type, self.popularity)  # (T,)
        sales = (self.entry / in_type)[self.item_type] * self.popularity  # (I,)
        order = np.argsort(-sales, kind="stable")
        self.bestseller = np.empty(len(order))  # (I,)
        self.bestseller[order] = np.arange(1.0, len(order) + 1)
        self.bestseller **= -self.behaviour.bestseller
        # Of the less popular items one in sixty appears during the month and one in
        # sixty vanishes.
        self.in_stock = np.ones((DAYS, len(order)), bool)  # (days, I)
        minor = order[len(order) // 5 :]
        changing = minor[np.argsort(rng.random(len(minor)), kind="stable")]
        for number, item in enumerate(changing[: len(order) // 30]):
            day = 2 + int(rng.random() * (DAYS - 2))
            gone = slice(0, day) if number % 2 else slice(day, DAYS)
            self.in_stock[gone, item] = False

    def reclick(self, history, first_seen) -> np.ndarray:
        """Probability that the next click goes back to the item of an earlier one.

        history, first_seen : (n, clicks) items so far, and whether for the first time
            in the session: an item that was clicked twice has no second chance

        Returns (n, clicks); what is missing to 1 is the probability of no re-click.
        """
        b = self.behaviour
        kinds = self.item_type[history]
        weight = np.where(kinds == kinds[:, -1:], 1.0, b.other_type)
        weight = np.where(history == history[:, -1:], b.refresh, weight) * first_seen
        return weight / (weight.sum(axis=1, keepdims=True) + b.elsewhere)

    # ---- drawing clicks --------------------------------------------------------

    def simulate(self, sessions: int = SESSIONS, seed: int = SEED) -> pd.DataFrame:
        """Draw a click log: SessionId, ItemId, Time (Unix seconds), in time order.

        The same numbers come out on every machine: all randomness is uniform numbers
        from PCG64, and times are rounded to milliseconds.
        """
        sessions = check_integer("sessions", sessions, 1, 1_000_000)
        seed = check_integer("seed", seed, 0)
        rng = np.random.Generator(np.random.PCG64(seed))
        length = 1 + np.exp(0.75 + 0.95 * ndtri(rng.random(sessions))).astype(int)
        length = np.minimum(length, LONGEST)  # (S,)
        start, day = self._draw_starts(rng, sessions)
        items = self._draw_items(rng, length, day)  # (S, longest)

        real = np.arange(items.shape[1]) < length[:, None]  # (S, longest)
        session = np.repeat(np.arange(1, sessions + 1), length)  # (E,)
        pause = 1 + np.exp(3.7 + 1.1 * ndtri(rng.random(len(session))))
        pause = np.rint(1000 * np.minimum(pause, LONGEST_PAUSE)).astype(np.int64)
        first = np.cumsum(length) - length  # (S,)
        pause[first] = start
        pause[first[1:]] -= np.add.reduceat(pause, first)[:-1]
        time = np.cumsum(pause)  # (E,) milliseconds
        order = np.lexsort((session, time))
        names = self.catalogue["item"].to_numpy()
        return pd.DataFrame(
            {
                "SessionId": session[order],
                "ItemId": names[items[real]][order],
                "Time": time[order] / 1000,
            }
        )

    def _draw_starts(self, rng, n: int):
        """First click of each session: milliseconds, in order, and day of the month."""
        day = _draw_alike(rng, np.resize(WEEKDAYS, DAYS), n)
        hour = _draw_alike(rng, HOURS, n)
        seconds = START + 86400 * day + 3600 * (hour + rng.random(n))
        start = np.sort((1000 * seconds).astype(np.int64))
        return start, (start // 1000 - START) // 86400

    def _draw_items(self, rng, length, day) -> np.ndarray:
        """Items of all sessions, click by click: index into the catalogue, (S, C)."""
        n, longest = len(length), length.max()
        items = np.zeros((n, longest), np.int16)
        first_seen = np.zeros((n, longest), bool)
        last_type = np.full(n, len(self.types))
        state = _draw_alike(rng, self.prior, n)
        for j in range(longest):
            s = np.flatnonzero(length > j)  # sessions still going, (n,)
            if j > 0:
                last_type[s] = self.item_type[items[s, j - 1]]
                new = s[rng.random(len(s)) < self.behaviour.switch]
                state[new] = _draw_alike(rng, self.prior, len(new))
                chance = self.reclick(items[s, :j], first_seen[s, :j])
                rest = 1 - chance.sum(axis=1, keepdims=True)
                source = _draw(rng, np.hstack([chance, rest]))  # j: no re-click
                x = s[source < j]
                items[x, j] = items[x, source[source < j]]
                s = s[source == j]
            strays = rng.random(len(s)) < self.behaviour.stray
            x = s[strays]
            items[x, j] = _draw(rng, self.bestseller * self.in_stock[day[x]])
            x = s[~strays]
            table = self.next_type[self.mission[state[x]], last_type[x]]
            shelf = self.shelf[_draw(rng, table)]  # (n, K)
            weight = self.appeal[self.brand[state[x], None], shelf] * (shelf >= 0)
            chosen = _draw(rng, weight * self.in_stock[day[x, None], shelf])
            items[x, j] = shelf[np.arange(len(x)), chosen]
            first_seen[:, j] = (items[:, :j] != items[:, j, None]).all(axis=1)
        return items


class Oracle(Recommender):
    """The exact probability of the next item, given the clicks so far.

    Scores are probabilities (float64) and sum to 1 over `item_ids`: items that are
    not in the vocabulary are left out and the rest is renormalised.  That there is a
    next click is taken as given.  Of the times it uses one thing, the day of the
    session's first click, which says what was in stock; a session outside the
    simulated month counts as one of its last day.

    `fit` takes the vocabulary from the sessions and learns nothing.  It raises
    DataError for items that are not in the shop's catalogue.
    """

    def __init__(self, model: ShopModel | None = None):
        self.model = model

    def fit(self, sessions: Sessions) -> "Oracle":
        self.model_ = model = self.model or ShopModel()
        position = {item: i for i, item in enumerate(model.catalogue["item"])}
        unknown = [item for item in sessions.item_ids if item not in position]
        if unknown:
            raise DataError(
                f"{sessions.source}: {len(unknown):,} items are not in the catalogue "
                f"({unknown[0]!r}); the oracle knows the simulated shop alone"
            )
        self.item_ids = sessions.item_ids
        self._known = np.array([position[item] for item in self.item_ids])  # (I,)
        # What the weights in stock add up to: the bestsellers', and those of each type
        # for each preferred brand.
        self._stray_total = model.in_stock @ model.bestseller  # (days,)
        self._type_total = np.empty((DAYS, len(model.brands), len(model.types)))
        for t in range(len(model.types)):
            shelf = np.flatnonzero(model.item_type == t)
            appeal = model.appeal[:, shelf].T  # (K, R)
            self._type_total[:, :, t] = model.in_stock[:, shelf] @ appeal
        return self

    def score_after(
        self, sessions: Sessions, wanted: np.ndarray
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        self._check_aligned(sessions)
        asked = np.add.reduceat(wanted, sessions.offsets[:-1], dtype=np.int64) > 0
        chosen = np.flatnonzero(asked)
        for start in range(0, len(chosen), 4096):
            now = self._filter(sessions, chosen[start : start + 4096])
            now = now.where(wanted[now.position])
            # One matrix serves all clicks of a day on items of one type.
            key = now.day * len(self.model_.types) + now.last_type  # (n,)
            for rows in chunks(np.argsort(key, kind="stable"), len(self.item_ids)):
                scores = np.empty((len(rows), len(self.item_ids)))
                bounds = np.flatnonzero(np.diff(key[rows], prepend=-1, append=-1))
                for first, end in pairwise(bounds):
                    scores[first:end] = self._next_item(now.where(rows[first:end]))
                yield now.position[rows], torch.from_numpy(scores)

    def belief(self, items) -> pd.DataFrame:
        """What the clicks tell about the visitor's mission.

        items : list of item IDs in time order

        Returns one row a click, one column a mission: the probability that it is the
        mission after that click.  Raises DataError for unknown items.
        """
        session = Sessions(
            items=item_indices(list(items), self.item_ids),
            times=np.arange(len(items)),
            offsets=[0, len(items)],
            session_ids=[0],
            item_ids=self.item_ids,
        )
        state = self._filter(session, np.array([0])).state  # (clicks, Z)
        mission = np.eye(len(self.model_.mission_names))[self.model_.mission]  # (Z, M)
        return pd.DataFrame(
            state @ mission,
            columns=self.model_.mission_names,
            index=pd.Index(items, name="item"),
        )

    def _filter(self, sessions: Sessions, chosen: np.ndarray) -> "_Now":
        """The forward algorithm: what is known after each click of some sessions."""
        model, b = self.model_, self.model_.behaviour
        start, length = sessions.offsets[chosen], sessions.lengths[chosen]
        place = np.minimum(np.arange(length.max()), length[:, None] - 1)
        history = sessions.items[start[:, None] + place]  # (S, C)
        first_seen = np.zeros(history.shape, bool)
        reclick = np.zeros(history.shape)
        day = ((sessions.times[start] - START) // 86400).astype(int)
        day[(day < 0) | (day >= DAYS)] = DAYS - 1
        last_type = np.full(len(chosen), len(model.types))
        state = np.tile(model.prior, (len(chosen), 1))  # (S, Z)
        steps = []
        for j in range(history.shape[1]):
            s = np.flatnonzero(length > j)  # sessions with such a click, (n,)
            item, d = self._known[history[s, j]], day[s]
            kind = model.item_type[item]
            before = history[s, :j] == history[s, j, None]  # (n, j)
            # The probability of this click under each z, as in _draw_items.
            back = (reclick[s, :j] * before).sum(axis=1, keepdims=True)
            no_back = 1 - reclick[s].sum(axis=1, keepdims=True)
            stray = model.bestseller[item] / self._stray_total[d]
            in_type = model.appeal[:, item].T / self._type_total[d, :, kind]  # (n, R)
            by_type = model.next_type[model.mission, last_type[s, None], kind[:, None]]
            mission = by_type * in_type[:, model.brand]  # (n, Z)
            mission = b.stray * stray[:, None] + (1 - b.stray) * mission
            if j > 0:
                state = (1 - b.switch) * state + b.switch * model.prior
            state[s] *= back + no_back * mission
            state[s] /= state[s].sum(axis=1, keepdims=True)

            last_type[s] = kind
            first_seen[s, j] = ~before.any(axis=1)
            seen = slice(0, j + 1)
            reclick[s, seen] = model.reclick(
                self._known[history[s, seen]], first_seen[s, seen]
            )
            steps.append((start[s] + j, kind, d, state[s], history[s], reclick[s]))
        return _Now(*(np.concatenate(parts) for parts in zip(*steps, strict=True)))

    def _next_item(self, now: "_Now") -> np.ndarray:
        """Probability of each item, (n, I), after clicks of one day and one type."""
        model, b, known = self.model_, self.model_.behaviour, self._known
        day, kind = now.day[0], model.item_type[known]  # (I,)
        in_type = model.appeal[:, known] / self._type_total[day][:, kind]  # (R, I)
        by_type = model.next_type[model.mission, now.last_type[0]][:, kind]  # (Z, I)
        state = (1 - b.switch) * now.state + b.switch * model.prior  # (n, Z)
        # By torch, since NumPy's threads and torch's would get in each other's way.
        by_state = torch.from_numpy(by_type * in_type[model.brand])  # (Z, I)
        mission = (torch.from_numpy(state) @ by_state).numpy()  # (n, I)
        stray = model.bestseller[known] / self._stray_total[day]  # (I,)
        result = b.stray * stray + (1 - b.stray) * mission
        result *= model.in_stock[day, known]
        result *= 1 - now.reclick.sum(axis=1, keepdims=True)
        row = np.arange(len(result))[:, None]
        np.add.at(result, (row, now.history), now.reclick)
        return result / result.sum(axis=1, keepdims=True)


@dataclass
class _Now:
    """What is known after each of n clicks."""

    position: np.ndarray  # (n,) the click's place in Sessions.items
    last_type: np.ndarray  # (n,)
    day: np.ndarray  # (n,)
    state: np.ndarray  # (n, Z) probability of each hidden state
    history: np.ndarray  # (n, C) items of the session
    reclick: np.ndarray  # (n, C) probability of going back to each, 0 after the click

    def where(self, rows: np.ndarray) -> "_Now":
        return _Now(*(value[rows] for value in vars(self).values()))


@dataclass(repr=False)
class Shop:
    """What `load_shop` returns: clicks, catalogue and the truth behind them.

    raw : Sessions            all clicks, one-click sessions included
    catalogue : DataFrame     item, name, department, type, brand, price
    train, test : Sessions    sessions of two clicks or more, items of five or more;
                              test is the last two days
    train_part, valid         the same once more inside train, for choosing parameters
    oracle : Oracle           the best that any recommender can do
    """

    raw: Sessions
    catalogue: pd.DataFrame

    def __repr__(self) -> str:
        return f"Shop({self.raw!r}, a catalogue of {len(self.catalogue):,} items)"

    @cached_property
    def _split(self) -> tuple[Sessions, Sessions]:
        return _split(self.raw, TEST_DAYS)

    @property
    def train(self) -> Sessions:
        return self._split[0]

    @property
    def test(self) -> Sessions:
        return self._split[1]

    @cached_property
    def _inner_split(self) -> tuple[Sessions, Sessions]:
        return _split(self.train, 2 * TEST_DAYS)

    @property
    def train_part(self) -> Sessions:
        return self._inner_split[0]

    @property
    def valid(self) -> Sessions:
        return self._inner_split[1]

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle().fit(self.train)


def _split(sessions: Sessions, days_from_end: int) -> tuple[Sessions, Sessions]:
    train, test = sessions.split_by_time(START + 86400 * (DAYS - days_from_end))
    train = train.filter(min_length=2, min_support=5)
    return train, test.align(train.item_ids)


def load_shop() -> Shop:
    """The shop's month as it ships in `data/`; drawn anew where that is not there.

    Both give the same clicks: the files are what `simulate_to` writes by default.
    """
    if (DATA / CLICKS).is_file() and (DATA / CATALOGUE).is_file():
        return Shop(Sessions.read(DATA / CLICKS), pd.read_csv(DATA / CATALOGUE))
    clicks, catalogue = simulate()
    return Shop(Sessions.from_frame(clicks), catalogue)


def simulate(
    sessions: int = SESSIONS, seed: int = SEED
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw a month of the shop: (clicks, catalogue).

    clicks : SessionId, ItemId, Time (Unix seconds), in time order
    catalogue : item, name, department, type, brand, price (the same for every seed)

    Raises ParameterError unless there are 1 to 1,000,000 sessions and seed >= 0.
    """
    model = ShopModel()
    return model.simulate(sessions, seed), model.catalogue


def simulate_to(out_dir, sessions: int = SESSIONS, seed: int = SEED) -> list[Path]:
    """Write clicks.tsv.gz and catalogue.csv of a simulated month into a directory.

    Each file is complete or not there at all.  Returns the two paths.  Raises
    ParameterError as `simulate` does, DataError if the files cannot be written.
    """
    clicks, catalogue = simulate(sessions, seed)
    tables = {
        CLICKS: clicks.to_csv(
            sep="\t", index=False, float_format="%.3f", lineterminator="\n"
        ),
        CATALOGUE: catalogue.to_csv(
            index=False, float_format="%.2f", lineterminator="\n"
        ),
    }
    out_dir = Path(out_dir)
    written = []
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, text in tables.items():
            content = text.encode()
            if name.endswith(".gz"):
                packed = io.BytesIO()  # no name, no time stamp: always the same bytes
                with gzip.GzipFile("", "wb", 9, packed, mtime=0) as file:
                    file.write(content)
                content = packed.getvalue()
            partial = out_dir / f".{name}.{os.getpid()}"
            try:
                partial.write_bytes(content)
                written.append(partial.replace(out_dir / name))
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{out_dir}: cannot be written: {reason}") from None
    return written
