/**
 * Two small plots over the newest turns: tokens in a second, and the time to the first event.
 */

import { element, say, svg } from "./elements.js";
import { outcomeOf, span, speed } from "./words.js";

const TURNS_MAX = 120;
const WIDTH = 240;
const HEIGHT = 40;

const PLOTS = [
  { title: "tokens/s", of: (row) => row.tokens_per_s, words: speed },
  { title: "first event", of: (row) => row.first_event, words: span },
];

/** The strip above the list. */
export class Plots {
  #plots;

  /**
   * @param {HTMLElement} place
   * @param {(name: string) => void} open a turn was chosen
   */
  constructor(place, open) {
    this.#plots = PLOTS.map((plot) => new Plot(plot, open));
    place.append(...this.#plots.map((plot) => plot.element));
  }

  /** @param {import("./turns.js").Row[]} rows newest first @param {string} opened */
  show(rows, opened) {
    const newest = rows.slice(0, TURNS_MAX).reverse();
    for (const plot of this.#plots) plot.show(newest, opened);
  }
}

class Plot {
  #options;
  #points = [];
  #opened = "";

  constructor(options, open) {
    this.#options = options;
    this.value = element("span", { class: "plot-value", title: "The median" });
    this.bars = svg("g", {});
    this.pointer = svg("rect", { class: "plot-pointer", y: 0, height: HEIGHT, hidden: true });
    this.picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.pointer,
      this.bars,
    );
    this.element = element(
      "figure",
      { class: "plot" },
      element("figcaption", {}, element("span", {}, options.title), this.value),
      this.picture,
    );
    this.picture.addEventListener("pointermove", (event) => this.#point(event));
    this.picture.addEventListener("pointerleave", () => this.#rest());
    this.picture.addEventListener("click", (event) => {
      const point = this.#at(event);
      if (point) open(point.row.name);
    });
  }

  show(rows, opened) {
    const { of } = this.#options;
    this.#points = rows
      .map((row) => ({ row, value: of(row) }))
      .filter((point) => typeof point.value === "number");
    this.#opened = opened;
    this.#draw();
    this.#rest();
  }

  #draw() {
    const values = this.#points.map((point) => point.value).sort((a, b) => a - b);
    // One turn that waited for minutes must not flatten all the others.
    const top = (values[Math.floor((values.length - 1) * 0.98)] ?? 1) * 1.05 || 1;
    const step = this.#step();
    const bars = this.#points.map((point, index) => {
      const height = Math.max(1.5, Math.min(1, point.value / top) * (HEIGHT - 2));
      const opened = point.row.name === this.#opened ? " opened" : "";
      return svg("rect", {
        class: `plot-bar is-${outcomeOf(point.row.status)}${opened}`,
        x: (index * step).toFixed(2),
        y: (HEIGHT - height).toFixed(2),
        width: Math.max(0.8, step * 0.72).toFixed(2),
        height: height.toFixed(2),
      });
    });
    this.bars.replaceChildren(...bars);
    this.picture.setAttribute("aria-label", this.#summary(values));
  }

  #step() {
    return WIDTH / Math.max(24, this.#points.length);
  }

  #summary(values) {
    const { title, words } = this.#options;
    if (!values.length) return `${title}: nothing yet`;
    return `${title} of the last ${values.length} turns: ${words(values[0])} to ${words(values.at(-1))}, median ${words(median(values))}`;
  }

  #at(event) {
    const box = this.picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    return this.#points[Math.floor(x / this.#step())];
  }

  #point(event) {
    const point = this.#at(event);
    if (!point) return this.#rest();
    const step = this.#step();
    this.pointer.setAttribute("x", String(this.#points.indexOf(point) * step - step * 0.14));
    this.pointer.setAttribute("width", String(step));
    this.pointer.removeAttribute("hidden");
    const prompt = point.row.prompt.replace(/\s+/g, " ").slice(0, 60);
    this.picture.setAttribute("data-hint", `${this.#options.words(point.value)}   ${prompt}`);
    say(this.value, this.#options.words(point.value));
    return undefined;
  }

  #rest() {
    this.pointer.setAttribute("hidden", "");
    this.picture.removeAttribute("data-hint");
    const values = this.#points.map((point) => point.value).sort((a, b) => a - b);
    say(this.value, values.length ? this.#options.words(median(values)) : "–");
  }
}

function median(sorted) {
  return sorted[Math.floor(sorted.length / 2)];
}
