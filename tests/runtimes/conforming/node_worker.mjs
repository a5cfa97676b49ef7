// A queue worker on Node's fetch.
const base = "https://machineid.io/api/v1/devices";
const device = process.env.MACHINEID_DEVICE_ID;

const log = (fields) => console.log(JSON.stringify(fields));

const post = (operation) =>
  fetch(`${base}/${operation}`, {
    method: "POST",
    headers: { "x-org-key": process.env.MACHINEID_ORG_KEY, "Content-Type": "application/json" },
    body: JSON.stringify({ deviceId: device }),
    redirect: "manual",
    signal: AbortSignal.timeout(2000),
  });

async function gate(boundary) {
  let answer;
  try {
    const response = await post("validate");
    if (response.status !== 200) throw new Error(`HTTP ${response.status}`);
    answer = await response.json();
    if (typeof answer?.allowed !== "boolean") throw new Error("no decision in the answer");
  } catch (error) {
    const cause = error.cause ? `${error.cause.code}: ${error.cause.message}` : "";
    log({ event: "validate-failed", boundary, device, reason: `${error.name}: ${error.message} ${cause}` });
    process.exit(1);
  }
  if (answer.allowed !== true) {
    log({ event: "denied", boundary, device, allowed: false, code: answer.code, request_id: answer.request_id });
    process.exit(1);
  }
}

const registered = await post("register").catch((error) => {
  console.error("register failed:", error.name, error.message, error.cause?.code);
  process.exit(1);
});
if (registered.status !== 200) {
  console.error("register was refused: HTTP", registered.status);
  process.exit(1);
}
await gate("startup");
for (;;) {
  const response = await fetch("https://queue.example/next");
  if (response.status === 204) break;
  const job = await response.json();
  await gate("task");
  await fetch("https://api.example/charge", { method: "POST", body: JSON.stringify(job) });
}
log({ event: "done" });
