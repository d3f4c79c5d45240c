"""Things to click in the lessons, made of ipywidgets.

`ClickThrough` walks through the shop: each click is told to the model, which ranks
anew what comes next, beside the ranking of the oracle, who knows the shop's tables.
"""

from html import escape

import ipywidgets as widgets
import torch

from ..errors import check_integer

# The theme's own colour where there is a theme, in light and in dark.
BAR = (
    '<div style="display:flex; align-items:center; gap:6px; line-height:1.2">'
    '<div style="width:90px"><div style="width:{width:.0f}%; height:10px; '
    'background:var(--jp-brand-color1, #1976d2)"></div></div>{share:.1%}</div>'
)


class ClickThrough(widgets.VBox):
    """A session to be clicked together, with two rankings of what comes next.

    model : a fitted GRU4Rec, trained with cross-entropy: the softmax of its scores is
        then its guess at the probability of each item
    oracle : a fitted recommender whose scores are probabilities
    catalogue : DataFrame with columns item, name and type
    start : ID of the first click
    k : places of each ranking to show

    Items that stand in both rankings are coloured.

    Attributes: clicks, the IDs clicked so far; guesses and truths, the buttons of the
    model's and the oracle's ranking, each with the ID that it stands for in `item`;
    kind and again, the controls that begin a new session.

    Raises ParameterError for k < 1, DataError if `model` does not know `start`.
    """

    def __init__(self, model, oracle, catalogue, start: str, k: int = 8):
        self.model, self.oracle = model, oracle
        self.k = min(check_integer("k", k, 1), len(model.item_ids))
        self.names = dict(zip(catalogue["item"], catalogue["name"], strict=True))
        known = catalogue[catalogue["item"].isin(model.item_ids)]
        self.first = known.drop_duplicates("type").set_index("type")["item"]

        self.path = widgets.HTML()
        self.guesses, self.guess_bars = self._places()
        self.truths, self.truth_bars = self._places()
        self.kind = widgets.Dropdown(
            options=sorted(self.first.index),
            value=catalogue.set_index("item")["type"].get(start),
            description="begin with",
        )
        self.again = widgets.Button(description="Start again", icon="refresh")
        self.kind.observe(lambda _: self.restart(self.first[self.kind.value]), "value")
        self.again.on_click(lambda _: self.restart(self.first[self.kind.value]))
        self.restart(start)
        super().__init__(
            [
                self.path,
                widgets.HBox(
                    [
                        self._column("GRU4Rec", self.guesses, self.guess_bars),
                        self._column("Oracle", self.truths, self.truth_bars),
                    ],
                    layout={"flex_flow": "row wrap"},
                ),
                widgets.HBox([self.kind, self.again]),
            ]
        )

    def __repr__(self) -> str:  # the same in every run, whatever the model learnt
        return f"ClickThrough(k={self.k})"

    def restart(self, item: str) -> None:
        """Forget the session and begin a new one with this item."""
        self.session, self.clicks = self.model.session(), []
        self.click(item)

    def click(self, item: str) -> None:
        """One more click: both rankings are made anew."""
        self.session.click(item)
        self.clicks.append(item)
        guess = self.session.recommend(k=len(self.model.item_ids))
        score = torch.softmax(torch.tensor(guess["score"].to_numpy()), dim=0).numpy()
        guess = guess.assign(score=score).head(self.k)
        truth = self.oracle.recommend(self.clicks, k=self.k)
        both = set(guess["item"]) & set(truth["item"])
        self._show(self.guesses, self.guess_bars, guess, both)
        self._show(self.truths, self.truth_bars, truth, both)
        path = " → ".join(escape(self.names[item]) for item in self.clicks)
        self.path.value = f"<b>Clicked so far:</b> {path} → <b>?</b>"

    def _places(self):
        """Buttons and bars of a ranking, best place first; `_show` fills them."""
        buttons = [widgets.Button(layout={"width": "220px"}) for _ in range(self.k)]
        for button in buttons:
            button.on_click(lambda clicked: self.click(clicked.item))
        return buttons, [widgets.HTML() for _ in buttons]

    @staticmethod
    def _column(title, buttons, bars) -> widgets.VBox:
        rows = [
            widgets.HBox([button, bar])
            for button, bar in zip(buttons, bars, strict=True)
        ]
        return widgets.VBox([widgets.HTML(f"<b>{title}</b>: what comes next?"), *rows])

    def _show(self, buttons, bars, ranking, both) -> None:
        largest = ranking["score"].max()
        places = zip(buttons, bars, ranking["item"], ranking["score"], strict=True)
        for button, bar, item, share in places:
            button.item = item
            button.description = self.names[item]
            button.button_style = "info" if item in both else ""
            bar.value = BAR.format(width=100 * share / largest, share=share)
