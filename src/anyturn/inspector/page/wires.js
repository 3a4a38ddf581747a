/**
 * Both wires side by side: the provider's chunks left, the client's events right, linked.
 */

import { copy } from "./clipboard.js";
import { element, say } from "./elements.js";
import { VirtualList } from "./virtual_list.js";
import { detailsOf, searchable, textOf } from "./wire_details.js";
import { drawFold, drawNote, drawPair } from "./wire_row_view.js";
import { findingsByEvent, isRelayed, wireRows } from "./wire_rows.js";
import { count, many } from "./words.js";

const ROW_HEIGHT = 24;

/** The side "Wires" of a turn. */
export class Wires {
  #turn = null;
  #rows = [];
  #findings = new Map();
  #list;
  #chosen = -1;
  #column = "event";
  #folded = false;
  #hovered = -1;
  #found = { query: "", rows: [], place: -1 };
  #told;

  /** @param {{chosen: (event: number|null) => void}} told which event the address shall name */
  constructor(told) {
    this.#told = told;
    this.#make();
    this.#list = new VirtualList({
      scroller: this.scroller,
      rowHeight: ROW_HEIGHT,
      keyOf: (index) => index,
      stampOf: (index) => this.#rows[index],
      draw: (index) => this.#draw(index),
      mark: (row, index) => this.#mark(row, index),
    });
    this.#listen();
  }

  /** Show a turn, or what it has become. @param {Object} turn @param {boolean} same */
  show(turn, same) {
    const follows = same && this.#list.atEnd && turn.row.status === "live";
    const before = same ? this.#rows : [];
    this.#turn = turn;
    this.#rows = kept(wireRows(turn, this.#folded), before);
    this.#findings = findingsByEvent(turn);
    if (!same) this.#forget();
    this.#list.setCount(this.#rows.length);
    if (follows) this.#list.scrollToEnd();
    else if (!same) this.#list.scrollToStart();
    if (this.#found.query) this.#find(this.#found.query, false);
    this.#dress();
    this.#sayCounts();
  }

  /** Draw again once the side can be seen. */
  shown() {
    this.#list.render();
  }

  /** Make deltas of one kind in a row one row, or take that back. */
  fold(folded) {
    this.#folded = folded;
    this.foldButton.setAttribute("aria-pressed", String(folded));
    if (!this.#turn) return;
    const seen = this.#rows[this.#chosen];
    this.#choose(-1, false);
    this.#rows = wireRows(this.#turn, folded);
    this.#list.setCount(this.#rows.length);
    if (seen?.kind === "fold") this.chooseEvent(seen.events[0]);
    if (this.#found.query) this.#find(this.#found.query, false);
    this.#sayCounts();
  }

  /** Choose the row of an event and bring it into sight. */
  chooseEvent(event) {
    const holds = ({ kind, events }) => kind === "fold" && events[0] <= event && event < events[1];
    if (this.#rows.some(holds)) this.fold(false);
    const index = this.#rows.findIndex((row) => row.event === event);
    if (index < 0) return;
    this.#column = "event";
    this.#choose(index, false);
    this.#list.reveal(index, true);
  }

  /** Copy what is chosen. @returns {boolean} whether something was */
  copyChosen() {
    const row = this.#rows[this.#chosen];
    if (!row) return false;
    copy(textOf(this.#turn, row, this.#column));
    return true;
  }

  /** Take the choice back. @returns {boolean} whether there was one */
  leave() {
    if (this.#chosen < 0) return false;
    this.#choose(-1);
    return true;
  }

  #make() {
    this.scroller = element("div", {
      class: "wire-rows",
      role: "grid",
      tabindex: "0",
      "aria-label": "Provider chunks and client events in time",
    });
    this.findBox = element("input", {
      type: "search",
      spellcheck: "false",
      autocomplete: "off",
    });
    this.foldButton = element(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": "false",
        title: "Deltas of one kind in one row (d)",
        onclick: () => this.fold(!this.#folded),
      },
      "Fold deltas",
    );
    this.foundWords = element("span", { class: "dim" });
    this.titles = [0, 1].map(() => element("div", { class: "wire-title" }));
    this.details = element("div", { class: "wire-details", hidden: true });
    this.element = element("div", { class: "wires" }, this.#header(), this.scroller, this.details);
  }

  #header() {
    return element(
      "div",
      { class: "wire-head" },
      ...this.titles,
      element("div", { class: "wire-find" }, this.foundWords, this.foldButton, this.findBox),
    );
  }

  #listen() {
    this.scroller.addEventListener("click", (event) => {
      const index = this.#list.rowAt(event.clientY);
      const cell = event.target.closest?.("[data-column]");
      if (cell) this.#column = cell.dataset.column;
      if (index >= 0) this.#choose(index === this.#chosen && !cell ? -1 : index);
    });
    this.scroller.addEventListener("pointermove", (event) =>
      this.#hover(this.#list.rowAt(event.clientY)),
    );
    this.scroller.addEventListener("pointerleave", () => this.#hover(-1));
    this.scroller.addEventListener("keydown", (event) => this.#key(event));
    this.findBox.addEventListener("input", () => this.#find(this.findBox.value, true));
    this.findBox.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.#findNext(event.shiftKey ? -1 : 1);
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = this.#list.page;
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page };
    if (event.key in steps) this.#move(this.#chosen + steps[event.key]);
    else if (event.key === "Home") this.#move(0);
    else if (event.key === "End") this.#move(this.#rows.length - 1);
    else if (event.key === "ArrowLeft") this.#turnTo("chunk");
    else if (event.key === "ArrowRight") this.#turnTo("event");
    else if (event.key === "d") this.fold(!this.#folded);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(place) {
    const index = Math.min(this.#rows.length - 1, Math.max(0, place));
    this.#choose(index);
    this.#list.reveal(index);
  }

  #turnTo(column) {
    this.#column = column;
    this.#choose(this.#chosen);
  }

  #choose(index, tell = true) {
    this.#chosen = index;
    const row = this.#rows[index];
    this.details.hidden = !row;
    this.scroller.removeAttribute("aria-activedescendant");
    if (row) this.details.replaceChildren(...detailsOf(this.#turn, row, () => this.leave()));
    this.#list.render();
    if (row) this.#list.reveal(index);
    if (tell) this.#told.chosen(row?.event >= 0 ? row.event : null);
  }

  #hover(index) {
    const row = this.#rows[index];
    const group = row?.kind === "pair" ? row.group : -1;
    if (group === this.#hovered) return;
    this.#hovered = group;
    this.#list.render();
  }

  #forget() {
    this.#chosen = -1;
    this.#hovered = -1;
    this.#found = { query: "", rows: [], place: -1 };
    this.findBox.value = "";
    this.details.hidden = true;
    say(this.foundWords, "");
  }

  #find(query, jump) {
    const wanted = query.toLowerCase();
    const rows = [];
    if (wanted) {
      this.#rows.forEach((row, index) => {
        if (searchable(this.#turn, row).includes(wanted)) rows.push(index);
      });
    }
    this.#found = { query, rows, place: -1 };
    if (jump && rows.length) this.#findNext(1);
    else this.#list.render();
    this.#sayFound();
  }

  #findNext(step) {
    const { rows } = this.#found;
    if (!rows.length) return;
    this.#found.place = (this.#found.place + step + rows.length) % rows.length;
    this.#choose(rows[this.#found.place]);
    this.#list.reveal(this.#chosen, true);
    this.#sayFound();
  }

  #sayFound() {
    const { query, rows, place } = this.#found;
    const where = place >= 0 ? `${count(place + 1)} of ${count(rows.length)}` : count(rows.length);
    say(this.foundWords, !query ? "" : rows.length ? where : "not found");
  }

  #sayCounts() {
    const { chunks, events } = this.#turn;
    const said = [many(chunks.length, "chunk"), many(events.length, "event")];
    if (isRelayed(this.#turn)) {
      const counts = said.filter((_, place) => [chunks, events][place].length);
      this.#title(0, "Backend → client", counts.join(", "));
    } else {
      this.#title(0, "Provider → gateway", said[0]);
      this.#title(1, "Gateway → client", said[1]);
    }
    this.scroller.setAttribute("aria-rowcount", String(this.#rows.length));
  }

  #title(place, words, number) {
    this.titles[place].replaceChildren(`${words} `, element("span", { class: "number" }, number));
  }

  /** A relayed turn has one wire, over the whole width. */
  #dress() {
    const relayed = isRelayed(this.#turn);
    const find = relayed ? "Find in the wire" : "Find in both wires";
    this.element.classList.toggle("one-wire", relayed);
    this.titles[1].hidden = relayed;
    this.foldButton.hidden = relayed && !this.#turn.events.length;
    this.findBox.placeholder = find;
    this.findBox.setAttribute("aria-label", find);
  }

  #draw(index) {
    const row = this.#rows[index];
    if (row.kind === "note") return drawNote(row.note);
    if (row.kind === "fold") return drawFold(this.#turn, row);
    return drawPair(this.#turn, row, this.#findings.has(row.event));
  }

  #mark(row, index) {
    const { group } = this.#rows[index];
    const chosen = this.#rows[this.#chosen];
    row.id = `wire-${index}`;
    row.setAttribute("aria-rowindex", String(index + 1));
    row.setAttribute("aria-selected", String(index === this.#chosen));
    row.classList.toggle("on-chunk", index === this.#chosen && this.#column === "chunk");
    row.classList.toggle("on-event", index === this.#chosen && this.#column === "event");
    row.classList.toggle("linked", chosen?.kind === "pair" && group === chosen.group);
    row.classList.toggle("hovered", group !== undefined && group === this.#hovered);
    row.classList.toggle("found", this.#found.query !== "" && includes(this.#found.rows, index));
    if (index === this.#chosen) this.scroller.setAttribute("aria-activedescendant", row.id);
  }
}

/** The old rows where nothing changed, so that they need not be drawn again. */
function kept(rows, before) {
  return rows.map((row, index) => {
    const old = before[index];
    const same =
      old !== undefined &&
      row.kind === "pair" &&
      old.chunk === row.chunk &&
      old.event === row.event &&
      old.edge === row.edge &&
      old.group === row.group;
    return same ? old : row;
  });
}

function includes(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}
