// The waits of Node, as waits.py: `node waits.mjs SECONDS SILENT REFUSING NAME...`
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as later } from "node:timers/promises";

const [seconds, silent, , ...names] = process.argv.slice(2);
const say = (words) => writeSync(1, words + "\n");

async function get(milliseconds) {
  try {
    await fetch(`http://127.0.0.1:${silent}/`, { signal: AbortSignal.timeout(milliseconds) });
  } catch (error) {
    if (error.name === "TimeoutError") return;
    throw error;
  }
  throw new Error("did not time out");
}

const rows = {
  setTimeout: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  "timers/promises": (milliseconds) => later(milliseconds),
  "fetch AbortSignal.timeout": get,
};

await get(1); // what it loads on first use is none of the wait
say("ready");
createInterface({ input: process.stdin }).once("line", async () => {
  await Promise.all(
    names.map(async (name) => {
      say(`begin ${name}`);
      const began = process.hrtime.bigint();
      await rows[name](seconds * 1000);
      say(`end ${name} ${process.hrtime.bigint() - began}`);
    }),
  );
  process.exit(0);
});
