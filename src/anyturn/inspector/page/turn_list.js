/**
 * The list of turns: rows, search, filters, and what is said where there are none.
 */

import { element, icon, say } from "./elements.js";
import { FILTERS, findingsIn } from "./turns.js";
import { VirtualList } from "./virtual_list.js";
import { OUTCOMES, clock, count, many, oneLine, outcomeOf, roughly, span, speed } from "./words.js";

const ROW_HEIGHT = 54;
const FILTER_WORDS = { all: "All turns", findings: "Something is wrong in the turn" };

const byId = (id) => document.getElementById(id);

/** The left side of the page. */
export class TurnList {
  #turns;
  #told;
  #list;
  #cursor = "";
  #opened = "";
  #unseen = 0;
  #hovered = false;
  #state = "loading";
  #error = null;

  /**
   * @param {import("./turns.js").Turns} turns
   * @param {Object} told
   * @param {(name: string) => void} told.open a turn was chosen
   * @param {() => void} told.selected search or filter let other turns through
   */
  constructor(turns, told) {
    this.#turns = turns;
    this.#told = told;
    this.scroller = byId("turn-list");
    this.search = byId("search");
    this.#list = new VirtualList({
      scroller: this.scroller,
      rowHeight: ROW_HEIGHT,
      keyOf: (index) => turns.shown[index].name,
      stampOf: (index) => turns.shown[index],
      draw: (index) => drawRow(turns.shown[index]),
      mark: (row, index) => this.#mark(row, index),
    });
    this.#listen();
    this.#drawFilters();
  }

  /** Show what the turns are now; rows that came in do not move those that are read. */
  refresh() {
    const anchor = this.#anchor();
    this.#list.setCount(this.#turns.shown.length);
    this.#keep(anchor);
    this.#sayCounts();
  }

  /** @param {"loading"|"live"|"lost"|"refused"} state */
  say(state, error = null) {
    this.#state = state;
    this.#error = error;
    this.#sayCounts();
  }

  /** Mark the turn that the page shows. */
  opened(name) {
    this.#opened = name;
    if (name) this.#cursor = name;
    const place = this.#turns.placeOf(name);
    if (place >= 0) this.#list.reveal(place, true);
    else this.#list.render();
  }

  /** Move the cursor by so many rows. */
  move(rows) {
    const place = this.#turns.placeOf(this.#cursor);
    this.#moveTo(place < 0 ? 0 : place + rows);
  }

  /** Move the cursor to the first or the last row. */
  moveToEdge(last) {
    this.#moveTo(last ? this.#turns.shown.length - 1 : 0);
  }

  /** Open the turn under the cursor. */
  openCursor() {
    if (this.#turns.placeOf(this.#cursor) >= 0) this.#told.open(this.#cursor);
  }

  /** Go on to the next filter that lets something through. */
  nextFilter(step = 1) {
    const { filter, counts } = this.#turns;
    let place = FILTERS.indexOf(filter);
    do place = (place + step + FILTERS.length) % FILTERS.length;
    while (FILTERS[place] !== "all" && !counts[FILTERS[place]]);
    this.#filterBy(FILTERS[place]);
  }

  /** Take search and filter away. @returns {boolean} whether there was one */
  clear() {
    const had = Boolean(this.#turns.query) || this.#turns.filter !== "all";
    this.search.value = "";
    this.#turns.query = "";
    this.#filterBy("all");
    return had;
  }

  #listen() {
    this.scroller.addEventListener("click", (event) => {
      const index = this.#list.rowAt(event.clientY);
      if (index >= 0) this.#told.open(this.#turns.shown[index].name);
    });
    this.scroller.addEventListener("keydown", (event) => this.#key(event));
    this.scroller.addEventListener("scroll", () => {
      if (this.scroller.scrollTop === 0) this.#tellNewer(0);
    });
    this.scroller.addEventListener("pointerenter", () => (this.#hovered = true));
    this.scroller.addEventListener("pointerleave", () => (this.#hovered = false));
    this.search.addEventListener("input", () => this.#searchFor(this.search.value));
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "ArrowDown") return;
      event.preventDefault();
      this.scroller.focus();
      if (this.#turns.placeOf(this.#cursor) < 0) this.moveToEdge(false);
    });
    byId("newer").addEventListener("click", () => {
      this.#list.scrollToStart();
      this.#tellNewer(0);
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: this.#list.page,
      PageUp: -this.#list.page,
    };
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Home" || event.key === "End") this.moveToEdge(event.key === "End");
    else if (event.key === "Enter" || event.key === " ") this.openCursor();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #moveTo(place) {
    const { shown } = this.#turns;
    if (!shown.length) return;
    const index = Math.min(shown.length - 1, Math.max(0, place));
    this.#cursor = shown[index].name;
    this.#list.reveal(index);
  }

  #searchFor(query) {
    this.#turns.query = query;
    this.#select();
  }

  #filterBy(filter) {
    this.#turns.filter = filter;
    this.#select();
  }

  #select() {
    this.#turns.select();
    this.#unseen = 0;
    this.#list.setCount(this.#turns.shown.length);
    const place = this.#turns.placeOf(this.#cursor);
    if (place >= 0) this.#list.reveal(place, true);
    else this.#list.scrollToStart();
    this.#sayCounts();
    this.#told.selected();
  }

  /** The uppermost row in sight, by which the others are held. */
  #anchor() {
    if (this.scroller.scrollTop === 0 && !this.#hovered) return null;
    const first = Math.floor(this.scroller.scrollTop / ROW_HEIGHT);
    return { name: this.#nameAt(first), place: first };
  }

  #nameAt(index) {
    // The rows as they were drawn: the model has others by now.
    const top = index * ROW_HEIGHT;
    const rows = [...this.scroller.querySelectorAll(".row")];
    return rows.find((row) => row.style.transform === `translateY(${top}px)`)?.dataset.name;
  }

  #keep(anchor) {
    if (!anchor?.name) return;
    const place = this.#turns.placeOf(anchor.name);
    if (place < 0 || place === anchor.place) return;
    this.#list.shift(place - anchor.place);
    this.#list.render();
    // A list that is shorter than its place cannot be held: everything is in sight.
    if (this.scroller.scrollTop === 0) this.#tellNewer(0);
    else if (place > anchor.place) this.#tellNewer(this.#unseen + place - anchor.place);
  }

  #tellNewer(number) {
    this.#unseen = number;
    const button = byId("newer");
    button.hidden = number === 0;
    say(button, `↑ ${many(number, "newer turn")}`);
  }

  #mark(row, index) {
    const { name } = this.#turns.shown[index];
    row.id = `row-${index}`;
    row.classList.toggle("at-cursor", name === this.#cursor);
    row.setAttribute("aria-selected", String(name === this.#opened));
    row.setAttribute("aria-posinset", String(index + 1));
    row.setAttribute("aria-setsize", String(this.#list.count));
    if (name === this.#cursor) this.scroller.setAttribute("aria-activedescendant", row.id);
  }

  #drawFilters() {
    const chips = FILTERS.map((filter) => this.#chip(filter));
    const line = (some) => element("div", { class: "filter-line" }, some);
    byId("filters").append(line(chips.slice(0, 4)), line(chips.slice(4)));
  }

  #chip(filter) {
    const sign = filter === "all" ? null : icon(filter === "findings" ? "finding" : filter);
    return element(
      "button",
      {
        class: `chip is-${filter}`,
        type: "button",
        "data-filter": filter,
        onclick: () => this.#filterBy(filter),
      },
      sign,
      element("span", {}, filter),
      element("span", { class: "number" }),
    );
  }

  #sayCounts() {
    const { shown, size, counts, filter } = this.#turns;
    for (const chip of byId("filters").querySelectorAll(".chip")) {
      const own = chip.dataset.filter;
      const number = counts[own] ?? 0;
      chip.setAttribute("aria-pressed", String(own === filter));
      chip.classList.toggle("none", number === 0);
      chip.title = `${FILTER_WORDS[own] ?? OUTCOMES[own]}: ${count(number)}`;
      say(chip.querySelector(".number"), roughly(number));
    }
    say(byId("tally"), this.#tally());
    const none = byId("no-turns");
    none.hidden = shown.length > 0;
    if (shown.length === 0) none.replaceChildren(...this.#absence(size));
  }

  #tally() {
    const { shown, size, total, indexed } = this.#turns;
    const parts = [
      shown.length === size
        ? many(size, "turn")
        : `${count(shown.length)} of ${many(size, "turn")}`,
    ];
    if (indexed < total) parts.push(`reading the folder: ${count(indexed)} of ${count(total)}`);
    if (size > 0 && this.#turns.problem) parts.push(this.#turns.problem);
    return size === 0 && indexed >= total ? "" : parts.join(" · ");
  }

  #absence(size) {
    if (this.#state === "loading") return [element("p", {}, "Reading the folder…")];
    if (this.#state === "refused") return refusal();
    if (size > 0) {
      const clear = element(
        "button",
        { type: "button", onclick: () => this.clear() },
        "Show all turns",
      );
      return [element("p", { class: "strong" }, "No turn matches."), clear];
    }
    if (this.#turns.problem) return [element("p", { class: "strong" }, this.#turns.problem)];
    if (this.#error) return [element("p", { class: "strong" }, this.#error.message)];
    return emptiness(this.#turns.folder);
  }
}

function refusal() {
  return [
    element("p", { class: "strong" }, "This link is of an earlier start."),
    element("p", {}, "Open the link that was printed when the inspector was started last."),
  ];
}

function emptiness(folder) {
  const where = /^[\w./~@-]+$/.test(folder)
    ? folder
    : `'${oneLine(folder, 300).replaceAll("'", "'\\''")}'`;
  return [
    element("p", { class: "strong" }, "No turn is recorded here yet."),
    element("p", {}, "Each one appears here as soon as it begins, for example of:"),
    element(
      "pre",
      {},
      `anyturn demo --capture ${where}\nanyturn serve --inspector --capture ${where}`,
    ),
  ];
}

function drawRow(row) {
  const outcome = outcomeOf(row.status);
  return element(
    "div",
    { class: `row is-${outcome}`, role: "option", "data-name": row.name },
    icon(outcome, outcome),
    element(
      "div",
      { class: "row-prompt" },
      oneLine(row.prompt, 200) || element("i", {}, "no words of a user"),
    ),
    element("time", { class: "row-when" }, clock(row.started)),
    element("div", { class: "row-facts" }, ...facts(row)),
    element(
      "div",
      { class: "row-numbers" },
      element("span", {}, row.tokens_per_s === null ? "" : `${speed(row.tokens_per_s)}/s`),
      element(
        "span",
        { class: "row-duration" },
        row.status === "live" ? "running" : span(row.duration),
      ),
    ),
  );
}

function facts(row) {
  const parts = [];
  const number = findingsIn(row);
  if (number) {
    const bad = row.errors > 0 ? " bad" : "";
    parts.push(
      element(
        "span",
        { class: `badge${bad}`, title: many(number, "finding") },
        icon("finding", "findings"),
        count(number),
      ),
    );
  }
  if (row.error)
    parts.push(
      element(
        "span",
        { class: "row-error", title: oneLine(row.error, 200) },
        oneLine(row.error, 120),
      ),
    );
  else parts.push(element("span", {}, oneLine(row.model, 60) || "no model"));
  if (row.tools.length) parts.push(element("span", { class: "mono" }, toolNames(row.tools)));
  return parts;
}

function toolNames(tools) {
  const times = new Map();
  for (const tool of tools) times.set(tool, (times.get(tool) ?? 0) + 1);
  const names = [...times].slice(0, 4);
  const told = names.map(([name, n]) => oneLine(name, 40) + (n > 1 ? ` ×${n}` : ""));
  return told.join(", ") + (times.size > names.length ? " …" : "");
}
