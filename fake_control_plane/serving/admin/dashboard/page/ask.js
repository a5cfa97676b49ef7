// Requests to the admin API. Its errors become `Refused`, with their remedy; no answer at all becomes `Unreachable`.

const PREFIX = "/admin/v1";
const TOKEN = "fake-control-plane-token";

/** The server said no, and nothing was changed (docs/admin-api.md, Errors). */
export class Refused extends Error {
  constructor(status, body) {
    super(body.message ?? `the server answered with HTTP ${status}`);
    this.status = status;
    this.word = body.error ?? "internal";
    this.expected = body.expected ?? null;
    this.remedy = body.remedy ?? null;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

let askForToken = async () => {
  throw new Error("nobody was asked for the token");
};
let asking = null;

/** `prompt(again)` asks the reader for the token; `again`: one was given and it was not this server's. */
export function setTokenPrompt(prompt) {
  askForToken = prompt;
}

/** The JSON that the server answers with. Throws Refused or Unreachable. `within`: milliseconds after which it counts as no answer. */
export async function ask(method, path, { body, query, within = 15000 } = {}) {
  const answer = await request(method, PREFIX + path, { body, query, signal: AbortSignal.timeout(within) });
  try {
    return await answer.json();
  } catch (error) {
    throw new Unreachable(`the answer broke off: ${error.message}`);
  }
}

/** A document beside the API, such as /openapi.json. */
export async function read(path) {
  return (await request("GET", path, { signal: AbortSignal.timeout(15000) })).json();
}

/** A response whose body is read as it comes. */
export function open(path, { query, headers, signal }) {
  return request("GET", PREFIX + path, { query, headers, signal });
}

async function request(method, path, { body, query, headers = {}, signal }) {
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) address.searchParams.set(name, value);
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const sent = { ...headers };
    if (token !== null) sent.authorization = `Bearer ${token}`;
    if (body !== undefined) sent["content-type"] = "application/json";
    let answer;
    try {
      answer = await fetch(address, { method, headers: sent, body: JSON.stringify(body), signal, cache: "no-store", credentials: "omit" });
    } catch (error) {
      throw new Unreachable(error.message);
    }
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    if (said.error !== "token_required") throw new Refused(answer.status, said);
    await newToken(token);
    signal = signal.aborted ? AbortSignal.timeout(15000) : signal; // the reader may take longer than a server
  }
}

/** Ask once, however many requests wait for it; and not at all if another request got a token meanwhile. */
async function newToken(refused) {
  if (sessionStorage.getItem(TOKEN) !== refused) return;
  asking ??= askForToken(refused !== null).finally(() => {
    asking = null;
  });
  sessionStorage.setItem(TOKEN, await asking);
}
