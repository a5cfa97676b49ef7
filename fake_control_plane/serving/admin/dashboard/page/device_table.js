// The devices of the org: found, sorted, selected.

import { byId, count, setAttribute, setText, show } from "/dashboard/elements.js";
import { Rows } from "/dashboard/rows.js";

/** What a decision is called, and its shape: circle allow, square deny. */
export const REASONS = {
  allow: "Allowed",
  "device-revoked": "Revoked",
  "org-disabled": "Org disabled",
  "plan-frozen": "Plan frozen",
  "plan-not-active": "Plan not active",
  "device-limit-exceeded": "Over the cap",
  "device-not-registered": "Not registered",
};

const COLUMNS = [
  { name: "mark", title: "Selected", unseen: true },
  { name: "id", title: "Device", sorts: true },
  { name: "now", title: "State", sorts: true },
  { name: "last", title: "Last decision", sorts: true },
  { name: "rate", title: "Calls/s", sorts: true },
  { name: "calls", title: "Calls", sorts: true },
  { name: "ago", title: "Last call", sorts: true },
];
const COMPARE = {
  id: (one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0),
  now: (one, other) => stateOf(one).localeCompare(stateOf(other)),
  last: (one, other) => (one.last ?? "~").localeCompare(other.last ?? "~"),
  rate: (one, other) => other.rate - one.rate, // the busiest first
  calls: (one, other) => other.calls - one.calls,
  ago: (one, other) => (other.last_at ?? 0) - (one.last_at ?? 0),
};

/** A device's state in words. While the org is disabled each keeps its own. */
export function stateOf(device) {
  const state = REASONS[device.now] ?? device.now;
  return device.revoked && device.now !== "device-revoked" ? `${state}, revoked` : state;
}

/** `onSelect()`: the selection changed. `onKey(event)`: a key in the table that is not for moving. */
export class DeviceTable {
  selected = new Set();
  #all = [];
  #shown = [];
  #sort = { name: null, direction: "ascending" };
  #anchor = null;
  #activeId = null;
  #onSelect;
  #rows;
  #clock = null;

  constructor({ onSelect, onKey }) {
    this.#onSelect = onSelect;
    this.#rows = new Rows(byId("device-rows"), COLUMNS, {
      fill: (cells, device, row) => this.#fill(cells, device, row),
      onSort: (name) => this.#sortBy(name),
      onClick: (device, index, event) => this.#click(device, index, event),
      onMove: (before, after, event) => this.#moved(before, after, event),
      onKey: (event) => this.#key(event, onKey),
    });
    byId("search").addEventListener("input", () => this.#arrange());
    byId("state").addEventListener("change", () => this.#arrange());
  }

  /** Show these. `clock`: the server's time, in seconds. */
  show(devices, clock) {
    this.#all = devices;
    this.#clock = clock;
    const ids = new Set(devices.map((device) => device.id));
    let gone = false;
    for (const id of this.selected) if (!ids.has(id)) gone = this.selected.delete(id) || gone;
    this.#arrange();
    if (gone) this.#onSelect();
  }

  /** The ids that an action is for: those selected, in register order; without any, the active row if the table has the focus. */
  targets() {
    if (this.selected.size > 0) return this.#all.filter((device) => this.selected.has(device.id)).map((device) => device.id);
    const active = document.activeElement === byId("device-rows") ? this.#shown[this.#rows.active] : undefined;
    return active === undefined ? [] : [active.id];
  }

  /** Select all that are shown, or, if they all are, none. */
  selectAll() {
    const all = this.#shown.length > 0 && this.#shown.every((device) => this.selected.has(device.id));
    for (const device of this.#shown) if (all) this.selected.delete(device.id);
      else this.selected.add(device.id);
    this.#changed();
  }

  /** Select none. Returns whether any was. */
  selectNone() {
    const any = this.selected.size > 0;
    this.selected.clear();
    this.#changed();
    return any;
  }

  #changed() {
    this.#rows.render();
    this.#onSelect();
  }

  #sortBy(name) {
    const { name: before, direction } = this.#sort;
    // Ascending, descending, and back to the order in which they were registered.
    if (before !== name) this.#sort = { name, direction: "ascending" };
    else this.#sort = direction === "ascending" ? { name, direction: "descending" } : { name: null, direction };
    this.#rows.sorted(this.#sort.name, this.#sort.direction);
    this.#arrange();
  }

  #arrange() {
    const text = byId("search").value.trim().toLowerCase();
    const state = byId("state").value;
    const shown = this.#all.filter(
      (device) =>
        (text === "" || device.id.toLowerCase().includes(text)) &&
        (state === "" || device.now === state || (state === "deny" && device.now !== "allow") || (state === "revoked" && device.revoked)),
    );
    if (this.#sort.name !== null) {
      const sign = this.#sort.direction === "ascending" ? 1 : -1;
      shown.sort((one, other) => sign * COMPARE[this.#sort.name](one, other));
    }
    this.#shown = shown;
    if (this.#activeId !== null) this.#rows.active = shown.findIndex((device) => device.id === this.#activeId);
    this.#rows.show(shown);
    const found = shown.length === this.#all.length ? count(shown.length, "device") : `${shown.length.toLocaleString("en")} of ${count(this.#all.length, "device")}`;
    setText(byId("device-count"), found);
    show(byId("no-devices"), shown.length === 0);
    setText(
      byId("no-devices"),
      this.#all.length === 0 ? "No devices yet. Register one here, or let a worker register itself at the data port." : "No device matches the search.",
    );
  }

  #fill(cells, device, row) {
    const selected = this.selected.has(device.id);
    setAttribute(row, "aria-selected", selected);
    setAttribute(row, "data-now", device.now === "allow" ? "allow" : "deny");
    setText(cells.id, device.id);
    setAttribute(cells.id, "title", device.id);
    setText(cells.now, stateOf(device));
    setAttribute(cells.now, "title", stateOf(device));
    setAttribute(cells.now, "data-decision", device.now === "allow" ? "allow" : "deny");
    setText(cells.last, device.last === null ? "none yet" : (REASONS[device.last] ?? device.last));
    setAttribute(cells.last, "data-decision", device.last === null ? null : device.last === "allow" ? "allow" : "deny");
    setText(cells.rate, device.rate === 0 ? "0" : device.rate.toFixed(1));
    setText(cells.calls, device.calls.toLocaleString("en"));
    setText(cells.ago, device.last_at === null ? "–" : ago(this.#clock - device.last_at));
  }

  #moved(before, after, event) {
    this.#activeId = this.#shown[after].id;
    if (!event.shiftKey) {
      this.#anchor = null;
      return;
    }
    this.#anchor ??= Math.max(before, 0);
    this.#range(this.#anchor, after);
  }

  #range(from, to) {
    this.selected.clear();
    for (const device of this.#shown.slice(Math.min(from, to), Math.max(from, to) + 1)) this.selected.add(device.id);
    this.#changed();
  }

  #click(device, index, event) {
    this.#activeId = device.id;
    if (!window.getSelection().isCollapsed) return; // somebody copies an id
    if (event.shiftKey && this.#anchor !== null) {
      this.#range(this.#anchor, index);
      return;
    }
    this.#anchor = index;
    this.#toggle(device);
  }

  #toggle(device) {
    if (!this.selected.delete(device.id)) this.selected.add(device.id);
    this.#changed();
  }

  #key(event, otherwise) {
    if (event.key === " ") {
      event.preventDefault();
      if (this.#rows.active < 0) this.#rows.move(0);
      const device = this.#shown[this.#rows.active];
      if (device !== undefined) {
        this.#activeId = device.id;
        this.#toggle(device);
      }
    } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.selectAll();
    } else otherwise(event);
  }
}

function ago(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}
