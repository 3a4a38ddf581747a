/**
 * The turns of the folder: what is known of each, in order, searched and filtered.
 */

/** @typedef {Object} Row one turn of the list, as the server describes it */

/** The filters, in the order of their chips. */
export const FILTERS = [
  "all",
  "live",
  "completed",
  "incomplete",
  "failed",
  "left",
  "cut",
  "findings",
];

/** Rows by name; newest first. */
export class Turns {
  folder = "";
  /** @type {string} why the folder cannot be read, in words */
  problem = "";
  total = 0;
  indexed = 0;
  query = "";
  filter = "all";
  /** @type {Row[]} the rows that search and filter let through */
  shown = [];
  /** @type {Object<string, number>} how many the search finds, by filter */
  counts = {};
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Row[]} */
  #order = [];
  /** @type {WeakMap<Row, string>} */
  #haystacks = new WeakMap();

  /** Take the whole list in place of what is known. */
  load(list) {
    this.folder = list.folder;
    this.problem = list.problem ?? "";
    this.#rows = new Map(list.turns.map((row) => [row.name, row]));
    this.#progress(list);
    this.#sort();
    this.select();
  }

  /** Take new and changed rows; the same ones again change nothing. */
  apply(changes) {
    for (const row of changes.rows) this.#rows.set(row.name, row);
    for (const name of changes.gone ?? []) this.#rows.delete(name);
    this.#progress(changes);
    this.#sort();
    this.select();
  }

  /** @param {string} name @returns {Row|undefined} */
  named(name) {
    return this.#rows.get(name);
  }

  get size() {
    return this.#rows.size;
  }

  /** Where the turn stands among those that are shown, or -1. */
  placeOf(name) {
    return this.shown.findIndex((row) => row.name === name);
  }

  /** Find what search and filter let through. */
  select() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length
      ? this.#order.filter((row) => words.every((word) => this.#haystack(row).includes(word)))
      : this.#order;
    this.counts = Object.fromEntries(FILTERS.map((filter) => [filter, 0]));
    for (const row of found) {
      this.counts.all += 1;
      if (row.status in this.counts) this.counts[row.status] += 1;
      if (findingsIn(row)) this.counts.findings += 1;
    }
    this.shown = found.filter((row) => passes(row, this.filter));
  }

  #progress({ total, indexed }) {
    this.total = total ?? this.#rows.size;
    this.indexed = indexed ?? this.#rows.size;
  }

  #sort() {
    this.#order = [...this.#rows.values()].sort(newestFirst);
  }

  #haystack(row) {
    let text = this.#haystacks.get(row);
    if (text === undefined) {
      const parts = [row.prompt, row.model, row.client, row.client_version, row.provider];
      text = [...parts, ...row.tools, row.name, row.error, row.status].join("\n").toLowerCase();
      this.#haystacks.set(row, text);
    }
    return text;
  }
}

/** How much in the turn was wrong: what the checker found, and calls that did not run. @param {Row} row */
export function findingsIn(row) {
  return row.findings + row.errors;
}

function passes(row, filter) {
  if (filter === "all") return true;
  return filter === "findings" ? findingsIn(row) > 0 : row.status === filter;
}

/** Names begin with the moment at which the turn began, also those of files that say nothing. */
function newestFirst(one, other) {
  return one.name < other.name ? 1 : -1;
}
