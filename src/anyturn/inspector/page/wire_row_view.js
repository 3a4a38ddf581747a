/**
 * The rows of the wires: a pair of messages, a fold of many, a note between them.
 */

import { element, icon } from "./elements.js";
import { wordsOfChunk, wordsOfEvent } from "./messages.js";
import { sumOf } from "./wire_details.js";
import { count, many, moment, oneLine } from "./words.js";

/**
 * Draw a chunk and an event that stand beside each other; one of them may be missing.
 *
 * @param {Object} turn
 * @param {import("./wire_rows.js").WireRow} row
 * @param {boolean} finding whether a finding speaks of the event
 */
export function drawPair(turn, row, finding) {
  const { chunks, events } = turn;
  const left = row.chunk >= 0 ? wordsOfChunk(chunks[row.chunk].data) : null;
  const right = row.event >= 0 ? wordsOfEvent(events[row.event].event) : null;
  return element(
    "div",
    { class: `wire-row edge-${row.edge}`, role: "row" },
    cell("chunk", row.chunk, left, chunks[row.chunk]?.t),
    element("span", { class: "wire-joint", role: "presentation" }),
    cell("event", row.event, right, events[row.event]?.t, finding),
  );
}

function cell(column, index, words, t, finding = false) {
  if (!words)
    return element("div", { class: "wire-cell none", role: "gridcell", "data-column": column });
  return element(
    "div",
    {
      class: `wire-cell kind-${words.kind}${finding ? " has-finding" : ""}`,
      role: "gridcell",
      "data-column": column,
    },
    element("span", { class: "wire-time" }, moment(t)),
    element("span", { class: "wire-number" }, count(index)),
    finding ? icon("finding", "finding") : null,
    element("span", { class: "wire-name" }, words.title),
    element("span", { class: "wire-text" }, words.text),
  );
}

const NOTES = {
  request: ["request", () => "the client asked"],
  asked: ["request", ({ url }) => `the provider was asked: ${oneLine(url, 200)}`],
  relayed: ["request", ({ url }) => `and this was passed on unchanged to ${oneLine(url, 200)}`],
  adaptations: [
    "adaptation",
    (all) =>
      `${many(all.length, "adaptation")}: ${[...new Set(all.map((one) => oneLine(one.rule, 60)))].join(", ")}`,
  ],
  finding: ["finding", (one) => `${oneLine(one.rule, 60)}: ${oneLine(one.what, 300)}`],
  lost: [
    "lost",
    (one) => `${many(one.records, "record")} not recorded here: ${oneLine(one.why, 200)}`,
  ],
  end: [
    "end",
    (end) =>
      `the turn ended: ${oneLine(end.status, 40)}${end.error ? `, ${oneLine(end.error.message ?? end.error.code, 300)}` : ""}`,
  ],
  problem: ["finding", (words) => oneLine(words, 300)],
};

/** Draw what happened between the messages. @param {import("./wire_rows.js").Note} note */
export function drawNote({ what, t, told }) {
  const [sign, words] = NOTES[what];
  const shown = what === "end" ? told.t : t;
  return element(
    "div",
    {
      class: `wire-row wire-note note-${what}${what === "end" && told.error ? " is-failed" : ""}`,
      role: "row",
    },
    element(
      "div",
      { class: "wire-cell", role: "gridcell" },
      element("span", { class: "wire-time" }, moment(shown)),
      icon(sign, what),
      element("span", { class: "wire-text" }, words(told)),
    ),
  );
}

/** Draw a run of deltas as one row. @param {Object} turn @param {import("./wire_rows.js").WireRow} row */
export function drawFold(turn, { chunks, events }) {
  const { event, t } = turn.events[events[0]];
  const words = wordsOfEvent(event);
  const right = {
    kind: words.kind,
    title: `${words.title} × ${count(events[1] - events[0])}`,
    text: oneLine(sumOf(turn, events), 400),
  };
  const number = chunks[1] - chunks[0];
  const left =
    number > 0
      ? {
          kind: words.kind,
          title: many(number, "chunk"),
          text: `until ${moment(turn.chunks[chunks[1] - 1].t)}`,
        }
      : null;
  return element(
    "div",
    { class: "wire-row wire-fold edge-only", role: "row" },
    cell("chunk", chunks[0], left, turn.chunks[chunks[0]]?.t),
    element("span", { class: "wire-joint", role: "presentation" }),
    cell("event", events[0], right, t),
  );
}
