/**
 * Both wires of a turn as one column of rows: what came from the provider stands beside what went
 * to the client because of it, and what happened around them stands where it happened.
 */

/**
 * @typedef {Object} WireRow
 * @property {"pair"|"note"|"fold"} kind
 * @property {number} [chunk] the chunk of a pair, or -1
 * @property {number} [event] the event of a pair, or -1
 * @property {number} [group] the write to which the pair belongs
 * @property {string} [edge] only, first, middle or last of its group
 * @property {Note} [note]
 * @property {[number, number]} [chunks] of a fold: the first, and the one behind the last
 * @property {[number, number]} [events] likewise
 *
 * @typedef {Object} Note
 * @property {"request"|"asked"|"relayed"|"adaptations"|"finding"|"lost"|"end"|"problem"} what
 * @property {number|null} t
 * @property {any} told what the capture says
 */

// Fewer deltas than this are read faster than a fold of them.
const LEAST_FOLD = 3;

/**
 * @param {Object} turn the document of a turn
 * @param {boolean} [folded] whether deltas of one kind in a row are one row
 * @returns {WireRow[]}
 */
export function wireRows(turn, folded = false) {
  const rows = [];
  const notes = notesOf(turn);
  const atEvent = findingsByEvent(turn);
  let next = 0;
  let run = [];
  const finish = () => {
    pushRun(rows, run, atEvent);
    run = [];
  };
  for (const group of groupsOf(turn)) {
    const t = timeOf(turn, group);
    while (next < notes.length && notes[next].t !== null && notes[next].t < t) {
      finish();
      rows.push({ kind: "note", note: notes[next++] });
    }
    const key = folded ? deltasOf(turn, group, atEvent) : "";
    if (!key || (run.length && key !== run[0].key)) finish();
    run.push({ ...group, key });
  }
  finish();
  rows.push(...notes.slice(next).map((note) => ({ kind: "note", note })));
  return rows;
}

/** The one kind of deltas that a group consists of; nothing for every other group. */
function deltasOf({ events }, group, atEvent) {
  const keys = new Set();
  for (let number = group.events[0]; number < group.events[1]; number += 1) {
    const { event } = events[number];
    const isDelta = typeof event?.type === "string" && event.type.endsWith(".delta");
    keys.add(isDelta && !atEvent.has(number) ? `${event.type} ${event.item_id}` : "");
  }
  return keys.size === 1 ? [...keys][0] : "";
}

function pushRun(rows, run, atEvent) {
  if (run.length < LEAST_FOLD || !run[0].key) {
    for (const group of run) pushGroup(rows, group, atEvent);
    return;
  }
  const ends = [run[0], run.at(-1)];
  const chunks = [ends[0].chunks[0], ends[1].chunks[1]];
  const events = [ends[0].events[0], ends[1].events[1]];
  rows.push({ kind: "fold", chunks, events, chunk: -1, event: -1, edge: "only" });
}

/** Whether a relay recorded the turn: then there is one wire, and nothing was translated. */
export function isRelayed(turn) {
  return turn.head.passive === true;
}

/** The findings of each event that one speaks of. @returns {Map<number, Object[]>} */
export function findingsByEvent(turn) {
  const found = new Map();
  for (const finding of turn.findings) {
    const event = eventOf(finding);
    if (event < 0 || event >= turn.events.length) continue;
    found.set(event, [...(found.get(event) ?? []), finding]);
  }
  return found;
}

function eventOf(finding) {
  const named = /^event (\d{1,9})$/.exec(finding.where ?? "");
  return named ? Number(named[1]) : -1;
}

/** The writes to the client with the chunks they came from, and chunks that led to none. */
function groupsOf(turn) {
  const { chunks, events, links } = turn;
  const groups = [];
  let chunk = 0;
  for (let event = 0; event < events.length;) {
    const [from, to] = links[event] ?? [chunk, chunk];
    if (from > chunk) groups.push({ chunks: [chunk, from], events: [event, event] });
    const begin = event;
    do event += 1;
    while (event < events.length && sameWrite(turn, begin, event));
    const end = Math.max(chunk, from, to);
    groups.push({ chunks: [Math.max(chunk, from), end], events: [begin, event] });
    chunk = end;
  }
  if (chunk < chunks.length) {
    groups.push({ chunks: [chunk, chunks.length], events: [events.length, events.length] });
  }
  return groups;
}

function sameWrite(turn, one, other) {
  if (isRelayed(turn)) return false;
  const { events, links } = turn;
  const same = links[one]?.[0] === links[other]?.[0] && links[one]?.[1] === links[other]?.[1];
  return same && events[one].t === events[other].t;
}

function timeOf({ chunks, events }, group) {
  const times = [chunks[group.chunks[0]]?.t, events[group.events[0]]?.t];
  if (group.chunks[0] === group.chunks[1]) times[0] = undefined;
  if (group.events[0] === group.events[1]) times[1] = undefined;
  return Math.min(...times.filter((t) => t !== undefined && t !== null));
}

function pushGroup(rows, { chunks, events }, atEvent) {
  const height = Math.max(chunks[1] - chunks[0], events[1] - events[0]);
  const group = rows.length;
  for (let place = 0; place < height; place += 1) {
    const chunk = chunks[0] + place < chunks[1] ? chunks[0] + place : -1;
    const event = events[0] + place < events[1] ? events[0] + place : -1;
    rows.push({ kind: "pair", chunk, event, group, edge: edgeOf(place, height) });
    for (const finding of atEvent.get(event) ?? []) {
      rows.push({ kind: "note", note: { what: "finding", t: finding.t, told: finding }, group });
    }
  }
}

function edgeOf(place, height) {
  if (height === 1) return "only";
  if (place === 0) return "first";
  return place === height - 1 ? "last" : "middle";
}

function notesOf(turn) {
  const notes = [{ what: "request", t: 0, told: turn.request }];
  const asked = isRelayed(turn) ? "relayed" : "asked";
  for (const told of turn.asked) notes.push({ what: asked, t: told.t, told });
  for (const told of byTime(turn.adaptations))
    notes.push({ what: "adaptations", t: told[0].t, told });
  for (const lost of turn.lost) notes.push({ what: "lost", t: lost.t, told: lost });
  for (const finding of turn.findings) {
    if (eventOf(finding) < 0 || eventOf(finding) >= turn.events.length) {
      notes.push({ what: "finding", t: finding.t, told: finding });
    }
  }
  if (turn.end) notes.push({ what: "end", t: null, told: turn.end });
  for (const problem of turn.problems) notes.push({ what: "problem", t: null, told: problem });
  return notes.sort((one, other) => (one.t ?? Infinity) - (other.t ?? Infinity) || 0);
}

function byTime(adaptations) {
  const groups = new Map();
  for (const one of adaptations) groups.set(one.t, [...(groups.get(one.t) ?? []), one]);
  return groups.values();
}
