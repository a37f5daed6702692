// All that this page tells is there without it: it adds a slider, and marks regions of pictures.
"use strict";
for (const label of document.querySelectorAll(".opacity")) {
  const sample = label.closest(".sample");
  const slider = label.querySelector("input");
  label.hidden = false;
  const fade = () => sample.style.setProperty("--cover", slider.value / 100);
  slider.addEventListener("input", fade);
  fade();
}
for (const row of document.querySelectorAll("tr[data-box]")) {
  const [x, y, width, height] = row.dataset.box.split(" ");
  const marks = [...row.closest(".sample").querySelectorAll(".mark")]
    .filter((mark) => mark.dataset.input === row.dataset.input);
  const set = (shape) => marks.forEach((mark) => {
    for (const [name, value] of Object.entries(shape)) mark.setAttribute(name, value);
  });
  const show = () => set({ x, y, width, height });
  const hide = () => set({ width: 0, height: 0 });
  row.tabIndex = 0;
  row.addEventListener("mouseenter", show);
  row.addEventListener("focus", show);
  row.addEventListener("mouseleave", hide);
  row.addEventListener("blur", hide);
}
