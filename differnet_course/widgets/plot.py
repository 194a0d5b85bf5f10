"""A Plotly figure in a notebook page: a small widget; and where it stands beside its controls.

Plotly's own FigureWidget sends its 5 MB once for each figure, and must be there within 2 s: on a
loaded machine its place stays blank. Here plotly.js travels once from a kernel, compressed, for all
figures, and one that waits for it says so.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import anywidget
import ipywidgets as widgets
import plotly
import plotly.graph_objects as go
import traitlets

from differnet_course.plots.curves import plot_curves
from differnet_lite.flow import CouplingFlow

# at 1280 x 720 all is visible at once in JupyterLab; with less room, the picture goes below
COLUMN = 290  # px, of controls: a picture of 540 px fits between it and the file browser
BESIDE = {"flex_flow": "row wrap", "align_items": "flex-start"}  # of the box that holds the columns

LOSSES = {"train": "training images", "held_out": "held-out normal images"}

ESM = """
const HELP = "If it does not come: save, reload the page, and run this cell again.";

function loadPlotly(model) {
  globalThis.differnetPlotly ??= (async () => {
    const id = model.get("library").replace("IPY_MODEL_", "");
    const code = (await model.widget_manager.get_model(id)).get("code");
    const plain = new Blob([code]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = new Blob([await new Response(plain).blob()], {type: "text/javascript"});
    await import(URL.createObjectURL(script));
    return globalThis.Plotly;
  })();
  globalThis.differnetPlotly.catch(() => { globalThis.differnetPlotly = undefined; });
  return globalThis.differnetPlotly;
}

async function show(model, el, stop) {
  const page = document.createElement("div");
  const note = document.createElement("div");
  el.style.cssText = "position: relative";
  note.style.cssText = "padding: 8px; color: var(--jp-ui-font-color1, #222)";
  note.textContent = `loading the drawing library. ${HELP}`;
  el.append(page, note);
  let Plotly;
  try {
    Plotly = await loadPlotly(model);
  } catch (error) {
    note.textContent = `${HELP} (${error})`;
    return;
  }
  const draw = async () => {
    const busy = model.get("busy");
    page.style.filter = busy ? "grayscale(1) opacity(0.35)" : "";
    note.textContent = busy;
    note.style.cssText = "position: absolute; inset: 40% 0 auto; text-align: center; "
      + "font-weight: bold; color: #222; pointer-events: none";
    const layout = structuredClone(model.get("figure_layout"));
    const room = el.closest(".jp-OutputArea-output")?.clientWidth || layout.width;
    const fits = Math.min(layout.width, room);
    if (fits < 400 && layout.coloraxis) {  // a telephone: the room is the photograph's
      layout.coloraxis.showscale = false;
      Object.assign(layout.margin, {l: 4, r: 4});
      layout.height = Math.min(layout.height, fits + 32);
    } else if (fits >= 400) {  // below, labels keep their room
      layout.height *= fits / layout.width;
    }
    layout.width = fits;
    const traces = model.get("traces").map(name => structuredClone(model.get(name)));
    await Plotly.react(page, traces, layout, {displaylogo: false});
  };
  let waiting = 0;
  const redraw = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); }); };
  await draw();
  page.on("plotly_click", ({points: [p]}) => {
    const trace = p.curveNumber, index = p.pointNumber ?? null;
    model.set("clicked", {trace, index, x: p.x, y: p.y});
    model.save_changes();
  });
  model.on("change", redraw);
  const size = new ResizeObserver(redraw);
  size.observe(el.closest(".jp-OutputArea-output") ?? el);
  stop.addEventListener("abort", () => {
    model.off("change", redraw);
    size.disconnect();
    Plotly.purge(page);
  });
}

function render({ model, el }) {
  const stop = new AbortController();
  show(model, el, stop.signal);
  return () => stop.abort();
}
export default { render };
"""


class Library(widgets.Widget):
    """The plotly.js of the installed plotly, on its way to the page."""

    current: ClassVar[Library | None] = None
    code = traitlets.Bytes(help="plotly.js, gzip").tag(sync=True)


def library() -> Library:
    """The one of this kernel, or the next one after `Widget.close_all()`."""
    if Library.current is None or Library.current.comm is None:
        path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        Library.current = Library(code=gzip.compress(path.read_bytes()))
    return Library.current


class Plot(anywidget.AnyWidget):
    """Shows a figure of a fixed number of traces. Change the figure, then call `draw`.

    Its layout has a width and a height in px; a narrower page shrinks both.

    Attributes:
        busy: words that are written over the figure while it is greyed; "" for none.
        clicked: of the last click: trace, index of the point, and x and y in the figure's axes.
    """

    _esm = ESM
    library = traitlets.Instance(Library).tag(sync=True, **widgets.widget_serialization)
    traces = traitlets.List(traitlets.Unicode()).tag(sync=True)  # names of traits
    figure_layout = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode().tag(sync=True)
    clicked = traitlets.Dict().tag(sync=True)

    def __init__(self, figure: go.Figure) -> None:
        self.figure = figure
        names = [f"trace{k}" for k in range(len(figure.data))]
        self.add_traits(**{name: traitlets.Dict().tag(sync=True) for name in names})
        super().__init__(library=library(), traces=names, **self._parts())

    def draw(self) -> None:
        """Send to the page what has changed."""
        with self.hold_sync():
            for name, value in self._parts().items():
                setattr(self, name, value)

    def _parts(self) -> dict[str, object]:
        plain = json.loads(self.figure.to_json())
        traces = {f"trace{k}": trace for k, trace in enumerate(plain["data"])}
        return {"figure_layout": plain["layout"], **traces}

    def __repr__(self) -> str:
        return f"Plot of {len(self.traces)} traces: run this cell to draw it"


def columns(
    controls: Sequence[widgets.Widget], picture: Sequence[widgets.Widget]
) -> list[widgets.VBox]:
    """The two columns, for an `HBox` with the layout `BESIDE`."""
    narrow = {"width": f"{COLUMN}px", "margin": "0 12px 0 0"}
    return [widgets.VBox(list(controls), layout=narrow), widgets.VBox(list(picture))]


def slider_style(label: str) -> dict[str, object]:
    """Options of a slider as wide as the column, with so much room for its label, as in "80px"."""
    return {"layout": {"width": f"{COLUMN - 6}px"}, "style": {"description_width": label}}


class LiveLoss(widgets.VBox):
    """Show it in a cell, then train with `train_flow(..., on_epoch=live)` for so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.label = widgets.HTML("waiting for the first epoch")
        self.figure = plot_curves(
            [],
            dict.fromkeys(LOSSES.values(), ()),
            x_title="epoch (passes over the training images)",
            y_title="loss (nats per dimension)",
            x_range=[1, max(2, epochs)],
        )
        self.plot = Plot(self.figure)
        super().__init__([self.label, self.plot])

    def __call__(
        self, epoch: int, history: Mapping[str, Sequence[float]], flow: CouplingFlow | None = None
    ) -> None:
        """Draw the history so far: the signature of `on_epoch`."""
        for trace, key in zip(self.figure.data, LOSSES, strict=True):
            trace.x = list(history["epoch"][: len(history[key])])
            trace.y = list(history[key])
        self.plot.draw()
        losses = [f"{LOSSES[key]} {history[key][-1]:.2f}" for key in LOSSES if history[key]]
        self.label.value = f"epoch {epoch} of {self.epochs}: loss of {', '.join(losses)}"

    def __repr__(self) -> str:
        return "LiveLoss: run this cell to watch the training"
