/**
 * JSON as a tree that opens and closes. Only what is open is made of elements.
 */

import { element } from "./elements.js";
import { bytes, count, visible } from "./words.js";

const OPEN_ROWS = 40;
const CHILDREN_AT_ONCE = 100;
const STRING_AT_ONCE = 4000;
const PEEK = 72;

/**
 * Show a value of any size.
 *
 * @param {any} value
 * @param {number} [depth] how many levels are open at first
 */
export function jsonTree(value, depth = 2) {
  const tree = element("div", { class: "json mono" });
  const entries = value !== null && typeof value === "object" ? Object.entries(value) : [];
  if (entries.length) more(tree, entries, 0, depth - 1);
  else tree.append(node("", value, depth));
  return tree;
}

/** Text as it would stand in a file. */
export function prettyJson(value) {
  return JSON.stringify(value, null, 2);
}

function node(name, value, depth) {
  if (value === null || typeof value !== "object") {
    return element("div", { class: "json-leaf" }, label(name), leaf(value));
  }
  const entries = Object.entries(value);
  if (!entries.length) {
    return element("div", { class: "json-leaf" }, label(name), Array.isArray(value) ? "[]" : "{}");
  }
  return branch(name, value, entries, depth);
}

function branch(name, value, entries, depth) {
  const inside = element("div", { class: "json-inside" });
  const details = element(
    "details",
    {},
    element(
      "summary",
      {},
      label(name),
      element("span", { class: "json-peek" }, peek(value, entries)),
    ),
    inside,
  );
  const show = () => {
    if (!inside.childElementCount) more(inside, entries, 0, depth - 1);
  };
  details.addEventListener("toggle", () => details.open && show());
  if (depth > 0 && entries.length <= OPEN_ROWS) {
    details.open = true;
    show();
  }
  return details;
}

function more(place, entries, from, depth) {
  const some = entries.slice(from, from + CHILDREN_AT_ONCE);
  place.append(...some.map(([name, value]) => node(name, value, depth)));
  const left = entries.length - from - some.length;
  if (left <= 0) return;
  const button = element("button", { class: "more", type: "button" }, `${count(left)} more`);
  button.addEventListener("click", () => {
    button.remove();
    more(place, entries, from + CHILDREN_AT_ONCE, depth);
  });
  place.append(button);
}

function label(name) {
  if (name === "") return null;
  return element("span", { class: "json-name" }, `${visible(name, 200)}: `);
}

function leaf(value) {
  if (typeof value === "string") return text(value);
  const kind = value === null ? "null" : typeof value;
  return element("span", { class: `json-${kind}` }, String(value));
}

/** A string; a long one is cut until somebody asks for the rest. */
export function text(value, limit = STRING_AT_ONCE) {
  const shown = element("span", { class: "json-string" }, visible(value, limit));
  if (value.length <= limit) return shown;
  const button = element("button", { class: "more", type: "button" }, `all ${bytes(value.length)}`);
  button.addEventListener("click", () => {
    shown.textContent = visible(value);
    button.remove();
  });
  return element("span", {}, shown, button);
}

function peek(value, entries) {
  if (Array.isArray(value)) return `[${count(entries.length)}]`;
  const known = ["type", "role", "name", "model", "status", "id"];
  const told = known.filter((name) => typeof value[name] === "string");
  const shown = told
    .slice(0, 3)
    .map((name) => visible(value[name], 40))
    .join(" · ");
  return shown.length ? `{ ${shown.slice(0, PEEK)} }` : `{${count(entries.length)}}`;
}
