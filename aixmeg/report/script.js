// Tooltips on the charts: exact values under the pointer, or with the arrow keys. The page reads well without them.
"use strict";
for (const plot of document.querySelectorAll(".plot")) {
  const series = JSON.parse(plot.dataset.series).filter((one) => one.rows.length);
  if (!series.length) continue;
  const cursor = add(plot, "cursor");
  const tip = add(plot, "tip");
  tip.setAttribute("role", "status");
  const steps = series.reduce((a, b) => (b.rows.length > a.rows.length ? b : a)).rows;
  let chosen = steps.length - 1;

  const show = (index) => {
    chosen = Math.max(0, Math.min(steps.length - 1, index));
    const at = steps[chosen][0];
    const values = series.map((one) => {
      const [, step, value] = one.rows[nearest(one.rows, at)];
      return `${one.name}: ${value}` + (step === steps[chosen][1] ? "" : ` (step ${step})`);
    });
    const title = `step ${steps[chosen][1]}`;
    const lines = series.length > 1 ? [title, ...values] : [`${title}: ${steps[chosen][2]}`];
    tip.replaceChildren(...lines.map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }));
    cursor.hidden = tip.hidden = false;
    const x = (at / 1000) * plot.clientWidth;
    cursor.style.left = `${x}px`;
    const room = plot.clientWidth - tip.offsetWidth;
    const beside = x + 14 > room ? x - tip.offsetWidth - 14 : x + 14;
    tip.style.left = `${Math.max(Math.min(0, room), beside)}px`;
  };
  const hide = () => { cursor.hidden = tip.hidden = true; };

  plot.tabIndex = 0;
  plot.addEventListener("pointermove", (event) => {
    show(nearest(steps, ((event.clientX - plot.getBoundingClientRect().left) / plot.clientWidth) * 1000));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") hide();
    if (!move) return;
    event.preventDefault();
    show(tip.hidden ? chosen : chosen + move);
  });
}

function add(plot, name) {
  const element = document.createElement("div");
  element.className = name;
  element.hidden = true;
  plot.append(element);
  return element;
}

// Index of the row whose position is nearest; rows are sorted by position.
function nearest(rows, at) {
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle][0] < at) low = middle + 1; else high = middle;
  }
  return low > 0 && at - rows[low - 1][0] < rows[low][0] - at ? low - 1 : low;
}
