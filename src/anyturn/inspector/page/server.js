/**
 * What the page asks the server, and the feed of changes that finds its way back.
 */

const API = "/inspector/api";
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

/** An answer that is none; `status` is 0 when nothing answered. */
class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** All rows that are known by now. */
function fetchTurns() {
  return fetchJson(`${API}/turns`);
}

/**
 * One turn whole; `{version}` alone when it is still what it was.
 *
 * @param {string} name
 * @param {number} [since] the version that is known
 */
export function fetchTurn(name, since) {
  const query = since === undefined ? "" : `?since=${since}`;
  return fetchJson(`${addressOf(name)}${query}`);
}

/**
 * A turn in one of the written forms, as text.
 *
 * @param {string} name
 * @param {string} form `raw`, or one of `export`
 */
export async function fetchText(name, form) {
  return (await ask(textAddress(name, form))).text();
}

/** Where a form of the turn is downloaded. */
export function textAddress(name, form) {
  return form === "raw" ? `${addressOf(name)}/raw` : `${addressOf(name)}/export?as=${form}`;
}

function addressOf(name) {
  return `${API}/turns/${encodeURIComponent(name)}`;
}

async function fetchJson(address) {
  return (await ask(address)).json();
}

async function ask(address) {
  let answer;
  try {
    answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  } catch {
    throw new ServerError("The inspector does not answer.", 0);
  }
  if (answer.ok) return answer;
  throw new ServerError(await refusalOf(answer), answer.status);
}

async function refusalOf(answer) {
  if (answer.status === 401) return "This link is of an earlier start.";
  const told = await answer.json().catch(() => ({}));
  return told.error || `The inspector answered with HTTP ${answer.status}.`;
}

/**
 * The list and its changes. When the connection is lost it is made anew, with growing pauses, and
 * the whole list comes again: what was missed in between is in it.
 */
export class Feed {
  #wait = FIRST_WAIT_MS;
  #timer = 0;
  /** @type {EventSource|null} */
  #source = null;

  /**
   * @param {Object} told
   * @param {(list: Object) => void} told.list the whole list
   * @param {(changes: Object) => void} told.changes
   * @param {(state: "loading"|"live"|"lost"|"refused", error?: ServerError) => void} told.state
   */
  constructor(told) {
    this.told = told;
  }

  /** Connect, now. */
  async start() {
    clearTimeout(this.#timer);
    this.#source?.close();
    // Changes first: what happens between the two is then in one of them.
    const source = new EventSource(`${API}/changes`);
    this.#source = source;
    const early = [];
    let take = (changes) => early.push(changes);
    source.addEventListener("rows", (message) => take(JSON.parse(message.data)));
    source.addEventListener("error", () => this.#lost(source));
    try {
      const list = await fetchTurns();
      if (this.#source !== source) return;
      this.told.list(list);
      early.forEach(this.told.changes);
      take = this.told.changes;
      this.#wait = FIRST_WAIT_MS;
      this.told.state("live");
    } catch (error) {
      if (error.status === 401) this.#refused(source, error);
      else this.#lost(source, error);
    }
  }

  #refused(source, error) {
    source.close();
    clearTimeout(this.#timer);
    this.#source = null;
    this.told.state("refused", error);
  }

  #lost(source, error) {
    if (this.#source !== source) return;
    source.close();
    this.#source = null;
    this.told.state("lost", error);
    this.#timer = setTimeout(() => this.start(), this.#wait);
    this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
  }
}
