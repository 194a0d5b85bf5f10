"""A question with its choices, as one group of radio buttons."""

from __future__ import annotations

from collections.abc import Sequence

import anywidget
import traitlets

__all__ = ["Choices"]

# ipywidgets.RadioButtons are no group to the browser, and JupyterLab takes their arrow keys to
# move to the next cell: hence the common name, and the attribute that keeps Lumino's shortcuts off.
DRAW = """
function render({ model, el }) {
  const group = document.createElement("fieldset");
  group.style.cssText = "border: 0; margin: 0; padding: 2px";
  const legend = document.createElement("legend");
  legend.style.cssText = "font-weight: bold; padding: 0";
  legend.textContent = model.get("question");
  group.append(legend);
  const name = "choices-" + Math.random().toString(36).slice(2);
  const buttons = model.get("texts").map((text, k) => {
    const button = document.createElement("input");
    Object.assign(button, { type: "radio", name });
    button.dataset.lmSuppressShortcuts = "true";
    button.addEventListener("change", () => {
      model.set("value", k);
      model.save_changes();
    });
    const label = document.createElement("label");
    label.style.display = "block";
    label.append(button, " " + text);
    group.append(label);
    return button;
  });
  const show = () => buttons.forEach((b, k) => { b.checked = k === model.get("value"); });
  model.on("change:value", show);
  show();
  el.append(group);
  return () => model.off("change:value", show);
}
export default { render };
"""


class Choices(anywidget.AnyWidget):
    """Radio buttons for the keyboard: Tab enters the group, arrows or Space choose, Tab leaves.

    Args:
        question: names the group, on the screen and for screen readers.
        texts: of the choices, in order.

    Attributes:
        value: position of what is chosen; None at first.
    """

    _esm = DRAW
    question = traitlets.Unicode().tag(sync=True)
    texts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    value = traitlets.Int(None, allow_none=True, min=0).tag(sync=True)

    def __init__(self, question: str, texts: Sequence[str]) -> None:
        super().__init__(question=question, texts=list(texts))

    @traitlets.validate("value")
    def _is_a_choice(self, proposal: dict) -> int | None:
        value = proposal["value"]
        if value is not None and value >= len(self.texts):
            raise traitlets.TraitError(
                f"choice {value}: expected a position below {len(self.texts)}"
            )
        return value
