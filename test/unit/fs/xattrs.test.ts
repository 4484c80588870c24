import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ino, ROOT_INO } from "../../../src/base/index.js";
import { compareTimes } from "../../../src/fs/times.js";
import { FsFixture, kindOf, nameOf, USER } from "../../support/fs-fixture.js";

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

let fixture: FsFixture;
let ino: Ino;
beforeEach(async () => {
  fixture = new FsFixture();
  ino = await fixture.file("f");
});
afterEach(() => fixture.dispose());

function set(name: string, value: string | Uint8Array = "v", flags = 0) {
  fixture.fs.setXattr(USER, ino, nameOf(name), Buffer.from(value as string), flags);
}
const get = (name: string) => Buffer.from(fixture.fs.getXattr(ino, nameOf(name))).toString();

describe("extended attributes", () => {
  it("are set, read, listed and removed, and mark ctime", () => {
    const before = fixture.attributes(ino);
    set("user.b", "1");
    set("trusted.a", "");
    set("security.selinux", "s");
    expect([get("user.b"), get("trusted.a")]).toEqual(["1", ""]);
    expect(fixture.fs.listXattrs(ino)).toEqual(["security.selinux", "trusted.a", "user.b"]);
    fixture.fs.removeXattr(USER, ino, nameOf("user.b"));
    expect(kindOf(() => get("user.b"))).toBe("no-attribute");
    expect(kindOf(() => fixture.fs.removeXattr(USER, ino, nameOf("user.b")))).toBe("no-attribute");
    const after = fixture.attributes(ino);
    expect(after.mtime).toEqual(before.mtime);
    expect(compareTimes(after.ctime, before.ctime)).toBeGreaterThan(0);
  });

  it("are made or replaced only, when told so", () => {
    expect(kindOf(() => set("user.a", "1", XATTR_REPLACE))).toBe("no-attribute");
    set("user.a", "1", XATTR_CREATE);
    expect(kindOf(() => set("user.a", "2", XATTR_CREATE))).toBe("exists");
    set("user.a", "3", XATTR_REPLACE);
    expect(get("user.a")).toBe("3");
  });

  it("of the mount's own can be read where it has something to say, and changed by nobody", async () => {
    const mountXattrs = new Map([[nameOf("user.podfs.test"), Buffer.from("said")]]);
    expect(kindOf(() => get("user.podfs.test"))).toBe("no-attribute");
    expect(kindOf(() => set("user.podfs.test"))).toBe("not-permitted");
    expect(kindOf(() => fixture.fs.removeXattr(USER, ino, nameOf("user.podfs.test")))).toBe("not-permitted");
    await fixture.dispose();
    fixture = new FsFixture({ mountXattrs });
    ino = await fixture.file("f");
    expect(get("user.podfs.test")).toBe("said");
    expect(Buffer.from(fixture.fs.getXattr(ROOT_INO, nameOf("user.podfs.test"))).toString()).toBe("said");
    expect(fixture.fs.listXattrs(ino)).toEqual([]);
    expect(kindOf(() => set("user.podfs.test"))).toBe("not-permitted");
    expect(kindOf(() => get("user.podfs.other"))).toBe("no-attribute");
  });

  it("hold 64 KiB, in names of 255 bytes, whose list has 64 KiB", () => {
    set("user.a", Buffer.alloc(65_536));
    expect(kindOf(() => set("user.a", Buffer.alloc(65_537)))).toBe("too-big");
    set(`user.${"n".repeat(250)}`);
    expect(kindOf(() => set(`user.${"n".repeat(251)}`))).toBe("range");
    for (let i = 0; i < 254; i++) set(`user.${String(i).padStart(250, "0")}`);
    expect(kindOf(() => set(`user.${"z".repeat(250)}`))).toBe("no-space");
  });

  it("are no POSIX ACLs", () => {
    expect(kindOf(() => get("system.posix_acl_access"))).toBe("not-supported");
    expect(kindOf(() => set("system.posix_acl_default"))).toBe("not-supported");
  });

  it("survive a restart, and go with the file", async () => {
    set("user.a", "kept");
    await fixture.restart();
    expect(get("user.a")).toBe("kept");
    fixture.fs.unlink(USER, ROOT_INO, nameOf("f"));
    expect(fixture.metadata.xattrNames(ino)).toEqual([]);
  });

  it("belong to directories too, whose mtime they leave", () => {
    ino = fixture.directory("d");
    const { mtime } = fixture.attributes(ino);
    set("user.a", "d");
    expect(get("user.a")).toBe("d");
    expect(fixture.attributes(ino).mtime).toEqual(mtime);
  });
});
