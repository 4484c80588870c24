// usage: node stopping-mount.mjs SOCKET REPORT: a mount that is told to stop, reports, and ends a little later.
import { createServer } from "node:net";

const ENDING_MS = 100;
const [socketPath, report] = process.argv.slice(2);

createServer((socket) => {
  socket.once("data", () => {
    socket.write(`{"type":"progress","progress":{"pendingFiles":1,"pendingBytes":1}}\n`);
    socket.write(`{"type":"result","result":${report}}\n`);
    setTimeout(() => process.exit(0), ENDING_MS);
  });
}).listen(socketPath, () => process.stdout.write("listening\n"));
