// One rank of a program that saves a checkpoint, in mode "file", and is killed right before it changes a name for the nth time.
// Plain JavaScript, with the package as programs import it.
// Arguments: directory, rank, ranks, value, n (0: never). Exit code 0: it has come to its end.
import files from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const [directory, rank, ranks, value, killAt] = [process.argv[2], ...process.argv.slice(3).map(Number)];
let changes = 0;
for (const name of ["link", "rename", "unlink"]) {
  const original = files[name];
  files[name] = async (...args) => {
    if (++changes === killAt) process.kill(process.pid, "SIGKILL");
    return original(...args);
  };
}
syncBuiltinESMExports();

const { Stager } = await import("../../dist/index.js");
const stager = await Stager.open(directory, { mode: "file", ringBytes: 4 << 20, keep: 2, rank, ranks });
const tensors = { [`layer.${rank}`]: { dtype: "U8", shape: [5e6], data: new Uint8Array(5e6).fill(value) } };
await stager.save(tensors, "x", { overwrite: true, saveId: `save ${value}` });
await stager.close();
