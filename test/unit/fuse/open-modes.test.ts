import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import type { ContentId, HandleId, Ino } from "../../../src/base/index.js";
import type { OpenedFile } from "../../../src/fs/index.js";
import { OpenModes } from "../../../src/fuse/native/open-modes.js";

type OpenContent = OpenedFile["content"];
const { EPERM, ENFILE } = constants.errno;

/** A content file that nobody reads: only its identity counts here. */
function content(ino: number, mode: OpenContent["mode"]): OpenContent {
  const file = { ino } as unknown as OpenContent["file"];
  const stat = () => ({ sizeBytes: 0, diskBytes: 0, mtime: { sec: 0, nsec: 0 } });
  return { ino: ino as Ino, contentId: ino as ContentId, file, mode, readers: 1, writers: 0, stat };
}

function setUp(answers: readonly number[]) {
  const calls: string[] = [];
  const queue = [...answers];
  const session = {
    bind: (handle: number) => void calls.push(`bind ${handle}`),
    unbind: (handle: number) => void calls.push(`unbind ${handle}`),
    openBacking: () => queue.shift() ?? 1000,
    closeBacking: (id: number) => void calls.push(`close ${id}`),
  };
  const onPassthroughLost = (reason: string) => void calls.push(`lost: ${reason}`);
  const modes = new OpenModes({ session, onPassthroughLost });
  const enter = (handle: number, file: OpenContent) => modes.enter(handle as HandleId, file);
  const leave = (handle: number) => modes.leave(handle as HandleId);
  return { modes, calls, enter, leave };
}

describe("open modes", () => {
  it("register a passthrough file once, for all its handles, until the last is released", () => {
    const { calls, enter, leave } = setUp([7, 8]);
    const file = content(2, "passthrough");
    expect([enter(1, file), enter(2, file)]).toEqual([7, 7]);
    leave(1);
    expect(enter(3, file)).toBe(7);
    leave(2);
    expect(calls).toEqual([]);
    leave(3);
    expect(calls).toEqual(["close 7"]);
    expect(enter(4, file)).toBe(8);
  });

  it("bind the handles of served files", () => {
    const { modes, calls, enter, leave } = setUp([]);
    const file = content(2, "served");
    expect([enter(1, file), enter(2, file)]).toEqual([0, 0]);
    expect(modes.handles()).toEqual([1, 2]);
    leave(1);
    leave(2);
    leave(2);
    expect(calls).toEqual(["bind 1", "bind 2", "unbind 1", "unbind 2"]);
    expect(modes.handles()).toEqual([]);
  });

  it("serve a file the kernel does not register this time, as long as it is open", () => {
    const { calls, enter, leave } = setUp([-ENFILE, 9]);
    const file = content(2, "passthrough");
    expect([enter(1, file), enter(2, file)]).toEqual([0, 0]);
    leave(1);
    leave(2);
    expect(calls).toEqual(["bind 1", "bind 2", "unbind 1", "unbind 2"]);
    expect(enter(3, file)).toBe(9);
  });

  it("serve everything from when the kernel refuses for good, but for what is registered already", () => {
    const { calls, enter } = setUp([7, -EPERM]);
    const first = content(2, "passthrough");
    expect([enter(1, first), enter(2, content(3, "passthrough")), enter(3, content(4, "passthrough"))]).toEqual([
      7, 0, 0,
    ]);
    expect(enter(4, first)).toBe(7);
    expect(calls).toEqual([expect.stringMatching(/^lost: .*CAP_SYS_ADMIN/), "bind 2", "bind 3"]);
  });
});
