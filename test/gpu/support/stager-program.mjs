// A program with tensors on a GPU: saves them with a Stager, changes them at once, loads them into device memory again, and
// prints what came of it as JSON. Arguments: directory, mode. Plain JavaScript, with the package as programs import it.
import { createRequire } from "node:module";
import { Stager } from "../../../dist/index.js";

const [directory, mode] = process.argv.slice(2);
const addon = createRequire(import.meta.url)("../../../build/Release/podfs.node");
const SLOT_BYTES = 2 << 20;

const driver = await addon.loadCuda();
const copier = await driver.openCopier(0);
const ring = addon.createRing({ slots: 2, slotBytes: SLOT_BYTES, numaNode: -1 });

/** Between device memory and an array, slot by slot. */
async function move(address, bytes, direction) {
  for (let done = 0; done < bytes.length; done += SLOT_BYTES) {
    const part = bytes.subarray(done, done + SLOT_BYTES);
    const pieces = [{ address: address + BigInt(done), bytes: part.length, slotOffset: 0 }];
    if (direction === "up") ring.slot(0).set(part);
    await (direction === "up" ? copier.fromSlot(ring, 0, pieces) : copier.toSlot(ring, 0, pieces));
    if (direction === "down") part.set(ring.slot(0).subarray(0, part.length));
  }
}

async function onDevice(bytes) {
  const address = await copier.allocate(bytes.length + 512);
  // Tensors lie within allocations.
  await move(address + 512n, bytes, "up");
  return address + 512n;
}

const pattern = (length, seed) => Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 8)) & 255);
const contents = { large: pattern(9_000_001, 7), small: pattern(6, 3), "on the CPU": pattern(3_000_000, 5) };
const u8 = (data, length) => ({ dtype: "U8", shape: [length], data });
const addresses = { large: await onDevice(contents.large), small: await onDevice(contents.small) };
const device = driver.devices[0].uuid;
const tensors = {
  large: u8({ device, address: addresses.large }, contents.large.length),
  small: u8({ device: 0, address: addresses.small }, contents.small.length),
  "on the CPU": u8(contents["on the CPU"].slice(), contents["on the CPU"].length),
};

const stager = await Stager.open(directory, { mode, ringBytes: 4 * SLOT_BYTES });
try {
  const save = await stager.save(tensors, "step-1", { overwrite: true });
  await move(addresses.large, new Uint8Array(contents.large.length), "up");
  tensors["on the CPU"].data.fill(0);
  await save.committed;
  await stager.loadInto("step-1", tensors);
  const loaded = { large: contents.large.slice().fill(1), small: contents.small.slice().fill(1) };
  for (const name of ["large", "small"]) await move(addresses[name], loaded[name], "down");
  const fromFile = await stager.load("step-1");
  const same = Object.entries(contents).every(
    ([name, bytes]) =>
      Buffer.compare(fromFile[name].data, bytes) === 0 &&
      Buffer.compare(loaded[name] ?? tensors[name].data, bytes) === 0,
  );
  console.log(JSON.stringify({ mode: stager.mode, reason: stager.reason, same }));
} catch ({ kind, message }) {
  // Another save goes through a ring of its own, if this one's may still be written to.
  const again = await stager
    .save({ cpu: u8(pattern(5, 1), 5) }, "again")
    .then((save) => save.committed.then(() => true));
  console.log(JSON.stringify({ mode: stager.mode, kind, message, again }));
}
await stager.close();
