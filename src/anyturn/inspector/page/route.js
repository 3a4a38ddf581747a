/**
 * What the address says after its `#`: which turn, which of its sides, and which event.
 */

/** The sides of a turn, in the order of their keys. */
export const SIDES = ["timeline", "wires", "request", "raw"];

/** @typedef {{name: string, side: string, event: number|null}} Place */

/**
 * `#NAME/wires/event-12`.
 *
 * @param {string} hash
 * @returns {Place}
 */
export function readPlace(hash) {
  const [name = "", side = "", detail = ""] = hash.replace(/^#/, "").split("/");
  const event = /^event-(\d{1,9})$/.exec(detail);
  return {
    name: decoded(name),
    side: SIDES.includes(side) ? side : SIDES[0],
    event: event ? Number(event[1]) : null,
  };
}

/** @param {Place} place @returns {string} */
export function writePlace({ name, side, event = null }) {
  if (!name) return "#";
  const detail = event === null ? "" : `/event-${event}`;
  return `#${encodeURIComponent(name)}/${side}${detail}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
