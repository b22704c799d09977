"use strict";
// Reads out the charts' numbers, by pointer and by arrow keys; shows and hides
// runs. The page says all of it without this script too, in its tables.
const hidden = new Set();

function nearest(sorted, value) {
  let low = 0, high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1; else high = middle;
  }
  const before = Math.max(low - 1, 0);
  return value - sorted[before] < sorted[low] - value ? before : low;
}

function readable(plot) {
  const numbers = JSON.parse(plot.querySelector("script").textContent);
  const cursor = plot.querySelector(".cursor");
  const output = plot.querySelector(".read-out");
  const [low, high] = numbers.x;
  const steps = [...new Set(numbers.lines.flatMap((line) => line.steps))];
  steps.sort((a, b) => a - b);
  let at = -1;

  function show(index) {
    at = Math.min(Math.max(index, 0), steps.length - 1);
    const place = (steps[at] - low) / (high - low);
    const said = [`step ${steps[at].toLocaleString("en")}`];
    for (const line of numbers.lines) {
      if (hidden.has(String(line.run))) continue;
      const near = nearest(line.steps, steps[at]);
      const other = line.steps[near] === steps[at] ? "" : ` (step ${line.steps[near]})`;
      said.push(`${line.name}: ${line.values[near]}${other}`);
    }
    output.textContent = said.join("\n");
    cursor.style.left = `${100 * place}%`;
    output.style.left = place < 0.5 ? `calc(${100 * place}% + .5rem)` : "auto";
    output.style.right = place < 0.5 ? "auto" : `calc(${100 * (1 - place)}% + .5rem)`;
    cursor.hidden = output.hidden = false;
  }

  function leave() {
    cursor.hidden = output.hidden = true;
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const value = low + (high - low) * (event.clientX - box.left) / box.width;
    show(nearest(steps, value));
  });
  plot.addEventListener("pointerleave", leave);
  plot.addEventListener("blur", leave);
  plot.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(moves[event.key]);
  });
}

document.querySelectorAll(".plot").forEach(readable);
document.querySelectorAll(".legend button").forEach((button) => {
  button.addEventListener("click", () => {
    const run = button.dataset.run;
    if (!hidden.delete(run)) hidden.add(run);
    button.setAttribute("aria-pressed", String(!hidden.has(run)));
    for (const line of document.querySelectorAll(`.plot .line[data-run="${run}"]`)) {
      line.classList.toggle("off", hidden.has(run));
    }
  });
});
