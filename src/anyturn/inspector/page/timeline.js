/**
 * What a turn did in time: a lane for each call, reasoning and text, and marks for what happened.
 */

import { element, icon } from "./elements.js";
import { isRelayed } from "./wire_rows.js";
import { many, oneLine, span } from "./words.js";

const LANES_MAX = 300;
// A tool that runs for minutes must not make a point of the turn that called it.
const LONGEST_OUTPUT = 1.5;
const TICKS = 6;

/** @typedef {{label: string, kind: string, bars: Bar[], entry: number}} Lane */
/** @typedef {{from: number, to: number, kind: string, words: string, open?: boolean}} Bar */

/**
 * Draw the lanes of a turn.
 *
 * @param {Object} turn its document
 * @param {(entry: number) => void} choose an entry's bar was pressed
 * @param {(event: number) => void} goTo a mark that speaks of an event was pressed
 */
export function timelineChart(turn, choose, goTo) {
  const end = endOf(turn);
  const lanes = lanesOf(turn, end);
  const total = Math.max(1, totalOf(turn, end));
  const at = (t) => `${(Math.min(1, Math.max(0, t / total)) * 100).toFixed(3)}%`;
  const chart = element("div", { class: "chart", role: "list", "aria-label": "Timeline" });
  chart.append(axis(total, at));
  for (const lane of lanes.slice(0, LANES_MAX)) chart.append(drawLane(lane, at, total, choose));
  if (lanes.length > LANES_MAX)
    chart.append(element("p", { class: "dim" }, `and ${lanes.length - LANES_MAX} more`));
  const marks = marksOf(turn);
  if (marks.length) chart.append(drawMarks(marks, at, goTo));
  return chart;
}

/** The class of an entry's colour: text, thought or call. */
export function kindOfEntry(entry) {
  if (isCall(entry)) return "call";
  return { text: "text", reasoning: "thought" }[entry.kind] ?? "frame";
}

/** Whether an entry of the timeline is a tool call. */
export function isCall(entry) {
  return "announced" in entry;
}

/** The name of an entry: of a call with its namespace. */
export function nameOfEntry(entry) {
  if (!isCall(entry)) return entry.kind;
  const own = entry.name || entry.kind.replace(/_call$/, "");
  return entry.namespace ? `${entry.namespace}.${own}` : own;
}

/** The last moment of a turn that is known. */
function endOf(turn) {
  const last = [turn.timeline.ended, turn.chunks.at(-1)?.t, turn.events.at(-1)?.t, turn.end?.t];
  return Math.max(1, ...last.filter((t) => typeof t === "number"));
}

function totalOf(turn, end) {
  const outputs = turn.timeline.entries.filter(isCall).map(outputAt);
  return Math.min(Math.max(end, ...outputs), end * (1 + LONGEST_OUTPUT)) * 1.01;
}

function outputAt(call) {
  return call.done !== null && call.output_after !== null ? call.done + call.output_after : 0;
}

function lanesOf(turn, end) {
  const lanes = turn.timeline.entries.map((entry, number) =>
    isCall(entry) ? laneOfCall(entry, number, end, turn) : laneOfSaid(entry, number, end, turn),
  );
  const waited = laneOfWaiting(turn);
  return waited ? [waited, ...lanes] : lanes;
}

function laneOfWaiting(turn) {
  const asked = turn.asked[0]?.t ?? 0;
  const times = [turn.chunks[0]?.t, turn.timeline.first_event];
  const first = (isRelayed(turn) ? times.reverse() : times).find((t) => typeof t === "number");
  if (first === undefined || first <= asked) return null;
  const words = `${span(first - asked)} until the provider's first chunk`;
  return {
    label: "waiting",
    kind: "wait",
    entry: -1,
    bars: [{ from: asked, to: first, kind: "wait", words }],
  };
}

function laneOfSaid(entry, number, end, turn) {
  const open = entry.ended === null;
  const to = open ? end : entry.ended;
  const ending = open
    ? turn.row.status === "live"
      ? "going on"
      : "cut off"
    : span(to - entry.began);
  const words = `${entry.kind}: ${ending}`;
  const kind = kindOfEntry(entry);
  return {
    label: entry.kind,
    kind,
    entry: number,
    bars: [{ from: entry.began, to, kind, words, open }],
  };
}

/** How far a call came, in words. @param {Object} turn @param {Object} call */
export function stateOfCall(turn, call) {
  if (call.done !== null) return `handed out after ${span(call.done - call.announced)}`;
  return turn.row.status === "live" ? "on its way" : "never handed out whole";
}

function laneOfCall(call, number, end, turn) {
  const name = nameOfEntry(call);
  const begun =
    call.first_delta === null ? call.announced : Math.min(call.announced, call.first_delta);
  const open = call.done === null;
  const done = open ? Math.max(call.last_delta ?? begun, end) : call.done;
  const kind = open && turn.row.status !== "live" ? "broken" : "call";
  const deltas = call.deltas ? `, ${many(call.deltas, "delta")}` : "";
  const bars = [
    { from: begun, to: done, kind, words: `${name}: ${stateOfCall(turn, call)}${deltas}`, open },
  ];
  if (call.output !== null) {
    const after = call.output_after;
    const words = `${name} ran: its output came back ${after === null ? "later" : `after ${span(after)}`}`;
    bars.push({ from: done, to: done + (after ?? 0), kind: "run", words });
  }
  return { label: name, kind: "call", entry: number, bars };
}

function axis(total, at) {
  const step = niceStep(total / TICKS);
  const ticks = [];
  for (let t = 0; t <= total; t += step) {
    const tick = element("span", { class: "tick" }, t === 0 ? "0" : span(t));
    tick.style.left = at(t);
    ticks.push(tick);
  }
  return element(
    "div",
    { class: "lane axis", "aria-hidden": "true" },
    element("span", {}),
    element("div", { class: "track" }, ticks),
  );
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least);
}

function drawLane(lane, at, total, choose) {
  const bars = lane.bars.map((bar) => drawBar(bar, lane, at, total, choose));
  return element(
    "div",
    { class: `lane kind-${lane.kind}`, role: "listitem" },
    element("span", { class: "lane-name" }, oneLine(lane.label, 80)),
    element("div", { class: "track" }, bars),
    element("span", { class: "lane-span" }, span(lane.bars.at(-1).to - lane.bars[0].from)),
  );
}

function drawBar(bar, lane, at, total, choose) {
  const beyond = bar.to > total;
  const drawn = element("button", {
    class: `lane-bar of-${bar.kind}${bar.open ? " open" : ""}${beyond ? " beyond" : ""}`,
    type: "button",
    "data-hint": `${bar.words}\n${span(bar.from)} → ${span(bar.to)}`,
    "aria-label": bar.words,
    onclick: () => lane.entry >= 0 && choose(lane.entry),
  });
  drawn.style.left = at(bar.from);
  drawn.style.width = `calc(${at(Math.min(bar.to, total) - Math.min(bar.from, total))} + 2px)`;
  return drawn;
}

function marksOf(turn) {
  const marks = turn.findings.map((one) => ({
    t: one.t,
    sign: "finding",
    event: Number(/^event (\d{1,9})$/.exec(one.where ?? "")?.[1] ?? -1),
    words: `${oneLine(one.rule, 60)} at ${oneLine(one.where || "the turn", 60)}: ${oneLine(one.what, 300)}`,
  }));
  const adapted = new Map();
  for (const one of turn.adaptations) adapted.set(one.t, [...(adapted.get(one.t) ?? []), one]);
  for (const [t, all] of adapted) {
    const words = all
      .slice(0, 12)
      .map(
        (one) => `${oneLine(one.rule, 60)} at ${oneLine(one.where, 60)}: ${oneLine(one.what, 120)}`,
      );
    marks.push({
      t,
      sign: all.some((one) => one.lossy) ? "lossy" : "adaptation",
      event: -1,
      words: `${many(all.length, "adaptation")}\n${words.join("\n")}`,
    });
  }
  for (const lost of turn.lost)
    marks.push({
      t: lost.t,
      sign: "lost",
      event: -1,
      words: `${many(lost.records, "record")} not recorded: ${oneLine(lost.why, 200)}`,
    });
  return marks;
}

function drawMarks(marks, at, goTo) {
  const drawn = marks.slice(0, LANES_MAX).map((mark) => {
    const button = element(
      "button",
      {
        class: `mark mark-${mark.sign}`,
        type: "button",
        "data-hint": mark.words,
        "aria-label": mark.words,
        onclick: () => mark.event >= 0 && goTo(mark.event),
      },
      icon(mark.sign),
    );
    button.style.left = at(mark.t ?? 0);
    return button;
  });
  return element(
    "div",
    { class: "lane marks", role: "listitem" },
    element("span", { class: "lane-name" }, "changes, findings"),
    element("div", { class: "track" }, drawn),
  );
}
