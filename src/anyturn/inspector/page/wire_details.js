/**
 * What a row of the wires holds in full: to be read, found and copied.
 */

import { copyButton } from "./clipboard.js";
import { element, icon } from "./elements.js";
import { jsonTree, prettyJson } from "./json_tree.js";
import { parsed } from "./messages.js";
import { isRelayed } from "./wire_rows.js";
import { count, span } from "./words.js";

const SHOWN_MESSAGES = 20;
// A message up to this size is opened whole.
const SMALL = 3000;

/**
 * The chosen row in full: the chunk with what it led to, or the event with what led to it.
 *
 * @param {Object} turn
 * @param {import("./wire_rows.js").WireRow} row
 * @param {() => void} close
 */
export function detailsOf(turn, row, close) {
  const button = element(
    "button",
    {
      class: "quiet square close",
      type: "button",
      "aria-label": "Close",
      title: "Close (Esc)",
      onclick: close,
    },
    icon("close"),
  );
  if (row.kind === "note") return [note(row.note), button];
  if (row.kind === "fold") return [...foldDetails(turn, row), button];
  const [chunk, event] = [chunkDetails(turn, row), eventDetails(turn, row)];
  if (isRelayed(turn)) return [row.event >= 0 ? event : chunk, button];
  return [chunk, event, button];
}

function note({ what, told }) {
  const titles = {
    request: "the client's request",
    asked: "the provider's request",
    relayed: "where to",
  };
  return message(titles[what] ?? what, told, () => prettyJson(told));
}

function foldDetails(turn, { chunks, events }) {
  const numbers = ([from, to]) => `${count(from)} to ${count(to - 1)}`;
  const sum = message(`events ${numbers(events)}, added up`, sumOf(turn, events), () =>
    sumOf(turn, events),
  );
  if (isRelayed(turn)) return [sum];
  const data = dataOf(turn, chunks);
  return [
    message(
      `chunks ${numbers(chunks)}`,
      data.split("\n").map((one) => parsed(one) ?? one),
      () => data,
    ),
    sum,
  ];
}

/** The chunk of the row, or those that its event came from. */
function chunkDetails(turn, row) {
  const own = row.chunk >= 0 ? [row.chunk, row.chunk + 1] : (turn.links[row.event] ?? [0, 0]);
  const numbers = range(own);
  if (!numbers.length)
    return element(
      "div",
      { class: "message" },
      element("p", { class: "dim" }, "No chunk led to this event."),
    );
  return several(numbers, (number) => {
    const { data, t } = turn.chunks[number];
    const value = parsed(data);
    return message(
      `chunk ${count(number)}, ${span(t)}`,
      value === undefined ? data : value,
      () => data,
    );
  });
}

/** The event of the row, or those that its chunk led to. */
function eventDetails(turn, row) {
  const numbers = row.event >= 0 ? [row.event] : eventsOf(turn, row.chunk);
  if (!numbers.length)
    return element(
      "div",
      { class: "message" },
      element("p", { class: "dim" }, "This chunk led to no event."),
    );
  return several(numbers, (number) => {
    const { event, t } = turn.events[number];
    return message(`event ${count(number)}, ${span(t)}`, event, () => prettyJson(event));
  });
}

function eventsOf({ links }, chunk) {
  const found = [];
  links.forEach(([from, to], event) => {
    if (from <= chunk && chunk < to) found.push(event);
  });
  return found;
}

function range([from, to]) {
  return Array.from({ length: Math.max(0, to - from) }, (_, place) => from + place);
}

function several(numbers, draw) {
  const shown = numbers.slice(0, SHOWN_MESSAGES).map(draw);
  const left = numbers.length - shown.length;
  return element(
    "div",
    { class: "messages" },
    shown,
    left > 0 ? element("p", { class: "dim" }, `and ${count(left)} more`) : null,
  );
}

function message(title, value, text) {
  return element(
    "div",
    { class: "message" },
    element(
      "div",
      { class: "message-head" },
      element("span", {}, title),
      copyButton(`Copy ${title}`, text),
    ),
    jsonTree(value, text().length < SMALL ? 8 : 3),
  );
}

/** What is copied of a row. @param {Object} turn @param {Object} row @param {string} column */
export function textOf(turn, row, column) {
  if (row.kind === "note") return prettyJson(row.note.told);
  if (row.kind === "fold")
    return column === "chunk" ? dataOf(turn, row.chunks) : sumOf(turn, row.events);
  if ((column === "chunk" && row.chunk >= 0) || row.event < 0) return turn.chunks[row.chunk].data;
  return prettyJson(turn.events[row.event].event);
}

/** All that can be found in a row, in lower case. @param {Object} turn @param {Object} row */
export function searchable(turn, row) {
  if (row.kind === "fold") {
    const { type } = turn.events[row.events[0]].event;
    return `${type}\n${sumOf(turn, row.events)}\n${dataOf(turn, row.chunks)}`.toLowerCase();
  }
  if (row.kind === "note") return JSON.stringify(row.note.told).toLowerCase();
  const chunk = row.chunk >= 0 ? turn.chunks[row.chunk].data : "";
  const event = row.event >= 0 ? JSON.stringify(turn.events[row.event].event) : "";
  return `${chunk}\n${event}`.toLowerCase();
}

/** What the deltas of a fold add up to. */
export function sumOf(turn, [from, to]) {
  return turn.events
    .slice(from, to)
    .map(({ event }) => (typeof event.delta === "string" ? event.delta : ""))
    .join("");
}

function dataOf(turn, [from, to]) {
  return turn.chunks
    .slice(from, to)
    .map(({ data }) => data)
    .join("\n");
}
