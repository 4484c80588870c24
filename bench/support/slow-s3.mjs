/**
 * An S3 server on loopback that takes its time: s3rver in this process, behind a proxy that holds every request back for
 * a while, as a bucket far away does. Started as a process of its own, so that it does not slow its clients down.
 *
 *   node bench/support/slow-s3.mjs DIRECTORY LATENCY_MS     prints one line of JSON: {"endpoint", "direct"}
 */
import { createServer, request } from "node:http";
import S3rver from "s3rver";

const [directory, latency] = process.argv.slice(2);
const server = new S3rver({
  address: "127.0.0.1",
  port: 0,
  silent: true,
  directory,
  configureBuckets: [{ name: "bench", configs: [] }],
});
const { port } = await server.run();
const proxy = createServer((incoming, outgoing) => {
  setTimeout(() => {
    const { method, url, headers } = incoming;
    const forwarded = request({ host: "127.0.0.1", port, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  }, Number(latency));
});
proxy.listen(0, "127.0.0.1", () => {
  const endpoints = { endpoint: `http://127.0.0.1:${proxy.address().port}`, direct: `http://127.0.0.1:${port}` };
  console.log(JSON.stringify(endpoints));
});
