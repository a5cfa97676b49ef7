// What the server is at this moment, asked for once a second and after every change. Whoever shows it subscribes.

import { Unreachable, ask } from "/dashboard/ask.js";

const EVERY = 1000; // milliseconds between two looks
const HIDDEN = 5000; // while nobody sees the page
const PAGE = 10000; // devices a request, the most that the server gives
const SMOOTH = 3; // seconds over which a device's calls a second are smoothed

const CHOSEN = "fake-control-plane-org";

/** `orgs`, `org` (the chosen one, or null), `devices` (each with `rate`, calls a second), `rules`, `status`, `clock`. */
export class State {
  orgs = [];
  org = null;
  devices = [];
  rules = [];
  status = null;
  clock = null;
  #rates = new Map();
  #ratesAt = null;
  #ratesOf = null;
  #shows = [];
  #links = [];
  #chosen = sessionStorage.getItem(CHOSEN);
  #running = null;
  #again = false;
  #timer = null;

  /** Call `action(state)` after every look. */
  subscribe(action) {
    this.#shows.push(action);
  }

  /** Call `action(error)` after every look: null if the server answered. */
  onLink(action) {
    this.#links.push(action);
  }

  /** Show another org. */
  choose(org) {
    this.#chosen = org;
    sessionStorage.setItem(CHOSEN, org);
    this.devices = [];
    return this.refresh();
  }

  /** Look now. Resolves when what is shown is from after this call. */
  async refresh() {
    if (this.#running !== null) {
      this.#again = true;
      return this.#running;
    }
    clearTimeout(this.#timer);
    const began = performance.now();
    this.#running = this.#untilDone();
    try {
      await this.#running;
    } finally {
      this.#running = null;
      // A server or a page that is slow is asked less often.
      const every = document.hidden ? HIDDEN : EVERY;
      this.#timer = setTimeout(() => this.refresh(), Math.max(every, 3 * (performance.now() - began)));
    }
  }

  async #untilDone() {
    do {
      this.#again = false;
      let error = null;
      try {
        await this.#look();
      } catch (found) {
        error = found;
        if (!(found instanceof Unreachable)) console.error(found);
      }
      for (const action of this.#links) action(error);
      if (error === null) for (const action of this.#shows) action(this);
    } while (this.#again);
  }

  async #look() {
    const [{ orgs }, { rules }, status, clock] = await Promise.all([
      ask("GET", "/orgs"),
      ask("GET", "/faults"),
      ask("GET", "/status"),
      ask("GET", "/clock"),
    ]);
    const org = orgs.find((one) => one.id === this.#chosen) ?? orgs[0] ?? null;
    const devices = org === null ? [] : await allDevices(org.id);
    Object.assign(this, { orgs, rules, status, clock, org, devices });
    this.#count(performance.now());
  }

  /** Calls a second, from how many more there are than at the last look. */
  #count(now) {
    const id = this.org?.id ?? null;
    const fresh = this.#ratesOf !== id || this.#ratesAt === null;
    const seconds = fresh ? 0 : (now - this.#ratesAt) / 1000;
    const keep = Math.exp(-seconds / SMOOTH);
    const rates = new Map();
    for (const device of this.devices) {
      const before = fresh ? undefined : this.#rates.get(device.id);
      const more = before === undefined ? 0 : Math.max(0, device.calls - before.calls);
      const rate = before === undefined || seconds === 0 ? 0 : before.rate * keep + (more / seconds) * (1 - keep);
      device.rate = rate < 0.05 ? 0 : rate;
      rates.set(device.id, { calls: device.calls, rate: device.rate });
    }
    this.#rates = rates;
    this.#ratesAt = now;
    this.#ratesOf = id;
  }
}

async function allDevices(org) {
  const path = `/orgs/${encodeURIComponent(org)}/devices`;
  const devices = [];
  for (;;) {
    const page = await ask("GET", path, { query: { offset: devices.length, limit: PAGE } });
    devices.push(...page.devices);
    if (page.devices.length < PAGE) return devices;
  }
}
