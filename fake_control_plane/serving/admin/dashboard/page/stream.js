// The journal as it happens: server-sent events (WHATWG HTML, 9.2) read with fetch, since EventSource can send no token.
// It comes back by itself after every end, with Last-Event-ID, so that no entry is passed over.

import { Refused, open } from "/dashboard/ask.js";

const SILENCE = 40000; // milliseconds: the server says at least every 15 s that it is there
const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

/** `onBegan({journal, after})`, `onEntries([entry, …])`, `onMissed(count)`, `onLink("live" | "lost", why)`. */
export class JournalStream {
  #lastId = null;
  #since;
  #on;
  #wake = () => {};

  constructor(since, on) {
    this.#since = since;
    this.#on = on;
  }

  /** Follow until the page is closed. */
  async follow() {
    let wait = FIRST_WAIT;
    for (;;) {
      const began = performance.now();
      try {
        await this.#once();
        this.#on.onLink("lost", "the server ended the stream");
      } catch (error) {
        // The server does not know this id (it is none of its kind): from now on is the best that is left.
        if (error instanceof Refused) this.#lastId = null;
        this.#on.onLink("lost", error.message);
      }
      wait = performance.now() - began > LONGEST_WAIT ? FIRST_WAIT : Math.min(wait * 2, LONGEST_WAIT);
      await new Promise((done) => {
        this.#wake = done;
        setTimeout(done, wait);
      });
    }
  }

  /** Do not wait for the next try. */
  retry() {
    this.#wake();
  }

  async #once() {
    const end = new AbortController();
    const headers = this.#lastId === null ? {} : { "last-event-id": this.#lastId };
    const query = this.#lastId === null && this.#since !== null ? { since: this.#since } : {};
    const response = await open("/journal/stream", { query, headers, signal: end.signal });
    this.#on.onLink("live", null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const timer = setTimeout(() => end.abort(new Error("the server was silent")), SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      this.#take(blocks.map(parse));
    }
  }

  #take(events) {
    const entries = [];
    for (const event of events) {
      if (event.id !== null) this.#lastId = event.id;
      if (event.name === "entry") entries.push(event.data);
      else if (event.name === "began") {
        // An id from the beginning on: a connection that is lost before the first entry misses none either.
        this.#lastId ??= `${event.data.journal}-${event.data.after}`;
        this.#on.onBegan(event.data);
      } else if (event.name === "missed") this.#on.onMissed(event.data.missed);
    }
    if (entries.length > 0) this.#on.onEntries(entries);
  }
}

function parse(block) {
  const event = { id: null, name: null, data: null };
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("event: ")) event.name = line.slice(7);
    else if (line.startsWith("data: ")) event.data = JSON.parse(line.slice(6));
  }
  return event;
}
