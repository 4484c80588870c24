import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { requestControl } from "../../../src/mount/control-client.js";
import { ControlError } from "../../../src/mount/control-error.js";
import { type ControlHandlers, type ControlServer, serveControl } from "../../../src/mount/control-server.js";
import { sampleStatus } from "./sample-status.js";

let directory: string;
let socketPath: string;
let server: ControlServer | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-control-"));
  socketPath = join(directory, "control");
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(directory, { recursive: true });
});

const handlers: ControlHandlers = {
  ping: () => ({ pid: 42, version: "0.1.0" }),
  status: () => sampleStatus("/workspace"),
  flush: async (onProgress) => {
    onProgress({ pendingFiles: 2, pendingBytes: 2000 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    onProgress({ pendingFiles: 1, pendingBytes: 1000 });
    return { durationMs: 7 };
  },
  drop: async (paths) => ({ files: paths.length, bytes: 0, kept: { notUploaded: 0, open: 0, fetching: 0 } }),
  stop: async (drainTimeoutMs) => ({
    pendingFiles: 0,
    pendingBytes: 0,
    cacheDir: "/cache",
    durationMs: drainTimeoutMs,
  }),
};

describe("the control socket", () => {
  test("is for its owner only", async () => {
    server = await serveControl(socketPath, handlers);
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  });

  test("answers each command, with progress on the way", async () => {
    server = await serveControl(socketPath, handlers);
    const seen: number[] = [];
    expect(await requestControl(socketPath, { command: "ping" })).toEqual({ pid: 42, version: "0.1.0" });
    expect(await requestControl(socketPath, { command: "status" })).toEqual(sampleStatus("/workspace"));
    const onProgress = ({ pendingFiles }: { readonly pendingFiles: number }): void => void seen.push(pendingFiles);
    expect(await requestControl(socketPath, { command: "flush" }, { onProgress })).toEqual({ durationMs: 7 });
    expect(seen).toEqual([2, 1]);
    expect(await requestControl(socketPath, { command: "drop", paths: ["a", "b/c"] })).toMatchObject({ files: 2 });
    const stopped = await requestControl(socketPath, { command: "stop", drainTimeoutMs: 25 });
    expect(stopped.durationMs).toBe(25);
  });

  test("passes refusals on with their kind, and failures with their message", async () => {
    server = await serveControl(socketPath, {
      ...handlers,
      flush: () => Promise.reject(new Error("no space left")),
      stop: () => Promise.reject(new ControlError("busy", "in use")),
    });
    await expect(requestControl(socketPath, { command: "flush" })).rejects.toMatchObject({
      kind: "failed",
      message: "no space left",
    });
    const stop = requestControl(socketPath, { command: "stop", drainTimeoutMs: 0 }, { untilClosed: true });
    await expect(stop).rejects.toMatchObject({ kind: "busy" });
  });

  test("says what it does not know, and survives rubbish", async () => {
    server = await serveControl(socketPath, handlers);
    expect(await exchange('{"command":"defragment"}\n')).toMatch(/"kind":"unknown-command".*defragment/);
    expect(await exchange("GET / HTTP/1.1\n")).toMatch(/"type":"error"/);
    expect(await exchange("[1,2]\n")).toMatch(/"type":"error"/);
    expect(await requestControl(socketPath, { command: "ping" })).toMatchObject({ pid: 42 });
  });

  test("replaces what a killed process left behind, and leaves a living one alone", async () => {
    await writeFile(socketPath, "");
    server = await serveControl(socketPath, handlers);
    await expect(serveControl(socketPath, handlers)).rejects.toThrow(/another podfs already serves/);
    expect(await requestControl(socketPath, { command: "ping" })).toMatchObject({ pid: 42 });
  });

  test("is gone after close", async () => {
    await (await serveControl(socketPath, handlers)).close();
    await expect(requestControl(socketPath, { command: "ping" })).rejects.toMatchObject({ kind: "not-running" });
  });

  test("that hangs, or dies in the middle, is told apart", async () => {
    const silent = createServer((socket) => void socket.on("data", () => {})).listen(socketPath);
    await new Promise((resolve) => silent.once("listening", resolve));
    const call = requestControl(socketPath, { command: "status" }, { timeoutMs: 50 });
    await expect(call).rejects.toMatchObject({ kind: "no-answer" });
    silent.close();
    const dying = createServer((socket) => void socket.on("data", () => socket.destroy())).listen(`${socketPath}-2`);
    await new Promise((resolve) => dying.once("listening", resolve));
    await expect(requestControl(`${socketPath}-2`, { command: "status" })).rejects.toMatchObject({ kind: "broken" });
    dying.close();
  });
});

/** Sends what no client of ours would, and returns the answer as it is. */
function exchange(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(socketPath, () => void socket.write(request));
    socket.on("data", (text) => {
      answer += text.toString();
    });
    socket.on("close", () => resolve(answer)).on("error", reject);
  });
}
