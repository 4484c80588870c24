/**
 * Makes a near object store a far one: holds every request back for a while, and counts them. A process of its own, so
 * that it does not slow its clients down.
 *
 *   node bench/support/latency-proxy.mjs UPSTREAM LATENCY_MS     prints one line of JSON: {"endpoint"}
 *
 * `GET /-/requests` answers how many there were of each method since the last time, as JSON; `GET /-/latency/30` changes
 * the latency.
 */
import { Agent, createServer, request } from "node:http";

const [upstream, initialLatencyMs] = process.argv.slice(2);
const { hostname, port } = new URL(upstream);
const agent = new Agent({ keepAlive: true });
let latencyMs = Number(initialLatencyMs);
let counts = {};

const proxy = createServer((incoming, outgoing) => {
  const [, own, command, argument] = incoming.url.split("/");
  if (own === "-") return control(command, argument, outgoing);
  counts[incoming.method] = (counts[incoming.method] ?? 0) + 1;
  setTimeout(() => forward(incoming, outgoing), latencyMs);
});

function control(command, argument, outgoing) {
  outgoing.end(JSON.stringify(counts));
  if (command === "requests") counts = {};
  else latencyMs = Number(argument);
}

/** The signature covers the Host header, which stays the proxy's: servers verify what they are sent. */
function forward(incoming, outgoing) {
  const { method, url: path, headers } = incoming;
  const forwarded = request({ host: hostname, port, method, path, headers, agent }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  forwarded.on("error", () => outgoing.destroy());
  outgoing.on("close", () => forwarded.destroy());
  incoming.pipe(forwarded);
}

// s3rver and others end idle connections after 5 s; clients that reuse one at that moment see it reset.
proxy.keepAliveTimeout = 600_000;
proxy.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ endpoint: `http://127.0.0.1:${proxy.address().port}` }));
});
