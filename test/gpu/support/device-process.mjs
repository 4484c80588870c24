// A process with the addon and a CUDA driver, which does what messages say: see device-process.ts. Plain JavaScript,
// because Node 20 runs nothing else in a process of its own.
import { createRequire } from "node:module";

const addon = createRequire(import.meta.url)("../../../build/Release/podfs.node");

let driver;
const copiers = [];
const rings = [];

const methods = {
  async load() {
    driver = await addon.loadCuda();
    return "unavailable" in driver ? driver : { version: driver.version, devices: driver.devices };
  },
  async openCopier(ordinal) {
    return copiers.push(await driver.openCopier(ordinal)) - 1;
  },
  createRing(slots, slotBytes) {
    return rings.push(addon.createRing({ slots, slotBytes, numaNode: -1 })) - 1;
  },
  closeRing: (ring) => rings[ring].close(),
  writeSlot: (ring, slot, offset, bytes) => rings[ring].slot(slot).set(bytes, offset),
  // A copy of its own: the message is encoded later than the slot may change.
  readSlot: (ring, slot, offset, length) => rings[ring].slot(slot).slice(offset, offset + length),
  register: (copier, ring) => copiers[copier].register(rings[ring]),
  unregister: (copier, ring) => copiers[copier].unregister(rings[ring]),
  toSlot: (copier, ring, slot, pieces) => copiers[copier].toSlot(rings[ring], slot, pieces),
  fromSlot: (copier, ring, slot, pieces) => copiers[copier].fromSlot(rings[ring], slot, pieces),
  allocate: (copier, bytes) => copiers[copier].allocate(bytes),
  free: (copier, address) => copiers[copier].free(address),
  ipcHandle: (copier, address) => copiers[copier].ipcHandle(address),
  openIpc: (copier, handle) => copiers[copier].openIpc(handle),
  closeIpc: (copier, address) => copiers[copier].closeIpc(address),
  closeCopier: (copier) => copiers[copier].close(),
};

process.on("message", async ({ id, method, args }) => {
  try {
    reply({ id, value: await methods[method](...args) });
  } catch ({ message, code, cuda }) {
    reply({ id, error: { message, code, cuda } });
  }
});

// Nobody listens any more when the process is to end.
function reply(message) {
  if (process.connected) process.send(message);
}
