"""Every page of the course as it looks in JupyterLab, in the light and the dark theme.

No cell is wider than the page, Markdown and mathematics are rendered, figures are
there. The notebooks are not run: it is the committed page that is looked at.
"""

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from .conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("notebooks", "exercises")
    for path in (ROOT / folder).glob("*.ipynb")
)

# Goes from cell to cell, as only those in sight are drawn. Returns what is wrong.
LOOK = r"""async () => {
    const wrong = [];
    const book = window.jupyterapp.shell.currentWidget.content;
    const pause = () => new Promise(done => setTimeout(done, 30));
    const until = async condition => {
        for (let i = 0; i < 200 && !condition(); i++) await pause();
        return condition();
    };
    for (let i = 0; i < book.widgets.length; i++) {
        const cell = book.widgets[i];
        const source = cell.model.sharedModel.getSource();
        const say = text => wrong.push(`cell ${i} (${source.slice(0, 40)}): ${text}`);
        await book.scrollToItem(i, 'start');
        await cell.ready;
        const node = cell.node;
        for (const part of node.querySelectorAll(
            '.jp-RenderedMarkdown, .jp-OutputArea-output, .cm-scroller'))
            if (part.clientWidth > 0 && part.scrollWidth > part.clientWidth + 1)
                say(`${part.className} is ${part.scrollWidth} wide, `
                    + `${part.clientWidth} fit`);
        for (const image of node.querySelectorAll('img'))
            if (!await until(() => image.complete && image.naturalWidth > 0))
                say('an image is not there');
        if (cell.model.type !== 'markdown') continue;
        const page = node.querySelector('.jp-RenderedMarkdown');
        const text = source.replace(/```[^]*?```|`[^`\n]*`/g, '');
        if (/\$/.test(text)
            && !await until(() => node.querySelector('mjx-container')))
            say('mathematics is not rendered');
        if (node.querySelector('mjx-merror')) say('mathematics has an error');
        const copy = page.cloneNode(true);
        copy.querySelectorAll('code, pre, mjx-container').forEach(e => e.remove());
        const left = copy.textContent.match(
            /\$[^$\n]+\$|\*\*|\]\(|&[a-z]+;|<\/?[a-z]+>|^#+ |\|[ -]*\|/);
        if (left) say(`raw markup: ${left[0]}`);
    }
    return wrong;
}"""


@pytest.mark.parametrize("path", PAGES)
def test_page_is_readable_in_both_themes(notebook, path):
    notebook.open(path)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        notebook.page.evaluate(
            """theme => window.jupyterapp.commands.execute(
                'apputils:change-theme', {theme})""",
            theme,
        )
        assert notebook.page.evaluate(LOOK) == [], theme
    assert notebook.page.broken == []


def test_an_unreadable_page_is_noticed(notebook):
    """The look itself: each fault, made by hand, is found."""
    faults = {
        "**bold": "raw markup",
        "$\\frac{1}$": "mathematics has an error",
        "![no picture](nowhere.png)": "an image is not there",
        "<div style='width: 3000px'>wide</div>": "MarkdownOutput is 30",
    }
    book = new_notebook(cells=[new_markdown_cell(text) for text in faults])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, notebook.lab.root / "faults.ipynb")
    notebook.open("faults.ipynb")
    wrong = "\n".join(notebook.page.evaluate(LOOK))
    assert [fault for fault in faults.values() if fault not in wrong] == [], wrong
