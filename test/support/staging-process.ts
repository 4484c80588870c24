import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** How far a client has come when it stops, waiting to be killed. */
export const CLIENT_STEPS = ["hello", "begin", "written", "writing", "commit", "committed"] as const;
export type ClientStep = (typeof CLIENT_STEPS)[number];

export interface StagedFileSpec {
  readonly parent: number;
  readonly name: string;
  readonly bytes: number;
  readonly replace?: boolean;
}

/**
 * A client in a process of its own, and in another language: what the protocol says is all it knows. The file's bytes are
 * `rank`, `rank + 1` … modulo 251, of which {@link expectedBytes} has a copy.
 */
const PROGRAM = `
import json, mmap, os, socket, sys, time
spec = json.loads(sys.argv[1])
s = socket.socket(socket.AF_UNIX); s.connect(spec["socket"])
def send(**message): s.sendall((json.dumps(message) + "\\n").encode())
def reached(step):
    print(step, flush=True)
    if step == spec["stop"]: time.sleep(600)
namespace = os.stat("/proc/self/ns/pid").st_ino
send(type="hello", version=1, pid=os.getpid(), client="test", mode="shm", slots=8, slotBytes=2 << 20, pidNamespace=namespace, reason="")
text, fds, _, _ = socket.recv_fds(s, 65536, 1)
welcome = json.loads(text); size = welcome["slots"] * welcome["slotBytes"]
ring = mmap.mmap(fds[0], size)
reached("hello")
lines = s.makefile("r")
def answer(type):
    for line in lines:
        message = json.loads(line)
        if message["type"] == type: return message
        if message["type"] in ("failed", "refused"): sys.exit(line)
    sys.exit("hung up")
total = spec["bytes"]
send(type="begin", save=1, parent=spec["parent"], name=spec["name"], sizeBytes=total, replace=spec["replace"], mode=0o644)
answer("begun")
reached("begin")
pattern = bytes(i % 251 for i in range(251 * 4096)) * 4
free = list(range(welcome["slots"]))
for piece, at in enumerate(range(0, total, 2 << 20)):
    if not free: free.append(answer("written")["slot"])
    slot = free.pop(); length = min(2 << 20, total - at); first = at % 251
    ring[slot * welcome["slotBytes"]:slot * welcome["slotBytes"] + length] = pattern[first:first + length]
    send(type="write", save=1, slot=slot, offset=at, length=length)
    if piece == 1 and spec["stop"] == "written": answer("written"); answer("written"); reached("written")
    if piece == 4: reached("writing")
send(type="commit", save=1, retire=[])
reached("commit")
answer("committed")
reached("committed")
`;

/** Starts a client; resolves when it has come to `stop`. Whoever starts it kills it. */
export async function startClient(socket: string, stop: ClientStep, file: StagedFileSpec): Promise<ChildProcess> {
  const spec = JSON.stringify({ replace: false, ...file, socket, stop });
  const client = spawn("python3", ["-c", PROGRAM, spec], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: client.stdout })) if (line === stop) return client;
  throw new Error(`the client ended before "${stop}"`);
}

/** Kills it with SIGKILL; resolves when it is gone. */
export function killClient(client: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => {
    if (client.exitCode !== null || client.signalCode !== null) resolve();
    else client.once("exit", () => resolve());
  });
  client.kill("SIGKILL");
  return gone;
}

export function expectedBytes(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, at) => at % 251));
}
